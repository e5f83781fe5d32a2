"""What a worker does with a task it holds: complete, fail, release, renew.

Implements: F2 of specs/tasks.md as an honest worker meets it. Each action is one durable transaction, and decides on
the board as it is inside it. Leaves out taking (scheduler.taking) and what submitters do (scheduler.steering).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from crdt.attempts import runs
from crdt.records import ClaimRecord, TaskRecord
from crdt.view import holder_of
from ledger.cid import Cid
from ledger.events import CITES_MAX, Role, TaskKey
from ledger.keys import ActorKey, SigningKey
from ledger.operations import Attachment, Complete, Fail, Operation, Release, Renew, Report
from scheduler.acting import acting, follows, keep, own_claim, write
from scheduler.action_errors import HeldByOtherError, NotHeldError, TaskOverError
from scheduler.home import Home
from scheduler.names import get_task
from scheduler.queue import TaskQueue
from scheduler.taking import Taken, check_ready, claim, claim_of, lease_by_hand, taken
from scheduler.writing import Writing

_EVENT_RENEWALS: Final = 128
"""Claims renewed in one event."""


@dataclass(frozen=True, slots=True)
class Settled:
    """A task after an action, and the event that settled it. `already`: it was so before, by this very peer.

    `next` is the task taken in the same transaction, where one was asked for and there was one.
    """

    record: TaskRecord
    event: Cid
    already: bool = False
    next: Taken | None = None


@dataclass(slots=True)
class Renewal:
    """Claims that run on, until when (ms); claims lost, and why; those that this peer itself settled meanwhile."""

    until: dict[TaskKey, int] = field(default_factory=dict)
    lost: dict[TaskKey, str] = field(default_factory=dict)
    settled: set[TaskKey] = field(default_factory=set)


def complete(
    home: Home,
    key: SigningKey,
    task: TaskKey,
    *,
    under: Cid | None = None,
    output: Attachment | None = None,
    report: Report | None = None,
    log: Attachment | None = None,
    and_next: bool = False,
    lease_ms: int | None = None,
    queue: TaskQueue | None = None,
) -> Settled:
    """Complete a task this peer holds; an open one that nobody holds is claimed first, in the same transaction.

    Who holds a running claim may complete even where a nearer peer's claim is known by now: the task is done all the
    same. Completing again what this peer has completed changes nothing.

    Args:
        home: where the task is.
        key: the peer's key.
        task: which task.
        under: only under this claim of the peer's; None: under whichever it has, or a new one.
        output: the result; what is large becomes a blob.
        report: how the run went.
        log: what it printed.
        and_next: take the next task, too: one event, or one more where the next one needed this one.
        lease_ms: the lease of what is claimed here; None: as long as by hand.
        queue: the peer's queue, where it keeps one.

    Raises:
        TaskNotFoundError: there is no such task.
        TaskOverError: another peer has completed it, or it was cancelled.
        HeldByOtherError: another peer holds it.
        NotReadyError: nobody holds it, and nobody may claim it now.
        NotHeldError: the claim `under` which it was to be done is not this peer's, or another one is by now.
        NotAMemberError: no grant of the key lets it work.
    """
    if queue is None and and_next:
        queue = TaskQueue(home, key.actor)
    lease_ms = lease_by_hand(home.policy, lease_ms)
    with acting(home, queue) as writing:
        record, now = get_task(home, task), writing.time
        mine = (c for c in record.completions if c.actor == key.actor and under in (None, c.claim))
        if done := next(mine, None):
            return Settled(record, done.cid, already=True)
        held = _claim_to_settle(home, record, key.actor, now, under)
        if held is None:
            record = claim(writing, key, record, lease_ms).record
            held = own_claim(record, key.actor, writing.time)
            assert held is not None  # noqa: S101  # it was just made
        done_op = Complete(task, follows(record, held.cid), held.cid, keep(writing, output), report, keep(writing, log))
        if queue is None or not and_next:
            event = write(writing, key, (done_op,), Role.WORKER)
            return Settled(get_task(home, task), event.cid)
        return _complete_and_take(writing, key, done_op, queue, lease_ms)


def _complete_and_take(writing: Writing, key: SigningKey, done: Complete, queue: TaskQueue, lease_ms: int) -> Settled:
    """Write a completion with the claim of what is ready; what only this completion makes ready is claimed after it."""
    home = writing.home
    ready = queue.next_task(writing.time)
    ops: list[Operation] = [done]
    if ready is not None and ready.key != done.task:
        ops.append(claim_of(home, ready, lease_ms))
    event = write(writing, key, ops, Role.WORKER)
    record = get_task(home, done.task)
    if len(ops) > 1 and ready is not None:
        return Settled(record, event.cid, next=taken(home, ready.key, event.cid, queue))
    queue.touch((done.task,), writing.time)
    freed = queue.next_task(writing.time)
    following = None if freed is None else claim(writing, key, freed, lease_ms, queue)
    return Settled(record, event.cid, next=following)


def _claim_to_settle(home: Home, record: TaskRecord, me: ActorKey, now: int, under: Cid | None) -> ClaimRecord | None:
    """Return this peer's claim, None where the task can be claimed; raise what stands in the way."""
    own = own_claim(record, me, now)
    if own is None or record.completions or record.cancels:
        check_ready(home, record, me, now)
    if under is not None and (own is None or own.cid != under):
        name = home.members.name_of(me)
        raise NotHeldError(f"task {record.spec.task_id} is not held by {name} under claim {under}", "take it again")
    if own is None or record.completions or record.cancels:
        return None
    if not runs(own, now):
        holder = holder_of(record, now)
        if holder is not None:
            name = home.members.name_of(holder.actor)
            raise HeldByOtherError(record.spec.task_id, holder.actor, name)
    return own


