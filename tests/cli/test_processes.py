"""Several processes on one home at once: nothing is lost, nothing is given twice, nobody is turned away."""

from __future__ import annotations

import json
from pathlib import Path

from tests.cli.program import DEADLINE_S, Program


def test_processes_share_a_home(tmp_path: Path) -> None:
    """First use, submissions and takings of many processes at once: each task is given to one peer, once."""
    peers = [Program(tmp_path / "home", f"peer-{number}") for number in range(4)]
    submitting = [
        peer.start("submit", "--task-id", f"t{number}", "--workflow-id", "w", "--name", "n", "--json")
        for number, peer in enumerate(peers)
    ]
    for running in submitting:
        out, err = running.communicate(timeout=DEADLINE_S)
        assert running.returncode == 0, err
        assert json.loads(out)["created"]
    taking = [peer.start("next", "--wait", "30", "--json") for peer in peers]
    taken: list[str] = []
    for running in taking:
        out, err = running.communicate(timeout=DEADLINE_S)
        assert running.returncode == 0, err
        taken.append(json.loads(out)["task"]["task_id"])
    assert sorted(taken) == ["t0", "t1", "t2", "t3"]
    told = peers[0].json("verify")
    assert (told["verified"], told["statuses"]) == (True, {"held": 4})


def test_next_waits_for_what_another_process_submits(program: Program) -> None:
    """`next --wait` takes a task that comes while it waits, and says so when none does."""
    program.ok("status")
    waiting = program.start("next", "--wait", str(DEADLINE_S), "--json")
    program.submit("late")
    out, err = waiting.communicate(timeout=DEADLINE_S)
    assert json.loads(out)["task"]["task_id"] == "late", err
    assert program.json("next", "--wait", "0.1")["task"] is None
