"""Settling what a worker's slots have ready and taking the next tasks: one durable transaction, normally one event.

Implements: F1 and F2 of specs/tasks.md as an honest worker with several slots meets them (specs/assignment.md: "settles
all that is ready in one event"). No ending hinders another: one that means nothing any more is reported as lost. Leaves
out running the tasks (scheduler.working), and the same by hand (scheduler.settling, scheduler.taking).
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from crdt.attempts import runs
from crdt.records import ClaimRecord, TaskRecord
from crdt.view import holder_of
from ledger.blobs import BlockError
from ledger.cid import Cid
from ledger.events import Role, TaskKey
from ledger.keys import ActorKey, SigningKey
from ledger.operations import Attachment, Claim, Complete, Fail, Release, Renew, Report
from scheduler.acting import acting, follows, keep, write
from scheduler.action_errors import RequestError, WithoutEffectError
from scheduler.home import Home
from scheduler.membership import NotAMemberError
from scheduler.parcels import Item, WorkerOperation, parcels
from scheduler.queue import TaskQueue
from scheduler.settling import why_lost
from scheduler.taking import Taken, claim_of, is_worth_writing, taken
from scheduler.writing import Writing

_logger = logging.getLogger(__name__)

Blobs: TypeAlias = Mapping[Cid, bytes]
"""What an ending's attachments name in their own bytes: kept beside the events, and linked by the event."""


@dataclass(frozen=True, slots=True)
class Completed:
    """The task is done under the claim. `log` is the next piece of the log, here and below."""

    task: TaskKey
    claim: Cid
    output: Attachment | None = None
    report: Report | None = None
    log: Attachment | None = None
    blobs: Blobs = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Failed:
    """The attempt under the claim failed."""

    task: TaskKey
    claim: Cid
    failure_class: str
    error: str = ""
    report: Report | None = None
    log: Attachment | None = None
    blobs: Blobs = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Released:
    """The claim is given back; the attempt does not count."""

    task: TaskKey
    claim: Cid
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Renewed:
    """The claim is to run on, for another lease from now."""

    task: TaskKey
    claim: Cid
    progress: str | None = None
    log: Attachment | None = None
    blobs: Blobs = field(default_factory=dict)


Ending: TypeAlias = Completed | Failed | Released | Renewed


@dataclass(slots=True)
class Batch:
    """What became of endings, each of them in exactly one of `settled`, `lost` and `refused`; and what was taken."""

    settled: dict[TaskKey, Cid] = field(default_factory=dict)
    """By which event; also where this very peer had settled the claim so before."""
    until: dict[TaskKey, int] = field(default_factory=dict)
    """Of what was renewed: until when (ms) the claim runs now."""
    lost: dict[TaskKey, str] = field(default_factory=dict)
    """What means nothing any more, and why: there is nothing left to do for the claim."""
    refused: dict[TaskKey, str] = field(default_factory=dict)
    """What no event can hold, and why: the claim still stands."""
    taken: list[Taken] = field(default_factory=list)


def settle_and_take(
    home: Home,
    key: SigningKey,
    endings: Sequence[Ending],
    *,
    most: int,
    lease_ms: int,
    queue: TaskQueue | None = None,
    await_turn: Callable[[], None] | None = None,
) -> Batch:
    """Settle endings and take up to `most` next tasks, in one durable transaction.

    It is one event, and as few more as needed: for what one cannot hold, and for the claims of tasks that only a
    completion of this batch makes ready.

    Args:
        home: where the tasks are.
        key: the peer's key, whose claims the endings name.
        endings: at most one for each task.
        most: how many tasks to take; 0: none.
        lease_ms: the lease of claims and renewals; never above the policy's most.
        queue: the peer's queue, where it keeps one; else one is built.
        await_turn: called right before the transaction, for who knows a better way to wait for other processes.

    Raises:
        NotAMemberError: no grant of the key lets it work, and there was nothing to settle.
        ValueError: two endings for one task.
    """
    if len({ending.task for ending in endings}) < len(endings):
        raise ValueError("two endings for one task: only one operation on a task in an event has effect")
    queue = TaskQueue(home, key.actor) if queue is None else queue
    if not endings and (most <= 0 or not is_worth_writing(home, key.actor, queue)):
        return Batch()
    if await_turn is not None:
        await_turn()
    lease_ms = min(lease_ms, home.policy.lease_ms_max)
    try:
        return _Transaction(home, key, queue, lease_ms).run(endings, most)
    except (RequestError, WithoutEffectError):
        if not endings:
            raise
        _logger.warning("%d endings could not be settled together: trying one by one", len(endings), exc_info=True)
    return _one_by_one(home, key, queue, lease_ms, endings)


def _one_by_one(home: Home, key: SigningKey, queue: TaskQueue, lease_ms: int, endings: Sequence[Ending]) -> Batch:
    """Settle each ending in a transaction of its own, so that one that cannot be written hinders no other."""
    whole = Batch()
    for ending in endings:
        try:
            part = _Transaction(home, key, queue, lease_ms).run((ending,), 0)
        except RequestError as error:
            whole.refused[ending.task] = str(error)
        except WithoutEffectError as error:
            whole.lost[ending.task] = str(error)
        else:
            whole.settled |= part.settled
            whole.until |= part.until
            whole.lost |= part.lost
    return whole


