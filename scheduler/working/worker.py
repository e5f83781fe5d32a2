"""The worker: picks tasks by the heaps, claims them, has them run in slots, renews, settles, until it is told to end.

Implements: section Picking of the design, for a process that does the work itself. One thread speaks to the ledger; all
that the slots have ready goes into one event together with the next claims. It waits for appends in the home
(scheduler.wake), for its own threads, and for the instant at which something is due; it never polls. Killed at any
moment it leaves nothing to do: its leases end. Leaves out what the work is (scheduler.working.work).
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum, auto
from typing import Final

from crdt.records import TaskRecord
from ledger.cid import Cid
from ledger.database import StoreBusyError, StoreFullError, StoreReadOnlyError
from ledger.events import TaskKey
from ledger.keys import SigningKey
from scheduler import batch
from scheduler.action_errors import WithoutEffectError
from scheduler.batch import Failed
from scheduler.home import Home
from scheduler.pulse import Pulse
from scheduler.queue import Acceptance, TaskQueue
from scheduler.running.job import FailureClass
from scheduler.taking import Taken
from scheduler.wake import Watch
from scheduler.working.beginning import runs_of
from scheduler.working.counters import WorkerCounters
from scheduler.working.draining import ABANDON_S, DRAIN_LIMIT_S, Ending
from scheduler.working.folders import WorkFolders
from scheduler.working.joining import join_again
from scheduler.working.keeping import Keeper
from scheduler.working.pace import STALE_S, Pace
from scheduler.working.run import Phase
from scheduler.working.slots import ALWAYS, Slots
from scheduler.working.spool import Spool
from scheduler.working.work import Work

_logger = logging.getLogger(__name__)

LOOK_S: Final = 5.0
"""How often it looks though nothing woke it: a policy file, blobs, a folder that wakes nobody."""
LOST_LOOK_S: Final = 0.1
"""How soon after others have written it looks whether its claims still stand."""
GATHER_S: Final = 0.02
"""For how long it lets short tasks end that are under way, to settle them together."""
TOGETHER_S: Final = 0.05
"""For how long it is silent after an event with little in it, where others write, too: they have their turn, and what
comes meanwhile goes into one event."""
_TURN_S: Final = 2.0
_TURN_LOOK_S: Final = 0.02
"""For how long it waits for others that write before it leaves that to the store; and how soon it looks again, though
nobody woke it: what writes no event wakes nobody."""
DUE_AGAIN_S: Final = 0.05
"""What was due and turned out not to be is looked at again after so long."""
AGAIN_S: Final = 1.0
_AGAIN_MAX_S: Final = 30.0
"""How long it waits where the store cannot be written now, at first and at most."""

_TRANSIENT: Final = (StoreBusyError, StoreFullError, StoreReadOnlyError, WithoutEffectError)
"""What passes, or is another's business: nothing that has ended is lost, and it is tried again."""


class Until(Enum):
    """When a worker ends by itself."""

    TOLD = auto()
    """Never: it is told to."""
    ONCE = auto()
    """When nothing is left that is ready and that it may run; it waits until nearer peers have let that pass."""
    DRAINED = auto()
    """When nothing is left that it could ever take: no task is ready or delayed, and none is held by somebody."""


@dataclass(frozen=True, slots=True)
class Options:
    """How a worker works.

    Args:
        slots: tasks it runs at once.
        lease_ms: how long claims run without a renewal; None: as the ledger's policy says.
        until: when it ends by itself.
        drain_limit_s: how long it lets tasks finish once it is told to end.
    """

    slots: int = 1
    lease_ms: int | None = None
    until: Until = Until.TOLD
    drain_limit_s: float = DRAIN_LIMIT_S


