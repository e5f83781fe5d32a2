"""What an honest peer reads off a board at a time: the task's status, whose turn it is, and what it may say.

The rules F1-F3 as an author sees them, over the fold and not over an operation's own past: that the two agree is what
the simulator tries to break.
"""

from __future__ import annotations

from typing import Final

from crdt.order import anchor_of, distance
from crdt.records import ClaimRecord, Snapshot, TaskRecord
from crdt.slow import words
from ledger.cid import Cid
from ledger.events import Policy, TaskKey
from ledger.keys import ActorKey

PARENTS_MAX: Final = 4
"""Parents of an honest event here; the format has room for 64. Small, so that small worlds flood it."""
ENDED = frozenset(("done", "cancelled", "dead", "expired", "blocked"))


def status(board: Snapshot, key: TaskKey, time: int, policy: Policy) -> str:
    """Return a task's status at `time`."""
    task = board.tasks.get(key)
    if task is None:
        return "unknown"
    if task.completions:
        return "done"
    if task.cancels:
        return "cancelled"
    if holder(task, time) is not None:
        return "held"
    if words.worn_out(task.claims, task.base, task.spec, policy, time):
        return "dead"
    if task.spec.expires_at is not None and task.spec.expires_at <= time:
        return "expired"
    needs = {status(board, need, time, policy) for need in task.spec.needs}
    if needs & {"dead", "cancelled", "expired", "blocked", "unknown"}:
        return "blocked"
    open_from = max(task.spec.not_before or 0, words.retry_at(key, task.spec, task.claims, task.base))
    return "ready" if needs <= {"done"} and open_from <= time else "waiting"


def holder(task: TaskRecord, time: int) -> ClaimRecord | None:
    """D4: return the nearest running claim."""
    running = [claim for claim in task.claims if words.runs(claim, time)]
    return min(running, key=lambda claim: (claim.distance, claim.cid), default=None)


def rank(board: Snapshot, task: TaskRecord, actor: ActorKey) -> int | None:
    """S3: return the actor's place among the eligible workers, None where it is not one."""
    eligible = [
        presence.actor
        for presence in board.roster.presences
        if presence.actor in board.active_workers and set(task.spec.requires) <= set(presence.labels)
    ]
    anchor = anchor_of(task.submits[0], task.key)
    ranked = sorted(eligible, key=lambda worker: (distance(worker, anchor), worker))
    return ranked.index(actor) if actor in ranked else None


def inputs_of(board: Snapshot, task: TaskRecord) -> tuple[Cid, ...]:
    """Return the results of what a task needs; all of it is done."""
    results = (board.tasks[need].result for need in task.spec.needs)
    return tuple(dict.fromkeys(result.cid for result in results if result is not None))


def follows_of(task: TaskRecord, *also: Cid) -> tuple[Cid, ...]:
    """S7: return the task's own heads, and the claim that is acted on."""
    return tuple(dict.fromkeys((*also, *task.heads)))
