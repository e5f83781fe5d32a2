"""Carrying a log by CAR files: export, and import in any order.

Implements: specs/car.md, rules X1 to X5 and X8. An export has the genesis first and then each event after all it links,
so that a reader with nothing takes it in as it streams by; blobs come last. An import takes any order: it goes over the
file as often as that brings something new, in batches, so that memory stays bounded. Leaves out: the file format
(ledger.car).
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import BinaryIO, Final, cast

from ledger.acceptance import Refusal, unsafe_signed, verify_genesis
from ledger.blobs import BLOB_BYTES_MAX, BlobFate
from ledger.car import CarFormatError, CarReader, read_car, write_car
from ledger.cid import CODEC_RAW, Cid
from ledger.exchange import BATCH_BLOCKS, BLOB_BATCH, Replica, Totals, batches, block_of, past_without, take_in

BATCH_BYTES: Final = 8 * 1024 * 1024
"""Bytes of blocks that are gathered for one transaction, at most."""

Seen = Callable[[Cid], None]


@dataclass(slots=True)
class ImportReport:
    """What an import found: `taken` as everywhere; blocks that did not hash to their CID; blocks of other kinds.

    `unlinked` blobs are named by no accepted event and were left out. `fault` says where the file broke off, if it did.
    """

    taken: Totals = field(default_factory=Totals)
    bad: int = 0
    foreign: int = 0
    unlinked: int = 0
    passes: int = 0
    fault: str | None = None


def export_car(
    replica: Replica,
    stream: BinaryIO,
    *,
    heads: Iterable[Cid] | None = None,
    since: Iterable[Cid] = (),
    seen: Seen = lambda _: None,
) -> int:
    """Write the log of `replica` to `stream` as a CAR and return the number of events in it.

    With `heads` only their causal past (one task: its events); with `since` less the causal past of those, and less the
    genesis if one of them is an event known here. The roots are the heads. `seen` is told each block's CID. Raises
    KeyError for unknown heads.
    """
    with replica.reading():
        roots = replica.heads() if heads is None else tuple(heads)
        for root in roots:
            if root != replica.intake.ledger:
                block_of(replica, root)
        known = [cid for cid in since if replica.intake.events.find_link(cid) is not None]
        cids = past_without(replica, roots, known)
        write_car(stream, sorted(roots), _told(blocks_of(replica, cids, genesis=not known), seen))
    return len(cids)


def import_car(replica: Replica, stream: BinaryIO, now_ms: int, *, seen: Seen = lambda _: None) -> ImportReport:
    """Take in the blocks of a CAR in any order, as of `now_ms`, and say what became of them.

    Of a file that is broken off or damaged all whole blocks are taken in, and `fault` says where it ended. `seen` is
    told each block's CID. Raises CarFormatError where the stream is no CAR at all.
    """
    with _seekable(stream) as file:
        start = file.tell()
        first = report = _pass(replica, file, now_ms, seen)
        accepted, blobs, passes = report.taken.accepted, report.taken.blobs, 1
        # Again while something had no room or came before what links it, and the last pass has changed anything.
        while (report.taken.evicted or report.unlinked) and (report.taken.accepted or report.taken.blobs):
            file.seek(start)
            report = _pass(replica, file, now_ms, lambda _: None)
            accepted += report.taken.accepted
            blobs += report.taken.blobs
            passes += 1
    report.taken.accepted, report.taken.blobs, report.taken.known = accepted, blobs, first.taken.known
    report.passes = passes
    return report


def read_genesis(stream: BinaryIO, ledger: Cid | None = None) -> bytes:
    """Return the first genesis block in a CAR, or that of `ledger`; raise LookupError where there is none."""
    for cid, block in read_car(stream):
        if not cid.is_event or (ledger is not None and cid != ledger):
            continue
        try:
            verify_genesis(block)
        except Refusal:
            continue
        return block
    raise LookupError("the CAR holds no genesis block" + (f" of ledger {ledger}" if ledger else ""))


# ---- writing


def _told(blocks: Iterator[tuple[Cid, bytes]], seen: Seen) -> Iterator[tuple[Cid, bytes]]:
    for cid, block in blocks:
        seen(cid)
        yield cid, block


def blocks_of(replica: Replica, cids: list[Cid], *, genesis: bool = True) -> Iterator[tuple[Cid, bytes]]:
    """Yield the genesis, the events `cids`, and then the blobs they link and that are here."""
    if genesis:
        block = replica.intake.events.find_genesis()
        assert block is not None  # noqa: S101  # an Intake is of a founded store
        yield replica.intake.ledger, block
    blobs: dict[Cid, None] = {}
    for cid in cids:
        block = block_of(replica, cid)
        blobs |= dict.fromkeys(unsafe_signed(block).event.blobs)
        yield cid, block
    for some in batches(sorted(blobs), BLOB_BATCH):
        yield from sorted(replica.intake.blobs.get_many(some).items())


# ---- reading


def _pass(replica: Replica, file: BinaryIO, now_ms: int, seen: Seen) -> ImportReport:
    """Go over the file once."""
    report = ImportReport()
    reader = read_car(file)
    events: list[bytes] = []
    blobs: list[bytes] = []
    size = 0

    def settle() -> None:
        nonlocal size
        if events:
            take_in(replica, events, now_ms, report.taken)
        if blobs:
            with replica.writing():
                fates = replica.intake.offer_blobs(blobs)
            report.taken.blobs += fates[BlobFate.KEPT]
            report.unlinked += fates[BlobFate.UNLINKED]
        events.clear()
        blobs.clear()
        size = 0

    for cid, block in whole_blocks(reader, report):
        seen(cid)
        if cid.is_event:
            events.append(block)
        elif cid.codec == CODEC_RAW and len(block) <= BLOB_BYTES_MAX:
            blobs.append(block)
        else:
            report.foreign += 1
        size += len(block)
        if len(events) >= BATCH_BLOCKS or size >= BATCH_BYTES:
            settle()
    settle()
    report.bad = reader.bad_count
    report.foreign += reader.foreign
    return report


def whole_blocks(reader: CarReader, report: ImportReport) -> Iterator[tuple[Cid, bytes]]:
    """Yield the whole blocks of `reader`; where it breaks off, end and note that as the report's fault."""
    try:
        yield from reader
    except CarFormatError as error:  # after the last whole block
        report.fault = str(error)


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
