"""Controls: runs that must not pass. What stops in silence, or parts nobody, is a fault of the judge's verdict."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from itertools import combinations
from pathlib import Path
from typing import Final

import pytest

from scheduler.home import Home
from tests.chaos.flow import BATCH
from tests.chaos.running import run_chaos
from tests.chaos.towns import PLACES, IpfsTown, SyncedTown, Town
from tests.support.kubo import is_connected, wait_for

TASKS: Final = 600
DEADLINE_S: Final = 25.0
"""By when a run ends whose places are not to be at one before."""
BRIEF_MS: Final = 2_000
"""What news takes is judged more strictly than otherwise: in so short a run both sides do a task soon after another."""


class SilentTown(SyncedTown):
    """From when its last place knows of the first tasks, it is synced with no other, and nobody says so."""

    _is_silent = False

    def is_carried(self, pair: frozenset[str]) -> bool:
        """Return whether two homes are synced."""
        if PLACES[-1] in pair and not self._is_silent:
            with Home.open(self.machines[-1].folder) as home:
                self._is_silent = _tasks(home) >= BATCH
        return super().is_carried(pair) and not (self._is_silent and PLACES[-1] in pair)


class SilentIpfsTown(IpfsTown):
    """The same over IPFS, where nothing else is cut or goes down."""

    def start(self) -> None:
        """Begin to carry events, and cut the last place off once it knows of the first tasks."""
        self.others.clear()
        super().start()
        pairs = list(combinations([one.node for one in self.machines if one.node is not None], 2))
        wait_for("all are connected", lambda: all(is_connected(*pair) for pair in pairs))
        threading.Thread(target=self._fall_silent, daemon=True).start()

    def _fall_silent(self) -> None:
        *others, last = self.machines
        with Home.open(last.folder) as home:
            wait_for("it knows of tasks", lambda: _tasks(home) >= BATCH)
        self._links.part(others, [last])

    def part(self, here: Sequence[str], there: Sequence[str]) -> None:
        """Part nobody."""

    def is_parted(self, pair: frozenset[str]) -> bool:
        """Return False: no cut is on record."""
        return False

    def heal(self) -> None:
        """Mend nothing."""

    def agree(self) -> None:
        """Mend it, and wait until all are at one."""
        super().heal()
        super().agree()


class UncutTown(SyncedTown):
    """Its cuts cut nothing."""

    def part(self, here: Sequence[str], there: Sequence[str]) -> None:
        """Part nobody."""

    def is_parted(self, pair: frozenset[str]) -> bool:
        """Return True, as if it had."""
        return True


def _tasks(home: Home) -> int:
    """Return how many tasks a home knows of."""
    with home.reading():
        return sum(home.tasks.counts().values())


@pytest.mark.timeout(600)
@pytest.mark.parametrize("town_of", [SilentTown, SilentIpfsTown])
def test_what_stops_in_silence_explains_no_second_run(tmp_path: Path, town_of: Callable[[Path], Town]) -> None:
    """Law: two places that both do a task, and that nobody cut off from each other, are a fault."""
    with town_of(tmp_path / "places") as town:
        town.news.takes_ms = BRIEF_MS
        ran = run_chaos(tmp_path, town, seed=1, tasks=TASKS, deadline_s=DEADLINE_S)
    assert any("connected" in fault and f"at {PLACES[-1]}" in fault for fault in ran.verdict.faults), ran.told()


@pytest.mark.timeout(600)
def test_a_cut_across_which_news_comes_is_none(tmp_path: Path) -> None:
    """Law: a cut counts where neither side heard of the other."""
    with UncutTown(tmp_path / "homes") as town:
        ran = run_chaos(tmp_path, town, seed=1, tasks=TASKS, deadline_s=DEADLINE_S)
    assert any("across a cut" in fault for fault in ran.verdict.faults), ran.told()
