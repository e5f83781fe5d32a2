"""Many submits in few events: what fits into one, in bytes, in operations and in linked blobs.

A task with more files than one event can link has the surplus linked by events of their own before it, which say
nothing else: so that whoever has the task's event, and with it its past, gets all of them. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final

from ledger.cid import Cid
from ledger.codec import BLOCK_BYTES_MAX, encode
from ledger.operations import Submit
from scheduler.running.files import EVENT_PARTS_MAX

_EVENT_BYTES: Final = BLOCK_BYTES_MAX - 8_192
"""Room for operations in one event, in bytes: less its envelope with 64 parents and the links to its payloads."""
_EVENT_SUBMITS: Final = 128
"""Submits in one event: as many as stay below the limit on items, however many labels each has."""
_LINK_BYTES: Final = 42


@dataclass(frozen=True, slots=True)
class NewSubmit:
    """A task to submit, and the parts of files that its payload names."""

    op: Submit
    parts: tuple[Cid, ...] = ()


@dataclass(slots=True)
class Parcel:
    """What goes into one event: operations, and the parts that it links beside what they name."""

    ops: list[Submit] = field(default_factory=list)
    parts: dict[Cid, None] = field(default_factory=dict)
    room: int = _EVENT_BYTES

    def takes(self, size: int, op: Submit, parts: Iterable[Cid]) -> bool:
        """Add a submit and its parts where they fit; return whether they did. An empty parcel takes any."""
        more = dict.fromkeys(part for part in parts if part not in self.parts)
        size += _LINK_BYTES * len(more)
        named = 1 + sum(_has_blob(other) for other in self.ops)
        if self.ops and (
            size > self.room
            or len(self.ops) == _EVENT_SUBMITS
            or (more and len(self.parts) + len(more) + named > EVENT_PARTS_MAX)
            or (self.parts and len(self.parts) + named > EVENT_PARTS_MAX)
        ):
            return False
        self.ops.append(op)
        self.parts |= more
        self.room -= size
        return True


def submit_parcels(submits: Iterable[NewSubmit]) -> Iterator[Parcel]:
    """Cut submits into what fits one event each, in order."""
    parcel = Parcel()
    for new in submits:
        surplus, parts = new.parts[:-EVENT_PARTS_MAX], new.parts[-EVENT_PARTS_MAX:]
        for start in range(0, len(surplus), EVENT_PARTS_MAX):
            yield Parcel(parts=dict.fromkeys(surplus[start : start + EVENT_PARTS_MAX]))
        size = len(encode(new.op.spec_map)) + 64
        if not parcel.takes(size, new.op, parts):
            yield parcel
            parcel = Parcel()
            parcel.takes(size, new.op, parts)
    if parcel.ops:
        yield parcel


def _has_blob(op: Submit) -> bool:
    return op.spec.payload is not None and op.spec.payload.blob is not None
