"""The waiting room: signed events some of whose links are not accepted here yet (rule A7).

Implements: specs/acceptance.md, verdict waiting. What waits can be sent again, so the room is bounded and evicts: an
actor with no accepted event has a quarter of it at most, and strangers go before others, the oldest first. Every method
takes part in the caller's transaction; `begin` comes first in each that changes what waits. Leaves out: why an event
waits (ledger.acceptance).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final

from ledger.acceptance import SignedEvent
from ledger.cid import Cid
from ledger.database import Database
from ledger.keys import ActorKey
from ledger.store import intact

WAITING_BLOCKS_MAX: Final = 10_000
WAITING_BYTES_MAX: Final = 64 * 1024 * 1024
STRANGER_SHARE: Final = 4
"""A stranger's blocks and bytes are at most the room's divided by this."""


@dataclass(slots=True)
class _Load:
    """How much waits: of one actor, or in all."""

    blocks: int = 0
    bytes: int = 0

    def add(self, size: int, sign: int) -> None:
        self.blocks += sign
        self.bytes += sign * size


class WaitingRoom:
    """The events that wait in `database`, found by what they wait for."""

    def __init__(
        self, database: Database, *, blocks_max: int = WAITING_BLOCKS_MAX, bytes_max: int = WAITING_BYTES_MAX
    ) -> None:
        self._database = database
        self._blocks_max = blocks_max
        self._bytes_max = bytes_max
        self._all = _Load()
        self._of: dict[bytes, _Load] = {}

    def begin(self) -> None:
        """Count what waits, since other processes and rollbacks change it. Call once in each transaction."""
        self._all = _Load()
        self._of = {}
        sql = "SELECT actor, count(*), sum(bytes) FROM waiting GROUP BY actor"
        for actor, blocks, size in self._database.connection.execute(sql):
            self._of[actor] = _Load(blocks, size)
            self._all.blocks += blocks
            self._all.bytes += size

    def has(self, cid: Cid) -> bool:
        """Return whether `cid` waits here."""
        return self._database.connection.execute("SELECT 1 FROM waiting WHERE cid = ?", (cid,)).fetchone() is not None

    def count(self) -> int:
        """Return how many events wait."""
        found: int = self._database.connection.execute("SELECT count(*) FROM waiting").fetchone()[0]
        return found

    def missing_of(self, cid: Cid) -> tuple[Cid, ...]:
        """Return what `cid` waits for; nothing where it does not wait."""
        sql = (
            "SELECT missing FROM waiting_links WHERE waiting = (SELECT id FROM waiting WHERE cid = ?) ORDER BY missing"
        )
        return tuple(Cid(missing) for (missing,) in self._database.connection.execute(sql, (cid,)))

    def put(
        self, signed: SignedEvent, missing: Iterable[Cid], now_ms: int, is_known: Callable[[ActorKey], bool]
    ) -> list[Cid]:
        """Let `signed` wait for `missing`; return what was evicted to stay within bounds, `signed` itself perhaps."""
        actor = signed.event.actor
        known = is_known(actor)
        size = len(signed.block)
        connection = self._database.connection
        id_ = connection.execute(
            "INSERT INTO waiting (cid, actor, known, bytes, received, block) VALUES (?, ?, ?, ?, ?, ?)",
            (signed.cid, actor, known, size, now_ms, signed.block),
        ).lastrowid
        connection.executemany("INSERT INTO waiting_links VALUES (?, ?)", ((cid, id_) for cid in missing))
        mine = self._of.setdefault(actor, _Load())
        mine.add(size, 1)
        self._all.add(size, 1)
        evicted: list[Cid] = []
        while not known and self._over(mine, STRANGER_SHARE):
            evicted += self._evict("SELECT id FROM waiting WHERE actor = ? ORDER BY id LIMIT 1", (actor,))
        while self._over(self._all, 1):
            evicted += self._evict("SELECT id FROM waiting ORDER BY known, id LIMIT 1", ())
        return evicted

    def trust(self, actor: ActorKey) -> None:
        """Treat what waits of `actor` as that of somebody known, from its first accepted event on."""
        if actor in self._of:
            self._database.connection.execute("UPDATE waiting SET known = 1 WHERE actor = ?", (actor,))

    def take_ready(self, accepted: Cid) -> list[bytes]:
        """Remove and return the blocks that waited for `accepted` and now for nothing else, in order of arrival."""
        if not self._all.blocks:
            return []
        connection = self._database.connection
        waiters = self._waiters(accepted)
        connection.execute("DELETE FROM waiting_links WHERE missing = ?", (accepted,))
        sql = "SELECT 1 FROM waiting_links WHERE waiting = ? LIMIT 1"
        return [self._remove(id_)[1] for id_ in waiters if connection.execute(sql, (id_,)).fetchone() is None]

    def take_all(self, refused: Cid) -> list[bytes]:
        """Remove and return the blocks that waited for `refused`, whatever else they wait for."""
        return [self._remove(id_)[1] for id_ in self._waiters(refused)] if self._all.blocks else []

    def wanted(self, most: int = 1000) -> tuple[Cid, ...]:
        """Return up to `most` CIDs that something waits for and that do not wait themselves."""
        sql = "SELECT DISTINCT missing FROM waiting_links WHERE missing NOT IN (SELECT cid FROM waiting) LIMIT ?"
        return tuple(Cid(cid) for (cid,) in self._database.connection.execute(sql, (most,)))

    def _waiters(self, cid: Cid) -> list[int]:
        sql = "SELECT waiting FROM waiting_links WHERE missing = ? ORDER BY waiting"
        return [id_ for (id_,) in self._database.connection.execute(sql, (cid,))]

    def _over(self, load: _Load, share: int) -> bool:
        return load.blocks * share > self._blocks_max or load.bytes * share > self._bytes_max

    def _evict(self, sql: str, arguments: tuple[bytes, ...]) -> list[Cid]:
        (id_,) = self._database.connection.execute(sql, arguments).fetchone()
        return [self._remove(id_)[0]]

    def _remove(self, id_: int) -> tuple[Cid, bytes]:
        connection = self._database.connection
        sql = "DELETE FROM waiting WHERE id = ? RETURNING cid, actor, bytes, block"
        ((cid, actor, size, block),) = connection.execute(sql, (id_,)).fetchall()
        connection.execute("DELETE FROM waiting_links WHERE waiting = ?", (id_,))
        self._all.add(size, -1)
        load = self._of[actor]
        load.add(size, -1)
        if not load.blocks:
            del self._of[actor]
        return Cid(cid), intact(self._database, cid, block)
