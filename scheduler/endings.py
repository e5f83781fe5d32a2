"""How the claims of a task ended by what their holders said, and the events that decide where the task stands.

A record says that a claim failed or was released (specs/tasks.md, section Words); by which event, and why, the sound
operations say. Leaves out what a board thinks of those events (scheduler.explain).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from crdt.records import ClaimRecord, CompletionRecord, TaskRecord
from crdt.task_graph import TaskEntry
from crdt.view import voided_inputs
from ledger.cid import Cid
from ledger.events import Event
from ledger.operation_codec import read_operations
from ledger.operations import Complete, Fail, Release
from scheduler.home import Home


@dataclass(frozen=True, slots=True)
class Ending:
    """A sound operation that counts and ends a claim, with the event that carries it and its time in ms."""

    event: Cid
    time: int
    op: Complete | Fail | Release


def endings(home: Home, record: TaskRecord) -> tuple[Ending, ...]:
    """Return all that ended claims of a task, by time. Within a reading."""
    return tuple(sorted(_endings(home, record), key=lambda ending: (ending.time, ending.event)))


def failure_of(found: tuple[Ending, ...], claim: Cid) -> Fail | None:
    """Return the failure that ended a claim, the last one where it was said twice; None where it did not fail."""
    fails = [ending.op for ending in found if isinstance(ending.op, Fail) and ending.op.claim == claim]
    return fails[-1] if fails else None


def deciding(record: TaskRecord, holder: ClaimRecord | None, found: tuple[Ending, ...]) -> Iterator[tuple[str, Cid]]:
    """Yield the events that decide where a task stands, with what they say; `found` are its endings."""
    yield "submit", record.submits[0]
    if record.result is not None:
        yield from (("claim", record.result.claim), ("complete", record.result.cid))
    elif record.cancels:
        yield from (("cancel", cid) for cid in record.cancels)
    else:
        if record.requeue is not None:
            yield "requeue", record.requeue
        yield from _attempts(record, found) if holder is None else (("claim", holder.cid),)


def _attempts(record: TaskRecord, found: tuple[Ending, ...]) -> Iterator[tuple[str, Cid]]:
    """Yield the claims that count as failed attempts, with what ended them; of those given back only the last.

    A requeue has written off all up to its base.
    """
    last = max((claim.attempt for claim in record.claims), default=0)
    for claim in sorted(record.claims, key=lambda claim: (claim.attempt, claim.time, claim.cid)):
        if claim.attempt <= record.base or (claim.released and claim.attempt < last):
            continue
        yield "claim", claim.cid
        for ending in found:
            if ending.op.claim == claim.cid and isinstance(ending.op, Fail | Release):
                yield "fail" if isinstance(ending.op, Fail) else "release", ending.event


def _endings(home: Home, record: TaskRecord) -> Iterator[Ending]:
    for cid, event, op in counting(home, record):
        if isinstance(op, Complete | Fail | Release):
            yield Ending(cid, event.time, op)


def counting(home: Home, record: TaskRecord) -> Iterator[tuple[Cid, Event, TaskEntry]]:
    """Yield the sound operations on a task that count, each with its event. Within a reading."""
    for cid, verdict in home.board.store.verdicts(record.key).items():
        if verdict.rule is None and home.board.graph.node(cid).counts:
            event, op = home.board.task_graph.entry(cid, record.key)
            if op is not None:
                yield cid, event, op


def was_voided(home: Home, record: TaskRecord) -> bool:
    """Return whether the task was done, and a revocation has taken that away. Within a reading."""
    if record.completions:
        return False
    return any(
        verdict.rule is None
        and not home.board.graph.node(cid).counts
        and isinstance(home.board.task_graph.entry(cid, record.key)[1], Complete)
        for cid, verdict in home.board.store.verdicts(record.key).items()
    )


def voided_of(home: Home, inputs: tuple[Cid, ...]) -> tuple[Cid, ...]:
    """Return those of the completions a claim rests on, and of what these rest on, that no longer count (D7)."""
    return tuple(voided_inputs(inputs, lambda cid: _completions_at(home, cid)))


def _completions_at(home: Home, cid: Cid) -> Iterator[CompletionRecord | None]:
    """Yield, for each task an event has soundly completed, its completion there, None where it counts no more."""
    for op in read_operations(home.read_event(cid)):
        if isinstance(op, Complete):
            verdict = home.board.store.find_verdict(op.task, cid)
            if verdict is not None and verdict.rule is None:
                done = home.board.find_record(op.task)
                yield None if done is None else next((c for c in done.completions if c.cid == cid), None)
