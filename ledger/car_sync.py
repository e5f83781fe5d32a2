"""Meeting in a CAR file: take in what is new in it, and give it what it lacks of the log.

Implements: specs/car.md, the files of X1 and X8 that several replicas write by turns. A file is replaced as a whole or
left as it is. What belongs to another ledger is never written over. Leaves out: export (ledger.car_io) and
import (ledger.car_import).
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from stat import S_IMODE
from typing import BinaryIO

from ledger.acceptance import Refusal, unsafe_signed, verify_genesis
from ledger.car import read_car, write_car
from ledger.car_import import ImportReport, import_car, whole_blocks
from ledger.car_io import blocks_of
from ledger.cid import Cid
from ledger.replica import ExchangeError, Replica, past_without


def sync_car(replica: Replica, path: Path, now_ms: int) -> tuple[ImportReport, int]:
    """Take in what is new in the CAR file `path`, then give it what it lacks of the log; return the number of those.

    The file is replaced as a whole or left as it is: a reader never sees half of it. It keeps all it had but what was
    refused here. Two who do this at once on a shared folder may undo each other's addition; the next sync mends that.
    Raises ExchangeError, and changes nothing, where the file holds blocks of another ledger or none of this one.
    """
    report = ImportReport()
    inside: set[Cid] = set()
    if path.exists():
        _require_ours(replica, path)
        with path.open("rb") as stream:
            report = import_car(replica, stream, now_ms, seen=inside.add)
    with replica.reading():
        heads = replica.heads()
        log = past_without(replica, heads, ())
        new = sum(cid not in inside for cid in log)
        if new or report.bad or report.fault or report.taken.refused or not path.exists():
            with replaced_file(path) as out:
                write_car(out, sorted(heads), _union(replica, path, log))
    return report, new


@contextmanager
def replaced_file(path: Path) -> Iterator[BinaryIO]:
    """Write a file that takes the place of `path`, durably, when the block ends; if anything is raised, none does.

    A link stays and what it leads to is replaced; mode bits are kept. A device or a pipe is written as it is.
    """
    path = path.resolve()
    if path.exists() and not path.is_file():
        with path.open("wb") as stream:
            yield stream
        return
    new = path.with_name(f".{path.name}.{secrets.token_hex(8)}.tmp")
    try:
        with new.open("xb") as stream:
            if path.exists():
                os.fchmod(stream.fileno(), S_IMODE(path.stat().st_mode))
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        new.replace(path)
    except BaseException:
        new.unlink(missing_ok=True)
        raise
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _require_ours(replica: Replica, path: Path) -> None:
    """Raise ExchangeError unless the file is empty, or has blocks of this ledger and of no other."""
    ledgers: set[Cid | None] = set()
    with path.open("rb") as stream, replica.reading():
        reader = read_car(stream)
        for cid, block in whole_blocks(reader, ImportReport()):
            ledgers.add(_ledger_of(replica, cid, block))
    others = sorted(ledger for ledger in ledgers if ledger is not None and ledger != replica.intake.ledger)
    if others:
        raise ExchangeError(f"this is ledger {replica.intake.ledger}, {path} holds {others[0]}: it is left as it is")
    if replica.intake.ledger not in ledgers and (ledgers or reader.foreign):
        raise ExchangeError(f"{path} holds nothing of ledger {replica.intake.ledger}: it is left as it is")


def _ledger_of(replica: Replica, cid: Cid, block: bytes) -> Cid | None:
    """Return the ledger that a block belongs to; None for what is neither a genesis nor an event."""
    if not cid.is_event:
        return None
    if replica.intake.events.find_link(cid) is not None:
        return replica.intake.ledger
    try:
        return unsafe_signed(block).event.ledger  # whether it is in order is for the import to say
    except Refusal:
        pass
    try:
        verify_genesis(block)
    except Refusal:
        return None
    return cid


def _union(replica: Replica, path: Path, log: list[Cid]) -> Iterator[tuple[Cid, bytes]]:
    """Yield the log, and what else the file has and may be just what another reader waits for."""
    written: set[Cid] = set()
    for cid, block in blocks_of(replica, log):
        written.add(cid)
        yield cid, block
    if path.exists():
        with path.open("rb") as stream:
            # The import has reported where the file breaks off, if it does; what is whole is kept.
            for cid, block in whole_blocks(read_car(stream), ImportReport()):
                if cid not in written and replica.intake.refused.find(cid) is None:
                    written.add(cid)
                    yield cid, block
