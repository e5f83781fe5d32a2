"""Progress of calls that take long: how much of the time or the work has gone, in words too, and not too often."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from mcp.server.mcpserver import Context

EVERY_S: Final = 2.0
"""How often the same words are said again, so that a client sees that the call lives."""


class Reporter:
    """Reports the progress of one call that waits. Progress grows, as the protocol wants it."""

    def __init__(self, context: Context[Any, Any], total_s: float) -> None:
        self._context = context
        self._total_s = total_s
        self._began = time.monotonic()
        self._said = ""
        self._said_at = float("-inf")

    async def say(self, words: str) -> None:
        """Say where it stands: at once where that is new, else now and then."""
        now = time.monotonic()
        if words == self._said and now < self._said_at + EVERY_S:
            return
        self._said, self._said_at = words, now
        await self._context.report_progress(round(now - self._began, 3), self._total_s or None, words[:500])
