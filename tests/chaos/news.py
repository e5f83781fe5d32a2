"""What news could have come from place to place in a chaos run, and when: by it double executions are judged.

Fate says when places were cut off and when a worker kept a store while it stood still; a town says when a daemon was
down, and where it knows, when two places met. Instants are ms since 1970, as in events.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

SLACK_MS: Final = 1_500
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
        takes_ms: after so long at the latest all is heard where nothing is in the way.
        mends_ms: how long after a cut it takes at most until news goes again.
        meetings: exchanges of two places that went well, where a town knows of them; what was written before is heard.
    """

    takes_ms: int
    mends_ms: int = 0
    meetings: list[Span] = field(default_factory=list)
    cuts: list[Span] = field(default_factory=list)
    """When two places were cut off from each other."""
    downs: list[Span] = field(default_factory=list)
    """When what carries the news of a place was down."""
    holds: list[Span] = field(default_factory=list)
    """When news stood still: of a place whose store a worker kept, or between two, what carries it being held up."""

    crossings: dict[tuple[str, str], list[tuple[int, int]]] = field(default_factory=dict)
    """When what the first place wrote was heard at the second, by what that wrote then: (written, heard)."""

    def why_unheard(self, here: str, at: int, there: str, then: int) -> str | None:
        """Return why `there` did not know at `then` of what `here` had written at `at`; None for no reason.

        Nothing explains it within one place, whose workers share a store.
        """
        written = self._written(here, at)
        if here == there or self._have_met(here, there, written, then):
            return None
        pair = {here, there}
        cuts = [
            cut
            for cut in (*self.cuts, *self.downs)
            if cut.who <= pair and cut.begin <= then and written <= cut.end + self.mends_ms
        ]
        mended = [Span(cut.who, cut.begin, self._mends_at(cut, here, there)) for cut in cuts]
        holds = [hold for hold in self.holds if hold.who <= pair]
        if _outside((*mended, *holds), written, then) > self.takes_ms:
            return None
        if any(cut.meets(written, then) for cut in cuts):
            return "partition"
        return "not yet mended" if any(cut.meets(written, then) for cut in mended) else "not yet heard"

    def _mends_at(self, cut: Span, here: str, there: str) -> int:
        """Return when news goes again: once something has crossed that was written after a cut, or after a while."""
        crossed = (heard for written, heard in self.crossings.get((here, there), ()) if written >= cut.end)
        return min([cut.end + self.mends_ms, *crossed])

    def _have_met(self, here: str, there: str, written: int, then: int) -> bool:
        return any(
            meeting.who == {here, there} and meeting.begin >= written + SLACK_MS and meeting.end <= then - SLACK_MS
            for meeting in self.meetings
        )

    def _written(self, here: str, at: int) -> int:
        """Return by when what bears the time `at` was written: its author may have kept the store and stood still."""
        stood = (hold.end for hold in self.holds if hold.who == {here} and hold.meets(at - SLACK_MS, at + SLACK_MS))
        return max(stood, default=at)


def _outside(spans: Iterable[Span], begin: int, end: int) -> int:
    """Return how much of the time from `begin` to `end` lies in no span."""
    outside = 0
    for span in sorted(spans, key=lambda span: span.begin):
        outside += max(0, min(span.begin, end) - begin)
        begin = max(begin, span.end)
    return outside + max(0, end - begin)
