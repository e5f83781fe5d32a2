"""Taking in a CAR file in any order, in two passes at most.

Implements: specs/car.md, rules X4 and X5. The first pass offers each block as it comes. What waits then, and what found
no room to wait, is read once more in the linear order (C1), where nothing comes before what it links: so a file that is
longer than the waiting room is taken in whole. Memory holds a batch of blocks, and the CID, height and place of each
event that came too early. Leaves out: the file format (ledger.car) and what becomes of an event (ledger.intake).
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import BinaryIO, Final, NamedTuple, cast

from ledger.acceptance import unsafe_signed
from ledger.blobs import BLOB_BYTES_MAX, BlobFate
from ledger.car import CarFormatError, CarReader, read_car
from ledger.cid import CODEC_RAW, Cid
from ledger.replica import BATCH_BLOCKS, Replica, Totals, take_in

BATCH_BYTES: Final = 8 * 1024 * 1024
"""Bytes of blocks that are gathered for one transaction, at most."""
LISTED_MAX: Final = 100
"""Most events that a report names of each verdict; it counts them all."""

Seen = Callable[[Cid], None]


class Waits(NamedTuple):
    """An event that waits, and what it waits for."""

    cid: Cid
    missing: tuple[Cid, ...]


class Held(NamedTuple):
    """An event ahead of this clock, and when its time has come (ms)."""

    cid: Cid
    until: int


@dataclass(slots=True)
class ImportReport:
    """What an import found: `taken` as everywhere; blocks that did not hash to their CID; blocks of other kinds.

    `accepted`, `waiting` and `held` name the first of each. `unlinked` blobs are named by no accepted event and were
    left out. `fault` says where the file broke off, if it did; `absent_roots` are roots it names and nobody here knows,
    so that its end may be cut off between two blocks.
    """

    taken: Totals = field(default_factory=Totals)
    accepted: list[Cid] = field(default_factory=list)
    waiting: list[Waits] = field(default_factory=list)
    held: list[Held] = field(default_factory=list)
    bad: int = 0
    foreign: int = 0
    unlinked: int = 0
    passes: int = 1
    fault: str | None = None
    absent_roots: list[Cid] = field(default_factory=list)


def import_car(replica: Replica, stream: BinaryIO, now_ms: int, *, seen: Seen = lambda _: None) -> ImportReport:
    """Take in the blocks of a CAR in any order, as of `now_ms`, and say what became of them.

    Of a file that is broken off or damaged all whole blocks are taken in, and `fault` says where it ended. `seen` is
    told each block's CID. Raises CarFormatError where the stream is no CAR at all, CarBlockError where it is written
    to meanwhile.
    """
    with _seekable(stream) as file:
        taking = _Import(replica, file, now_ms)
        taking.first_pass(seen)
        if taking.is_unfinished:
            taking.second_pass()
    return taking.finish()


def whole_blocks(reader: CarReader, report: ImportReport) -> Iterator[tuple[Cid, bytes]]:
    """Yield the whole blocks of `reader`; where it breaks off, end and note that as the report's fault."""
    try:
        yield from reader
    except CarFormatError as error:  # after the last whole block
        report.fault = str(error)


