"""One peer of the demo: a process with a home and a key of its own that takes tasks, runs them, and meets the others.

It uses the command line alone, as a script of anybody's would: `sync`, `next`, `complete`, `fail`, `tasks`.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Final

BIN: Final = Path(sys.executable).parent
ROOT: Final = Path(__file__).resolve().parent.parent
STEP_SECONDS_MAX: Final = 600
REFUSED: Final = 4
"""Exit code of an action that the ledger's state forbids, as docs/cli.md has it."""
IDLE_SECONDS: Final = "1"


def workflow(home: Path, *arguments: str, may_be_refused: bool = False) -> Any:
    """Run `p2p-workflow --json` in a home and return what it printed; end this process where it fails."""
    ran = subprocess.run(
        [BIN / "p2p-workflow", "--home", home, *arguments, "--json"], capture_output=True, text=True, check=False
    )
    if ran.returncode and not (may_be_refused and ran.returncode == REFUSED):
        raise SystemExit(f"p2p-workflow {' '.join(arguments)} ended with {ran.returncode}: {ran.stdout}{ran.stderr}")
    return json.loads(ran.stdout)


def run_step(payload: Path) -> tuple[int, str]:
    """Really run the command in a payload, in the project's folder; return its exit code and what it printed."""
    program, *arguments = json.loads(payload.read_text(encoding="utf-8"))
    ran = subprocess.run(
        [BIN / program, *arguments],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        timeout=STEP_SECONDS_MAX,
    )
    return ran.returncode, ran.stdout


def meet(home: Path, others: list[Path]) -> None:
    """Give and take what is missing, with each of the others."""
    for other in others:
        workflow(home, "sync", str(other))


def work(home: Path, others: list[Path]) -> None:
    """Take, run and complete tasks until none is open anywhere this peer can see."""
    scratch = Path(tempfile.mkdtemp(prefix="payload-", dir=home))
    while True:
        meet(home, others)
        found = workflow(home, "next", "--wait", IDLE_SECONDS, "--payload", str(scratch / "payload"))["task"]
        if found is None:
            if all(
                task["status"] in ("done", "dead", "cancelled", "blocked") for task in workflow(home, "tasks")["tasks"]
            ):
                return
            continue
        meet(home, others)  # so that the others see the claim before their turn comes
        began = time.monotonic()
        code, printed = run_step(scratch / "payload")
        (scratch / "log").write_text(printed, encoding="utf-8")
        print(f"{home.name}: {found['task_id']} ran for {time.monotonic() - began:.1f} s, exit {code}", flush=True)
        log = ("--log", str(scratch / "log"), "--exit-code", str(code))
        meet(home, others)
        if code:
            said = workflow(home, "fail", found["task_id"], "--error", f"exit code {code}", *log, may_be_refused=True)
        else:
            said = workflow(home, "complete", "--task-id", found["task_id"], *log, may_be_refused=True)
        if "error" in said:  # two had claimed it before they met: it ran twice, and one result is recorded
            print(f"{home.name}: {said['error']['message']}", flush=True)


if __name__ == "__main__":
    work(Path(sys.argv[1]), [Path(other) for other in sys.argv[2:]])
