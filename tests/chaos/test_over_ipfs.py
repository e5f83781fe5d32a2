"""Chaos between peers over real Kubo nodes: daemons and links fall, too, and nothing else changes."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

import pytest

from tests.chaos.running import run_chaos
from tests.chaos.towns import IpfsTown

TASKS: Final = int(os.environ.get("CHAOS_TASKS", "2000"))
SEED: Final = int(os.environ.get("CHAOS_SEED", "1"))
DEADLINE_S: Final = 900.0


@pytest.mark.timeout(1_200)
def test_chaos_over_ipfs(tmp_path: Path) -> None:
    """Law: the same holds between machines whose daemons are killed and whose links are cut."""
    with IpfsTown(tmp_path / "machines") as town:
        run_chaos(tmp_path, town, seed=SEED, tasks=TASKS, deadline_s=DEADLINE_S).check()
