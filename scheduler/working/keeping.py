"""The runs a worker has, and what there is to say of them: endings, renewals with pieces of the log, what is lost.

Implements: renewals at half the lease, all in one event (specs/assignment.md); pieces of logs as they are due. What is
finished stays here until the ledger has it. Leaves out when to say it (scheduler.working.worker).
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final

from ledger.events import TaskKey
from ledger.keys import ActorKey
from ledger.operations import ERROR_BYTES_MAX
from scheduler.batch import Batch, Completed, Ending, Failed, Released, Renewed
from scheduler.home import Home
from scheduler.running.job import FailureClass, grace_ms
from scheduler.settling import why_lost
from scheduler.working.counters import WorkerCounters
from scheduler.working.run import Phase, Run, shorten
from scheduler.working.spool import attachment_of

_logger = logging.getLogger(__name__)

_TIMEOUT_MARGIN_MS: Final = 1_000
"""A run is ended so long before its claim is, at most a tenth of its time: so that its failure is told in time."""


@dataclass(slots=True)
class _Said:
    """An ending on its way into the ledger, and how much of the run's log it carries."""

    ending: Ending
    log_bytes: int = 0


class Keeper:
    """The claims of one worker process.

    Args:
        home: where their tasks are.
        me: whose claims they are.
        lease_ms: how long each renewal lets them run.
        counters: what is counted here.
    """

    def __init__(self, home: Home, me: ActorKey, lease_ms: int, counters: WorkerCounters) -> None:
        self._home = home
        self._me = me
        self._lease_ms = lease_ms
        self._counters = counters
        self.runs: dict[TaskKey, Run] = {}
        self._pending: dict[TaskKey, Ending] = {}
        self._saying: dict[TaskKey, _Said] = {}

    def add(self, run: Run) -> None:
        """Keep a claim alive from now on."""
        self.runs[run.task] = run
        _tell(run, logging.DEBUG, "claimed", "claimed")

    @property
    def has_endings(self) -> bool:
        """Whether something has ended that the ledger does not know."""
        return bool(self._pending)

    def ended(self, run: Run, ending: Ending) -> bool:
        """Note how a run has ended, to be said next; return whether it was not noted yet."""
        if run.task in self._pending or self.runs.get(run.task) is not run:
            return False
        self._pending[run.task] = ending
        return True

    # ---- what there is to say

    def endings(self, now: float) -> list[Ending]:
        """Return what to say now, with the logs: all that has ended, and renewals where they are due."""
        self._saying = {task: self._with_log(self.runs[task], ending) for task, ending in self._pending.items()}
        due = [run for run in self._alive() if self._renewal_due(run) <= now]
        if due:
            due_soon = now + self._lease_ms / 4000
            for run in self._alive():
                if self._renewal_due(run) <= due_soon or (run.spool is not None and run.spool.due_at is not None):
                    self._saying[run.task] = self._renewal(run)
        return [said.ending for said in self._saying.values()]

    def due_at(self) -> float | None:
        """Return when the next renewal, or piece of a log, is due, by the monotonic clock."""
        return min(map(self._renewal_due, self._alive()), default=None)

    def _alive(self) -> Iterator[Run]:
        return (run for run in self.runs.values() if run.task not in self._pending and not run.is_lost)

    def _renewal_due(self, run: Run) -> float:
        """Return when to renew: at half the lease by either clock, for the machine may have slept; or with the log."""
        by_lease = run.renewed_at + self._lease_ms / 2000
        left_s = (run.until - self._home.now_ms()) / 1000
        at = min(by_lease, time.monotonic() + left_s - self._lease_ms / 2000)
        at = max(at, run.renewed_at + self._lease_ms / 8000)  # a lease that a timeout cuts short ends as it must
        log_at = None if run.spool is None else run.spool.due_at
        return at if log_at is None else min(at, log_at)

    def _renewal(self, run: Run) -> _Said:
        piece = b"" if run.spool is None else run.spool.piece()
        words, run.words = run.words, None
        return _Said(Renewed(run.task, run.claim, words, attachment_of(piece)), len(piece))

    def _with_log(self, run: Run, ending: Ending) -> _Said:
        if run.spool is None or not isinstance(ending, Completed | Failed) or ending.log is not None:
            return _Said(ending)
        piece = run.spool.piece(is_last=True)
        return _Said(replace(ending, log=attachment_of(piece)), len(piece))

    # ---- what became of it

    def heard(self, batch: Batch) -> None:
        """Take note of what became of what was said last."""
        for task, said in self._saying.items():
            run = self.runs[task]
            if task in batch.lost:
                self._lost(run, batch.lost[task], said.ending)
            elif task in batch.refused:
                self._refused(run, batch.refused[task], said.ending)
            elif task in batch.settled:
                self._settled(run, said, batch.until.get(task))
        self._saying = {}

    def _settled(self, run: Run, said: _Said, until: int | None) -> None:
        counters, ending = self._counters, said.ending
        if run.spool is not None and said.log_bytes:
            run.spool.sent(said.log_bytes)
        match ending:
            case Renewed():
                counters.renewed += 1
                run.renewed_at = time.monotonic()
                run.until = until or run.until
                return
            case Completed():
                counters.completed += 1
                counters.lost -= run.is_lost  # done all the same
                _tell(run, logging.DEBUG, "completed", "completed")
            case Failed():
                counters.count_failed(ending.failure_class)
                _tell(run, logging.WARNING, "failed", f"failed ({ending.failure_class}): {ending.error}")
            case Released():
                counters.released += not run.is_lost
                _tell(run, logging.INFO, "released", f"given back: {ending.reason}")
        self._over(run)

    def _lost(self, run: Run, reason: str, ending: Ending) -> None:
        """End what runs under a claim that is worth nothing any more; it is given back then, if it still can be."""
        if not run.is_lost:
            run.is_lost = True
            self._counters.lost += 1
            _tell(run, logging.WARNING, "lost", f"lost: {reason}")
        if isinstance(ending, Renewed):
            run.end(reason)
        else:
            self._over(run)

    def _refused(self, run: Run, reason: str, ending: Ending) -> None:
        """Say instead of an ending that no event can hold that the attempt has failed."""
        _tell(run, logging.ERROR, "refused", f"its result cannot be written: {reason}")
        if run.spool is not None:
            run.spool.sent(len(run.spool.piece(is_last=True)))
        if isinstance(ending, Completed):
            words = shorten(f"its result cannot be written: {reason}", ERROR_BYTES_MAX)
            self._pending[run.task] = Failed(run.task, run.claim, FailureClass.INFRASTRUCTURE, words, ending.report)
        elif isinstance(ending, Failed) and ending.error:
            self._pending[run.task] = Failed(run.task, run.claim, FailureClass.INFRASTRUCTURE)
        elif not isinstance(ending, Renewed):
            self._over(run)

    def _over(self, run: Run) -> None:
        del self.runs[run.task]
        self._pending.pop(run.task, None)
        if run.spool is not None:
            run.spool.close()

    # ---- what others did

    def look(self) -> None:
        """End the runs whose claims the board says are lost, or that have timed out."""
        home = self._home
        with home.reading():
            now = home.event_time()
            for run in list(self._alive()):
                if run.stopped is not None:
                    continue
                record = home.board.find_record(run.task)
                reason = "its task does not count any more"
                if record is not None:
                    reason = why_lost(home, record, run.claim, self._me, now) or ""
                if now >= _last_moment(run):
                    run.time_out(_time_up(run), grace_ms(run.timing.length_ms))
                elif reason:
                    run.is_lost = True
                    self._counters.lost += 1
                    _tell(run, logging.WARNING, "lost", f"lost: {reason}")
                    run.end(reason)

    def times_out_at(self) -> int | None:
        """Return the instant, ms by the home's clock, at which the first run has to be ended."""
        return min((_last_moment(run) for run in self._alive() if run.stopped is None), default=None)

    def stale_at(self, after_s: float) -> list[float]:
        """Return the instants, by the monotonic clock, at which runs have waited for a slot for `after_s`."""
        return [run.since + after_s for run in self._alive() if run.phase is Phase.WAITING]


def _last_moment(run: Run) -> int:
    """Return the instant, ms, at which a run has to be ended, so that its failure is told before its claim ends."""
    timing, time_ms = run.timing, run.timing.length_ms
    return timing.times_out_at - grace_ms(time_ms) - min(_TIMEOUT_MARGIN_MS, time_ms // 10)


def _time_up(run: Run) -> str:
    """Return the words for a run that is ended because its time is up."""
    told_ms = _last_moment(run) - run.timing.claimed_at
    return f"its time was up: told to end {told_ms} ms after its claim, to be recorded within {run.timing.length_ms} ms"


def _tell(run: Run, level: int, event: str, words: str) -> None:
    if not _logger.isEnabledFor(level):
        return
    fields = {"event": event, "task": run.task.hex(), "claim": str(run.claim), "task_id": run.record.spec.task_id}
    _logger.log(level, "task %s: %s", run.record.spec.task_id, words, extra=fields)
