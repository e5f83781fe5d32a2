"""The accepted events of one ledger in a database, in order of arrival.

Implements: section Stores, blocks and their index rows. Every method takes part in the transaction or reading its
caller has opened. Leaves out: acceptance (ledger.intake), what is set aside (ledger.waiting, ledger.aside), and blobs
(ledger.blobs).
"""

from __future__ import annotations

from collections.abc import Iterator

from ledger.cid import Cid
from ledger.database import Database
from ledger.events import VerifiedEvent
from ledger.keys import ActorKey
from ledger.multibase import encode_base32


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

    def at_height(self, height: int, most: int) -> list[Cid]:
        """Return up to `most` events of this height, in the order of their CIDs."""
        sql = "SELECT cid FROM blocks WHERE height = ? ORDER BY cid LIMIT ?"
        return [Cid(cid) for (cid,) in self._database.connection.execute(sql, (height, most))]

    def in_linear_order(self, *, latest_first: bool = False) -> Iterator[tuple[int, Cid]]:
        """Yield height and CID of all events in the linear order (rule C1)."""
        sql = "SELECT height, cid FROM blocks ORDER BY height, cid"
        if latest_first:
            sql = "SELECT height, cid FROM blocks ORDER BY height DESC, cid DESC"
        for height, cid in self._database.connection.execute(sql):
            yield height, Cid(cid)
