"""The accepted events of one ledger in a database, in order of arrival.

Implements: section Stores, blocks and their index rows. Every method takes part in the transaction or reading its
caller has opened. Leaves out: acceptance (ledger.intake), what is set aside (ledger.waiting, ledger.aside), and blobs
(ledger.blobs).
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Final

from ledger.cid import Cid
from ledger.database import Database
from ledger.events import VerifiedEvent
from ledger.keys import ActorKey
from ledger.multibase import encode_base32

Item = tuple[int, Cid]
"""An event by its place in the linear order: height and CID."""
Bound = tuple[int, bytes]
"""A place between events: a height and the first bytes of a CID, none of them or all."""

_NAMES_AT_ONCE: Final = 500  # fewer than the variables an SQL statement may have


def intact(database: Database, cid: bytes, block: object) -> bytes:
    """Return a block that was read from `database`; raise StoreCorruptError where it is not what its CID names.

    Blocks are believed without their signature once they are in; a disk that alters them must not be.
    """
    if not isinstance(block, bytes) or Cid.of(block) != cid:
        raise database.damaged(f"the block of {encode_base32(cid)} has changed")
    return block


class EventStore:
    """The accepted events in `database`, each with its block, height and time; and small named values."""

    def __init__(self, database: Database) -> None:
        self._database = database

    # ---- named values

    def find_value(self, key: str) -> bytes | None:
        """Return the value kept under `key`."""
        row = self._database.connection.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
        return None if row is None else row[0]

    def put_value(self, key: str, value: bytes) -> None:
        """Keep `value` under `key`, in the place of what was there."""
        self._database.connection.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (key, value))

    def find_genesis(self) -> bytes | None:
        """Return the genesis block; None in a database that holds no ledger yet."""
        return self.find_value("genesis")

    def put_genesis(self, block: bytes) -> None:
        """Found this store on the genesis `block`; raise ValueError where it is founded on another."""
        found = self.find_genesis()
        if found is not None and found != block:
            raise ValueError(f"this store holds ledger {Cid.of(found)}, not {Cid.of(block)}")
        self.put_value("genesis", block)

    # ---- events

    def add(self, event: VerifiedEvent) -> int:
        """Append an accepted event and return its id, which counts up in order of arrival."""
        said = event.event
        connection = self._database.connection
        cursor = connection.execute(
            "INSERT INTO blocks (cid, height, time, actor, grant, block) VALUES (?, ?, ?, ?, ?, ?)",
            (event.cid, said.height, said.time, said.actor, said.grant, event.block),
        )
        connection.execute("INSERT OR IGNORE INTO actors VALUES (?)", (said.actor,))
        assert cursor.lastrowid is not None  # noqa: S101  # a row was inserted
        return cursor.lastrowid

    def count(self) -> int:
        """Return the number of accepted events."""
        found: int = self._database.connection.execute("SELECT count(*) FROM blocks").fetchone()[0]
        return found

    def find_link(self, cid: Cid) -> tuple[int, int] | None:
        """Return height and time of an accepted event."""
        sql = "SELECT height, time FROM blocks WHERE cid = ?"
        row: tuple[int, int] | None = self._database.connection.execute(sql, (cid,)).fetchone()
        return row

    def find_block(self, cid: Cid) -> bytes | None:
        """Return the block of an accepted event; raise StoreCorruptError where its bytes have changed."""
        row = self._database.connection.execute("SELECT block FROM blocks WHERE cid = ?", (cid,)).fetchone()
        return None if row is None else intact(self._database, cid, row[0])

    def has_actor(self, actor: ActorKey) -> bool:
        """Return whether an event of `actor` was ever accepted here."""
        row = self._database.connection.execute("SELECT 1 FROM actors WHERE actor = ?", (actor,)).fetchone()
        return row is not None

    def in_order_of_arrival(self, after: int = 0) -> Iterator[tuple[int, Cid, bytes]]:
        """Yield id, CID and block of the events that arrived after id `after`, each after all it links."""
        rows = self._database.connection.execute("SELECT id, cid, block FROM blocks WHERE id > ? ORDER BY id", (after,))
        for id_, cid, block in rows:
            whole = intact(self._database, cid, block)
            yield id_, Cid(cid), whole

    def cids_up_to(self, last: int) -> Iterator[Cid]:
        """Yield the CIDs of the accepted events with an id up to `last`, ascending."""
        for (cid,) in self._database.connection.execute("SELECT cid FROM blocks WHERE id <= ? ORDER BY cid", (last,)):
            yield Cid(cid)

    def find_blocks(self, cids: Collection[Cid]) -> dict[Cid, bytes]:
        """Return those of `cids` that are accepted, with their blocks; raise StoreCorruptError as `find_block` does."""
        names = list(cids)
        found: dict[Cid, bytes] = {}
        for start in range(0, len(names), _NAMES_AT_ONCE):
            some = names[start : start + _NAMES_AT_ONCE]
            marks = ",".join("?" * len(some))
            sql = f"SELECT cid, block FROM blocks WHERE cid IN ({marks})"  # noqa: S608  # only marks
            for cid, block in self._database.connection.execute(sql, some):
                found[Cid(cid)] = intact(self._database, cid, block)
        return found

    def latest_id(self) -> int:
        """Return the id of the event that arrived last, 0 where there is none."""
        found: int = self._database.connection.execute("SELECT coalesce(max(id), 0) FROM blocks").fetchone()[0]
        return found

    def between(
        self, low: Bound, high: Bound | None, *, most: int | None = None, arrived: int | None = None
    ) -> Iterator[Item]:
        """Yield the events at or above `low` and below `high` in the linear order (C1), `most` of them at most.

        With `arrived` only those with an id up to this one.
        """
        where, values = _within(low, high)
        if arrived is not None:
            where, values = f"{where} AND id <= ?", (*values, arrived)
        sql = f"SELECT height, cid FROM blocks WHERE {where} ORDER BY height, cid LIMIT ?"  # noqa: S608  # only constants
        for height, cid in self._database.connection.execute(sql, (*values, -1 if most is None else most)):
            yield height, Cid(cid)

    def count_between(self, low: Bound, high: Bound | None) -> int:
        """Return how many events `between` yields."""
        where, values = _within(low, high)
        sql = f"SELECT count(*) FROM blocks WHERE {where}"  # noqa: S608  # only constants
        found: int = self._database.connection.execute(sql, values).fetchone()[0]
        return found

    def latest(self, most: int) -> list[Item]:
        """Return the last `most` events of the linear order, ascending."""
        sql = "SELECT height, cid FROM blocks ORDER BY height DESC, cid DESC LIMIT ?"
        rows = self._database.connection.execute(sql, (most,)).fetchall()
        return [(height, Cid(cid)) for height, cid in reversed(rows)]

    def in_linear_order(self, *, latest_first: bool = False) -> Iterator[tuple[int, Cid]]:
        """Yield height and CID of all events in the linear order (rule C1)."""
        sql = "SELECT height, cid FROM blocks ORDER BY height, cid"
        if latest_first:
            sql = "SELECT height, cid FROM blocks ORDER BY height DESC, cid DESC"
        for height, cid in self._database.connection.execute(sql):
            yield height, Cid(cid)


def _within(low: Bound, high: Bound | None) -> tuple[str, tuple[int | bytes, ...]]:
    if high is None:
        return "(height, cid) >= (?, ?)", low
    return "(height, cid) >= (?, ?) AND (height, cid) < (?, ?)", (*low, *high)
