"""How a worker ends: it takes nothing new, lets tasks finish for a while, stops them, and in the end waits no more.

A claim is given back only once its run has ended, or has not for too long: nobody else should begin while it works.
Pure but for the runs it tells; times in s by the monotonic clock.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import Final

from scheduler.running.job import AT_ONCE_MS
from scheduler.working.run import Phase, Run

_logger = logging.getLogger(__name__)

DRAIN_LIMIT_S: Final = 30.0
ABANDON_S: Final = 5.0
"""A run that was told to end has so long before its claim is given back all the same."""
_REASON: Final = "the worker was told to end"


class Ending:
    """Whether the worker was told to end, once or twice, and what follows from it for its runs.

    Args:
        limit_s: for how long tasks may finish after the first time.
    """

    def __init__(self, limit_s: float) -> None:
        self._limit_s = limit_s
        self._told = 0
        self._drained_at: float | None = None
        self._stopped_at: float | None = None
        self._has_abandoned = False

    def tell(self) -> None:
        """Tell it to end; safe in a signal handler."""
        self._told += 1

    @property
    def is_told(self) -> bool:
        """Whether it was told to end."""
        return self._told > 0

    def end(self, runs: Iterable[Run], now: float) -> None:
        """End the runs that must not go on at `now`."""
        if not self._told:
            return
        if self._drained_at is None:
            self._drained_at = now
            _logger.info(
                "taking nothing more; what runs may end within %.0f s", self._limit_s, extra={"event": "drain"}
            )
        if self._stopped_at is None and (self._told > 1 or now >= self._drained_at + self._limit_s):
            self._stopped_at = now
        for run in runs:
            if run.phase is Phase.WAITING or self._stopped_at is not None:
                run.end(_REASON, patience_ms=AT_ONCE_MS if self._told > 1 else None)
        if self._stopped_at is not None and now >= self._stopped_at + ABANDON_S:
            self._has_abandoned = True
            for run in runs:
                run.abandon()

    def instants(self) -> list[float]:
        """Return when `end` has to be called again."""
        if not self._told:
            return []
        if self._drained_at is None:
            return [0.0]
        if self._stopped_at is None:
            return [0.0 if self._told > 1 else self._drained_at + self._limit_s]
        return [self._stopped_at + (2 if self._has_abandoned else 1) * ABANDON_S]

    def gives_up(self, now: float, claims: int) -> bool:
        """Tell whether to end though the ledger cannot be told of all claims: its store has been away for too long."""
        if self._stopped_at is None or now < self._stopped_at + 2 * ABANDON_S:
            return False
        _logger.error("%d claims could not be settled: they run out with their leases", claims)
        return True