def fail(
    home: Home,
    key: SigningKey,
    task: TaskKey,
    *,
    under: Cid | None = None,
    failure_class: str = "error",
    error: str = "",
    report: Report | None = None,
    log: Attachment | None = None,
) -> Settled:
    """Say that this peer's attempt at a task failed. Raises as `complete`, and NotHeldError without a claim."""
    with acting(home) as writing:
        record, held = _held(writing, key.actor, task, under)
        op = Fail(task, follows(record, held.cid), held.cid, failure_class, error, report, keep(writing, log))
        event = write(writing, key, (op,), Role.WORKER)
        return Settled(get_task(home, task), event.cid)


def release(
    home: Home, key: SigningKey, task: TaskKey, *, under: Cid | None = None, reason: str | None = None
) -> Settled:
    """Give a task back untried: it counts as no attempt. Raises as `fail`."""
    with acting(home) as writing:
        record, held = _held(writing, key.actor, task, under)
        op = Release(task, follows(record, held.cid), held.cid, reason)
        event = write(writing, key, (op,), Role.WORKER)
        return Settled(get_task(home, task), event.cid)


def _held(writing: Writing, me: ActorKey, task: TaskKey, under: Cid | None) -> tuple[TaskRecord, ClaimRecord]:
    """Return a task and this peer's claim on it; raise what says why there is nothing to settle."""
    home = writing.home
    record, now = get_task(home, task), writing.time
    held = _claim_to_settle(home, record, me, now, under) if own_claim(record, me, now) else None
    if held is not None:
        return record, held
    holder = None if record.completions or record.cancels else holder_of(record, now)
    name = record.spec.task_id
    if holder is not None:
        raise HeldByOtherError(name, holder.actor, home.members.name_of(holder.actor))
    if record.completions or record.cancels:
        raise TaskOverError(f"task {name} is {'done already' if record.completions else 'cancelled'}")
    raise NotHeldError(f"task {name} is not held by {home.members.name_of(me)}", "take it first")


