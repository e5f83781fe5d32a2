"""Kill −9 by seed: `python -m tests.faults.killing FIRST COUNT` forks COUNT workers, kills them, audits their homes.

The worker tells its promises through a pipe to this process, which outlives it. It dies

    statement   before the n-th SQL statement, BEGIN and COMMIT among them
    step        after the n-th instruction of SQLite's machine, inside a statement
    write       inside the write that takes a file beyond n bytes: -wal, database (in a checkpoint) or key; it is torn
    time        at a random instant, by SIGKILL from this process, while another process may write to the same home

Not covered: the loss of power, in which what was written and not yet synced is lost too. Nothing short of a block
device of our own can show that; SQLite's `synchronous=FULL` in WAL mode promises it, and `open_database` asks for it.
"""

from __future__ import annotations

import os
import resource
import select
import shutil
import signal
import sqlite3
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from random import Random
from typing import Final, NoReturn

import ledger.database
from scheduler.home import Home
from tests.faults.audit import Promise, audit_folder
from tests.faults.work import START_MS, STEPS, Stock, Time, Worker, make_stock

_DEADLINE_S: Final = 60.0
_MEMORY: Final = Path("/dev/shm")  # noqa: S108  # the homes stand in a folder of our own there
_FAILED: Final = 3


class Death(StrEnum):
    """How a worker dies."""

    STATEMENT = "statement"
    STEP = "step"
    WRITE = "write"
    TIME = "time"


@dataclass(frozen=True, slots=True)
class Plan:
    """What one seed does. `at` counts statements, instructions by sevens, bytes or microseconds."""

    seed: int
    death: Death
    at: int
    first_use: bool
    accompanied: bool

    @classmethod
    def of(cls, seed: int) -> Plan:
        """Return the plan of a seed."""
        random = Random(f"plan {seed}")
        death = random.choice(tuple(Death))
        first_use = random.random() < 0.25
        most = {Death.STATEMENT: 1_600, Death.STEP: 8_000, Death.WRITE: 1_500_000, Death.TIME: 150_000}[death]
        # Founding a ledger is soon over, and the first transactions are as likely to be broken off as the last.
        at = random.randint(1, most if random.random() < 0.7 and not first_use else most // 12)
        return cls(seed, death, at, first_use, random.random() < 0.2 and not first_use)


def kill_one(plan: Plan, stock: Stock, folder: Path) -> bool:
    """Carry out a plan in `folder`, and audit what is left; return whether the worker was killed before its end."""
    home = folder / f"home {plan.seed}"
    if not plan.first_use:
        shutil.copytree(stock.home, home)
    receiver, sender = os.pipe()

    def promised(promise: Promise) -> None:
        os.write(sender, promise.line())  # less than PIPE_BUF, so never mixed with another's

    def worker(name: str) -> Callable[[], None]:
        random, foreign = Random(f"{name} {plan.seed}"), [] if plan.first_use else list(stock.blocks)
        # Of two processes on one machine no clock is ahead of the other's.
        return Worker(home, random, foreign, promised, name, Time(), 0 if plan.accompanied else 2_500).run

    children = [_fork(worker("peer"), plan, receiver)]
    if plan.accompanied:
        children.append(_fork(worker("companion"), None, receiver))
    os.close(sender)
    killer = children[0] if plan.death is Death.TIME else None
    promises = Promise.read(_collect(receiver, killer, plan.at / 1e6))
    statuses = [os.waitpid(child, 0)[1] for child in children]
    assert all(os.waitstatus_to_exitcode(status) != _FAILED for status in statuses), "a worker failed: see above"
    assert all(os.waitstatus_to_exitcode(status) == 0 for status in statuses[1:])
    if plan.first_use:
        Home.open_or_found(home, clock=lambda: START_MS)[0].close()
    audit_folder(home, START_MS + (STEPS + 1) * 2_500, promises)
    shutil.rmtree(home)
    return os.WIFSIGNALED(statuses[0])


def _fork(work: Callable[[], None], plan: Plan | None, receiver: int) -> int:
    child = os.fork()
    if child:
        return child
    try:
        os.close(receiver)
        if plan is not None:
            _arm(plan)
        work()
    except BaseException:  # noqa: BLE001  # the child of a fork must never return
        traceback.print_exc()
        os._exit(_FAILED)
    os._exit(0)


def _collect(receiver: int, victim: int | None, kill_after_s: float) -> bytes:
    """Return what the workers have said when the last of them is gone, having killed `victim` in time."""
    said = b""
    kill_at, deadline = time.monotonic() + kill_after_s, time.monotonic() + _DEADLINE_S
    while True:
        now = time.monotonic()
        if victim is not None and now >= kill_at:
            with suppress(ProcessLookupError):
                os.kill(victim, signal.SIGKILL)  # still ours: not waited for yet
            victim = None
        assert now < deadline, "a worker hangs"
        until = deadline if victim is None else kill_at
        if select.select([receiver], [], [], max(0.0, until - now))[0]:
            part = os.read(receiver, 65_536)
            if not part:
                break
            said += part
    os.close(receiver)
    if victim is not None:
        os.kill(victim, signal.SIGKILL)
    return said


def _arm(plan: Plan) -> None:
    """Prepare the death of this process."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    left = plan.at

    def count(*_: object) -> int:
        nonlocal left
        left -= 1
        if left <= 0:
            _die()
        return 0

    connect = ledger.database._connect

    def connect_armed(path: Path, query: str) -> sqlite3.Connection:
        connection = connect(path, query)
        if plan.death is Death.STATEMENT:
            connection.set_trace_callback(count)
        else:
            connection.set_progress_handler(count, 7)
        return connection

    match plan.death:
        case Death.STATEMENT | Death.STEP:
            ledger.database._connect = connect_armed
        case Death.WRITE:
            signal.signal(signal.SIGXFSZ, signal.SIG_DFL)  # Python ignores it; by default it kills on the spot
            resource.setrlimit(resource.RLIMIT_FSIZE, (plan.at, plan.at))
        case Death.TIME:
            pass


def _die() -> NoReturn:
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError


def main(first: int, count: int) -> int:
    """Try `count` seeds from `first` on; print the command of each that fails; return how many did."""
    failed = killed = 0
    # What a killed process wrote is in the page cache, on a disk as in memory; memory spares us thousands of syncs.
    with tempfile.TemporaryDirectory(prefix="faults-", dir=_MEMORY if _MEMORY.is_dir() else None) as name:
        folder = Path(name)
        stock = make_stock(folder)
        for seed in range(first, first + count):
            try:
                killed += kill_one(Plan.of(seed), stock, folder)
            except Exception:  # noqa: BLE001  # every failure is reported with its command
                traceback.print_exc()
                print(f"FAILED {Plan.of(seed)}\nagain: python -m tests.faults.killing {seed} 1", file=sys.stderr)  # noqa: T201  # a report on the terminal
                failed += 1
    print(f"{count} seeds, {killed} killed, {failed} failed")  # noqa: T201  # a report on the terminal
    return failed


if __name__ == "__main__":
    sys.exit(min(main(int(sys.argv[1]), int(sys.argv[2])), 1))
