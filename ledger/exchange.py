"""Exchanging what two replicas of a ledger lack: heads go one way, missing blocks come back.

Implements: specs/car.md, rules X6 to X8, with samples where heads are unknown. A round is three messages, then blocks:

    Frontier  "these are my heads, and some of what lies behind them"      from the one who wants
    Listing   "then you lack these"                                        from the one who has
    Want      "of these I want those"                                      from the one who wants

A log is closed under links, so whoever has an event has its causal past. Where the other's heads are known here, what
it lacks is my log without their past, exactly, found in time of what is missing; a carrier may then leave Want out.
Where a head is unknown (both sides have gone on), the samples stand in: events of the other's log at heights 1, 2, 4,
8, … below its top. The listing may then name what the other has; that costs a CID each, and Want makes it exact. The
carrier here is a function call between two stores; ledger.car_sync carries by file. Leaves out: networks, the messages
as bytes (ledger.frontier_codec), and which events are in the log: the caller gives its heads, and only their past is
ever sent (rule R6).
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Final

from ledger.acceptance import unsafe_signed
from ledger.aside import Refused
from ledger.blobs import BlobFate
from ledger.cid import Cid
from ledger.intake import Intake, IntakeReport

BATCH_BLOCKS: Final = 1_000
"""Event blocks that are taken in with one transaction."""
BLOB_BATCH: Final = 16
"""Blobs, of up to 1 MiB each, that are held in memory at once."""
SAMPLES_PER_HEIGHT: Final = 8
_REASONS_MAX: Final = 100


class ExchangeError(Exception):
    """These two cannot exchange anything: they hold different ledgers, or are one and the same."""


@dataclass(frozen=True, slots=True)
class Replica:
    """One side of an exchange.

    `heads` tells the heads of the log, (ledger,) where it is empty, and is called within `reading`. `reading` and
    `writing` open one state to read and one durable transaction: the store's, or those of what keeps a board beside it.
    """

    intake: Intake
    heads: Callable[[], tuple[Cid, ...]]
    reading: Callable[[], AbstractContextManager[object]]
    writing: Callable[[], AbstractContextManager[object]]


@dataclass(frozen=True, slots=True)
class Frontier:
    """What a replica holds: its heads, and samples of what lies behind them."""

    ledger: Cid
    heads: tuple[Cid, ...]
    samples: tuple[Cid, ...] = ()


@dataclass(frozen=True, slots=True)
class Listing:
    """What the sender of a Frontier lacks, each after all it links; where not `exact` it may have some of it."""

    cids: tuple[Cid, ...]
    exact: bool


@dataclass(frozen=True, slots=True)
class Want:
    """The events of a listing to be sent."""

    cids: tuple[Cid, ...]


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


@dataclass(frozen=True, slots=True)
class SyncReport:
    """How many events each side was sent, and what became of them there."""

    sent_to_a: int
    sent_to_b: int
    a: Totals
    b: Totals


# ---- the messages


def frontier_of(replica: Replica) -> Frontier:
    """Return what `replica` says of itself to get what it lacks."""
    with replica.reading():
        heads = replica.heads()
        known = [link for link in map(replica.intake.find, heads) if link is not None]
        top = max((link.height for link in known), default=0)
        samples: list[Cid] = []
        step = 1
        while step < top:
            samples += replica.intake.events.at_height(top - step, SAMPLES_PER_HEIGHT)
            step *= 2
    return Frontier(replica.intake.ledger, heads, tuple(samples))


def listing_for(replica: Replica, frontier: Frontier) -> Listing:
    """Return what the sender of `frontier` lacks of this replica's log; raise ExchangeError for another ledger."""
    if frontier.ledger != replica.intake.ledger:
        raise ExchangeError(f"this is ledger {replica.intake.ledger}, the other has {frontier.ledger}")
    with replica.reading():
        exact = all(_is_here(replica, cid) for cid in frontier.heads)
        known = frontier.heads if exact else (*frontier.heads, *frontier.samples)
        return Listing(tuple(past_without(replica, replica.heads(), known)), exact)


def want_of(replica: Replica, listing: Listing) -> Want:
    """Return what of `listing` is to be sent: what is not here in any form."""
    intake = replica.intake
    with replica.reading():
        wanted = (cid for cid in listing.cids if intake.find(cid) is None)
        return Want(tuple(cid for cid in wanted if not intake.waiting.has(cid) and not intake.held.has(cid)))


