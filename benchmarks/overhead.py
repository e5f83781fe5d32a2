"""What a command costs beside its bare process: the runner, without and with the sandbox, by turns with `subprocess`.

Each round runs `/usr/bin/true` three times: by `subprocess.run`, output piped as the runner does; by `CommandRunner`
at level process; at level bubblewrap without network. The difference is what inputs, environment, the start, masking,
collecting the result and the certain end of everything cost. Then a whole `worker run` does the same as tasks of a
ledger, one after the other. Files lie on the disk the benchmark's folder is on.
"""

from __future__ import annotations

import os
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from ledger.cid import Cid
from ledger.events import Role, TaskKey
from ledger.keys import ActorKey
from ledger.operations import Attachment, Spec
from scheduler.actions import SubmitRequest, submit
from scheduler.home import Home
from scheduler.running.command_runner import CommandRunner
from scheduler.running.job import Job, Level, Permit, StopSignal
from scheduler.running.payloads import Command, write_payload
from tests.support.policies import write_policy

_COMMAND = Command(argv=("/usr/bin/true",))
_FEW: Final = 10
_POLICY: Final = """\
[[allow]]
submitters = ["any-member"]
payloads = ["command"]
programs = ["/usr/bin/true"]
sandbox = "{level}"
"""


class _Silent:
    """A `Live` for a program that prints nothing and is not stopped."""

    def __init__(self) -> None:
        self.stop = StopSignal()

    def log(self, data: bytes) -> None:
        raise AssertionError(data)

    def progress(self, words: str) -> None:
        raise AssertionError(words)


def measure(folder: Path, rounds: int) -> dict[str, float]:
    """Return the medians over rounds, in ms: the bare process, and what each level adds to it in the same round."""
    runner = CommandRunner()
    found: dict[str, list[float]] = {"bare": [], "process": [], "bubblewrap": []}
    try:
        for number in range(rounds + 3):
            took = {
                "bare": _took(_bare),
                "process": _took(lambda: _run(runner, folder, Level.PROCESS)),
                "bubblewrap": _took(lambda: _run(runner, folder, Level.BUBBLEWRAP)),
            }
            if number >= 3:  # the first find out what the machine can, and start the launcher
                for name, seconds in took.items():
                    found[name].append(seconds * 1e3)
    finally:
        runner.close()
    return {
        "added_without_sandbox_ms": _added(found, "process"),
        "added_with_sandbox_ms": _added(found, "bubblewrap"),
        "bare_process_ms": statistics.median(found["bare"]),
        "rounds": rounds,
    }


def measure_tasks(folder: Path, count: int, rounds: int) -> dict[str, float]:
    """Return what a task costs a worker with one slot, in ms: claim, policy, run, result and completion, on the disk.

    Both levels by turns; the worker's own start is not in it: a short queue's time is taken off a long one's.
    """
    found: dict[str, list[float]] = {"added_without_sandbox": [], "added_with_sandbox": []}
    for number in range(rounds):
        for name, level in zip(found, (Level.PROCESS, Level.BUBBLEWRAP), strict=True):
            short, long = (
                _took_worker(folder / f"{name}-{number}-{tasks}", level, tasks) for tasks in (_FEW, _FEW + count)
            )
            found[name].append((long - short) * 1e3 / count)
    return {name: statistics.median(each) for name, each in found.items()}


def _took_worker(folder: Path, level: Level, tasks: int) -> float:
    with Home.found(folder) as home:
        me = home.members.peer_key("me", ("submits",))
        media_type, data = write_payload(_COMMAND)
        payload = Attachment(media_type, data=data)
        specs = (Spec(f"t{number}", "overhead", "true", (), payload=payload) for number in range(tasks))
        submit(home, me, map(SubmitRequest, specs))
        home.members.peer_key("worker", (Role.WORKER.value,))
    write_policy(folder, _POLICY.format(level=level.value))
    environment = os.environ | {"P2P_WORKFLOW_HOME": str(folder), "P2P_WORKFLOW_PEER": "worker"}
    command = [sys.executable, "-m", "cli", "worker", "run", "--slots", "1", "--drain"]
    cwd = Path(__file__).parents[1]
    took = _took(lambda: subprocess.run(command, env=environment, check=True, capture_output=True, cwd=cwd))
    with Home.open(folder) as home, home.reading():
        if home.tasks.counts() != {"done": tasks}:
            raise RuntimeError(f"not all is done: {home.tasks.counts()}")
    return took


def _added(found: dict[str, list[float]], name: str) -> float:
    return statistics.median(one - bare for one, bare in zip(found[name], found["bare"], strict=True))


def _bare() -> None:
    subprocess.run([*_COMMAND.argv], check=True, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=-2)


def _run(runner: CommandRunner, folder: Path, level: Level) -> None:
    place = folder / "run"
    place.mkdir()
    key, cid = TaskKey(bytes(32)), Cid.of(b"")
    spec = Spec("true", "overhead", "true", ())
    live = _Silent()
    job = Job(
        cid,
        key,
        cid,
        1,
        spec,
        ActorKey(bytes(32)),
        _COMMAND,
        (),
        Permit(level=level),
        place,
        dict[Cid, bytes]().__getitem__,
    )
    with live.stop:
        outcome = runner.run(job, live)
    if outcome.failure is not None:
        raise RuntimeError(outcome.error)
    shutil.rmtree(place)


def _took(do: Callable[[], object]) -> float:
    begun = time.perf_counter()
    do()
    return time.perf_counter() - begun
