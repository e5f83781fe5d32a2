"""The benchmarks run as their README says."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_the_benchmarks_print_their_two_ratios() -> None:
    """Law: `benchmarks/run.py` measures both ratios in one run and prints them as JSON."""
    command = [sys.executable, str(ROOT / "benchmarks" / "run.py"), "--quick", "--json"]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    found = json.loads(run.stdout)
    assert found["replay"]["cold_replay_over_raw_verification"] > 1
    assert found["loop"]["loop_over_huey"] > 0
