"""One side of an exchange: a store with the heads of its log, read and written in the transactions of its caller.

Implements: specs/exchange.md, rules X7 and X8, which events are sent. A log is closed under links, so whoever has an
event has its causal past: what another lacks is my log without the past of what it has. Leaves out: how two sides find
out what they lack (ledger.exchange), and which events are in the log (R6): `Log` says so.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Protocol

from ledger.acceptance import unsafe_signed
from ledger.ahead import Checked
from ledger.aside import Refused
from ledger.cid import Cid
from ledger.intake import Intake, IntakeReport
from ledger.store import Bound, EventStore, Item

if TYPE_CHECKING:
    from ledger.task_exchange import TaskAnswers

BATCH_BLOCKS: Final = 1_000
"""Event blocks that are taken in with one transaction."""
BLOB_BATCH: Final = 16
"""Blobs, of up to 1 MiB each, that are held in memory at once."""
LOWEST: Final[Bound] = (0, b"")
"""The bound that every event is at or above."""
_REASONS_MAX: Final = 100


class ExchangeError(Exception):
    """These two cannot exchange anything; the message says why: other ledgers, one and the same, or no sense in it."""


class Log(Protocol):
    """The log of a replica in the linear order (C1). Every method is called within the replica's `reading`."""

    def items(
        self, low: Bound, high: Bound | None, *, most: int | None = None, arrived: int | None = None
    ) -> Iterator[Item]:
        """Yield height and CID of its events at or above `low` and below `high`, `most` of them at most, ascending.

        With `arrived` only those with an id up to this one (EventStore.latest_id).
        """

    def count(self, low: Bound, high: Bound | None) -> int:
        """Return how many events `items` would yield."""

    def latest(self, most: int) -> list[Item]:
        """Return the last `most` events, ascending."""

    def links(self, cid: Cid) -> tuple[int, tuple[Cid, ...]] | None:
        """Return height and links of an accepted event, in the log or not; None for any other block."""


class AcceptedLog:
    """The Log of a store no event of which lies beyond a fence: all that is accepted."""

    def __init__(self, events: EventStore) -> None:
        self._events = events

    def items(
        self, low: Bound, high: Bound | None, *, most: int | None = None, arrived: int | None = None
    ) -> Iterator[Item]:
        """Yield what `Log.items` says."""
        return self._events.between(low, high, most=most, arrived=arrived)

    def count(self, low: Bound, high: Bound | None) -> int:
        """Return how many these are."""
        return self._events.count_between(low, high)

    def latest(self, most: int) -> list[Item]:
        """Return the last events."""
        return self._events.latest(most)

    def links(self, cid: Cid) -> tuple[int, tuple[Cid, ...]] | None:
        """Return height and links of an event, out of its block."""
        block = self._events.find_block(cid)
        if block is None:
            return None
        event = unsafe_signed(block).event
        return event.height, event.links()


@dataclass(frozen=True, slots=True)
class State:
    """What a replica is at: its heads, and what its board comes to, where it keeps one.

    Peers compare `state_root` only under one version of the reducer (C6).
    """

    ledger: Cid
    heads: tuple[Cid, ...]
    events: int
    """How many events its log holds."""
    reducer: int | None = None
    state_root: bytes | None = None


@dataclass(frozen=True, slots=True)
class Replica:
    """One side of an exchange.

    `heads` tells the heads of the log, (ledger,) where it is empty, and is called within `reading`, as `log` is.
    `reading` and `writing` open one state to read and one durable transaction: the store's, or those of what keeps a
    board beside it. `state` and `tasks` read by themselves; None where there is no board.
    """

    intake: Intake
    heads: Callable[[], tuple[Cid, ...]]
    reading: Callable[[], AbstractContextManager[object]]
    writing: Callable[[], AbstractContextManager[object]]
    log: Log
    state: Callable[[], State] | None = None
    tasks: TaskAnswers | None = None


@dataclass(slots=True)
class Totals:
    """What became of blocks taken in, summed over many transactions. `reasons` names the first refusals."""

    accepted: int = 0
    known: int = 0
    waiting: int = 0
    held: int = 0
    refused: int = 0
    evicted: int = 0
    blobs: int = 0
    reasons: list[Refused] = field(default_factory=list)

    def add(self, report: IntakeReport) -> None:
        """Add what one transaction did."""
        self.accepted += len(report.accepted)
        self.known += len(report.known)
        self.waiting += len(report.waiting)
        self.held += len(report.held)
        self.refused += len(report.refused)
        self.evicted += len(report.evicted)
        self.reasons += report.refused[: _REASONS_MAX - len(self.reasons)]


def take_in(into: Replica, blocks: Sequence[Checked], now_ms: int, totals: Totals) -> IntakeReport:
    """Offer event `blocks` to `into` in one transaction of its own; return what became of them, and add it up."""
    with into.writing():
        report = into.intake.offer(blocks, now_ms)
    totals.add(report)
    return report


def is_here(replica: Replica, cid: Cid) -> bool:
    """Return whether a block is accepted here: an event, or the genesis."""
    linked = replica.intake.find(cid)
    return linked is not None and not linked.refused


def past_without(replica: Replica, heads: Iterable[Cid], without: Iterable[Cid]) -> list[Cid]:
    """Return the causal past of `heads`, they included, less that of `without`; in the linear order, no genesis.

    Both walks go down together, the highest first: links lead to lower heights only, so an event's side is settled when
    its turn comes, and the walk ends when all that is left is on the other's side. CIDs not known here are passed over.
    """
    theirs: dict[Cid, bool] = {}
    turn: list[tuple[int, Cid, tuple[Cid, ...]]] = []
    open_ = 0  # events in `turn` that are not theirs

    def meet(cid: Cid, *, is_theirs: bool) -> None:
        nonlocal open_
        if cid in theirs:
            if is_theirs and not theirs[cid]:
                theirs[cid] = True
                open_ -= 1
            return
        if (found := replica.log.links(cid)) is None:
            return
        theirs[cid] = is_theirs
        open_ += not is_theirs
        heapq.heappush(turn, (-found[0], cid, found[1]))

    for cid in without:
        meet(cid, is_theirs=True)
    for cid in heads:
        meet(cid, is_theirs=False)
    found: list[tuple[int, Cid]] = []
    while open_:
        height, cid, links = heapq.heappop(turn)
        is_theirs = theirs[cid]
        if not is_theirs:
            open_ -= 1
            found.append((-height, cid))
        for link in links:
            meet(link, is_theirs=is_theirs)
        del theirs[cid]  # all that could meet it again had greater heights
    return [cid for _, cid in sorted(found)]


def block_of(replica: Replica, cid: Cid) -> bytes:
    """Return the block of an event of this replica; raise KeyError where it is not accepted here."""
    block = replica.intake.events.find_block(cid)
    if block is None:
        raise KeyError(f"{cid} is not accepted here")
    return block


def batches(items: Iterable[Cid], most: int) -> Iterator[list[Cid]]:
    """Yield `items` in lists of up to `most`."""
    some: list[Cid] = []
    for item in items:
        some.append(item)
        if len(some) == most:
            yield some
            some = []
    if some:
        yield some
