"""The home: one folder that joins a ledger's store, its board and the keys at hand. Several processes share it.

Implements: section Stores of the design. Every write is one durable transaction: blocks, board rows and heads together,
so that store and board never part and what was acknowledged survives a crash at any point.
Leaves out who may act (scheduler.membership) and what to do (scheduler.actions).
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Self

from crdt.board import Board
from crdt.board_store import TaskState
from crdt.fold import TaskFold
from crdt.state_root import REDUCER_VERSION
from ledger.acceptance import unsafe_signed, verify_genesis
from ledger.cid import Cid
from ledger.database import Database, StoreFullError, StoreMissingError, StoreReadOnlyError
from ledger.events import Event, Genesis, Policy, Role, VerifiedEvent
from ledger.intake import Intake
from ledger.keyring import KeyExistsError, KeyRing
from ledger.keys import ActorKey, SigningKey
from ledger.operations import Operation
from ledger.store import EventStore
from scheduler.board_tables import SqliteBoardStore
from scheduler.earlier import EarlierTasks, Previous, remember
from scheduler.membership import Membership
from scheduler.place import (
    OWNER_KEY_NAME,
    Clock,
    HomeExistsError,
    HomeNotFoundError,
    exists,
    holds_ledger,
    is_founded,
    missing,
    open_store,
    wall_clock_ms,
)
from scheduler.task_index import TaskIndex
from scheduler.wake import wake
from scheduler.writing import Writing


class Home:
    """An open home. Reads see what other processes have committed; `writing` is one durable transaction."""

    def __init__(self, folder: Path, database: Database, clock: Clock) -> None:
        self.folder = folder
        self.keys = KeyRing(folder / "keys")
        self.database = database
        self.now_ms = clock
        self._seen_version = -1
        self._beats: dict[ActorKey, int] = {}
        self._has_accepted = False
        self.first_accepted: list[VerifiedEvent] = []
        with database.reading():
            if not is_founded(database):
                raise missing(folder)
            self.intake = Intake(database, self._on_accept)
        self.ledger: Cid = self.intake.ledger
        self.genesis: Genesis = self.intake.genesis
        self.policy: Policy = self.genesis.policy
        self.events: EventStore = self.intake.events
        self.earlier = EarlierTasks(database)
        self._store = SqliteBoardStore(database, self.read_event, self.policy)
        self._new_board()

    def _new_board(self) -> None:
        self.board = Board(self.ledger, self.genesis, self._store)
        self.tasks = TaskIndex(self.board, self._store)
        self.members = Membership(self)

    # ---- opening

    @classmethod
    def found(
        cls,
        folder: Path,
        *,
        name: str = "default",
        policy: Policy | None = None,
        owner_key: SigningKey | None = None,
        owners: Sequence[ActorKey] = (),
        previous: Previous | None = None,
        clock: Clock = wall_clock_ms,
    ) -> Home:
        """Found a ledger in `folder` and return its home.

        The key "owner" is made and kept there, unless `owners` alone name who owns it. What is done in the `previous`
        ledger counts as submitted here. Raises HomeExistsError where there is a ledger.
        """
        keys = KeyRing(folder / "keys")
        if holds_ledger(folder):
            raise exists(folder)
        founders = set(owners)
        if owner_key is not None or not owners:
            kept = keys.ensure(OWNER_KEY_NAME, owner_key)
            if owner_key is not None and kept.actor != owner_key.actor:
                raise KeyExistsError(f"there is another key {OWNER_KEY_NAME!r} already in {keys.folder}")
            founders.add(kept.actor)
        heads = () if previous is None else previous.heads
        genesis = Genesis(name, clock(), secrets.token_bytes(16), tuple(sorted(founders)), policy or Policy(), heads)
        return cls._create(folder, genesis.encode(), previous, clock)

    @classmethod
    def enter(
        cls, folder: Path, genesis_block: bytes, *, previous: Previous | None = None, clock: Clock = wall_clock_ms
    ) -> Home:
        """Return a home in `folder` for an existing ledger; its events come by import or sync.

        What is done in `previous`, the ledger that the genesis names, counts as submitted here.
        """
        verify_genesis(genesis_block)
        if holds_ledger(folder):
            raise exists(folder)
        return cls._create(folder, genesis_block, previous, clock)

    @classmethod
    def _create(cls, folder: Path, genesis_block: bytes, previous: Previous | None, clock: Clock) -> Home:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        database = open_store(folder, create=True)
        try:
            with database.transaction():
                store = EventStore(database)
                if store.find_genesis() is not None:  # another process was faster
                    raise exists(folder)
                store.put_genesis(genesis_block)
                store.put_value("ledger", Cid.of(genesis_block))
                if previous is not None:
                    remember(database, Cid.of(genesis_block), previous.done)
            return cls(folder, database, clock)
        except BaseException:
            database.close()
            raise

    @classmethod
    def open(cls, folder: Path, *, clock: Clock = wall_clock_ms) -> Home:
        """Return the home in `folder`. Raises HomeNotFoundError without a ledger, StoreError as the store does."""
        try:
            database = open_store(folder, create=False)
        except StoreMissingError:
            raise missing(folder) from None
        try:
            home = cls(folder, database, clock)
            home._settle_clock()
        except BaseException:
            database.close()
            raise
        return home

    @classmethod
    def open_or_found(cls, folder: Path, *, clock: Clock = wall_clock_ms) -> tuple[Home, bool]:
        """Return the home in `folder`, and whether this first use has founded a private ledger with one owner."""
        try:
            return cls.open(folder, clock=clock), False
        except HomeNotFoundError:
            pass
        try:
            return cls.found(folder, clock=clock), True
        except HomeExistsError:
            return cls.open(folder, clock=clock), False

    def _settle_clock(self) -> None:
        """Hold what is ahead of a clock that was set back, and fold anew where the board is of other rules."""
        with self.database.reading():
            ahead = self._is_ahead(self.now_ms())
            version = self.events.find_value("reducer")
        current = str(REDUCER_VERSION).encode()
        if self.database.read_only or not (ahead or version != current):
            return
        with self.database.transaction(self._abandon):
            if self.intake.recompute_held(self.now_ms()) or version not in (None, current):
                self._rebuild()
            self.events.put_value("reducer", current)

    def _is_ahead(self, now_ms: int) -> bool:
        """Tell whether an accepted event is further ahead of the clock than the skew: it was set back since."""
        latest = self.database.connection.execute("SELECT max(time) FROM blocks").fetchone()[0]
        return latest is not None and latest > now_ms + self.policy.skew_ms

    def rebuild(self) -> None:
        """Fold the board anew from the stored events, as if it had been lost."""
        with self.database.transaction(self._abandon):
            self._rebuild()

    def _rebuild(self) -> None:
        known = self._store.empty()
        self._new_board()
        for event in self.intake.accepted():
            self.board.apply(event)
        for key in known:
            # A task that is gone, since its events are held now, stays as one that is void: so others learn of it.
            if self._store.find_task(key) is None:
                self._store.put_task(TaskState(TaskFold(key)))
        self._store.flush(self.now_ms())
        self._seen_version = -1

    def close(self) -> None:
        """Close the store; keys stay on disk."""
        self.database.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # ---- reading

    @contextmanager
    def reading(self) -> Iterator[Self]:
        """Read inside this block one state of store and board, with all that others have committed before."""
        with self.database.reading(self._reread):  # one that was broken off may have hashed half of the tree
            self._catch_up()
            yield self

    def _catch_up(self) -> None:
        version: int = self.database.connection.execute("PRAGMA data_version").fetchone()[0]
        if version != self._seen_version:
            self._store.reload(others_wrote=self._seen_version != -1)
            self.board.task_graph.clear()
            self._seen_version = version

    def is_current(self) -> bool:
        """Tell whether nobody else has written since this home last looked; costs next to nothing."""
        with self.database.reading() as connection:
            version: int = connection.execute("PRAGMA data_version").fetchone()[0]
        return version == self._seen_version

    def read_event(self, cid: Cid) -> Event:
        """Return an accepted event; KeyError for any other."""
        block = self.events.find_block(cid)
        if block is None:
            raise KeyError(f"{cid} is not accepted here")
        return unsafe_signed(block).event

    def state_root(self) -> bytes:
        """Return the hash over the whole board; what it had to hash anew is kept where the home can be written.

        Not to be called within a reading: there, `board.state_root` has it.
        """
        with self.reading():
            stale = self._store.has_stale()
        if stale and not self.database.read_only:
            with suppress(StoreFullError, StoreReadOnlyError), self.writing():  # kept only to spare the next one work
                self.board.refresh_tree()
        with self.reading():
            return self.board.state_root()

    def event_time(self) -> int:
        """Return the time (ms) an event written now would have: now, or later by the clock of a head (A10)."""
        links = map(self.intake.find, self.board.heads)
        return max(self.now_ms(), *(link.time for link in links if link is not None))

    def heard_of(self) -> dict[ActorKey, int]:
        """Return when each actor was last heard of, ms since 1970: its latest event, or a heartbeat in this home."""
        rows = self.database.connection.execute("SELECT actor, heard FROM heartbeats").fetchall()
        heard = {ActorKey(actor): at for actor, at in rows}
        for actor, at in self._beats.items():
            heard[actor] = max(at, heard.get(actor, 0))
        return heard

    # ---- writing

    @contextmanager
    def writing(self) -> Iterator[Writing]:
        """Write inside this block: all of it is durable when the block ends, none of it where anything is raised.

        Where an event was accepted, whoever watches the home (scheduler.wake) is told.
        """
        with self.database.transaction(self._abandon):
            self._has_accepted = False
            self._catch_up()
            now_ms = self.now_ms()
            if self._is_ahead(now_ms) and self.intake.recompute_held(
                now_ms
            ):  # what is made here would be ahead as well
                self._rebuild()
            self.intake.release_held(now_ms)
            yield Writing(self)
            self._store.flush(now_ms)
            self._flush_beats()
        self.board.take_changes()  # the tables have them; a long-lived home must not gather them
        if self._has_accepted:
            wake(self.folder)

    def _abandon(self) -> None:
        """Forget in memory what a rollback took back on disk."""
        self._reread()
        self._beats.clear()
        self._new_board()

    def _reread(self) -> None:
        """Read all anew in the next turn."""
        self._seen_version = -1  # first, in case this is interrupted as well
        self._store.drop()

    def append(self, key: SigningKey, operations: Sequence[Operation], role: Role | None = None) -> VerifiedEvent:
        """Sign and append one event in a transaction of its own."""
        with self.writing() as writing:
            return writing.append(key, operations, role)

    def beat(self, actor: ActorKey, at: int) -> None:
        """Note that an actor was heard of; never enters the log."""
        self._beats[actor] = max(at, self._beats.get(actor, 0))

    def _flush_beats(self) -> None:
        self.database.connection.executemany(
            "INSERT INTO heartbeats VALUES (?, ?) ON CONFLICT (actor) DO UPDATE SET heard = max(heard, excluded.heard)",
            self._beats.items(),
        )
        self._beats.clear()

    def _on_accept(self, event: VerifiedEvent) -> None:
        self.board.apply(event)
        self._has_accepted = True
        if not self.first_accepted:
            self.first_accepted.append(event)
        self.beat(event.event.actor, min(event.event.time, self.now_ms()))
