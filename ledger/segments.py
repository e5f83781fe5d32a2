"""Segments: events packed into raw blocks of up to 1 MiB, and read out of them again.

Implements: specs/segments.md, rules G1 and G2. Packing is a function of the sequence of events alone: whoever adds the
same events in the same order gets the same segments, however they come in, and what is added later changes only the
open one at the end. Leaves out: which events and in which order (ledger.outbox), manifests (ledger.manifest), and
whether a packed event is accepted (ledger.intake).
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import Final

from ledger.car import CarError, read_car
from ledger.cid import CID_BYTES, Cid
from ledger.codec import encode

SEGMENT_BYTES_MAX: Final = 1_048_576
"""Largest segment, in bytes: what every IPFS peer will pass on."""


@dataclass(frozen=True, slots=True)
class Segment:
    """A segment's name, its bytes, and how many events it holds; the genesis is not counted."""

    cid: Cid
    data: bytes
    events: int


@dataclass(frozen=True, slots=True)
class Unpacked:
    """What a segment holds: the genesis, if it does, and events by CID in its order. `fault` says what is not as G1."""

    genesis: bytes | None
    events: dict[Cid, bytes]
    fault: str | None


class Packer:
    """The open segment at the end of a log. `add` events one after the other; whatever is full comes out.

    Args:
        ledger: the one root of every segment.
        genesis: the genesis block where the open segment is the first of the log; None in any other.

    """

    def __init__(self, ledger: Cid, genesis: bytes | None) -> None:
        self._header = car_header(ledger)
        self._parts = [self._header]
        if genesis is not None:
            self._parts.append(section(ledger, genesis))
        self._first = genesis is not None
        self._size = sum(map(len, self._parts))
        self.events = 0
        """How many events stand in the open segment."""

    def add(self, packed: bytes) -> Segment | None:
        """Put the section of one event into the open segment; return the one before, where it had no more room."""
        closed = None
        if self._size + len(packed) > SEGMENT_BYTES_MAX:
            closed = self.open_segment()
            self._parts, self._size, self.events, self._first = [self._header], len(self._header), 0, False
        self._parts.append(packed)
        self._size += len(packed)
        self.events += 1
        return closed

    @property
    def is_empty(self) -> bool:
        """Whether nothing stands in the open segment, the genesis included."""
        return not (self.events or self._first)

    def open_segment(self) -> Segment:
        """Return the open segment as it is now."""
        data = b"".join(self._parts)
        return Segment(Cid.of_raw(data), data, self.events)


def section(cid: Cid, block: bytes) -> bytes:
    """Return the section of a CAR that holds `block`, which is believed to hash to `cid`."""
    length = CID_BYTES + len(block)
    head = bytearray()
    while length >= 0x80:
        head.append(length & 0x7F | 0x80)
        length >>= 7
    head.append(length)
    return b"".join((head, cid, block))


def car_header(root: Cid) -> bytes:
    """Return the beginning of a CARv1 with one root, its length included."""
    header = encode({"roots": [root], "version": 1})
    return bytes((len(header),)) + header  # 58 bytes: a varint of one byte


def unpack(data: bytes, ledger: Cid) -> Unpacked:
    """Return what the segment `data` of `ledger` holds, as far as it can be read; never raises.

    Every block that comes out hashes to its CID. Of a segment that is not as G1 the whole events are returned, since
    each is judged by itself, and `fault` names the first thing that is wrong.
    """
    events: dict[Cid, bytes] = {}
    genesis: bytes | None = None
    faults: list[str] = []
    sections = 0
    if len(data) > SEGMENT_BYTES_MAX:
        return Unpacked(None, {}, f"{len(data)} bytes, at most {SEGMENT_BYTES_MAX}")
    try:
        reader = read_car(io.BytesIO(data))
        if not data.startswith(car_header(ledger)):
            faults.append(f"it does not begin as a CAR with the ledger {ledger} as its one root")
        for cid, block in reader:
            sections += 1
            if cid == ledger:
                if sections > 1:
                    faults.append("the genesis stands elsewhere than at the beginning, or twice")
                genesis = block
            elif not cid.is_event:
                faults.append(f"{cid} is no event")
            elif cid in events:
                faults.append(f"{cid} stands there twice")
            else:
                events[cid] = block
        if reader.bad_count or reader.foreign:
            faults.append(
                f"{reader.bad_count + reader.foreign} sections do not hash to their CID, or have one not ours"
            )
    except CarError as error:
        faults.append(str(error))
    return Unpacked(genesis, events, faults[0] if faults else None)
