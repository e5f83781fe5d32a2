"""A worker is killed in mid-task: when its tasks run again, which are lost, which are run to their end twice.

Implements: the figures of recovery in benchmarks/README.md. Two workers with eight slots each, each system as it comes
(its own lease, heartbeat or neither), all at the same time, each with its own files: ours in one home; ours in two
homes that only a `peer run` each connects, of which a whole machine is killed; huey; dramatiq. While they recover each
is given a small task a second, as a queue in use is: dramatiq looks for dead workers only as commands come by.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any, Final

from benchmarks.journal import Journal, Recovery
from benchmarks.neighbours import Process, dramatiq_workers, huey_consumers, running, wait_for
from ledger.events import Policy, Role
from ledger.keys import SigningKey
from ledger.operations import Attachment, Spec
from scheduler.actions import SubmitRequest, submit
from scheduler.home import Home
from scheduler.running.payloads import Command, write_payload
from tests.chaos.flow import policy_text
from tests.support.peers import Machine, Machines
from tests.support.policies import write_policy

TASKS: Final = 16
SLOTS: Final = 8
TASK_S: Final = 8.0
_KILL_AFTER_S: Final = 3.0
"""After the first task has begun: all are in their midst, and none is at its end."""
_FEED_S: Final = 1.0
_STOP = signal.SIGKILL

# What benchmarks/journal.py writes, from a shell.
_SCRIPT: Final = """\
note() { echo "$1 $NUMBER $$ $(date +%s.%N)" >> "$JOURNAL"; }
note begin; sleep "$SECONDS_LONG"; note end
"""


@dataclass(frozen=True, slots=True)
class Side:
    """A system with two workers: how to give it a task, how to give it a small one, how to kill who runs a process."""

    submit: Callable[[int], object]
    feed: Callable[[], object]
    kill: Callable[[int], object]


def measure(folder: Path, policy: Policy, wait_s: float, say: Callable[[str], None]) -> dict[str, Recovery]:
    """Kill a worker at each side, and wait until all tasks are done or `wait_s` is over; return what became of them."""
    found: dict[str, Recovery] = {}
    with ExitStack() as stack, ThreadPoolExecutor(len(_SIDES)) as pool:
        sides = {}
        for name, make in _SIDES.items():
            say(f"starting two workers: {name}")
            place = folder / name
            place.mkdir()
            sides[name] = stack.enter_context(make(place, policy))
        say(f"killing a worker of each; this takes up to {wait_s + 30:.0f} s")
        waiting = {name: pool.submit(_recover, side, folder / name, wait_s) for name, side in sides.items()}
        for name, one in waiting.items():
            found[name] = one.result()
            say(f"{name}: {found[name]}")
    return found


def _recover(side: Side, folder: Path, wait_s: float) -> Recovery:
    journal = _journal(folder)
    for number in range(TASKS):
        side.submit(number)
    wait_for(lambda: Journal.read(journal).begun, 60)
    time.sleep(_KILL_AFTER_S)
    side.kill(Journal.read(journal).begun[0][1])
    killed_at = time.time()
    over = threading.Event()
    feeder = threading.Thread(target=_feed, args=(side, over))
    feeder.start()
    try:
        while len(Journal.read(journal).done()) < TASKS and time.time() < killed_at + wait_s:
            time.sleep(0.1)
        time.sleep(TASK_S + 1)  # were one run again though it is done, it would have ended
    finally:
        over.set()
        feeder.join()
    found = Journal.read(journal).judge(TASKS, killed_at)
    if not found.cut_off:
        raise RuntimeError(f"{folder.name}: the worker that was killed had no task: nothing was measured")
    return found


def _feed(side: Side, over: threading.Event) -> None:
    while not over.wait(_FEED_S):
        side.feed()


def _journal(folder: Path) -> Path:
    return folder / "journal"


# ---- ours


@contextmanager
def _one_home(folder: Path, policy: Policy) -> Iterator[Side]:
    with Home.found(folder / "home", policy=policy) as home, ExitStack() as stack:
        me = home.members.peer_key("me", ("submits",))
        _allow(home, _journal(folder))
        names = [f"worker-{number}" for number in range(2)]
        for name in names:
            home.members.peer_key(name, (Role.WORKER.value,))
        workers = [stack.enter_context(_worker(home, name)) for name in names]
        yield _side(home, me, lambda process: _runs(process, workers).send_signal(_STOP))


@contextmanager
def _two_homes(folder: Path, policy: Policy) -> Iterator[Side]:
    with Machines(folder, policy) as machines, ExitStack() as stack:
        alice = machines.found("alice", node=False)
        alice.start("--no-ipfs", "--listen", "127.0.0.1:0")
        bob = machines.entered("bob", alice, node=False)
        bob.know(*json.loads((alice.folder / "peer.json").read_text())["urls"])
        bob.start("--no-ipfs")
        bob.until("in exchange", lambda: bob.state_root() == alice.state_root())
        for machine in (alice, bob):
            _allow(machine.home, _journal(folder))
        first, _ = [stack.enter_context(_worker(one.home, one.name)) for one in (alice, bob)]
        yield _side(bob.home, bob.key, lambda _: _cut_power(alice, first))


def _cut_power(machine: Machine, worker: Process) -> None:
    worker.send_signal(_STOP)
    assert machine.daemon is not None  # noqa: S101  # it was started
    machine.daemon.kill()


def _side(home: Home, key: SigningKey, kill: Callable[[int], object]) -> Side:
    numbers = count()
    lock = threading.Lock()  # the home is used by the thread that submits and the one that feeds

    def give(task_id: str, command: Command) -> None:
        media_type, data = write_payload(command)
        spec = Spec(task_id, "bench", task_id, ("p2p-only",), payload=Attachment(media_type, data=data))
        with lock, Home.open(home.folder) as own:
            submit(own, key, [SubmitRequest(spec)])

    def work(number: int) -> None:
        named = {"NUMBER": str(number), "SECONDS_LONG": str(TASK_S)}
        give(f"work {number}", Command(script=_SCRIPT, interpreter="sh", env=named))

    return Side(work, lambda: give(f"small {next(numbers)}", Command(script="true", interpreter="sh")), kill)


def _allow(home: Home, journal: Path) -> None:
    """Write a policy. Without sandbox, since tasks write to a journal outside; what is measured here is no sandbox."""
    write_policy(home.folder, policy_text(journal))


@contextmanager
def _worker(home: Home, name: str) -> Iterator[Process]:
    command = [sys.executable, "-m", "cli", "worker", "run", "--slots", str(SLOTS), "--peer", name]
    with running([*command, "--home", str(home.folder)], {}) as process:
        time.sleep(2.0)
        yield process


# ---- the neighbours


@contextmanager
def _huey(folder: Path, _: Policy) -> Iterator[Side]:
    with huey_consumers(folder, 2, SLOTS) as (app, consumers):
        yield _neighbour(folder, app.work, app.echo, consumers)


@contextmanager
def _dramatiq(folder: Path, _: Policy) -> Iterator[Side]:
    with dramatiq_workers(folder, 2, 1, SLOTS) as (app, programs):
        yield _neighbour(folder, app.work.send, app.echo.send, programs)


def _neighbour(folder: Path, work: Callable[..., Any], echo: Callable[[str], Any], workers: list[Process]) -> Side:
    journal = str(_journal(folder))
    return Side(
        lambda number: work(journal, number, TASK_S),
        lambda: echo("small"),
        lambda process: os.killpg(_runs(process, workers).pid, _STOP),  # dramatiq's worker is a child of its program
    )


def _runs(process: int, workers: list[Process]) -> Process:
    """Return the worker that a process is, or is below."""
    by_number = {worker.pid: worker for worker in workers}
    while process not in by_number:
        process = int(Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()[1])
    return by_number[process]


_SIDES: Final[dict[str, Callable[[Path, Policy], Any]]] = {
    "ours": _one_home,
    "ours_two_homes": _two_homes,
    "huey": _huey,
    "dramatiq": _dramatiq,
}
