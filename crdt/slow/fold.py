"""What each task comes to: the fold over its sound operations that count.

Implements: D1-D6 and D8 of specs/tasks.md. Leaves out what time decides, the holder (D4) too: crdt.view. Nothing here
rests on what an operation did not follow.
"""

from __future__ import annotations

from crdt.order import order_key
from crdt.records import CompletionRecord, TaskRecord
from crdt.slow import words
from crdt.slow.dag import Dag
from crdt.slow.soundness import Judged
from crdt.slow.words import Ops, Sound
from ledger.cid import Cid
from ledger.events import TaskKey
from ledger.operations import Cancel, Claim, Complete, Prioritize, Submit


def fold_tasks(dag: Dag, judged: Judged, counts: frozenset[Cid]) -> dict[TaskKey, TaskRecord]:
    """Return the record of every task that has a sound submit that counts."""
    by_task: dict[TaskKey, list[Sound]] = {}
    for (_, task), judgement in judged.items():  # in linear order, as they were judged
        if judgement.sound is not None and judgement.sound.cid in counts:
            by_task.setdefault(task, []).append(judgement.sound)
    return {task: _fold(dag, task, tuple(ops)) for task, ops in by_task.items() if words.submits(tuple(ops))}


def _fold(dag: Dag, task: TaskKey, ops: Ops) -> TaskRecord:
    submits, least = words.submits(ops), words.least_submit(ops)
    return TaskRecord(
        key=task,
        submitter=submits[0].event.actor,
        spec=least.spec,
        submits=tuple(sound.cid for sound in submits),
        submitted_at=submits[0].event.time,
        created_at=least.created_at,
        priority=_priority(ops, least),
        claims=words.claim_records(ops, dag.genesis.policy),
        completions=_completions(ops),
        cancels=tuple(sorted(sound.cid for sound in ops if isinstance(sound.op, Cancel))),
        base=words.base(ops),
        heads=_heads(ops),
        requeue=words.last_requeue(ops),
    )


def _completions(ops: Ops) -> tuple[CompletionRecord, ...]:
    """D1: return every completion, the result first: nearest claim, then claim CID, then completion CID.

    Distance and inputs are of the claim as the completion followed it: that claim itself may no longer count, where
    its actor was revoked and admitted anew.
    """
    found: list[CompletionRecord] = []
    for sound in ops:
        if isinstance(sound.op, Complete):
            claim = next(other for other in sound.own_past if other.cid == sound.op.claim)
            assert isinstance(claim.op, Claim)  # noqa: S101  # F2b; narrows the type
            done_by, at = sound.event.actor, sound.event.time
            distance = words.claim_distance(claim)
            found.append(CompletionRecord(distance, claim.cid, sound.cid, done_by, at, claim.op.inputs))
    return tuple(sorted(found))


def _priority(ops: Ops, least: Submit) -> int:
    """D6: return the priority of the greatest prioritize in the linear order, else the least submit's."""
    raised = [sound for sound in ops if isinstance(sound.op, Prioritize)]
    if not raised:
        return least.priority
    greatest = max(raised, key=lambda sound: order_key(sound.event.height, sound.cid))
    assert isinstance(greatest.op, Prioritize)  # noqa: S101  # narrows the type
    return greatest.op.priority


def _heads(ops: Ops) -> tuple[Cid, ...]:
    """S7: return the operations that none of the others has in its P, be it through what cannot be read here."""
    followed = {other.cid for sound in ops for other in sound.own_past}
    return tuple(sorted(sound.cid for sound in ops if sound.cid not in followed))
