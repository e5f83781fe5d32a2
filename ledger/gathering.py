"""Which events are published next: what has come into the log since, read from the store in order of arrival.

Implements: specs/segments.md, rule G2. Only the log (R6) is packed. What lay outside when its turn came is passed over,
and packed later where an event of the log links it: nothing else brings it into the log. One scan reads rows and
blocks. Leaves out: packing (ledger.segments) and sending (ledger.publishing).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Final, NamedTuple

from ledger.acceptance import unsafe_signed
from ledger.cid import Cid
from ledger.intake import Intake
from ledger.outbox import START, Outbox, Place
from ledger.replica import State

BATCH_BYTES: Final = 8 * 1024 * 1024
"""Bytes of events that go to the node in one call, a block more at most."""


class Arrival(NamedTuple):
    """A row of the store: an accepted event by the id it has there, and whether it is in the log (R6)."""

    id: int
    cid: Cid
    block: bytes
    in_log: bool


Arrivals = Callable[[int], Iterator[Arrival]]
"""Yields the accepted events with this id or a greater one, ascending; called within a reading of the home."""


@dataclass(frozen=True, slots=True)
class Published:
    """The side of a home that is published: its store, `reading` as one state of it, and its log.

    `arrivals` is called within `reading`; `state` reads by itself, and has a state root.
    """

    intake: Intake
    reading: Callable[[], AbstractContextManager[object]]
    arrivals: Arrivals
    state: Callable[[], State]


@dataclass(frozen=True, slots=True)
class Batch:
    """What comes next: `events` in the order they are packed, after `size` others; `skipped` is passed over."""

    size: int
    place: Place
    events: dict[Cid, bytes]
    skipped: frozenset[Cid]
    is_full: bool


def gather(log: Published, outbox: Outbox, after: Batch | None = None) -> Batch | None:
    """Return the next events to be published; None where all that is accepted has been looked at.

    With `after`, those after a batch that is on its way and not remembered in the outbox yet.
    """
    if after is None:
        after = Batch(outbox.size(), outbox.place(), {}, frozenset(), is_full=False)
    place = after.place
    with log.reading():
        rows = log.arrivals(place.id)
        if place != START:
            first = next(rows, None)
            if first is None or (first.id, first.cid) != place:
                # A clock was set back: events were held and have other ids now, so where to go on is not known.
                outbox.read_again()
                rows = log.arrivals(START.id)
        found = list(_some(rows))
        if not found:
            return None
        packed = outbox.packed([row.cid for row in found]) | after.events.keys()
        fresh = {row.cid: row.block for row in found if row.in_log and row.cid not in packed}
        late = _late(log, outbox, after, fresh) if after.skipped or outbox.has_skipped() else {}
    return Batch(
        size=after.size + len(after.events),
        place=Place(found[-1].id, found[-1].cid),
        events=late | fresh,
        skipped=frozenset(row.cid for row in found if not row.in_log and row.cid not in packed),
        is_full=sum(len(row.block) for row in found) >= BATCH_BYTES,
    )


def has_gaps(log: Published, outbox: Outbox) -> bool:
    """Return whether something was never looked at, though it stands before what was: ids were given again."""
    with log.reading():
        return not outbox.has_all(log.intake.events.cids_up_to(outbox.place().id))


def _some(rows: Iterable[Arrival]) -> Iterator[Arrival]:
    size = 0
    for row in rows:
        yield row
        size += len(row.block)
        if size >= BATCH_BYTES:
            return


def _late(log: Published, outbox: Outbox, after: Batch, fresh: dict[Cid, bytes]) -> dict[Cid, bytes]:
    """Return what was passed over and is in the log now, since `fresh` events reach it; in the linear order (C1).

    All of it arrived before any of these, so it can stand before them.
    """
    found: dict[Cid, tuple[int, bytes]] = {}
    turn = list(fresh.values())
    while turn:
        links = {link for block in turn for link in unsafe_signed(block).event.links()}
        links -= found.keys() | after.events.keys()
        late = outbox.skipped(links) | (links & after.skipped)
        turn = [log.intake.get(cid).block for cid in late]
        found |= {cid: (unsafe_signed(block).event.height, block) for cid, block in zip(late, turn, strict=True)}
    return {cid: block for cid, (_, block) in sorted(found.items(), key=lambda item: (item[1][0], item[0]))}
