"""What is set aside: events ahead of the clock, and a ring of what was refused.

Implements: specs/acceptance.md, verdicts held and refused. Every method takes part in the caller's transaction.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from ledger.cid import Cid
from ledger.database import Database
from ledger.store import intact

HELD_BLOCKS_MAX: Final = 10_000
REFUSED_MAX: Final = 1_000


@dataclass(frozen=True, slots=True)
class Refused:
    """A block that was refused: by which rule, in words, and when (ms)."""

    cid: Cid
    rule: str
    words: str
    at: int


class HeldEvents:
    """Events that pass every rule and whose time is further ahead of this clock than the ledger's skew."""

    def __init__(self, database: Database, *, blocks_max: int = HELD_BLOCKS_MAX) -> None:
        self._database = database
        self._blocks_max = blocks_max

    def put(self, cid: Cid, time: int, block: bytes) -> bool:
        """Hold an event until `time` (ms); return False where as many are held as may be: it can be sent again."""
        if self.count() >= self._blocks_max:
            return False
        sql = "INSERT INTO held (cid, time, block) VALUES (?, ?, ?)"
        self._database.connection.execute(sql, (cid, time, block))
        return True

    def take_back(self, after: int) -> int:
        """Hold every accepted event with a time after `after` (ms); return how many. These are never dropped."""
        connection = self._database.connection
        sql = "INSERT INTO held (cid, time, block) SELECT cid, time, block FROM blocks WHERE time > ? ORDER BY id"
        connection.execute(sql, (after,))
        return connection.execute("DELETE FROM blocks WHERE time > ?", (after,)).rowcount

    def has(self, cid: Cid) -> bool:
        """Return whether `cid` is held."""
        return self._database.connection.execute("SELECT 1 FROM held WHERE cid = ?", (cid,)).fetchone() is not None

    def find_block(self, cid: Cid) -> bytes | None:
        """Return the block of an event that is held."""
        row = self._database.connection.execute("SELECT block FROM held WHERE cid = ?", (cid,)).fetchone()
        return None if row is None else intact(self._database, cid, row[0])

    def time_of(self, cid: Cid) -> int:
        """Return the time (ms) that an event which is held says; raise KeyError where it is not held."""
        row = self._database.connection.execute("SELECT time FROM held WHERE cid = ?", (cid,)).fetchone()
        if row is None:
            raise KeyError(f"{cid} is not held")
        time: int = row[0]
        return time

    def count(self) -> int:
        """Return how many events are held."""
        found: int = self._database.connection.execute("SELECT count(*) FROM held").fetchone()[0]
        return found

    def take_due(self, until: int, most: int = 1000) -> list[bytes]:
        """Remove and return up to `most` blocks with a time up to `until` (ms), the earliest first."""
        connection = self._database.connection
        sql = "SELECT cid, block FROM held WHERE time <= ? ORDER BY time, rowid LIMIT ?"
        due = connection.execute(sql, (until, most)).fetchall()
        connection.executemany("DELETE FROM held WHERE cid = ?", ((cid,) for cid, _ in due))
        return [intact(self._database, cid, block) for cid, block in due]


class RefusedRing:
    """The last REFUSED_MAX blocks that were refused: enough to refuse what links them, and to say why."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def put(self, refused: Refused) -> None:
        """Note a refusal, in the place of the oldest one."""
        connection = self._database.connection
        id_ = connection.execute(
            "INSERT OR REPLACE INTO refused (cid, rule, words, at) VALUES (?, ?, ?, ?)",
            (refused.cid, refused.rule, refused.words, refused.at),
        ).lastrowid
        connection.execute("DELETE FROM refused WHERE id <= ?", ((id_ or 0) - REFUSED_MAX,))

    def find(self, cid: Cid) -> Refused | None:
        """Return why `cid` was refused, if it is still noted."""
        sql = "SELECT rule, words, at FROM refused WHERE cid = ?"
        row = self._database.connection.execute(sql, (cid,)).fetchone()
        return None if row is None else Refused(cid, *row)

    def latest(self, most: int = REFUSED_MAX) -> tuple[Refused, ...]:
        """Return up to `most` refusals, the latest first."""
        sql = "SELECT cid, rule, words, at FROM refused ORDER BY id DESC LIMIT ?"
        rows = self._database.connection.execute(sql, (most,))
        return tuple(Refused(Cid(cid), rule, words, at) for cid, rule, words, at in rows)
