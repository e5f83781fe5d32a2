"""The sign of life of a loop, for whoever watches the process (scheduler.monitor_server)."""

from __future__ import annotations

import time
from typing import Final

PULSE_LIMIT_S: Final = 90.0
"""A loop that has not come round for so long hangs; it may wait a minute for a store that another process holds."""


class Pulse:
    """A loop calls `beat` each time it comes round; any thread may look."""

    def __init__(self, limit_s: float = PULSE_LIMIT_S) -> None:
        self._limit_s = limit_s
        self._last = time.monotonic()

    def beat(self) -> None:
        """Note that the loop came round now."""
        self._last = time.monotonic()

    def trouble(self) -> str:
        """Return "" while the loop comes round, else for how long it has not."""
        still_s = time.monotonic() - self._last
        return "" if still_s <= self._limit_s else f"its loop has not come round for {still_s:.0f} s"
