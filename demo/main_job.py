"""The main job, on real input: three peers without a server run this project's own checks, meet, and agree.

Three homes, three keys, three processes. The homes are temporary; nothing of yours is touched.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Final

from demo import two_machines
from demo.program import BIN, ROOT, daemon, until, workflow

PEERS: Final = ("alice", "bob", "carol")


def say(words: str) -> None:
    """Print the title of a part of the story."""
    print(f"\n── {words}", flush=True)


def shown(home: Path, *arguments: str) -> None:
    """Run a command as a person would and let it print."""
    print(f"$ p2p-workflow {' '.join(arguments)}", flush=True)
    subprocess.run([BIN / "p2p-workflow", "--home", home, *arguments], check=True)


def founded(folder: Path) -> Path:
    """Make the first home, its ledger, and the key that will submit and work in it."""
    home = folder / PEERS[0]
    workflow(home, "init", "--name", "demo")
    key = workflow(home, "keys", "generate", PEERS[0])["key"]
    workflow(home, "members", "admit", key, "--name", PEERS[0], "--role", "submitter", "--role", "worker")
    print(f"{PEERS[0]}: {key}")
    return home


def invited(folder: Path, name: str, founder: Path) -> Path:
    """Make another home, by an invitation to the ledger; its key is admitted as a worker."""
    home = folder / name
    token = workflow(founder, "peer", "invite")["token"]
    key = workflow(home, "--peer", name, "peer", "connect", "--no-ipfs", token)["peer_key"]
    workflow(founder, "members", "admit", key, "--name", name, "--role", "worker")
    print(f"{name}: {key}")
    return home


def allow(home: Path, submitter: str) -> None:
    """Write what a worker of this home may run: scripts of one key, which see this project but cannot change it."""
    mounts = sorted({str(ROOT), str(BIN.parent), sys.base_prefix} - {"/usr"})
    policy = home / "worker.toml"
    policy.write_text(
        f"""\
[[allow]]
name = "the project's checks"
submitters = ["{submitter}"]
payloads = ["command"]
interpreters = ["bash"]
mounts = [{", ".join(f'{{ outside = "{one}" }}' for one in mounts)}]
env = {{ PROJECT = "{ROOT}", PATH = "{BIN}:/usr/local/bin:/usr/bin:/bin", HYPOTHESIS_STORAGE_DIRECTORY = "/tmp/found" }}
""",
        encoding="utf-8",
    )
    policy.chmod(0o600)


def run_workers(homes: list[Path]) -> None:
    """Start a worker in each home and wait until nothing is left for any of them."""
    workers = [
        subprocess.Popen([BIN / "p2p-workflow", "--home", home, "--peer", name, "worker", "run", "--drain"])
        for name, home in zip(PEERS, homes, strict=True)
    ]
    codes = [worker.wait() for worker in workers]
    if any(codes):
        raise SystemExit(f"a worker failed: exit codes {codes}")


def common_root(homes: list[Path]) -> str | None:
    """Return the state root of the homes, None where they have not the same."""
    first, *others = (workflow(home, "status")["state_root"] for home in homes)
    return str(first) if all(other == first for other in others) else None


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
    say("One ledger, three homes, three keys; alice owns it and admits the others; `peer run` keeps them in touch")
    with ExitStack() as stack:
        alice = founded(folder)
        stack.enter_context(daemon(alice, "--peer", "alice", "--no-ipfs", "--listen", "127.0.0.1:0"))
        until((alice / "peer.json").exists, "alice is to listen")
        homes = [alice, *(invited(folder, name, alice) for name in PEERS[1:])]
        for name, home in zip(PEERS[1:], homes[1:], strict=True):
            stack.enter_context(daemon(home, "--peer", name, "--no-ipfs"))
        say("The steps of this project's own CI are submitted as a task file, at one peer")
        steps = ("submit", "--file", str(ROOT / "demo" / "ci_tasks.json"), "--workflow-id", "ci")
        shown(alice, "--peer", "alice", *steps)
        until(lambda: common_root(homes), "all are to know them")
        say("Each peer has a worker of its own, which runs what its policy allows, in a sandbox")
        submitter = workflow(alice, "keys", "show", "alice")["key"]
        for home in homes:
            allow(home, submitter)
        run_workers(homes)
        root = until(lambda: common_root(homes), "the state roots are to be equal")
    say("All have the same board")
    for name in PEERS:
        print(f"{name:6} state root {root}")
    say("Every step is a signed event")
    shown(homes[2], "log", "--limit", "0")
    shown(homes[2], "tasks")
    say("What did a step do, and why did it go as it went? Any peer knows")
    shown(homes[1], "result", "report")
    shown(homes[1], "logs", "report")
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
