"""The copy of a log on a Kubo node: sending blocks there in one CAR, looking whether they are there, removing them.

Implements: section Stores and exchange of the design, blocks go to Kubo in CAR batches. Leaves out what is sent when
(ledger.publishing).
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Final

from ledger.acceptance import unsafe_signed
from ledger.cid import CODEC_RAW, Cid
from ledger.gathering import Published
from ledger.kubo import KuboClient
from ledger.kubo_errors import KuboNotFoundError
from ledger.segments import Segment, car_header, section

PROBES: Final = 32
"""Segments, and events, that are looked for to find out whether a node still has what was sent to it."""
BLOBS_AT_ONCE: Final = 16
"""Blobs, of up to 1 MiB each, that are held in memory at once."""
_PIECE_BYTES: Final = 256 * 1024
_NO_BLOBS: Final = b"\x65blobs\x80\x65cites"  # the field with an empty list, and the name of the one after it


class GoneError(Exception):
    """What was packed cannot be made again: a block is nowhere any more, or the bytes would be others."""


class NodeCopy:
    """What one home has on one node."""

    def __init__(self, log: Published, client: KuboClient) -> None:
        self._log = log
        self._client = client
        self.ledger = log.intake.ledger
        self.genesis = log.intake.genesis.encode()

    def send(self, sections: Iterable[bytes], segments: Sequence[Segment] = ()) -> None:
        """Have the node store the blocks of `sections` and the `segments`, in one call; pin the segments."""
        raw = (section(segment.cid, segment.data) for segment in segments)
        self._client.import_car(_pieces(car_header(self.ledger), sections, raw))
        for segment in segments:
            self._client.pin(segment.cid)

    def send_blobs(self, cids: Iterable[Cid]) -> set[Cid]:
        """Send those of these blobs that are here; return the others."""
        missing: set[Cid] = set()
        for some in _in_batches(cids):
            with self._log.reading():
                found = self._log.intake.blobs.get_many(some)
            missing.update(set(some) - found.keys())
            if found:
                self.send(section(cid, data) for cid, data in found.items())
        return missing

    def blocks(self, cids: Sequence[Cid]) -> dict[Cid, bytes]:
        """Return the blocks of events that were packed, in this order.

        One that is held again, or gone from a home that was restored, is read from where else it is: the node itself.
        Raises GoneError for one that is nowhere.
        """
        intake = self._log.intake
        found: dict[Cid, bytes] = {}
        with self._log.reading():
            for cid in cids:
                found[cid] = intake.events.find_block(cid) or intake.held.find_block(cid) or b""
        try:
            return {cid: block or self._client.get_block(cid, offline=True) for cid, block in found.items()}
        except KuboNotFoundError as error:
            raise GoneError(str(error)) from error

    def lacks_any(self, cids: Sequence[Cid]) -> bool:
        """Return whether one of `cids` is not on the node; of many, only some are looked for."""
        some = cids if len(cids) <= PROBES else [cids[0], cids[-1], *random.sample(cids, PROBES - 2)]  # no secret
        return not all(map(self._client.has_block, some))

    def remove(self, cids: Sequence[Cid]) -> None:
        """Remove blocks from the node, but those that somebody has put into the ledger as a blob."""
        with self._log.reading():
            blobs = {cid for cid in cids if cid.codec == CODEC_RAW and self._log.intake.blobs.has(cid)}
        for cid in cids:
            with suppress(KuboNotFoundError):
                self._client.unpin(cid)
        self._client.remove_blocks([cid for cid in cids if cid not in blobs])


def blobs_of(events: Mapping[Cid, bytes]) -> list[Cid]:
    """Return the raw blobs that events link, each once.

    Most link none, and then every place in the block that names the field shows an empty one: they are not decoded.
    """
    found: dict[Cid, None] = {}
    for block in events.values():
        if block.count(b"\x65blobs") != block.count(_NO_BLOBS):
            found |= dict.fromkeys(cid for cid in unsafe_signed(block).event.blobs if cid.codec == CODEC_RAW)
    return list(found)


def _in_batches(cids: Iterable[Cid]) -> Iterator[list[Cid]]:
    left = list(cids)
    for start in range(0, len(left), BLOBS_AT_ONCE):
        yield left[start : start + BLOBS_AT_ONCE]


def _pieces(*parts: bytes | Iterable[bytes]) -> Iterator[bytes]:
    """Yield all parts, one after the other, in pieces that are worth sending."""
    some: list[bytes] = []
    size = 0
    for part in parts:
        for piece in (part,) if isinstance(part, bytes) else part:
            some.append(piece)
            size += len(piece)
            if size >= _PIECE_BYTES:
                yield b"".join(some)
                some, size = [], 0
    yield b"".join(some)
