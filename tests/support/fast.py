"""The board in use as a function of a set of events, like the oracle's `reduce`."""

from __future__ import annotations

from collections.abc import Iterable

from crdt.board import Board
from crdt.board_store import MemoryBoardStore
from crdt.records import Snapshot
from ledger.cid import Cid
from ledger.events import Genesis, VerifiedEvent


def reduce_fast(ledger: Cid, genesis: Genesis, events: Iterable[VerifiedEvent]) -> Snapshot:
    """Return the snapshot of a causally closed set of events, in any order and with duplicates."""
    store = MemoryBoardStore()
    board = Board(ledger, genesis, store)
    for event in sorted(events, key=lambda one: (one.event.height, one.cid)):
        store.add_event(event)
        board.apply(event)
    return board.snapshot()
