"""The benchmarks run as their README says."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from benchmarks.journal import Journal, Recovery

ROOT = Path(__file__).parents[2]


def test_the_benchmarks_print_their_figures() -> None:
    """Law: `benchmarks/run.py` measures all figures in one run, real nodes included, and prints them as JSON."""
    command = [sys.executable, str(ROOT / "benchmarks" / "run.py"), "--quick", "--json"]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    found = json.loads(run.stdout)
    assert found["replay"]["cold_replay_over_raw_verification"] > 1
    assert found["loop"]["loop_over_huey"] > 0
    exchange = found["exchange"]
    assert exchange["cold_round_trips"] <= exchange["events"] / 1000 + 5
    assert exchange["delta_round_trips"] <= 2
    assert exchange["delta_bytes"] <= 20_000
    assert exchange["apart_round_trips"] <= 6
    assert exchange["apart_bytes_over_missing_events"] <= 1.5  # what is counted, not timed, holds at any size
    assert found["publish"]["publishing_rate_over_import_rate"] > 0
    assert min(found["overhead"]["added_with_sandbox_ms"], found["overhead"]["added_without_sandbox_ms"]) > 0
    assert {"task_added_with_sandbox_ms", "task_added_without_sandbox_ms"} < found["overhead"].keys()
    assert found["hints"]["hint_path_over_gossipsub"] > 0
    assert found["drain"]["drain_rate_over_huey"] > 0
    assert found["drain"]["drain_rate_over_dramatiq"] > 0
    assert found["drain"]["start_over_huey_median"] > 0
    recovery = found["recovery"]
    for ours in ("ours", "ours_two_homes"):
        assert recovery[f"{ours}_cut_off"] == recovery[f"{ours}_rerun"] > 0
        assert (recovery[f"{ours}_lost"], recovery[f"{ours}_run_twice"]) == (0, 0)
    assert min(recovery["huey_cut_off"], recovery["dramatiq_cut_off"]) > 0


def test_a_journal_tells_who_was_cut_off_redone_lost_and_run_twice(tmp_path: Path) -> None:
    """Six tasks: 0 done elsewhere, 1 cut off and redone, 2 cut off for good, 3 never begun, 4 done twice, 5 later."""
    notes = ["begin 0 7 1.0", "begin 1 8 1.0", "begin 2 8 1.5", "begin 4 7 1.5", "end 0 7 9.0", "end 4 7 9.0"]
    notes += ["begin 1 7 65.0", "begin 4 9 66.0", "end 1 7 73.0", "end 4 9 74.0", "begin 5 7 80.0", "end 5 7 88.0"]
    file = tmp_path / "journal"
    file.write_text("".join(f"{note}\n" for note in notes))
    assert Journal.read(file).judge(6, 4.0) == Recovery(2, (61.0,), 2, 1)
    assert Journal.read(tmp_path / "none") == Journal([], [])
