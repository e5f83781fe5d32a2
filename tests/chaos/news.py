"""What news could have come from place to place in a chaos run, and when: by it double executions are judged.

Fate says when places were cut off and workers stood still; a town that knows says when two places met. Instants are ms
since 1970, as in events.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

SLACK_MS: Final = 1_000
"""Between the time an event bears and the instant others can read it, on a machine that has much to do."""


@dataclass(frozen=True, slots=True)
class Span:
    """From when to when something was so, for whom: a pair of places, or one."""

    who: frozenset[str]
    begin: int
    end: int

    def meets(self, begin: int, end: int) -> bool:
        """Whether it has an instant in common with another span."""
        return self.begin <= end and begin <= self.end


@dataclass(slots=True)
class News:
    """How news went.

    Args:
        takes_ms: what is heard at the latest after so long where nothing is in the way; None: `meetings` tell.
        mends_ms: how long after a cut it may take until news goes again.
    """

    takes_ms: int | None = None
    mends_ms: int = 0
    cuts: list[Span] = field(default_factory=list)
    """When two places were cut off from each other, or (of one) when what carries its news was down."""
    pauses: list[Span] = field(default_factory=list)
    """When a worker of a place stood still, maybe in the midst of writing."""
    meetings: list[Span] = field(default_factory=list)
    """Exchanges of two places that went well."""

    def why_unheard(self, here: str, at: int, there: str, then: int) -> str | None:
        """Return why `there` did not know at `then` of what `here` had written at `at`; None for no reason."""
        if here == there:
            return None
        if any(
            meeting.who == {here, there} and meeting.begin >= at + SLACK_MS and meeting.end <= then - SLACK_MS
            for meeting in self.meetings
        ):
            return self._stood_still(here, at)
        mended = [cut.end for cut in self._cuts() if cut.who <= {here, there} and cut.meets(at, then)]
        if self.takes_ms is None or then <= max([at, *mended]) + self.takes_ms:
            return "partition" if mended else "not yet heard"
        return self._stood_still(here, at)

    def _cuts(self) -> list[Span]:
        """Return the cuts until news goes again."""
        return [Span(cut.who, cut.begin, cut.end + self.mends_ms) for cut in self.cuts]

    def _stood_still(self, here: str, at: int) -> str | None:
        """Return "not yet heard" where a worker may have stood still between writing and having written."""
        paused = any(span.who == {here} and span.meets(at - SLACK_MS, at + SLACK_MS) for span in self.pauses)
        return "not yet heard" if paused else None
