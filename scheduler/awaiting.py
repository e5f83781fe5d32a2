"""Waiting until tasks are over, by the changes of a home and not by the clock; and who could run one that waits.

Over is what nobody can take any more as things stand: done, cancelled, dead, expired, or blocked by a need that is so.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from typing import Final

from crdt.records import TaskRecord
from crdt.view import FINAL, Status, view
from ledger.events import TaskKey
from scheduler.assignment import Worker, crew_of
from scheduler.home import Home
from scheduler.names import get_task
from scheduler.wake import Watch

LOOK_S: Final = 2.0
"""How often to look though nobody wrote: leases and deadlines pass without a word."""


def is_over(status: Status) -> bool:
    """Return whether nobody can take a task of this status any more, as things stand."""
    return status in FINAL or status is Status.BLOCKED


def status_of(home: Home, record: TaskRecord) -> Status:
    """Return where a task stands now. Within a reading."""
    return view(record, home.board.find_record, home.policy, home.now_ms()).status


def await_tasks(
    home: Home,
    tasks: Iterable[TaskKey],
    timeout_s: float | None = None,
    look: Callable[[Mapping[TaskKey, Status]], object] | None = None,
) -> dict[TaskKey, Status]:
    """Wait until all of these tasks are over, or the time is; return where each stands then.

    Args:
        home: where to look; nobody else must use it meanwhile.
        tasks: which tasks.
        timeout_s: the longest to wait, in seconds; None: as long as it takes.
        look: is told where they stand, each time it has looked and goes on waiting.

    Raises:
        TaskNotFoundError: there is no such task.
    """
    keys = tuple(dict.fromkeys(tasks))
    deadline = None if timeout_s is None else time.monotonic() + timeout_s
    with Watch(home.folder) as watch:
        while True:
            with home.reading():
                found = {key: status_of(home, get_task(home, key)) for key in keys}
            left_s = LOOK_S if deadline is None else deadline - time.monotonic()
            if left_s <= 0 or all(map(is_over, found.values())):
                return found
            if look is not None:
                look(found)
            watch.wait(min(LOOK_S, left_s))


def untaken(home: Home, task: TaskKey) -> TaskRecord | None:
    """Return the ready task on which a task waits: itself, or one it needs; None where somebody is at work for it.

    Within a reading. Raises TaskNotFoundError.
    """
    seen: set[TaskKey] = set()
    stack = [get_task(home, task)]
    ready: TaskRecord | None = None
    while stack:
        record = stack.pop()
        if record.key in seen:
            continue
        seen.add(record.key)
        match status_of(home, record):
            case Status.HELD:
                return None
            case Status.READY:
                ready = ready or record
            case Status.WAITING:
                needs = map(home.board.find_record, reversed(record.spec.needs))
                stack.extend(need for need in needs if need is not None)
            case _:
                pass
    return ready


def who_may_run(home: Home, record: TaskRecord) -> list[Worker]:
    """Return those at work with `worker run`, heard of lately, that have the labels of a task.

    Who works by hand says no slots when it joins. What their policies allow is known to them alone. Within a reading.
    """
    board = home.board
    roster = board.roster()
    slots = {presence.actor for presence in roster.presences if presence.slots is not None}
    crew = crew_of(roster, board.active_workers(), home.heard_of(), None, home.policy, home.now_ms())
    return [worker for worker in crew.eligible(record.spec) if worker.actor in slots]
