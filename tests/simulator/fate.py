"""What befalls a home: a process ends, its board is lost, its file becomes an old copy, its clock runs away."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from random import Random
from typing import Final

from tests.simulator.household import Household
from tests.simulator.meeting import Meeting
from tests.simulator.replica import LawBrokenError

RUN_AWAY_MS: Final = 2_000
"""How far a clock runs away; no event is further ahead of the true time."""


class Fate:
    """Misfortune by chance; `seen` counts it."""

    def __init__(self, meeting: Meeting, random: Random, seen: Counter[str]) -> None:
        self.meeting = meeting
        self.households = meeting.households
        self.random = random
        self.seen = seen

    def befall(self, household: Household) -> None:
        """Let something happen to a home."""
        events: tuple[Callable[[Household], None], ...] = (
            self.reopen,
            self.rebuild,
            self.compare,
            self.back_up,
            self.restore,
            self.run_away,
        )
        self.random.choices(events, weights=(4, 2, 2, 3, 1, 2))[0](household)

    def note(self, what: str) -> None:
        """Count what happened."""
        self.seen[what] += 1

    def reopen(self, household: Household) -> None:
        """End a carrier's process and begin it anew."""
        self.note("reopen")
        household.reopen()

    def rebuild(self, household: Household) -> None:
        """Lose the board, and fold it anew from the blocks."""
        self.note("rebuild")
        before = household.snapshot()
        household.home.rebuild()
        if household.snapshot() != before:
            raise LawBrokenError(f"the board of {household.name}, folded anew, is another")

    def compare(self, household: Household) -> None:
        """Hold a board against the slow reducer, in the middle of everything."""
        self.note("compare")
        if household.snapshot() != self.meeting.slow(household.accepted()):
            raise LawBrokenError(f"the board of {household.name} is not the slow reducer's")

    def back_up(self, household: Household) -> None:
        """Copy a home's file, where its clock is right."""
        if not household.clock.ahead_ms:
            self.note("backup")
            household.back_up()

    def restore(self, household: Household) -> None:
        """Set a home back to its last copy: what only it had is lost, what others have comes back."""
        self.note("restore")
        if self.random.random() < 0.5:
            other = self.random.choice([other for other in self.households if other is not household])
            other.pull(household)
        gone = household.restore()
        lost = household.promised & gone
        household.promised -= lost
        for other in self.households:  # a promise passes to the homes that have the event; what nobody has is lost
            other.promised |= lost & {*other.accepted(), *other.held()}

    def run_away(self, household: Household) -> None:
        """Let a clock run ahead, or set it right again."""
        self.note("clock")
        if household.clock.ahead_ms:
            household.set_clock_right(restart=self.random.random() < 0.5)
        else:
            household.clock.ahead_ms = RUN_AWAY_MS
