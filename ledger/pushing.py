"""Pushing: offer another side events it lacks, and the blobs it then wants.

Implements: specs/exchange.md, rule X12, of who offers. Leaves out how it is known what the other lacks
(ledger.pulling): a few events too many cost their bytes and nothing else.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from ledger.answerer import OFFER_BYTES_MAX
from ledger.car import car_head, car_section
from ledger.carrier import Carrier, Traffic, read_message
from ledger.cid import Cid
from ledger.exchange_codec import Receipt, decode_receipt, require_ledger
from ledger.replica import BATCH_BLOCKS, BLOB_BATCH, Replica, Totals, batches

_OFFER_BYTES: Final = OFFER_BYTES_MAX // 4
"""Bytes of blocks in one offer, but for the last one."""


@dataclass(frozen=True, slots=True)
class Pushed:
    """What was offered, and what became of it there."""

    traffic: Traffic
    events: int
    blobs: int
    taken: Totals


def push(source: Replica, carrier: Carrier, missing: Sequence[Cid]) -> Pushed:
    """Offer the events `missing`, each after all it links, in batches, then those blobs of theirs that are wanted.

    Broken off, what was offered stays there. Raises UnreachableError, MisbehaviourError, and ExchangeError where the
    other side refuses.
    """
    before = carrier.traffic.copy()
    taken = Totals()
    offered: set[Cid] = set()
    wanted: dict[Cid, None] = {}

    def offer(sections: Iterable[tuple[Cid, bytes]]) -> None:
        body = [car_head((source.intake.ledger,))]
        for cid, block in sections:
            offered.add(cid)
            body.append(car_section(cid, block))
        with carrier.ask("offer", b"".join(body)) as stream:
            receipt = decode_receipt(read_message(stream))
        require_ledger(source.intake.ledger, receipt.ledger)
        _add(taken, receipt)
        wanted.update(dict.fromkeys((*receipt.events, *receipt.blobs)))

    for sections in _offers(_events(source, missing)):
        offer(sections)
    events = len(offered)
    for sections in _offers(_others(source, [cid for cid in wanted if cid not in offered])):
        offer(sections)
    blobs = sum(not cid.is_event for cid in offered)
    return Pushed(carrier.traffic.since(before), max(events, len(offered) - blobs), blobs, taken)


def _events(source: Replica, cids: Iterable[Cid]) -> Iterator[tuple[Cid, bytes]]:
    for some in batches(cids, BATCH_BLOCKS):
        with source.reading():
            blocks = source.intake.events.find_blocks(some)
        yield from ((cid, blocks[cid]) for cid in some if cid in blocks)


def _others(source: Replica, cids: Sequence[Cid]) -> Iterator[tuple[Cid, bytes]]:
    """Yield what the other asked for in its receipts, as far as it is here: events of the log, then blobs."""
    with source.reading():
        found = [(place[0], cid) for cid in cids if cid.is_event and (place := source.log.links(cid)) is not None]
        log = [cid for height, cid in sorted(found) if source.log.count((height, cid), (height, cid + b"\0"))]
    yield from _events(source, log)
    for some in batches((cid for cid in cids if not cid.is_event), BLOB_BATCH):
        with source.reading():
            blobs = source.intake.blobs.get_many(some)
        yield from sorted(blobs.items())


def _offers(sections: Iterator[tuple[Cid, bytes]]) -> Iterator[list[tuple[Cid, bytes]]]:
    """Yield the sections of one offer after the other: so many, or of so many bytes."""
    some: list[tuple[Cid, bytes]] = []
    size = 0
    for cid, block in sections:
        some.append((cid, block))
        size += len(block)
        if len(some) >= BATCH_BLOCKS or size >= _OFFER_BYTES:
            yield some
            some, size = [], 0
    if some:
        yield some


def _add(taken: Totals, receipt: Receipt) -> None:
    """Add what became of one offer."""
    said = receipt.taken
    taken.accepted += said.accepted
    taken.known += said.known
    taken.waiting += said.waiting
    taken.held += said.held
    taken.refused += said.refused
    taken.evicted += said.evicted
    taken.blobs += said.blobs
    taken.reasons += said.reasons[: 100 - len(taken.reasons)]
