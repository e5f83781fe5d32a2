"""Judging a world of events as an auditor does: all of them, in the linear order, with everybody watched."""

from __future__ import annotations

from collections.abc import Iterable

from crdt.board import Board
from crdt.board_store import MemoryBoardStore
from crdt.conduct import Conduct, Findings
from crdt.order import order_key
from ledger.cid import Cid
from ledger.events import PARENTS_MAX
from ledger.keys import ActorKey
from scheduler.turns import Turns
from tests.support.worlds import World


def findings_of(world: World, cids: Iterable[Cid] | None = None, *, parents_max: int = PARENTS_MAX) -> Findings:
    """Return what is found in a world, or in a closed part of it."""
    store = MemoryBoardStore()
    board = Board(world.ledger, world.genesis, store)
    findings = Findings()
    conduct = Conduct(board, findings, parents_max=parents_max)
    turns = Turns(board, conduct, findings)
    events = world.of(world.events if cids is None else cids)
    for event in sorted(events, key=lambda one: order_key(one.event.height, one.cid)):
        store.add_event(event)
        conduct.before(event)
        turns.before(event)
        board.apply(event)
        conduct.after(event)
        turns.after(event)
    return findings


def rules_of(findings: Findings, actor: ActorKey) -> set[str]:
    """Return the rules that an actor's events are found under."""
    return {rule for rule, found in findings.counts if found == actor}