def past_without(replica: Replica, heads: Iterable[Cid], without: Iterable[Cid]) -> list[Cid]:
    """Return the causal past of `heads`, they included, less that of `without`; in the linear order, no genesis.

    Both walks go down together, the highest first: links lead to lower heights only, so an event's side is settled when
    its turn comes, and the walk ends when all that is left is on the other's side. CIDs not known here are passed over.
    """
    theirs: dict[Cid, bool] = {}
    turn: list[tuple[int, Cid]] = []
    open_ = 0  # events in `turn` that are not theirs

    def meet(cid: Cid, *, is_theirs: bool) -> None:
        nonlocal open_
        if cid in theirs:
            if is_theirs and not theirs[cid]:
                theirs[cid] = True
                open_ -= 1
            return
        linked = replica.intake.find(cid)
        if linked is None or linked.refused or cid == replica.intake.ledger:
            return
        theirs[cid] = is_theirs
        open_ += not is_theirs
        heapq.heappush(turn, (-linked.height, cid))

    for cid in without:
        meet(cid, is_theirs=True)
    for cid in heads:
        meet(cid, is_theirs=False)
    found: list[tuple[int, Cid]] = []
    while open_:
        height, cid = heapq.heappop(turn)
        is_theirs = theirs[cid]
        if not is_theirs:
            open_ -= 1
            found.append((-height, cid))
        for link in unsafe_signed(block_of(replica, cid)).event.links():
            meet(link, is_theirs=is_theirs)
        del theirs[cid]  # all that could meet it again had greater heights
    return [cid for _, cid in sorted(found)]


def block_of(replica: Replica, cid: Cid) -> bytes:
    """Return the block of an event of this replica; raise KeyError where it is not accepted here."""
    block = replica.intake.events.find_block(cid)
    if block is None:
        raise KeyError(f"{cid} is not accepted here")
    return block


# ---- carried by function calls, between two stores


def sync_stores(a: Replica, b: Replica, now_ms: int) -> SyncReport:
    """Give each side what it lacks of the other's log, as of `now_ms`; nothing is sent that is there already.

    What is taken in is durable in batches: broken off, it goes on where it was. Raises ExchangeError for two ledgers
    or one store.
    """
    path = a.intake.database.path
    if path.samefile(b.intake.database.path):
        raise ExchangeError(f"{path} is both sides: name another store")
    sent_to_b, in_b = pull(b, a, now_ms)
    sent_to_a, in_a = pull(a, b, now_ms)
    return SyncReport(sent_to_a=sent_to_a, sent_to_b=sent_to_b, a=in_a, b=in_b)


def pull(into: Replica, source: Replica, now_ms: int) -> tuple[int, Totals]:
    """Bring to `into` what it lacks of the log of `source`, then the blobs it wants; return the number sent, totals."""
    frontier = frontier_of(into)
    totals = Totals()
    with source.reading():  # one state of the source, whatever is appended to it meanwhile
        want = want_of(into, listing_for(source, frontier))
        for some in batches(want.cids, BATCH_BLOCKS):
            take_in(into, [block_of(source, cid) for cid in some], now_ms, totals)
        _pull_blobs(into, source, totals)
    return len(want.cids), totals


def take_in(into: Replica, blocks: Sequence[bytes], now_ms: int, totals: Totals) -> IntakeReport:
    """Offer event `blocks` to `into` in one transaction of its own; return what became of them, and add it up."""
    with into.writing():
        report = into.intake.offer(blocks, now_ms)
    totals.add(report)
    return report


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


def _pull_blobs(into: Replica, source: Replica, totals: Totals) -> None:
    after: Cid | None = None
    while True:
        with into.reading():
            wanted = into.intake.blobs.wanted(after, BLOB_BATCH)
        if not wanted:
            return
        after = wanted[-1]
        found = source.intake.blobs.get_many(wanted)
        if found:
            with into.writing():
                totals.blobs += into.intake.offer_blobs(found.values())[BlobFate.KEPT]


def _is_here(replica: Replica, cid: Cid) -> bool:
    linked = replica.intake.find(cid)
    return linked is not None and not linked.refused
