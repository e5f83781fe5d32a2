"""What time decides of a task: ready, waiting, held, dead. The board knows no clock; `now` is an argument, in ms.

Implements: specs/tasks.md, section View; specs/assignment.md S2 as far as the log tells.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from crdt.attempts import failed_attempts, is_dead, max_attempts, retry_at, runs
from crdt.records import ClaimRecord, CompletionRecord, TaskRecord
from ledger.cid import Cid
from ledger.events import Policy, TaskKey


class Status(StrEnum):
    """Where a task stands at a given time."""

    DONE = "done"
    CANCELLED = "cancelled"
    HELD = "held"
    DEAD = "dead"
    EXPIRED = "expired"
    BLOCKED = "blocked"
    WAITING = "waiting"
    READY = "ready"


FINAL = frozenset((Status.DONE, Status.CANCELLED, Status.DEAD, Status.EXPIRED))
"""A task in one of these is nobody's to take; a requeue brings a dead one back."""


class ObstacleKind(StrEnum):
    """What can keep a task from being taken."""

    NEEDS = "needs"
    NOT_BEFORE = "not_before"
    BACKOFF = "backoff"
    LOG = "log"
    ATTEMPTS = "attempts"
    EXPIRED = "expired"


@dataclass(frozen=True, slots=True)
class Obstacle:
    """One thing in the way of a claim. Where a time belongs to it, `words` end where that time, `until` (ms), follows.

    How times are written for people is for the layers above.
    """

    kind: ObstacleKind
    words: str
    until: int | None = None


_NEEDS_NAMED: Final = 5

FindRecord = Callable[[TaskKey], TaskRecord | None]


@dataclass(frozen=True, slots=True)
class TaskView:
    """A task at one instant.

    `ready_at` (ms) is when it becomes or became ready as far as the log tells, None where a need is not done.
    """

    status: Status
    holder: ClaimRecord | None = None
    ready_at: int | None = None
    unmet: tuple[TaskKey, ...] = ()
    """Needs that are not done; for BLOCKED, those that cannot be any more."""
    obstacles: tuple[Obstacle, ...] = ()
    """All that stands in the way of a task that is neither ready nor held, settled or cancelled."""


def holder_of(task: TaskRecord, now: int) -> ClaimRecord | None:
    """Return the nearest running claim (D4), None where none runs."""
    running = [claim for claim in task.claims if runs(claim, now)]
    return min(running, key=lambda claim: (claim.distance, claim.cid), default=None)


def view(task: TaskRecord, find: FindRecord, policy: Policy, now: int) -> TaskView:
    """Return where `task` stands at `now`; `find` gives the records of its needs."""
    ended = _ended(task, policy, now)
    if ended is not None:
        return ended
    unmet = tuple(need for need in task.spec.needs if not _is_done(find(need)))
    if unmet:
        hopeless = tuple(need for need in unmet if is_hopeless(need, find, policy, now))
        waits = _waits(task, policy, now)
        if hopeless:
            need = Obstacle(ObstacleKind.NEEDS, _hopeless_words(hopeless, find, policy, now))
            return TaskView(Status.BLOCKED, unmet=hopeless, obstacles=(need, *waits))
        need = Obstacle(ObstacleKind.NEEDS, "needs that are not done yet")
        return TaskView(Status.WAITING, unmet=unmet, obstacles=(need, *waits))
    ready_at = max(own_ready_at(task), *(_done_at(find(need)) for need in task.spec.needs), 0)
    if now < ready_at:
        waits = _waits(task, policy, now)
        if all(one.until != ready_at for one in waits):
            waits += (Obstacle(ObstacleKind.LOG, "by the times of its events, which are ahead, not before", ready_at),)
        return TaskView(Status.WAITING, ready_at=ready_at, obstacles=waits)
    return TaskView(Status.READY, ready_at=ready_at)


def _ended(task: TaskRecord, policy: Policy, now: int) -> TaskView | None:
    """Return what a task is by itself, its needs aside: over or held, else None."""
    if task.completions:
        return TaskView(Status.DONE)
    if task.cancels:
        return TaskView(Status.CANCELLED)
    holder = holder_of(task, now)
    if holder is not None:
        return TaskView(Status.HELD, holder=holder)
    expires_at = task.spec.expires_at
    over = () if expires_at is None or now < expires_at else (Obstacle(ObstacleKind.EXPIRED, "expired at", expires_at),)
    if is_dead(task.claims, task.base, task.spec, policy, now):
        return TaskView(Status.DEAD, obstacles=(Obstacle(ObstacleKind.ATTEMPTS, "its attempts are used up"), *over))
    return TaskView(Status.EXPIRED, obstacles=over) if over else None