class _Import:
    """One file on its way in."""

    def __init__(self, replica: Replica, file: BinaryIO, now_ms: int) -> None:
        self._replica = replica
        self._now_ms = now_ms
        self._start = file.tell()
        self._reader = read_car(file)
        self._report = ImportReport()
        self._early: dict[Cid, tuple[int, int]] = {}
        """Height and offset of each event of the file that is neither accepted nor held nor refused."""
        self._evicted: set[Cid] = set()
        """What had no room, of this file or from before."""
        self._held: list[Cid] = []
        self._unlinked: list[int] = []
        """Offsets of blobs that no accepted event links."""
        self._events: dict[Cid, tuple[int, bytes]] = {}
        self._blobs: list[tuple[int, bytes]] = []
        self._size = 0

    @property
    def is_unfinished(self) -> bool:
        """Whether another pass may bring something."""
        return bool(self._evicted or self._unlinked)

    def first_pass(self, seen: Seen) -> None:
        """Offer every block in the order of the file."""
        for cid, block in whole_blocks(self._reader, self._report):
            seen(cid)
            if cid.is_event or (cid.codec == CODEC_RAW and len(block) <= BLOB_BYTES_MAX):
                self._add(cid, self._reader.offset, block)
            else:
                self._report.foreign += 1
        self._settle()

    def second_pass(self) -> None:
        """Offer once more, in the linear order, the events that came too early, and then the blobs that did."""
        for _, cid, offset in sorted((height, cid, offset) for cid, (height, offset) in self._early.items()):
            if cid in self._early:
                self._add(cid, offset, self._reader.again(self._start, offset))
        self._settle()
        unlinked, self._unlinked = self._unlinked, []
        for offset in unlinked:
            block = self._reader.again(self._start, offset)
            self._add(Cid.of_raw(block), offset, block)
        self._settle()
        self._report.passes += 1

    def finish(self) -> ImportReport:
        """Return what became of all, as it stands now: what has waited in between is accepted."""
        report, intake = self._report, self._replica.intake
        with self._replica.reading():
            waiting = [cid for cid in self._early if intake.waiting.has(cid)]
            report.taken.waiting = len(waiting)
            report.taken.evicted = sum(not intake.waiting.has(cid) for cid in self._evicted)
            report.waiting = [Waits(cid, intake.waiting.missing_of(cid)) for cid in waiting[:LISTED_MAX]]
            skew_ms = intake.genesis.policy.skew_ms
            report.held = [Held(cid, intake.held.time_of(cid) - skew_ms) for cid in self._held]
            report.absent_roots = [
                root
                for root in self._reader.roots
                if intake.find(root) is None and not intake.waiting.has(root) and not intake.held.has(root)
            ]
        report.unlinked = len(self._unlinked)
        report.bad = self._reader.bad_count
        report.foreign += self._reader.foreign
        return report

    def _add(self, cid: Cid, offset: int, block: bytes) -> None:
        if cid.is_event:
            self._events[cid] = offset, block
        else:
            self._blobs.append((offset, block))
        self._size += len(block)
        if len(self._events) >= BATCH_BLOCKS or self._size >= BATCH_BYTES:
            self._settle()

    def _settle(self) -> None:
        """Take in the batch, in a transaction for its events and one for its blobs."""
        if self._events:
            self._settle_events()
        if self._blobs:
            with self._replica.writing():
                for offset, blob in self._blobs:
                    fates = self._replica.intake.offer_blobs([blob])
                    self._report.taken.blobs += fates[BlobFate.KEPT]
                    if fates[BlobFate.UNLINKED]:
                        self._unlinked.append(offset)
        self._events.clear()
        self._blobs.clear()
        self._size = 0

    def _settle_events(self) -> None:
        report = self._report
        done = take_in(self._replica, [block for _, block in self._events.values()], self._now_ms, report.taken)
        report.accepted += done.accepted[: LISTED_MAX - len(report.accepted)]
        self._held += done.held[: LISTED_MAX - len(self._held)]
        for cid in (*done.waiting, *done.evicted):
            if cid in self._events:
                offset, block = self._events[cid]
                self._early[cid] = unsafe_signed(block).event.height, offset
        self._evicted.update(done.evicted)
        for cid in (*done.accepted, *done.held, *(refused.cid for refused in done.refused)):
            self._early.pop(cid, None)
            self._evicted.discard(cid)


@contextmanager
def _seekable(stream: BinaryIO) -> Iterator[BinaryIO]:
    """Yield `stream`, or where it cannot go back (a pipe) a copy of it on disk."""
    if stream.seekable():
        yield stream
        return
    with tempfile.TemporaryFile() as spool:
        shutil.copyfileobj(stream, spool)
        spool.seek(0)
        yield cast("BinaryIO", spool)