class _Transaction:
    """One batch on its way into the ledger."""

    def __init__(self, home: Home, key: SigningKey, queue: TaskQueue, lease_ms: int) -> None:
        self._home = home
        self._key = key
        self._queue = queue
        self._lease_ms = lease_ms
        self._batch = Batch()

    def run(self, endings: Sequence[Ending], most: int) -> Batch:
        """Do all of it, or nothing where anything is raised."""
        home, queue, batch = self._home, self._queue, self._batch
        said: list[Item] = []
        with acting(home, queue) as writing:
            if home.members.grant_for(self._key.actor, Role.WORKER) is None:
                if not endings:
                    raise NotAMemberError(self._key.actor, Role.WORKER)
                batch.lost |= {ending.task: "this peer is no worker of the ledger any more" for ending in endings}
                return batch
            writing.heard(self._key.actor)
            now = writing.time
            items = [item for ending in endings if (item := self._item(writing, ending, now)) is not None]
            ended = {ending.task for ending in endings}
            claims = self._claims(now, most, ended)
            self._write(writing, [*items, *claims])
            for item in items:
                if isinstance(item.op, Renew):
                    batch.until[item.op.task] = _claim_of(home, item.op).until
            said += [*items, *claims]
            self._feed(items, now)
            if len(batch.taken) < most and queue.wakes_at() == 0:
                # What only completions of this batch make ready cites them, so it is claimed by another event.
                first = len(batch.taken)
                freed = self._claims(now, most - first, ended)
                self._write(writing, freed)
                said += freed
                self._feed_taken(batch.taken[first:])
            # When what was given back was first seen so is known only once it is written (S2): that is fed again.
            is_fed = all(isinstance(item.op, Claim | Complete | Renew) for item in said)
            is_fed = is_fed and home.board.has_changed_only({item.op.task for item in said})
        if is_fed and said:
            queue.has_fed(home.tasks.last_change - 1, home.tasks.last_change)
        return batch

    def _claims(self, now: int, most: int, ended: set[TaskKey]) -> list[Item]:
        """Return the claims of the next tasks; what this batch itself has given up is left to others first."""
        if most <= 0:
            return []
        ready = self._queue.next_tasks(now, most + len(ended))
        return [Item(claim_of(self._home, record, self._lease_ms)) for record in ready if record.key not in ended][
            :most
        ]

    def _feed(self, items: list[Item], now: int) -> None:
        """Tell the queue of what was settled and taken."""
        done = [item.op.task for item in items if isinstance(item.op, Complete)]
        self._queue.touch((item.op.task for item in items if not isinstance(item.op, Complete)), now)
        self._queue.did(done, now)
        self._feed_taken(self._batch.taken)

    def _feed_taken(self, taken_now: list[Taken]) -> None:
        for one in taken_now:
            self._queue.took(one.record, one.until)

    def _write(self, writing: Writing, items: list[Item]) -> None:
        for parcel in parcels(items):
            blobs = dict.fromkeys(cid for item in parcel for cid in item.blobs)
            event = write(writing, self._key, [item.op for item in parcel], Role.WORKER, blobs).cid
            for item in parcel:
                if isinstance(item.op, Claim):
                    self._batch.taken.append(taken(self._home, item.op.task, event, self._queue))
                else:
                    self._batch.settled[item.op.task] = event

    def _item(self, writing: Writing, ending: Ending, now: int) -> Item | None:
        """Return what says an ending; None where it was said before, or means nothing any more, which is noted."""
        record = self._home.board.find_record(ending.task)
        held = None if record is None else _own(record, ending.claim, self._key.actor)
        if record is None or held is None:
            self._batch.lost[ending.task] = "its claim does not count any more"
        elif said := _said_before(record, ending):
            self._batch.settled[ending.task] = said
        elif reason := self._why_lost(record, held, ending, now):
            self._batch.lost[ending.task] = reason
        else:
            return self._say(writing, record, ending)
        return None

    def _why_lost(self, record: TaskRecord, held: ClaimRecord, ending: Ending, now: int) -> str | None:
        names = self._home.members
        if isinstance(ending, Renewed):
            ended = "its claim was released" if held.released else "its claim has failed" if held.failed_at else None
            return ended or why_lost(self._home, record, held.cid, self._key.actor, now)
        if record.result is not None:
            return f"the task was done by {names.name_of(record.result.actor)}"
        if record.cancels:
            return "the task was cancelled"
        if held.released or held.failed_at:
            return f"its claim {'was released' if held.released else 'has failed'}"
        holder = None if runs(held, now) else holder_of(record, now)
        return None if holder is None else f"its lease had ended, and {names.name_of(holder.actor)} holds it now"

    def _say(self, writing: Writing, record: TaskRecord, ending: Ending) -> Item:
        task, claim, after = ending.task, ending.claim, follows(record, ending.claim)
        if isinstance(ending, Released):
            return Item(Release(task, after, claim, ending.reason))
        try:
            writing.home.intake.blobs.put_many(ending.blobs.items())
        except BlockError as error:
            raise RequestError(f"a blob cannot be kept: {error}") from error
        log = keep(writing, ending.log)
        op: WorkerOperation
        match ending:
            case Renewed():
                op = Renew(task, after, claim, self._lease_ms, ending.progress, log)
            case Failed():
                op = Fail(task, after, claim, ending.failure_class, ending.error, ending.report, log)
            case Completed():
                op = Complete(task, after, claim, keep(writing, ending.output), ending.report, log)
        return Item(op, tuple(ending.blobs))


def _own(record: TaskRecord, claim: Cid, me: ActorKey) -> ClaimRecord | None:
    return next((one for one in record.claims if one.cid == claim and one.actor == me), None)


def _claim_of(home: Home, op: Renew) -> ClaimRecord:
    record = home.board.find_record(op.task)
    assert record is not None  # noqa: S101  # it was just renewed
    return next(one for one in record.claims if one.cid == op.claim)


def _said_before(record: TaskRecord, ending: Ending) -> Cid | None:
    """Return the event that completed the task under this very claim: a batch whose answer was not heard."""
    if not isinstance(ending, Completed):
        return None
    return next((done.cid for done in record.completions if done.claim == ending.claim), None)
