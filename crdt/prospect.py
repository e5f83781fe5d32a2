"""What an author follows of a task with more heads than an operation names: so few that what it says has its effect.

Implements: specs/assignment.md, S7, of claims and requeues of a flooded task (specs/counterexamples.md, 1 and 3). An
author judges by the P that its operation will have, which is grown here head by head. Leaves out what an operation on a
claim follows (scheduler.acting).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from crdt.attempts import failed_attempts, runs
from crdt.board import Board
from crdt.fold import TaskFold
from crdt.order import order_key
from crdt.records import TaskRecord
from crdt.soundness import refuse_claim
from ledger.cid import Cid

FOLLOWS_MAX: Final = 64
"""How many of a task's heads an honest operation follows."""


def claim_follows(board: Board, record: TaskRecord, at: int) -> tuple[Cid, ...]:
    """Return what a claim at `at` (ms) of an open task follows; no flood keeps it from being sound and numbered on.

    The least submit alone is sound where the board allows the claim. The requeue that gives `base` comes first: no
    claim in its P ran at its time (F3c), none is beyond its base, and it is earlier than `at` (A10), so that only a
    revocation of an ending can make it unsound. Then heads that bring a higher attempt: an author's own failure does,
    since of a flooded task a fail follows the least submit and its claim. So who tries again uses up the attempts.
    """
    policy = board.genesis.policy
    if len(record.heads) <= FOLLOWS_MAX:
        return record.heads
    return _grow(board, record, lambda past: 0 if refuse_claim(past, at, policy) else past.next_attempt)


def requeue_follows(board: Board, record: TaskRecord, at: int) -> tuple[Cid, ...]:
    """Return what a requeue at `at` (ms) of a dead task follows: it must reach failures, and no claim that runs."""
    policy = board.genesis.policy
    if len(record.heads) <= FOLLOWS_MAX:
        return record.heads

    def gain(past: TaskFold) -> int:
        claims = past.claim_records(policy)
        if past.completions or past.cancels or any(runs(claim, at) for claim in claims):
            return 0
        return 1 + failed_attempts(claims, past.base, at)

    return _grow(board, record, gain)


def _grow(board: Board, record: TaskRecord, gain: Callable[[TaskFold], int]) -> tuple[Cid, ...]:
    """Return the least submit and what adds to the gain: of the requeue that gives `base`, then of the latest heads.

    `gain` of a P is 0 where the operation must not have it.
    """
    graph, verdicts = board.task_graph, board.store.verdicts(record.key)
    latest_first = sorted(record.heads, key=lambda cid: order_key(board.graph.node(cid).height, cid), reverse=True)
    requeue = () if record.requeue is None else (record.requeue,)
    chosen: list[Cid] = []
    past, best, known = TaskFold(record.key), -1, set[Cid]()
    for cid in dict.fromkeys((record.submits[0], *requeue, *latest_first)):
        reached = graph.reach(record.key, (cid,), verdicts, known)
        larger = past.copy()
        for other, verdict in reached.items():
            if board.graph.counts(other):  # the author has seen all revocations that its board knows
                graph.add_to(larger, other, verdict)
        gained = gain(larger)
        if gained > best:
            past, best = larger, gained
            known.update(reached)
            chosen.append(cid)
            if len(chosen) == FOLLOWS_MAX:
                break
    return tuple(chosen)
