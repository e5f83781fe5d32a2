"""What a home has published: which events stand in which segment, and what is still to be done about it.

Implements: specs/segments.md, rule G2: an event is packed once, after all it links, and stays where it was packed. The
order is kept as the CIDs of the events, in network.sqlite3, so that the same bytes can be made again from the ledger.
Each method is a transaction of its own. Leaves out: which events are packed (ledger.gathering), and the node they are
sent to (ledger.publishing).
"""

from __future__ import annotations

import random
from collections.abc import Collection, Iterable, Sequence
from typing import Final, NamedTuple

from ledger.cid import Cid
from ledger.database import Database
from ledger.segments import Segment

SUPERSEDED_GRACE_MS: Final = 600_000
"""How long a block that no manifest names any more stays on the node: whoever reads the last manifest may want it."""
SUPERSEDED_MAX: Final = 32
"""Most such blocks, of up to 1 MiB each: beyond it the oldest go before their time."""
_SUPERSEDED: Final = """SELECT cid, since FROM superseded WHERE cid NOT IN (SELECT cid FROM segments)
    AND cid NOT IN (SELECT value FROM outbox WHERE key IN ('manifest', 'tail')) ORDER BY since DESC, cid"""
_NAMES_AT_ONCE: Final = 500  # fewer than the variables an SQL statement may have


class Place(NamedTuple):
    """How far the store was read: the last row by its id, and its event. Ids are given again after a clock set back."""

    id: int
    cid: bytes


START: Final = Place(0, b"")


class Closed(NamedTuple):
    """A closed segment: its events stand in the order of packing from `first` on."""

    number: int
    cid: Cid
    first: int
    events: int
    size: int


