"""The queue of one peer: which open task it takes next, and when the next one becomes its to take.

Implements: specs/assignment.md, S5 over S1 to S4 and S6. Two Fibonacci heaps: *delayed* by (instant, task key), where a
task waits until it is this peer's to take, *ready* by (due + rank × grace, task key). Fed from the home: at first with
every open task, then with what changed. A task leaves the queue by what the board says of it, never by being looked at;
so nothing that was not claimed is lost. Leaves out claiming (scheduler.taking).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from crdt.attempts import runs
from crdt.records import TaskRecord
from crdt.view import Status, is_overdue, view
from ledger.events import TaskKey
from ledger.keys import ActorKey
from scheduler.assignment import Crew, crew_of, due_at, ready_since, take_at
from scheduler.fibonacci_heap import FibonacciHeap, FibonacciNode
from scheduler.home import Home

HeapKey = tuple[int, TaskKey]
"""An instant (ms since 1970), ties by task key."""

Heap = FibonacciHeap[HeapKey, TaskKey]

LATER_MS: Final = 2_000
"""After so long a task is looked at again that the peer would take, but for something that may come any moment."""


class Acceptance(StrEnum):
    """Whether a peer would take a task that is ready: what it was told it may run, and what it has at hand."""

    YES = "yes"
    NO = "no"
    """It never will, as things are: the task is left aside until it changes, or the queue forgets."""
    LATER = "later"
    """It lacks what comes without a change on the board, such as a blob."""


Accepts = Callable[[TaskRecord], Acceptance]


class Place(StrEnum):
    """Where a task stands in the queue."""

    READY = "ready"
    DELAYED = "delayed"
    GRACE = "grace"
    """Ready, and left to nearer peers for a while (S4): in the delayed heap, too."""
    HELD = "held"
    """Somebody's claim runs: in the delayed heap, too, until the claim may have ended."""
    ASIDE = "aside"
    """In no heap: it waits on needs, or nothing makes it this peer's to take but a change."""


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a task belongs, since `at` (its key in the heap, ms), and what it waits on."""

    place: Place
    at: int = 0
    holder: ActorKey | None = None
    needs: tuple[TaskKey, ...] = ()


@dataclass(slots=True)
class Entry:
    """A task in the queue; `node` is its handle in its heap, `fed_at` when it was placed last, in ms."""

    standing: Standing
    node: FibonacciNode[HeapKey, TaskKey] | None = None
    fed_at: int = 0


class TaskQueue:
    """The open tasks of a home, in the order in which the peer `me` takes them.

    Building it costs one look at each open task, `refresh` one at each task that changed since. Where a worker comes,
    goes, falls silent or is heard again, ranks shift: then all open tasks are placed anew.

    Args:
        home: where the tasks are.
        me: the peer.
        accepts: whether the peer would take a task that is ready; asked whenever one is placed, within a reading or
            writing of the home. None: whatever is its to take, once the payload is here.
    """

    def __init__(self, home: Home, me: ActorKey, accepts: Accepts | None = None) -> None:
        self._home = home
        self._me = me
        self._accepts = accepts
        self._crew = Crew(())
        self._seq = -1  # what of the home's changes has been fed; nothing yet
        self._clear()

    def _clear(self) -> None:
        self._entries: dict[TaskKey, Entry] = {}
        self._dependents: dict[TaskKey, set[TaskKey]] = {}
        self._delayed: Heap = FibonacciHeap()
        self._ready: Heap = FibonacciHeap()
        self._held: set[TaskKey] = set()
        self._in_grace: set[TaskKey] = set()

    # ---- what it tells

    def size(self) -> int:
        """Return how many tasks nobody holds that are this peer's to take, now or from a known instant."""
        return len(self._ready) + len(self._delayed) - len(self._held)

    def __len__(self) -> int:
        return self.size()

    @property
    def crew(self) -> Crew:
        """The active workers as of the last `refresh`."""
        return self._crew

    def keys(self) -> tuple[TaskKey, ...]:
        """Return the open tasks, of every place."""
        return tuple(self._entries)

    def held(self) -> dict[TaskKey, ActorKey]:
        """Return the tasks that somebody holds, and who."""
        holders = ((key, self._entries[key].standing.holder) for key in self._held)
        return {key: holder for key, holder in holders if holder is not None}

    def wakes_at(self) -> int | None:
        """Return the instant (ms) from which to look again: 0 if a task is ready, None if none is known to come."""
        least = self._delayed.get_min()
        if self._ready:
            return 0
        return None if least is None else least[0][0]

    def awaits_turn(self) -> bool:
        """Whether a task is ready that becomes this peer's to take, if no nearer one takes it."""
        return bool(self._in_grace)

    # ---- feeding

    def refresh(self, now: int) -> None:
        """Feed what changed since the last call, in the home and on the clock (`now`, ms)."""
        home = self._home
        crew = crew_of(home.board.roster(), home.board.active_workers(), home.heard_of(), self._me, home.policy, now)
        last = _last_change(home)
        known, self._seq = self._seq, last
        ranks_stand = crew.ranked() == self._crew.ranked()
        self._crew = crew
        if not ranks_stand or not 0 <= known <= last:  # numbers that fall back: the board was folded anew
            self._clear()
            for record in home.tasks.open_tasks():
                self._feed(record.key, record, now)
        elif known < last:
            self.touch(self._of_interest(home.tasks.standing_since(known)), now)
        self.touch(home.board.changed_tasks(), now)  # in this transaction, such as by events that were held till now
        while (least := self._delayed.get_min()) is not None and least[0][0] <= now:
            self._feed(least[1], home.board.find_record(least[1]), now)

    def _of_interest(self, changed: list[tuple[TaskKey, str]]) -> list[TaskKey]:
        """Return which tasks to look at; those that are over, and that nobody here waits for, leave without a look."""
        found: list[TaskKey] = []
        for key, standing in changed:
            if standing == "open" or key in self._dependents:
                found.append(key)
            elif key in self._entries:
                self._feed(key, None, 0)
        return found

    def touch(self, keys: Iterable[TaskKey], now: int) -> None:
        """Feed tasks that changed, and those that need one now done: what `refresh` finds, or what was just written."""
        find = self._home.board.find_record
        for key in keys:
            record = find(key)
            self._feed(key, record, now)
            if record is not None and record.completions:
                for dependent in tuple(self._dependents.get(key, ())):
                    self._feed(dependent, find(dependent), now)

    def took(self, record: TaskRecord, until: int) -> None:
        """Feed a task that this peer has just claimed: its claim is the only one that runs (F1b), until `until`."""
        entry = self._entries.get(record.key)
        if entry is not None:
            self._watch(record.key, entry.standing.needs, ())
            self._move(record.key, entry, Standing(Place.HELD, until, self._me))

    def did(self, keys: Iterable[TaskKey], now: int) -> None:
        """Feed tasks that this peer has just completed."""
        for key in keys:
            if key in self._dependents:
                self.touch((key,), now)
            elif key in self._entries:
                self._feed(key, None, now)

    def has_fed(self, before: int, after: int) -> None:
        """Note that what the home changed since change number `before`, up to `after`, was fed by `touch` already."""
        if self._seq == before:
            self._seq = after

    def forget(self) -> None:
        """Feed everything anew at the next refresh: after a transaction that was rolled back."""
        self._seq = -1

    def next_task(self, now: int) -> TaskRecord | None:
        """Return the task to take at `now` (ms), None where there is none; it stays in the queue until it is claimed.

        Of the ready ones it is that of the least (due + rank × grace, key), whenever and however often one asks. It
        reads one state of the board: call it inside the home's `reading` or `writing`.
        """
        self.refresh(now)
        return self._least(now)

    def next_tasks(self, now: int, most: int) -> list[TaskRecord]:
        """Return up to `most` tasks to take at `now` (ms), in order; as `next_task`, several at once."""
        self.refresh(now)
        found: list[TaskRecord] = []
        apart: list[tuple[HeapKey, TaskKey]] = []
        while len(found) < most and (record := self._least(now)) is not None:
            found.append(record)
            if (least := self._ready.extract_min()) is not None:
                apart.append(least)
        for at, key in apart:  # they stay in the queue until they are claimed
            self._entries[key].node = self._ready.insert(at, key)
        return found

    def _least(self, now: int) -> TaskRecord | None:
        while (least := self._ready.get_min()) is not None:
            key = least[1]
            record = self._home.board.find_record(key)
            # An expiry, or a clock set back, changes a task that nobody touched.
            if record is not None and record.spec.expires_at is None and now >= self._entries[key].fed_at:
                return record
            self._feed(key, record, now)
            again = self._ready.get_min()
            if record is not None and again is not None and again[1] == key:
                return record
        return None

    # ---- placing

    def _feed(self, key: TaskKey, record: TaskRecord | None, now: int) -> None:
        standing = None if record is None else self._standing(record, now)
        entry = self._entries.get(key)
        if entry is None:
            if standing is None:
                return
            entry = self._entries[key] = Entry(Standing(Place.ASIDE))
        entry.fed_at = now
        self._watch(key, entry.standing.needs, () if standing is None else standing.needs)
        self._move(key, entry, standing or Standing(Place.ASIDE))
        if standing is None:
            del self._entries[key]

    def _standing(self, record: TaskRecord, now: int) -> Standing | None:
        """Where a task belongs at `now`; None where it is nobody's to take any more."""
        home = self._home
        policy = home.policy
        seen = view(record, home.board.find_record, policy, now)
        match seen.status:
            case Status.DONE | Status.CANCELLED:
                return None
            case Status.HELD:
                last = max(claim.until for claim in record.claims if runs(claim, now))
                return Standing(Place.HELD, last, None if seen.holder is None else seen.holder.actor)
            case Status.DEAD | Status.EXPIRED:
                return Standing(Place.ASIDE)
            case Status.BLOCKED | Status.WAITING | Status.READY:
                rank = self._crew.rank_of(self._me, record)
                ready_at = ready_since(seen, first_saw(home, record))
                if rank is None or ready_at is None:
                    return Standing(Place.ASIDE, needs=seen.unmet)
                turn = taken_from = take_at(ready_at, rank, policy, overdue=is_overdue(record))
                if self._accepts is None:
                    if self._lacks_payload(record):
                        turn = max(turn, now + policy.lease_ms)
                elif (acceptance := self._accepts(record)) is Acceptance.NO:
                    return Standing(Place.ASIDE)
                elif acceptance is Acceptance.LATER:
                    turn = max(turn, now + LATER_MS)
                if now < turn:
                    return Standing(Place.GRACE if ready_at <= now and turn == taken_from else Place.DELAYED, turn)
                return Standing(Place.READY, due_at(taken_from, record.priority, policy))

    def _lacks_payload(self, record: TaskRecord) -> bool:
        """Tell whether the payload is not in this home yet: the peer leaves the task to others, and looks again."""
        payload = record.spec.payload
        return payload is not None and payload.blob is not None and not self._home.intake.blobs.has(payload.blob)

    def _watch(self, key: TaskKey, before: tuple[TaskKey, ...], needs: tuple[TaskKey, ...]) -> None:
        """Have a task fed again when one of its needs changes."""
        if before == needs:
            return
        for need in before:
            dependents = self._dependents[need]
            dependents.discard(key)
            if not dependents:
                del self._dependents[need]
        for need in needs:
            self._dependents.setdefault(need, set()).add(key)

    def _move(self, key: TaskKey, entry: Entry, standing: Standing) -> None:
        """Put a task where it belongs. A raised priority is one decrease-key."""
        old, node = entry.standing, entry.node
        entry.standing = standing
        source, target = self._heap(old.place), self._heap(standing.place)
        if node is not None and source is target and source is not None:
            if standing.at < old.at:
                source.decrease_key(node, (standing.at, key))
            elif standing.at > old.at:
                source.delete(node)
                entry.node = source.insert((standing.at, key), key)
        else:
            if node is not None and source is not None:
                source.delete(node)
            entry.node = None if target is None else target.insert((standing.at, key), key)
        for place, keys in ((Place.HELD, self._held), (Place.GRACE, self._in_grace)):
            if standing.place is place:
                keys.add(key)
            else:
                keys.discard(key)

    def _heap(self, place: Place) -> Heap | None:
        if place is Place.READY:
            return self._ready
        return None if place is Place.ASIDE else self._delayed


def first_saw(home: Home, record: TaskRecord) -> int:
    """Return when `home` first saw a task ready at its present instant (S2), its needs' completions included."""
    return max(map(home.tasks.first_seen_ms, (record.key, *record.spec.needs)))


def _last_change(home: Home) -> int:
    """Return the number of the home's last change, 0 before the first."""
    row = home.database.connection.execute("SELECT changes FROM board").fetchone()
    return int(row[0]) if row else 0
