"""Cutting operations into events: as few as hold them, each below every limit of the format.

Implements: the limits of specs/events.md as an author keeps them who has many things to say at once. Sizes are bounded
from above, not measured: nothing is encoded twice. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from ledger.cid import Cid
from ledger.codec import BLOCK_BYTES_MAX
from ledger.events import BLOBS_MAX, CITES_MAX
from ledger.operation_writing import cited_events, named_blobs
from ledger.operations import Attachment, Claim, Complete, Fail, Release, Renew

PARCEL_OPS_MAX: Final = 256
"""Operations in one event: as many as stay below the limit on items, whatever each holds."""
_ROOM_BYTES: Final = BLOCK_BYTES_MAX - 4_096
"""Room for operations and what they link, in bytes: less an envelope with 64 parents."""
_LINK_BYTES: Final = 41
_OP_BYTES: Final = 224
"""What an operation takes beside its texts and links: its field names, a task key, numbers."""

WorkerOperation = Claim | Renew | Release | Fail | Complete


@dataclass(frozen=True, slots=True)
class Item:
    """An operation, and the blobs to link beside those that it names."""

    op: WorkerOperation
    blobs: tuple[Cid, ...] = ()


def parcels(items: Iterable[Item]) -> Iterator[list[Item]]:
    """Cut items, in order, into what fits one event each."""
    parcel: list[Item] = []
    cites: set[Cid] = set()
    blobs: set[Cid] = set()
    size = 0
    for item in items:
        cited, linked = set(cited_events(item.op)), {*named_blobs(item.op), *item.blobs}
        own = weight(item.op)
        more = own + _LINK_BYTES * (len(cited - cites) + len(linked - blobs))
        if parcel and (
            size + more > _ROOM_BYTES
            or len(parcel) == PARCEL_OPS_MAX
            or len(cites | cited) > CITES_MAX
            or len(blobs | linked) > BLOBS_MAX
        ):
            yield parcel
            parcel, cites, blobs, size = [], set(), set(), 0
            more = own + _LINK_BYTES * (len(cited) + len(linked))
        parcel.append(item)
        cites |= cited
        blobs |= linked
        size += more
    if parcel:
        yield parcel


def weight(op: WorkerOperation) -> int:
    """Return a bound on the bytes of an operation, without the links its event has for it."""
    follows = 3 * len(op.follows)  # each is a number below 1,024
    match op:
        case Claim():
            return _OP_BYTES + follows + 3 * len(op.inputs)
        case Renew():
            return _OP_BYTES + follows + _text(op.progress) + _attachment(op.log)
        case Release():
            return _OP_BYTES + follows + _text(op.reason)
        case Fail():
            said = _text(op.failure_class) + _text(op.error)
            return _OP_BYTES + follows + said + _report(op) + _attachment(op.log)
        case Complete():
            return _OP_BYTES + follows + _report(op) + _attachment(op.output) + _attachment(op.log)


def _text(text: str | None) -> int:
    return 0 if text is None else len(text.encode(errors="replace")) + 3


def _attachment(item: Attachment | None) -> int:
    return 0 if item is None else 64 + _text(item.media_type) + len(item.data or b"")


def _report(op: Fail | Complete) -> int:
    report = op.report
    return 0 if report is None else 80 + _text(report.sandbox) + sum(map(_text, report.limits))
