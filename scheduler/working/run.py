"""One claim that a worker holds: waiting for a slot, running in it, ended; what it prints and when it is to end.

A run is begun and finished by a slot's thread; the worker's thread decides the rest. Leaves out what is done
(scheduler.working.work) and the threads (scheduler.working.slots).
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, auto
from typing import TypeAlias

from ledger.operations import ERROR_BYTES_MAX
from scheduler.batch import Ending, Failed, Released
from scheduler.running.job import FailureClass, StopSignal
from scheduler.taking import Taken
from scheduler.working.spool import Spool

_logger = logging.getLogger(__name__)

_WORDS_BYTES_MAX = 1_024

Act: TypeAlias = "Callable[[Run], Ending]"
"""Does the work in a slot's thread and says how it ended, without a log. What it raises is the machine's failure."""


class Phase(Enum):
    """Where a run stands."""

    WAITING = auto()
    RUNNING = auto()
    FINISHED = auto()
    DROPPED = auto()
    """It never ran, or nobody waits for its end any more."""


@dataclass(frozen=True, slots=True)
class Timing:
    """When a run is to be over: instants in ms by the home's clock."""

    claimed_at: int
    times_out_at: int

    @property
    def length_ms(self) -> int:
        """How long it may last."""
        return self.times_out_at - self.claimed_at


class Run:
    """One claim at work, and what it says live (scheduler.running.job.Live)."""

    def __init__(self, taken: Taken, act: Act, make_spool: Callable[[], Spool], timing: Timing) -> None:
        self.record = taken.record
        self.task = taken.record.key
        self.claim = taken.claim
        self.until = taken.until
        self.timing = timing
        self.phase = Phase.WAITING
        self.since = time.monotonic()
        """When it was claimed; once it runs, when it was begun."""
        self.renewed_at = self.since
        self.duration_s = 0.0
        self.ending: Ending | None = None
        self.spool: Spool | None = None
        self.words: str | None = None
        """The last words on its progress, until a renewal carries them."""
        self.stopped: str | None = None
        self.timed_out = False
        self.is_lost = False
        self._act = act
        self._make_spool = make_spool
        self._stop: StopSignal | None = None
        self._turn = threading.Lock()

    # ---- the slot's thread

    def perform(self) -> bool:
        """Do the work, if it is still wanted; return whether somebody waits for how it ended. Never raises."""
        with self._turn:
            if self.phase is not Phase.WAITING:
                return False
            self.phase = Phase.RUNNING
            self._stop = StopSignal()
        self.since = begun = time.monotonic()
        try:
            ending = self._act(self)
        except Exception as error:
            _logger.exception("task %s could not be run", self.task.hex())
            words = shorten(f"{type(error).__name__}: {error}", ERROR_BYTES_MAX)
            ending = Failed(self.task, self.claim, FailureClass.INFRASTRUCTURE, words)
        self.duration_s = time.monotonic() - begun
        with self._turn:
            if self.phase is Phase.RUNNING:
                self.ending = self._judged(ending)
                self.phase = Phase.FINISHED
            self._stop.close()
            return self.phase is Phase.FINISHED

    def _judged(self, ending: Ending) -> Ending:
        """Return how a run ended that may have been told to: what it did not do for that is no failure of its own."""
        if self.stopped is None or not isinstance(ending, Failed):
            return ending
        if self.timed_out:
            return Failed(self.task, self.claim, FailureClass.TIMEOUT, self.stopped, ending.report)
        return Released(self.task, self.claim, shorten(self.stopped, _WORDS_BYTES_MAX))

    @property
    def stop(self) -> StopSignal:
        """Set when the run is to end. There once the run has begun."""
        assert self._stop is not None  # noqa: S101  # asked by what runs
        return self._stop

    def log(self, data: bytes) -> None:
        """Keep what the run printed."""
        if data:
            with self._turn:
                if self.spool is None:
                    self.spool = self._make_spool()
                    if self.stopped is not None:
                        self.spool.let_go()
                spool = self.spool
            spool.write(data)

    def progress(self, words: str) -> None:
        """Say in words how far it is."""
        self.words = shorten(words, _WORDS_BYTES_MAX)

    # ---- the worker's thread

    def end(self, reason: str, *, patience_ms: int | None = None) -> None:
        """Have the run end, with less than the usual grace where said; the first reason stays. Drop what waits."""
        with self._turn:
            if self.stopped is None:
                self.stopped = reason
                if self.phase is Phase.WAITING:
                    self.phase = Phase.DROPPED
                    self.ending = Released(self.task, self.claim, shorten(reason, _WORDS_BYTES_MAX))
                elif self._stop is not None and self.phase is Phase.RUNNING:
                    self._stop.set(reason, patience_ms=patience_ms)
            if self.spool is not None:
                self.spool.let_go()

    def time_out(self, reason: str, patience_ms: int) -> None:
        """Have the run end since it has lasted too long: that is a failure."""
        self.timed_out = self.stopped is None
        self.end(reason, patience_ms=patience_ms)

    def abandon(self) -> None:
        """Wait no more for a run that does not end: its claim is given back."""
        with self._turn:
            if self.phase is Phase.RUNNING:
                self.phase = Phase.DROPPED
                self.ending = Released(self.task, self.claim, shorten(self.stopped or "", _WORDS_BYTES_MAX))

    def close(self) -> None:
        """Remove the log's file: nothing more is said of the run."""
        with self._turn:
            if self.spool is not None:
                self.spool.close()


def shorten(text: str, most: int) -> str:
    """Return a text of at most `most` bytes in UTF-8."""
    data = text.encode(errors="replace")
    return data.decode() if len(data) <= most else data[: most - 3].decode(errors="ignore") + "…"