class Worker:
    """A worker in one process. `run` is called once; `drain` and `reread` from anywhere, signal handlers too.

    Args:
        home: where the tasks are; for this worker alone.
        key: who works: a peer that has joined.
        work: makes what answers for the tasks, given the worker's folders.
        options: how it works.
    """

    def __init__(
        self, home: Home, key: SigningKey, work: Callable[[WorkFolders], Work], options: Options = Options()
    ) -> None:
        self.counters = WorkerCounters()
        self.pulse = Pulse()
        self._home = home
        self._key = key
        self._options = options
        self._lease_ms = min(options.lease_ms or home.policy.lease_ms, home.policy.lease_ms_max)
        self._folders = WorkFolders(home.folder)
        self._watch = Watch(home.folder)
        self._work = work(self._folders)
        self._queue = TaskQueue(home, key.actor, self._accepts)
        self._slots = Slots(options.slots, self._ring)
        self._keeper = Keeper(home, key.actor, self._lease_ms, self.counters)
        self._pace = Pace(options.slots)
        self._ending = Ending(options.drain_limit_s)
        self._is_asleep = False
        self._has_news = True  # others have written, or something else has changed what may be taken
        self._found_none = False
        self._trouble = 0
        self._again_at = 0.0
        self._others_wrote = False
        self._gather_until = 0.0
        self._look_at = 0.0
        self._due_again_at = 0.0
        self._lost_look_at: float | None = None

    # ---- telling it

    def drain(self) -> None:
        """Have it take nothing new, and end when what runs has ended; called again: give back what runs, and end."""
        self._ending.tell()
        self._watch.poke()

    def reread(self) -> None:
        """Have it read its policy anew."""
        self._work.reread()
        self._watch.poke()

    @property
    def claims(self) -> int:
        """How many claims it holds."""
        return len(self._keeper.runs)

    def trouble(self) -> str:
        """Return why it takes no tasks now, "" where it does; from any thread."""
        if self._ending.is_told:
            return "it was told to end, and takes nothing more"
        if self._trouble:
            return "the home cannot be used now"
        if time.monotonic() < self._pace.paused_until:
            return "this machine failed again and again: it takes nothing for a while"
        return ""

    # ---- the loop

    def run(self) -> WorkerCounters:
        """Work until told to end, or until `Options.until`; return what was done.

        Raises NotAMemberError once the key is no worker of the ledger any more, StoreError for a store that is damaged.
        """
        try:
            while not self._is_over():
                self.pulse.beat()
                try:
                    self._turn(time.monotonic())
                except _TRANSIENT as error:
                    self._wait_for_the_store(error)
                self._wait()
        finally:
            self._end_all()
            self._slots.close()
            self._watch.close()
            self._work.close()
            self._folders.close()
        return self.counters

    def _end_all(self) -> None:
        """Have nothing run on where the loop was left with claims at hand."""
        for run in self._keeper.runs.values():
            run.end("the worker ended")
        self._is_asleep = True
        until = time.monotonic() + ABANDON_S
        while self._slots.open and self._keeper.runs and (left_s := until - time.monotonic()) > 0:
            self._watch.wait(left_s)
        for run in self._keeper.runs.values():
            run.close()

    def _is_over(self) -> bool:
        if self._keeper.runs:
            return bool(self._trouble) and self._ending.gives_up(time.monotonic(), len(self._keeper.runs))
        if self._ending.is_told:
            return True
        if self._options.until is Until.TOLD or not self._found_none:
            return False
        wakes_at = self._queue.wakes_at()
        if wakes_at is None:
            return True
        is_for_later = wakes_at > self._home.now_ms() and not self._queue.awaits_turn()
        return self._options.until is Until.ONCE and is_for_later

    def _turn(self, now: float) -> None:
        if not self._home.is_current():
            self._has_news = self._others_wrote = True
            if self._lost_look_at is None:
                self._lost_look_at = now + LOST_LOOK_S
        if self._work.has_changed():
            self._queue.forget()
            self._has_news = True
            self._end_what_may_not_run()
        self._collect(now)
        is_silent = now < self._silent_until
        if self._keeper.has_endings and not is_silent:
            self._await_turn()
            self._collect(now)
        self._end_what_must(now)
        if is_silent:
            return
        endings, most = self._keeper.endings(now), self._room(now)
        if endings or (most and self._is_worth_a_look(now)):
            self._speak(endings, most)

    @property
    def _silent_until(self) -> float:
        """Until when it tells the ledger nothing: the store is in trouble, or others have their turn."""
        return max(self._again_at, self._gather_until)

    def _await_turn(self) -> None:
        """Wait for other processes that write: they wake this one when they have, which is sooner than SQLite looks."""
        now = time.monotonic()
        while not self._home.database.is_free() and time.monotonic() < now + _TURN_S:
            self._watch.wait(_TURN_LOOK_S)

    def _end_what_may_not_run(self) -> None:
        """Have end what a new policy forbids, or whose submitter was revoked while it ran."""
        with self._home.reading():
            forbidden = [run for run in self._keeper.runs.values() if not self._work.permits(run.record)]
        for run in forbidden:
            run.end("this worker may not run it any more")

    def _is_worth_a_look(self, now: float) -> bool:
        if self._has_news or now >= self._look_at:
            return True
        wakes_at = self._queue.wakes_at()
        return wakes_at is not None and wakes_at <= self._home.now_ms() and now >= self._due_again_at

    def _speak(self, endings: list[batch.Ending], most: int) -> None:
        """Tell the ledger what has ended, and take what there is room for."""
        if most:
            self._has_news = False
            join_again(self._home, self._key)
        try:
            found = batch.settle_and_take(
                self._home,
                self._key,
                endings,
                most=most,
                lease_ms=self._lease_ms,
                queue=self._queue,
                await_turn=None if endings else self._await_turn,
            )
        except BaseException:
            self._has_news = True
            raise
        self._trouble, self._again_at = 0, 0.0
        now = time.monotonic()
        is_little = len(found.taken) < self._slots.count and len(endings) < self._slots.count
        self._gather_until = now + TOGETHER_S if self._others_wrote and is_little else 0.0
        self._others_wrote = False
        self._keeper.heard(found)
        self._begin(found.taken)
        if most:
            self._found_none = not found.taken
            self._look_at = now + LOOK_S
            self._due_again_at = now + DUE_AGAIN_S if self._found_none else now

    def _wait_for_the_store(self, error: Exception) -> None:
        self._trouble += 1
        pause_s = min(AGAIN_S * 2 ** (self._trouble - 1), _AGAIN_MAX_S)
        self._again_at = time.monotonic() + pause_s
        _logger.warning(
            "the home cannot be used now, trying again in %.0f s: %s", pause_s, error, extra={"event": "store_trouble"}
        )

    # ---- taking

    def _accepts(self, record: TaskRecord) -> Acceptance:
        if record.key in self._keeper.runs:  # an earlier claim of it still runs here
            return Acceptance.LATER
        return self._work.accepts(record)

    def _room(self, now: float) -> int:
        if self._ending.is_told or now < self._pace.paused_until:
            return 0
        return max(0, self._slots.count + self._pace.ahead(now) - self._slots.open)

    def _begin(self, claimed: Sequence[Taken]) -> None:
        self.counters.claimed += len(claimed)
        for run in runs_of(self._home, self._work, claimed, self._spool):
            self._keeper.add(run)
            if run.ending is None:
                self._slots.give(run)
            else:
                self._keeper.ended(run, run.ending)

    def _spool(self, task: TaskKey, claim: Cid) -> Spool:
        return Spool(self._folders.note(task, claim), self._ring, time.monotonic, self._lease_ms / 2000)

    # ---- what has ended, and what is to end

    def _collect(self, now: float) -> None:
        for run in self._slots.take_finished():
            assert run.ending is not None  # noqa: S101  # it has finished
            self._keeper.ended(run, run.ending)
            failed = isinstance(run.ending, Failed) and run.ending.failure_class == FailureClass.INFRASTRUCTURE
            self._pace.ran(run.duration_s, now, machine_failed=failed)
            if failed and self._pace.paused_until > now:
                pause_s = self._pace.paused_until - now
                _logger.warning(
                    "this machine fails again and again: taking nothing for %.0f s", pause_s, extra={"event": "paused"}
                )

    def _end_what_must(self, now: float) -> None:
        runs = self._keeper.runs.values()
        for run in runs:
            if run.phase is Phase.WAITING and now - run.since >= STALE_S:
                run.end("another task took longer than thought")
                self._pace.waited_too_long(now)
        self._ending.end(runs, now)
        ms = self._keeper.times_out_at()
        if (self._lost_look_at is not None and now >= self._lost_look_at) or (
            ms is not None and ms <= self._home.now_ms()
        ):
            self._lost_look_at = None
            self._keeper.look()
        for run in list(runs):
            if run.phase is Phase.DROPPED and run.ending is not None and self._keeper.ended(run, run.ending):
                self._slots.withdraw()

    # ---- waiting

    def _ring(self) -> None:
        if self._is_asleep:
            self._watch.poke()

    def _wait(self) -> None:
        """Sleep until something is to be done; then let short tasks that are under way end, to settle them together."""
        self._is_asleep = True  # first: what rings from now on counts
        if not self._slots.has_finished and not self._is_over():
            self._watch.wait(self._sleep_s(time.monotonic()))
        if self._slots.has_finished and self._slots.open and self._pace.ahead(now := time.monotonic()):
            self._slots.ring_at = 0
            until = now + GATHER_S
            while self._slots.open and (left_s := until - time.monotonic()) > 0:
                self._watch.wait(left_s)
            self._slots.ring_at = ALWAYS
        self._is_asleep = False

    def _sleep_s(self, now: float) -> float:
        """Return for how long nothing is due."""
        at = [now + LOOK_S, *self._ending.instants(), *self._keeper.stale_at(STALE_S)]
        if self._lost_look_at is not None:
            at.append(self._lost_look_at)
        if (ms := self._keeper.times_out_at()) is not None:
            at.append(now + (ms - self._home.now_ms()) / 1000)
        if now < self._silent_until:
            return max(0.0, min(*at, self._silent_until) - now)
        if self._keeper.has_endings:
            return 0.0
        if (due := self._keeper.due_at()) is not None:
            at.append(due)
        if now < self._pace.paused_until:
            at.append(self._pace.paused_until)
        if self._room(now):
            if self._has_news:
                return 0.0
            at.append(self._look_at)
            if (ms := self._queue.wakes_at()) is not None:
                at.append(max(now + (ms - self._home.now_ms()) / 1000, self._due_again_at))
        return max(0.0, min(at) - now)