def renew_task(
    home: Home,
    key: SigningKey,
    task: TaskKey,
    *,
    under: Cid | None = None,
    lease_ms: int | None = None,
    progress: str | None = None,
    log: Attachment | None = None,
) -> Settled:
    """Renew this peer's claim on a task by hand, with words on how far it is and the next piece of its log.

    Args:
        home: where the task is.
        key: the peer's key.
        task: which task.
        under: only this claim of the peer's; None: whichever it has.
        lease_ms: how long from now; None: as long as by hand.
        progress: words of at most 1,024 bytes.
        log: what was printed since the last piece.

    Raises:
        TaskNotFoundError, NotHeldError, HeldByOtherError, TaskOverError, NotAMemberError: as `fail`.
        RequestError: no event can hold it.
    """
    lease_ms = lease_by_hand(home.policy, lease_ms)
    with acting(home) as writing:
        record, held = _held(writing, key.actor, task, under)
        holder = holder_of(record, writing.time)
        if holder is not None and holder.cid != held.cid:
            raise HeldByOtherError(record.spec.task_id, holder.actor, home.members.name_of(holder.actor))
        op = Renew(task, follows(record, held.cid), held.cid, lease_ms, progress, keep(writing, log))
        event = write(writing, key, (op,), Role.WORKER)
        return Settled(get_task(home, task), event.cid)


def renew(
    home: Home, key: SigningKey, claims: Mapping[TaskKey, Cid], *, lease_ms: int, progress: str | None = None
) -> Renewal:
    """Renew claims, all of them in one event; those that are over or superseded are named as lost, and not renewed.

    Args:
        home: where the tasks are.
        key: the peer's key.
        claims: which claim of which task.
        lease_ms: how long from now.
        progress: words on how far the work is, of at most 1,024 bytes.
    """
    found = Renewal()
    with acting(home) as writing:
        now = writing.time
        ops: list[Renew] = []
        for task, cid in claims.items():
            record = get_task(home, task)
            if _is_settled(record, cid, key.actor):
                found.settled.add(task)
            elif reason := why_lost(home, record, cid, key.actor, now):
                found.lost[task] = reason
            else:
                ops.append(Renew(task, follows(record, cid), cid, lease_ms, progress))
        for parcel in _parcels(ops):
            write(writing, key, parcel, Role.WORKER)
        for op in ops:
            found.until[op.task] = next(c.until for c in get_task(home, op.task).claims if c.cid == op.claim)
    return found


def _parcels(ops: list[Renew]) -> Iterator[list[Renew]]:
    """Cut renewals into what fits one event each: one event, but for very many or much disputed tasks."""
    parcel: list[Renew] = []
    cited = 0
    for op in ops:
        if parcel and (len(parcel) == _EVENT_RENEWALS or cited + len(op.follows) >= CITES_MAX):
            yield parcel
            parcel, cited = [], 0
        parcel.append(op)
        cited += len(op.follows) + 1
    if parcel:
        yield parcel


def _is_settled(record: TaskRecord, cid: Cid, me: ActorKey) -> bool:
    """Return whether this peer itself has completed the task, or has ended the claim."""
    ended = any(claim.cid == cid and (claim.released or claim.failed_at) for claim in record.claims)
    return ended or any(completion.actor == me for completion in record.completions)


def why_lost(home: Home, record: TaskRecord, cid: Cid, me: ActorKey, now: int) -> str | None:
    """Return why a claim is worth no renewal, None where it is."""
    held = next((claim for claim in record.claims if claim.cid == cid and claim.actor == me), None)
    if held is None:
        return "it does not count any more"
    if record.result is not None:
        return f"the task was done by {home.members.name_of(record.result.actor)}"
    if record.cancels:
        return "the task was cancelled"
    holder = holder_of(record, now)
    if holder is not None and holder.cid != cid:
        return f"superseded by the claim of {home.members.name_of(holder.actor)}"
    timeout_ms = home.policy.timeout_ms if record.spec.timeout_ms is None else record.spec.timeout_ms
    return "its timeout has passed" if now >= held.time + timeout_ms else None
