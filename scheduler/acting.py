"""What every action on a task shares: what it follows and cites, and the check that what was written has effect.

Implements: specs/assignment.md, S7. Leaves out the actions themselves (scheduler.actions).
"""

from __future__ import annotations

import gc
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Final

from crdt.attempts import runs
from crdt.board import Board
from crdt.prospect import FOLLOWS_MAX
from crdt.records import ClaimRecord, TaskRecord
from ledger.blobs import BlockError
from ledger.cid import Cid
from ledger.events import Role, VerifiedEvent
from ledger.keys import ActorKey, SigningKey
from ledger.operations import Attachment, Operation, Submit, TaskOperation
from ledger.signing import DraftError
from scheduler.action_errors import RequestError, WithoutEffectError
from scheduler.home import Home
from scheduler.queue import TaskQueue
from scheduler.writing import Writing

INLINE_BYTES_MAX: Final = 4_096
"""Largest payload, output or log, in bytes, that stands in the event itself; a larger one becomes a blob."""


def follows(record: TaskRecord, claim: Cid | None = None) -> tuple[Cid, ...]:
    """Return what a cancel, a prioritize or an operation on a claim follows: the heads; of a flooded task less (S7).

    Which 64 of more heads an author follows decides what its operation may do, so that a flood could make it mean
    nothing (counter-example 3): the least submit, and the claim it acts on, are always enough where the board allows.
    What claims and requeues follow: crdt.prospect.
    """
    if len(record.heads) <= FOLLOWS_MAX:
        return record.heads
    return (record.submits[0],) if claim is None else (record.submits[0], claim)


def inputs(board: Board, record: TaskRecord) -> tuple[Cid, ...]:
    """Return the results that a claim cites as inputs: those of the task's needs, all of which are done."""
    results = [needed.result for needed in map(board.find_record, record.spec.needs) if needed is not None]
    return tuple(dict.fromkeys(result.cid for result in results if result is not None))


def own_claim(record: TaskRecord, actor: ActorKey, now: int) -> ClaimRecord | None:
    """Return the claim that `actor` can still settle: neither released nor failed, best one that runs; None without."""
    own = [claim for claim in record.claims if claim.actor == actor and not claim.released and not claim.failed_at]
    return max(own, key=lambda claim: (runs(claim, now), claim.attempt, claim.cid), default=None)


def write(
    writing: Writing, key: SigningKey, operations: Sequence[Operation], role: Role, blobs: Iterable[Cid] = ()
) -> VerifiedEvent:
    """Append one event whose operations on tasks are all sound; `blobs` are linked beside what they name.

    Raises:
        NotAMemberError: no grant of the key has the role.
        RequestError: no event can hold the operations.
        WithoutEffectError: one would mean nothing. The transaction must end with it.
    """
    try:
        event = writing.append(key, operations, role, blobs)
    except DraftError as error:
        raise RequestError(str(error)) from error
    store = writing.home.board.store
    for operation in operations:
        if isinstance(operation, Submit | TaskOperation):
            task = operation.key if isinstance(operation, Submit) else operation.task
            verdict = store.find_verdict(task, event.cid)
            if verdict is None or verdict.rule is not None:
                reason = "it was not judged" if verdict is None else f"{verdict.rule}: {verdict.words}"
                raise WithoutEffectError(f"{type(operation).__name__.lower()} of task {task.hex()}: {reason}")
    return event


def named(item: Attachment | None) -> Attachment | None:
    """Return `item` as an event names it: small data inline, larger data as a blob."""
    if item is None or item.data is None:
        return item
    if len(item.data) <= INLINE_BYTES_MAX:
        return Attachment(item.media_type, data=item.data, size=len(item.data))
    return Attachment(item.media_type, blob=Cid.of_raw(item.data), size=len(item.data))


def keep(writing: Writing, item: Attachment | None) -> Attachment | None:
    """Return `item` as an event names it, and keep what is to be a blob beside the events."""
    if item is not None and item.data is not None and len(item.data) > INLINE_BYTES_MAX:
        try:
            writing.add_blob(item.data)
        except BlockError as error:
            raise RequestError(f"an attachment is too large: {error}") from error
    return named(item)


@contextmanager
def acting(home: Home, queue: TaskQueue | None = None) -> Iterator[Writing]:
    """Write inside this block as `Home.writing` does; a queue forgets what it saw of a transaction that failed."""
    try:
        with _without_collecting(), home.writing() as writing:
            yield writing
    except BaseException:
        if queue is not None:
            queue.forget()
        raise


@contextmanager
def _without_collecting() -> Iterator[None]:
    """Collect no garbage inside this block: a batch makes much that stays, which would be looked at again and again."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()
