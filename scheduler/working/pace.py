"""How fast to take: tasks ahead of the slots where they prove short, and a pause where the machine itself fails.

A slot that does nothing for milliseconds while the ledger is written to is idle for most of its life. So where runs
have proved short, a worker claims what its slots will have begun in a moment. It is no more than that: a task that
waits longer than thought is given back, and nothing is claimed ahead for a while. Pure; times in s.
"""

from __future__ import annotations

from typing import Final

AHEAD_S: Final = 0.1
"""Tasks are claimed ahead for so long, at the pace of the last ones."""
AHEAD_MAX: Final = 120
"""Tasks claimed ahead at most: what one event settles and takes."""
SHORT_S: Final = 0.02
"""Longer runs are never claimed ahead."""
STALE_S: Final = 1.0
"""A task claimed ahead that has not begun after so long is given back."""
_CAUTION_S: Final = 10.0
_SAMPLES_MIN: Final = 4
_WEIGHT: Final = 0.1

_STUMBLES_FREE: Final = 2
"""Failures of the machine in a row before the worker pauses."""
_PAUSE_S: Final = 5.0
_PAUSE_MAX_S: Final = 600.0


class Pace:
    """What a worker has learnt of its tasks and of its machine."""

    def __init__(self, slots: int) -> None:
        self._slots = slots
        self._mean_s = 0.0
        self._samples = 0
        self._cautious_until = 0.0
        self._stumbles = 0
        self.paused_until = 0.0

    def ran(self, duration_s: float, now: float, *, machine_failed: bool = False) -> None:
        """Learn of a run that has ended at `now`; `machine_failed`: it could not be run at all."""
        if machine_failed:
            self._stumbles += 1
            if self._stumbles > _STUMBLES_FREE:
                pause_s = min(_PAUSE_S * 2.0 ** (self._stumbles - _STUMBLES_FREE - 1), _PAUSE_MAX_S)
                self.paused_until = now + pause_s
            return
        self._stumbles, self.paused_until = 0, 0.0
        weight = max(_WEIGHT, 1 / (self._samples + 1))
        self._samples += 1
        self._mean_s += weight * (duration_s - self._mean_s)

    def waited_too_long(self, now: float) -> None:
        """Learn that a task claimed ahead did not begin in time."""
        self._cautious_until = now + _CAUTION_S
        self._samples = 0

    def ahead(self, now: float) -> int:
        """Return how many tasks to hold beside those that run."""
        if self._samples < _SAMPLES_MIN or self._mean_s > SHORT_S or now < self._cautious_until:
            return 0
        return min(AHEAD_MAX, int(self._slots * AHEAD_S / max(self._mean_s, 1e-6)))
