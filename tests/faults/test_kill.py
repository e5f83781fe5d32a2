"""Kill −9 by fault injection; see tests.faults.killing for what is injected, and what is not covered."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
BATCHES, BATCH = 4, 90
DEATHS_MIN = 50
"""Of each batch: so that 200 real deaths are proved, wherever the tests run. About 67 of 90 die."""


@pytest.mark.parametrize("first", range(0, BATCHES * BATCH, BATCH))
def test_a_killed_process_loses_nothing_it_acknowledged(first: int) -> None:
    """Law: whenever a process dies, each promise it gave is kept, the home opens, verifies and can be written to."""
    command = [sys.executable, "-m", "tests.faults.killing", str(first), str(BATCH)]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr + run.stdout
    found = re.search(r"(\d+) killed", run.stdout)
    assert found is not None
    assert int(found[1]) >= DEATHS_MIN, "deaths planned too late to happen"