def _waits(task: TaskRecord, policy: Policy, now: int) -> tuple[Obstacle, ...]:
    """Return what a task still waits for by its own account."""
    waits: list[Obstacle] = []
    if task.spec.not_before is not None and now < task.spec.not_before:
        waits.append(Obstacle(ObstacleKind.NOT_BEFORE, "not before", task.spec.not_before))
    retry = retry_at(task.claims, task.base, task.key, task.spec)
    if now < retry:
        failed = failed_attempts(task.claims, task.base, now)
        words = f"backoff after failed attempt {failed} of {max_attempts(task.spec, policy)} until"
        waits.append(Obstacle(ObstacleKind.BACKOFF, words, retry))
    return tuple(waits)


def own_ready_at(task: TaskRecord) -> int:
    """Return when the task is ready by its own account (S2): submitted, not_before, backoff over, last claim ended."""
    ends = [_ended_at(claim) for claim in task.claims]
    waits = retry_at(task.claims, task.base, task.key, task.spec)
    return max(task.submitted_at, task.spec.not_before or 0, waits, *ends)


def is_overdue(task: TaskRecord) -> bool:
    """Return whether a lease of a task that nobody holds ran out, neither failed nor given back (S4)."""
    return any(not claim.failed_at and not claim.released for claim in task.claims)


def _ended_at(claim: ClaimRecord) -> int:
    # When a claim was released its record does not say; it is not before it was made, and what a home first saw is
    # counted by the scheduler.
    if claim.failed_at:
        return claim.failed_at
    return claim.time if claim.released else claim.until


def is_hopeless(key: TaskKey, find: FindRecord, policy: Policy, now: int) -> bool:
    """Return whether a need is unknown, over without being done, or itself rests on such a one."""
    return _lost_cause(key, find, policy, now) is not None


def _lost_cause(key: TaskKey, find: FindRecord, policy: Policy, now: int) -> tuple[TaskKey, Status | None] | None:
    """Return the task for which a need can no longer be done, and what it is, None for unknown; None where it can.

    Needs name each other by hash, so they form no cycle.
    """
    seen: set[TaskKey] = set()
    stack = [key]
    while stack:
        need = stack.pop()
        if need in seen:
            continue
        seen.add(need)
        task = find(need)
        if task is None:
            return need, None
        ended = _ended(task, policy, now)
        if ended is None:
            stack.extend(task.spec.needs)
        elif ended.status in FINAL and ended.status is not Status.DONE:
            return need, ended.status
    return None


def _hopeless_words(needs: tuple[TaskKey, ...], find: FindRecord, policy: Policy, now: int) -> str:
    """Return which needs can no longer be done, and why, by name."""
    words = [_hopeless_need(need, find, policy, now) for need in needs[:_NEEDS_NAMED]]
    if len(needs) > _NEEDS_NAMED:
        words.append(f"so are {len(needs) - _NEEDS_NAMED} more")
    return "; ".join(words)


def _hopeless_need(key: TaskKey, find: FindRecord, policy: Policy, now: int) -> str:
    cause = _lost_cause(key, find, policy, now)
    if cause is None:
        return f"need {_name(key, find)} is not done"
    lost, status = cause
    what = "is not known here" if status is None else f"is {status}"
    if lost == key:
        return f"need {_name(key, find)} {what}"
    return f"need {_name(key, find)} is blocked, since {_name(lost, find)} {what}"


def _name(key: TaskKey, find: FindRecord) -> str:
    task = find(key)
    return key.hex() if task is None else task.spec.task_id


def tainted_inputs(task: TaskRecord, find_completion: Callable[[Cid], Iterator[CompletionRecord | None]]) -> list[Cid]:
    """Return the inputs behind a result that no longer stand (D7), transitively; `find_completion` as below."""
    return [] if task.result is None else voided_inputs(task.result.inputs, find_completion)


def voided_inputs(
    inputs: Iterable[Cid], find_completion: Callable[[Cid], Iterator[CompletionRecord | None]]
) -> list[Cid]:
    """Return those of `inputs`, and of the inputs behind them, that no longer stand.

    `find_completion` yields, for each task an event was cited as a completion of, the completion that counts, or None
    where it no longer does.
    """
    voided: list[Cid] = []
    seen: set[Cid] = set()
    stack = list(inputs)
    while stack:
        cid = stack.pop()
        if cid in seen:
            continue
        seen.add(cid)
        for completion in find_completion(cid):
            if completion is None:
                voided.append(cid)
            else:
                stack.extend(completion.inputs)
    return sorted(set(voided))


def _is_done(task: TaskRecord | None) -> bool:
    return task is not None and bool(task.completions)


def _done_at(task: TaskRecord | None) -> int:
    return task.completions[0].time if task is not None and task.completions else 0
