"""The main job, on real input: three peers without a server run this project's own checks, meet, and agree.

Three homes, three keys, three processes. The homes are temporary; nothing of yours is touched.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Final

from demo import two_machines
from demo.peer import BIN, ROOT, workflow

PEERS: Final = ("alice", "bob", "carol")


def say(words: str) -> None:
    """Print the title of a part of the story."""
    print(f"\n── {words}", flush=True)


def shown(home: Path, *arguments: str) -> None:
    """Run a command as a person would and let it print."""
    print(f"$ p2p-workflow {' '.join(arguments)}", flush=True)
    subprocess.run([BIN / "p2p-workflow", "--home", home, *arguments], check=True)


def found_ledger(folder: Path) -> list[Path]:
    """Make three homes of one ledger, each with a key that alice, the owner, has admitted."""
    homes = [folder / name for name in PEERS]
    founder = homes[0]
    workflow(founder, "init", "--name", "demo")
    for name, home in zip(PEERS, homes, strict=True):
        if home != founder:
            workflow(home, "init", "--from", str(founder))
        key = workflow(home, "keys", "generate", name)["key"]
        workflow(founder, "members", "admit", key, "--name", name)
        workflow(home, "sync", str(founder)) if home != founder else None
        workflow(home, "--peer", name, "join")
        print(f"{name}: {key}")
    return homes


def run_peers(homes: list[Path]) -> None:
    """Start a process for each peer and wait until all are through."""
    processes = []
    for name, home in zip(PEERS, homes, strict=True):
        environment = os.environ | {"P2P_WORKFLOW_PEER": name}
        others = [str(other) for other in homes if other != home]
        command = [sys.executable, "-m", "demo.peer", str(home), *others]
        processes.append(subprocess.Popen(command, env=environment, cwd=ROOT))
    codes = [process.wait() for process in processes]
    if any(codes):
        raise SystemExit(f"a peer failed: exit codes {codes}")


def meet(homes: list[Path]) -> set[str]:
    """Let every home sync with the next until all have the same; return their state roots."""
    for home, other in zip([*homes, *homes], [*homes[1:], *homes, homes[0]], strict=True):
        if home != other:
            workflow(home, "sync", str(other))
    roots = set()
    for name, home in zip(PEERS, homes, strict=True):
        status = workflow(home, "--peer", name, "status")
        roots.add(status["state_root"])
        print(f"{name:6} state root {status['state_root']}")
        print(f"       clock      {status['merkle_clock_hash']}")
    return roots


def verify_as_a_stranger(homes: list[Path], car: Path) -> None:
    """Check the whole history from one file, by a process that has no home."""
    workflow(homes[1], "export", str(car))
    stranger = {name: value for name, value in os.environ.items() if not name.startswith("P2P_WORKFLOW")}
    stranger |= {"P2P_WORKFLOW_HOME": str(car.parent / "nowhere"), "HOME": str(car.parent / "nobody")}
    print(f"$ p2p-workflow verify {car.name}", flush=True)
    subprocess.run([BIN / "p2p-workflow", "verify", car.name], check=True, env=stranger, cwd=car.parent)


def main() -> None:
    """Tell the story."""
    began = time.monotonic()
    folder = Path(tempfile.mkdtemp(prefix="p2p-workflow-demo-"))
    say("One ledger, three homes, three keys; alice owns it and admits the others")
    homes = found_ledger(folder)
    say("The steps of this project's own CI are submitted as a task file, at one peer")
    shown(homes[0], "--peer", "alice", "submit", "--file", str(ROOT / "demo" / "ci_tasks.json"), "--workflow-id", "ci")
    say("Each peer is a process of its own: it takes tasks with `next`, runs them, completes them, and meets by `sync`")
    run_peers(homes)
    say("Having met, all have the same board")
    roots = meet(homes)
    if len(roots) != 1:
        raise SystemExit("the state roots differ: this is a defect")
    say("Every step is a signed event")
    shown(homes[2], "log", "--limit", "0")
    shown(homes[2], "tasks")
    say("Why did it go as it went?")
    shown(homes[2], "--peer", "carol", "explain", "report")
    say("A stranger verifies the whole history from one file, without a home")
    verify_as_a_stranger(homes, folder / "demo.car")
    if any(task["status"] != "done" for task in workflow(homes[0], "tasks")["tasks"]):
        raise SystemExit(f"not every step of the CI is done; look with: p2p-workflow --home {homes[0]} tasks")
    two_machines.show(folder, say)
    say(f"Done in {time.monotonic() - began:.0f} s. How to go on")
    print(
        f"the homes are in {folder}; try\n"
        f"  {BIN / 'p2p-workflow'} --home {homes[0]} replay --trace\n"
        f"  {BIN / 'p2p-workflow'} --home {homes[0]} show types\n"
        "or begin your own, in your home folder:\n"
        f"  {BIN / 'p2p-workflow'} submit --task-id t1 --workflow-id w1 --name 'First task'"
    )


if __name__ == "__main__":
    main()
