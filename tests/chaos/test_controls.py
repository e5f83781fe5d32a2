"""Controls: runs that must not pass. What stops in silence, or parts nobody, is a fault of the judge's verdict."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import pytest

from scheduler.home import Home
from tests.chaos.flow import BATCH
from tests.chaos.running import run_chaos
from tests.chaos.towns import PLACES, SyncedTown

TASKS: Final = 600
DEADLINE_S: Final = 25.0
"""By when a run ends whose places are not to be at one before."""


class SilentTown(SyncedTown):
    """From when its last place knows of the first tasks, it is synced with no other, and nobody says so."""

    _is_silent = False

    def is_carried(self, pair: frozenset[str]) -> bool:
        """Return whether two homes are synced."""
        if PLACES[-1] in pair and not self._is_silent:
            with Home.open(self.machines[-1].folder) as home, home.reading():
                self._is_silent = sum(home.tasks.counts().values()) >= BATCH
        return super().is_carried(pair) and not (self._is_silent and PLACES[-1] in pair)


class UncutTown(SyncedTown):
    """Its cuts cut nothing."""

    def part(self, here: Sequence[str], there: Sequence[str]) -> None:
        """Part nobody."""


@pytest.mark.timeout(600)
def test_what_stops_in_silence_explains_no_second_run(tmp_path: Path) -> None:
    """Law: two places that both do a task, and that nobody cut off from each other, are a fault."""
    with SilentTown(tmp_path / "homes") as town:
        ran = run_chaos(tmp_path, town, seed=1, tasks=TASKS, deadline_s=DEADLINE_S)
    assert any("although connected" in fault for fault in ran.verdict.faults), ran.told()


@pytest.mark.timeout(600)
def test_a_cut_across_which_news_comes_is_none(tmp_path: Path) -> None:
    """Law: a cut counts where neither side heard of the other."""
    with UncutTown(tmp_path / "homes") as town:
        ran = run_chaos(tmp_path, town, seed=1, tasks=TASKS, deadline_s=DEADLINE_S)
    assert any("across a cut" in fault for fault in ran.verdict.faults), ran.told()
