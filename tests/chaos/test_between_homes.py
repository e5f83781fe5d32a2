"""Chaos between homes that meet by `sync`: nothing is lost, and whatever ran twice was told to by a lease or a cut."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

import pytest

from tests.chaos.running import run_chaos
from tests.chaos.towns import SyncedTown

TASKS: Final = int(os.environ.get("CHAOS_TASKS", "2000"))
SEED: Final = int(os.environ.get("CHAOS_SEED", "1"))
DEADLINE_S: Final = 900.0


@pytest.mark.timeout(1_200)
def test_chaos_between_homes(tmp_path: Path) -> None:
    """Law: of thousands of tasks among workers killed, paused and parted, each is over as it must be, for a reason."""
    with SyncedTown(tmp_path / "homes") as town:
        run_chaos(tmp_path, town, seed=SEED, tasks=TASKS, deadline_s=DEADLINE_S).check()
