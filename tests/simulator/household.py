"""A replica of the real kind: a home in a folder of its own, open as if in several processes, on a wrong clock.

It crashes amid transactions (its clock raises there), is closed and opened again, folds its board anew, and is set back
to an old copy of its file. Blocks come to it by `Writing.offer`, or from another home by the exchange of the product.
"""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Iterable, Sequence
from contextlib import closing
from pathlib import Path

from crdt.records import Snapshot
from ledger.cid import Cid
from ledger.exchange import Answerer, CallCarrier, pull
from ledger.intake import IntakeReport
from scheduler.home import Home
from scheduler.place import DATABASE_NAME
from scheduler.replica import replica_of
from tests.simulator.replica import LawBrokenError
from tests.support.worlds import World


class CrashError(Exception):
    """What kills a process, in the middle of whatever it does."""


class SkewedClock:
    """A machine's clock, `skew_ms` ahead of the true time; whoever reads it after `fuse` more readings crashes."""

    def __init__(self, skew_ms: int, now_ms: int) -> None:
        self.skew_ms = skew_ms
        self.ahead_ms = 0
        """How far it has run away beside that, until somebody sets it right."""
        self.true_ms = now_ms
        self.fuse: int | None = None

    def __call__(self) -> int:
        """Return the time in ms, or crash."""
        if self.fuse is not None:
            self.fuse -= 1
            if self.fuse < 0:
                self.fuse = None
                raise CrashError
        return self.true_ms + self.skew_ms + self.ahead_ms


class Household:
    """One home and the clock of its machine. `open` gives each process of it a `Home` of its own."""

    def __init__(self, name: str, folder: Path, world: World, skew_ms: int, now_ms: int) -> None:
        self.name = name
        self.folder = folder / name
        self.backup_file = folder / f"{name}.backup"
        self.world = world
        self.clock = SkewedClock(skew_ms, now_ms)
        self._opened: list[Home] = []
        self.home = Home.enter(self.folder, world.genesis.encode(), clock=self.clock)
        """The carrier's: it takes blocks in and hands them on."""
        self.promised: set[Cid] = set()
        """What honest peers of this home were told is durable."""
        self.blobs: list[bytes] = []
        """Payloads too large for an event, as its peers made them."""
        self.restarts = 0
        """How often all of its processes had to begin anew."""

    def open(self) -> Home:
        """Return the home as another process opens it."""
        home = Home.open(self.folder, clock=self.clock)
        self._opened.append(home)
        return home

    def close(self) -> None:
        """End every process that has the home open."""
        for home in (self.home, *self._opened):
            home.close()
        self._opened.clear()

    def reopen(self) -> None:
        """Let the carrier's process begin anew."""
        self.home.close()
        self.home = self.open()

    # ---- what it holds

    def snapshot(self) -> Snapshot:
        """Return the board as it is kept."""
        with self.home.reading():
            return self.home.board.snapshot()

    def accepted(self) -> list[Cid]:
        """Return the accepted events in order of arrival."""
        return self._cids("SELECT cid FROM blocks ORDER BY id")

    def held(self) -> list[Cid]:
        """Return what is held until its time has come."""
        return self._cids("SELECT cid FROM held ORDER BY rowid")

    def waiting(self) -> list[Cid]:
        """Return what waits for a link."""
        return self._cids("SELECT cid FROM waiting ORDER BY id")

    def _cids(self, sql: str) -> list[Cid]:
        with self.home.reading():
            return [Cid(cid) for (cid,) in self.home.database.connection.execute(sql)]

    def has_kept(self, cid: Cid) -> bool:
        """Return whether an event is accepted or held here."""
        with self.home.reading():
            return self.home.events.find_block(cid) is not None or self.home.intake.held.has(cid)

    # ---- what comes to it

    def offer(self, batches: Iterable[Sequence[bytes]]) -> None:
        """Take in blocks in one transaction; raise where acceptance does not judge as the world did."""
        with self.home.writing() as writing:
            for blocks in batches:
                self.check(writing.offer(blocks))

    def check(self, report: IntakeReport) -> None:
        """Check that what is accepted was signed by whom it names, and that no good block is refused or dropped."""
        if forged := [cid for cid in report.accepted if cid not in self.world.events]:
            raise LawBrokenError(f"{self.name} accepted what nobody made: {forged}")
        refused = [refusal for refusal in report.refused if refusal.cid in self.world.events]
        if refused or report.evicted:
            raise LawBrokenError(f"{self.name} refused good events {refused} or had no room: {report.evicted}")

    def pull(self, source: Household) -> int:
        """Bring what is missing here from another home, by the exchange; return how many events were sent."""
        now_ms = self.home.now_ms()
        carrier = CallCarrier(Answerer(replica_of(source.home), lambda: now_ms))
        pulled = pull(replica_of(self.home), carrier, lambda: now_ms)
        totals = pulled.taken
        if totals.refused or totals.evicted or (totals.waiting and not self.held()):
            raise LawBrokenError(f"{self.name} could not take in what {source.name} sent: {totals}")
        return pulled.events

    # ---- what befalls it

    def back_up(self) -> None:
        """Keep a copy of the file as it is now."""
        with (
            closing(sqlite3.connect(self.folder / DATABASE_NAME)) as source,
            closing(sqlite3.connect(self.backup_file)) as copy,
        ):
            source.backup(copy)

    def restore(self) -> set[Cid]:
        """Go back to the last copy, with every process of the home ended; return the events that are gone."""
        before = {*self.accepted(), *self.held()}
        self.close()
        for suffix in ("-wal", "-shm"):
            (self.folder / f"{DATABASE_NAME}{suffix}").unlink(missing_ok=True)
        shutil.copyfile(self.backup_file, self.folder / DATABASE_NAME)
        self.home = self.open()
        self.restarts += 1
        return before - {*self.accepted(), *self.held()}

    def set_clock_right(self, *, restart: bool) -> None:
        """Set the clock back to where it should be, as processes go on or with all of them begun anew."""
        if restart:
            self.close()
        self.clock.ahead_ms = 0
        if restart:
            self.home = self.open()
            self.restarts += 1
