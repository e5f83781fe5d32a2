"""What one peer holds, and how it reaches it: late, twice, out of order or not at all.

A replica takes events as acceptance would: what lacks links waits, what is ahead of its clock is held. It hands on its
log and nothing else (R6).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from random import Random
from typing import TypeAlias

from crdt.records import Snapshot
from ledger.cid import Cid
from ledger.events import Genesis, TaskKey, VerifiedEvent
from tests.support.worlds import World

Reducer: TypeAlias = Callable[[Cid, Genesis, Iterable[VerifiedEvent]], Snapshot]


class LawBrokenError(AssertionError):
    """A law of the rules does not hold in this run: its name, and what was seen."""


class Boards:
    """The reducer with a short memory: after healing all replicas ask for the same board."""

    def __init__(self, world: World, reducer: Reducer) -> None:
        self.world = world
        self.reducer = reducer
        self._kept: dict[frozenset[Cid], Snapshot] = {}

    def of(self, known: frozenset[Cid], random: Random) -> Snapshot:
        """Return the snapshot of a closed set, its events given in random order and some of them twice."""
        if known not in self._kept:
            events = self.world.of(sorted(known))
            random.shuffle(events)
            while len(self._kept) > 24:
                del self._kept[next(iter(self._kept))]
            self._kept[known] = self.reducer(self.world.ledger, self.world.genesis, [*events, *events[:3]])
        return self._kept[known]


class Replica:
    """A store of events with a clock of its own; `skew_ms` is how far that clock is ahead."""

    def __init__(self, boards: Boards, skew_ms: int, random: Random) -> None:
        self.world = boards.world
        self.boards = boards
        self.skew_ms = skew_ms
        self.random = random
        self.now_ms = 0
        self.known: set[Cid] = set()
        self.aside: set[Cid] = set()
        """What waits for links, or is held until its time has come."""
        self.void: frozenset[Cid] = frozenset()
        self.done: dict[TaskKey, frozenset[Cid]] = {}

    def tick(self, now_ms: int) -> None:
        """Move the clock to `now_ms` of true time, and look again at what was set aside."""
        self.now_ms = now_ms + self.skew_ms
        self.receive(())

    def receive(self, cids: Iterable[Cid]) -> None:
        """Take in what can be taken: what links only known events and is not ahead of the clock by more than skew."""
        self.aside |= set(cids) - self.known
        latest = self.now_ms + self.world.genesis.policy.skew_ms
        moved = True
        while moved:
            moved = False
            for cid in sorted(self.aside):
                if self.is_linked(cid) and self.world.time_of(cid) <= latest:
                    self.known.add(cid)
                    self.aside.discard(cid)
                    moved = True

    def is_linked(self, cid: Cid) -> bool:
        """Return whether all that an event links is known here."""
        return set(self.world.events[cid].event.links()) <= self.known | {self.world.ledger}

    def holds(self) -> bool:
        """Return whether something is set aside for its time alone."""
        return any(self.is_linked(cid) for cid in self.aside)

    def snapshot(self) -> Snapshot:
        """Return the board, having checked that no denial was undone, and that nothing done was lost but by denial."""
        snapshot = self.boards.of(frozenset(self.known), self.random)
        void = frozenset(self.known) - snapshot.counts
        if not self.void <= void:
            raise LawBrokenError(f"a denial was undone: {sorted(map(str, self.void - void))}")
        for key, completions in self.done.items():
            if completions & snapshot.counts and (task := snapshot.tasks.get(key)) and task.result is None:
                raise LawBrokenError(f"done did not stay done: {key.hex()}")
        self.void = void
        self.done = {key: frozenset(done.cid for done in task.completions) for key, task in snapshot.tasks.items()}
        return snapshot
