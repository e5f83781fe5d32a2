"""Stores of blocks by CID, whatever is in them; and the one for raw payloads, outputs and logs.

Implements: `BlockStore` of section Stores, the small protocol every carrier of blocks meets; the payload blobs that
events link. Leaves out: events, whose store checks what it takes (ledger.intake).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from enum import StrEnum
from typing import Final, Protocol

from ledger.cid import CODEC_RAW, Cid
from ledger.database import Database

BLOB_BYTES_MAX: Final = 1_048_576
"""Largest raw block, in bytes: what every IPFS peer will pass on."""
_NAMES_AT_ONCE: Final = 500  # fewer than the variables an SQL statement may have


class BlockError(ValueError):
    """The bytes are not what the CID names, or too large: do not ask the same peer for them again."""


class BlobFate(StrEnum):
    """What became of a raw block: kept as new, here before, or linked by no accepted event and left out."""

    KEPT = "kept"
    KNOWN = "known"
    UNLINKED = "unlinked"


class BlockStore(Protocol):
    """Blocks by CID. Putting what is there already changes nothing."""

    def put_many(self, blocks: Iterable[tuple[Cid, bytes]]) -> None:
        """Keep `blocks`; raise BlockError for bytes that their CID does not name."""

    def get_many(self, cids: Collection[Cid]) -> Mapping[Cid, bytes]:
        """Return those of `cids` that are here, with their bytes."""

    def has(self, cid: Cid) -> bool:
        """Return whether the block is here."""


def check_block(cid: Cid, data: bytes) -> None:
    """Raise BlockError unless `data` hashes to `cid` and is at most BLOB_BYTES_MAX long."""
    if len(data) > BLOB_BYTES_MAX:
        raise BlockError(f"{cid}: {len(data)} bytes, at most {BLOB_BYTES_MAX}")
    if not cid.names(data):
        raise BlockError(f"{cid}: the bytes hash to something else")


class MemoryBlocks:
    """A BlockStore in memory."""

    def __init__(self) -> None:
        self._blocks: dict[Cid, bytes] = {}

    def put_many(self, blocks: Iterable[tuple[Cid, bytes]]) -> None:
        """Keep `blocks`, all or, where one is not what its CID names, none."""
        new: dict[Cid, bytes] = {}
        for cid, data in blocks:
            check_block(cid, data)
            new[cid] = data
        self._blocks |= new

    def get_many(self, cids: Collection[Cid]) -> Mapping[Cid, bytes]:
        """Return those of `cids` that are here."""
        return {cid: self._blocks[cid] for cid in cids if cid in self._blocks}

    def has(self, cid: Cid) -> bool:
        """Return whether the block is here."""
        return cid in self._blocks


class SqliteBlocks:
    """A BlockStore in the table `blobs`, within the caller's transaction; and the list of blobs that are wanted."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def put_many(self, blocks: Iterable[tuple[Cid, bytes]]) -> None:
        """Keep `blocks`, wanted or not; where one is not what its CID names, none of them."""
        new = list(blocks)
        for cid, data in new:
            check_block(cid, data)
        self._database.connection.executemany("INSERT OR REPLACE INTO blobs VALUES (?, ?)", new)

    def get_many(self, cids: Collection[Cid]) -> Mapping[Cid, bytes]:
        """Return those of `cids` that are here."""
        names = list(cids)
        found: dict[Cid, bytes] = {}
        for start in range(0, len(names), _NAMES_AT_ONCE):
            some = names[start : start + _NAMES_AT_ONCE]
            marks = ",".join("?" * len(some))
            sql = f"SELECT cid, data FROM blobs WHERE data IS NOT NULL AND cid IN ({marks})"  # noqa: S608  # only marks
            found |= {Cid(cid): data for cid, data in self._database.connection.execute(sql, some)}
        for cid, data in found.items():
            if not cid.names(data):
                raise self._database.damaged(f"the bytes of blob {cid} have changed")
        return found

    def has(self, cid: Cid) -> bool:
        """Return whether the block is here."""
        sql = "SELECT 1 FROM blobs WHERE cid = ? AND data IS NOT NULL"
        return self._database.connection.execute(sql, (cid,)).fetchone() is not None

    def want(self, cids: Iterable[Cid]) -> None:
        """Note that an accepted event links these blobs; only raw ones are kept here."""
        raw = [(cid,) for cid in cids if cid.codec == CODEC_RAW]
        if raw:
            self._database.connection.executemany("INSERT OR IGNORE INTO blobs VALUES (?, NULL)", raw)

    def wanted(self, after: Cid | None = None, most: int = 1000) -> tuple[Cid, ...]:
        """Return up to `most` blobs that accepted events link and that are not here, sorted, those beyond `after`."""
        sql = "SELECT cid FROM blobs WHERE data IS NULL AND cid > ? ORDER BY cid LIMIT ?"
        return tuple(Cid(cid) for (cid,) in self._database.connection.execute(sql, (after or b"", most)))

    def lacks(self, cids: Iterable[Cid]) -> bool:
        """Return whether one of these is not here that could be: a raw one."""
        return not all(self.has(cid) for cid in cids if cid.codec == CODEC_RAW)

    def put_wanted(self, data: bytes) -> BlobFate:
        """Keep a raw block if an accepted event links it. Raises BlockError for one that is too large."""
        cid = Cid.of_raw(data)
        check_block(cid, data)
        connection = self._database.connection
        row = connection.execute("SELECT data IS NOT NULL FROM blobs WHERE cid = ?", (cid,)).fetchone()
        if row is None:
            return BlobFate.UNLINKED
        if row[0]:
            return BlobFate.KNOWN
        connection.execute("UPDATE blobs SET data = ? WHERE cid = ?", (data, cid))
        return BlobFate.KEPT