class Outbox:
    """What is kept of publishing in a network database."""

    def __init__(self, network: Database) -> None:
        self._network = network

    # ---- named values

    def find(self, key: str) -> bytes | None:
        """Return the value kept under `key`."""
        with self._network.reading() as connection:
            row = connection.execute("SELECT value FROM outbox WHERE key = ?", (key,)).fetchone()
        return None if row is None else row[0]

    def put(self, **values: bytes | None) -> None:
        """Keep values by their names; None forgets one."""
        with self._network.transaction() as connection:
            for key, value in values.items():
                if value is None:
                    connection.execute("DELETE FROM outbox WHERE key = ?", (key,))
                else:
                    connection.execute("INSERT OR REPLACE INTO outbox VALUES (?, ?)", (key, value))

    # ---- what is packed

    def place(self) -> Place:
        """Return how far the store was read."""
        kept = self.find("place")
        return START if kept is None else Place(int.from_bytes(kept[:8], "big"), kept[8:])

    def size(self) -> int:
        """Return how many events are packed."""
        with self._network.reading() as connection:
            found: int = connection.execute("SELECT coalesce(max(position) + 1, 0) FROM packed").fetchone()[0]
        return found

    def closed(self) -> list[Closed]:
        """Return the closed segments in order."""
        with self._network.reading() as connection:
            rows = connection.execute("SELECT number, cid, first, events, bytes FROM segments ORDER BY number")
            return [Closed(number, Cid(cid), first, events, size) for number, cid, first, events, size in rows]

    def members(self, first: int, events: int | None = None) -> list[Cid]:
        """Return the events from position `first` on, as many as said, in order."""
        sql = "SELECT cid FROM packed WHERE position >= ? ORDER BY position LIMIT ?"
        with self._network.reading() as connection:
            return [Cid(cid) for (cid,) in connection.execute(sql, (first, -1 if events is None else events))]

    def sample(self, most: int) -> list[Cid]:
        """Return the last event that is packed, and some others by chance."""
        size = self.size()
        chosen = {size - 1, *(random.randrange(size) for _ in range(most - 1))} if size else set()  # noqa: S311  # no secret
        return [cid for position in sorted(chosen) for cid in self.members(position, 1)]

    def packed(self, cids: Collection[Cid]) -> set[Cid]:
        """Return those of `cids` that are packed."""
        return self._among("packed", cids)

    def skipped(self, cids: Collection[Cid]) -> set[Cid]:
        """Return those of `cids` that were passed over, since they were not in the log."""
        return self._among("skipped", cids)

    def has_skipped(self) -> bool:
        """Return whether any event was passed over."""
        with self._network.reading() as connection:
            return connection.execute("SELECT 1 FROM skipped LIMIT 1").fetchone() is not None

    def has_all(self, cids: Iterable[Cid]) -> bool:
        """Return whether each of `cids`, given in ascending order, is packed or was passed over."""
        sql = "SELECT cid FROM packed UNION SELECT cid FROM skipped ORDER BY cid"
        with self._network.reading() as connection:
            known = connection.execute(sql)
            return all(any(cid == found for (found,) in known) for cid in cids)

    def advance(
        self,
        size: int,
        place: Place,
        *,
        events: Sequence[Cid],
        skipped: Iterable[Cid],
        closed: Sequence[Segment],
        awaited: Iterable[Cid],
    ) -> bool:
        """Keep what has been sent, all of it or nothing; return False where somebody else has packed meanwhile.

        Args:
            size: how many events were packed before.
            place: how far the store was read for this.
            events: what was packed, in order; what of it had been passed over is so no more.
            skipped: what was passed over.
            closed: the segments that were closed by it.
            awaited: blobs that the events link and that are not here.

        """
        with self._network.transaction() as connection:
            found = connection.execute("SELECT coalesce(max(position) + 1, 0) FROM packed").fetchone()[0]
            if found != size:
                return False
            connection.executemany("INSERT INTO packed VALUES (?, ?)", enumerate(events, size))
            connection.executemany("INSERT OR IGNORE INTO skipped VALUES (?)", ((cid,) for cid in skipped))
            connection.executemany("DELETE FROM skipped WHERE cid = ?", ((cid,) for cid in events))
            connection.executemany("INSERT OR IGNORE INTO awaited_blobs VALUES (?)", ((cid,) for cid in awaited))
            for segment in closed:
                sql = "SELECT coalesce(max(number) + 1, 0), coalesce(max(first + events), 0) FROM segments"
                number, first = connection.execute(sql).fetchone()
                row = (number, segment.cid, first, segment.events, len(segment.data))
                connection.execute("INSERT INTO segments VALUES (?, ?, ?, ?, ?)", row)
                connection.execute("DELETE FROM superseded WHERE cid = ?", (segment.cid,))
            value = place.id.to_bytes(8, "big") + place.cid
            connection.execute("INSERT OR REPLACE INTO outbox VALUES ('place', ?)", (value,))
        return True

    def read_again(self) -> None:
        """Have the whole store read again; what is packed stays so."""
        with self._network.transaction() as connection:
            connection.execute("DELETE FROM outbox WHERE key = 'place'")
            connection.execute("DELETE FROM skipped")

    def start_over(self, now_ms: int) -> None:
        """Forget all that was packed: its segments cannot be made again, so others will take their place."""
        with self._network.transaction() as connection:
            rows = [(cid, now_ms) for (cid,) in connection.execute("SELECT cid FROM segments")]
            connection.executemany("INSERT OR IGNORE INTO superseded VALUES (?, ?)", rows)
            for table in ("packed", "segments", "skipped"):
                connection.execute(f"DELETE FROM {table}")  # noqa: S608  # only constants
            connection.execute("DELETE FROM outbox WHERE key IN ('place', 'mend')")

    # ---- blobs that are not here yet

    def awaited(self, after: bytes, most: int) -> list[Cid]:
        """Return up to `most` awaited blobs beyond `after`, ascending."""
        sql = "SELECT cid FROM awaited_blobs WHERE cid > ? ORDER BY cid LIMIT ?"
        with self._network.reading() as connection:
            return [Cid(cid) for (cid,) in connection.execute(sql, (after, most))]

    def await_blobs(self, cids: Iterable[Cid]) -> None:
        """Note blobs that are to be sent once they are here."""
        with self._network.transaction() as connection:
            connection.executemany("INSERT OR IGNORE INTO awaited_blobs VALUES (?)", ((cid,) for cid in cids))

    def await_no_more(self, cids: Iterable[Cid]) -> None:
        """Note that blobs have been sent."""
        with self._network.transaction() as connection:
            connection.executemany("DELETE FROM awaited_blobs WHERE cid = ?", ((cid,) for cid in cids))

    # ---- blocks that no manifest names

    def supersede(self, cids: Iterable[Cid], now_ms: int) -> None:
        """Note blocks that no manifest names any more; or before they are sent, that none names them yet.

        So whatever is broken off, nothing is left on a node that nobody remembers.
        """
        with self._network.transaction() as connection:
            rows = ((cid, now_ms) for cid in cids)
            connection.executemany("INSERT OR IGNORE INTO superseded VALUES (?, ?)", rows)

    def keep(self, cids: Iterable[Cid]) -> None:
        """Note that blocks are named by a manifest, or are gone: none of those to be removed."""
        with self._network.transaction() as connection:
            connection.executemany("DELETE FROM superseded WHERE cid = ?", ((cid,) for cid in cids))

    def to_remove(self, now_ms: int) -> list[Cid]:
        """Return the superseded blocks whose time has come, and the oldest of those that are too many."""
        with self._network.reading() as connection:
            rows = connection.execute(_SUPERSEDED).fetchall()
        return [
            Cid(cid)
            for number, (cid, since) in enumerate(rows)
            if number >= SUPERSEDED_MAX or not now_ms - SUPERSEDED_GRACE_MS < since <= now_ms
        ]

    def _among(self, table: str, cids: Collection[Cid]) -> set[Cid]:
        names = list(cids)
        found: set[Cid] = set()
        with self._network.reading() as connection:
            for start in range(0, len(names), _NAMES_AT_ONCE):
                some = names[start : start + _NAMES_AT_ONCE]
                marks = ",".join("?" * len(some))
                sql = f"SELECT cid FROM {table} WHERE cid IN ({marks})"  # noqa: S608  # only constants and marks
                found.update(Cid(cid) for (cid,) in connection.execute(sql, some))
        return found
