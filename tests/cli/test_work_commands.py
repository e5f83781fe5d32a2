"""`next`, `fail` and `show` as a worker uses them: nothing claimed stays unsaid, nor a lease that was cut."""

from __future__ import annotations

import json
from pathlib import Path

from cli.output import render_time
from tests.cli.program import Program


def test_a_payload_path_that_takes_no_file_costs_no_claim(program: Program, tmp_path: Path) -> None:
    """The file is opened before the task is claimed; without a task it stays as it was, and nothing is left beside."""
    source, target = tmp_path / "in.txt", tmp_path / "out.txt"
    source.write_text("the payload")
    target.write_text("of the last run")
    assert program.json("next", "--payload", str(target)) == {"task": None, "message": "No tasks available"}
    program.submit("a", "--payload", str(source))
    ran = program.run("next", "--payload", str(tmp_path / "nowhere" / "x"), "--json")
    assert (ran.code, ran.json["error"]["kind"]) == (3, "file_not_found")
    assert program.json("show", "a")["status"] == "ready"
    assert target.read_text() == "of the last run"
    assert program.json("next", "--payload", str(target))["task"]["task_id"] == "a"
    assert target.read_text() == "the payload"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["home", "in.txt", "out.txt"]


def test_a_payload_that_cannot_be_written_leaves_the_claim_told(program: Program, tmp_path: Path) -> None:
    """A disk that is full only after the claim: the task is printed all the same, a note and the code say the rest."""
    source = tmp_path / "in.txt"
    source.write_text("the payload")
    program.submit("a", "--payload", str(source))
    ran = program.run("next", "--payload", "/dev/full", "--json")
    assert (ran.code, ran.json["task"]["task_id"]) == (7, "a")
    assert "The task is yours, and its payload could not be written: /dev/full: no room left" in ran.err
    assert program.json("show", "a")["claim"] == ran.json["task"]["claim"]


def test_a_lease_that_was_cut_is_told(program: Program) -> None:
    """A lease beyond the ledger's longest, or the task's timeout, is shorter than asked: a note says so."""
    program.submit("a", "--timeout", "9d", "--priority", "9")
    program.submit("b", "--timeout", "90s", "--priority", "7")
    program.submit("c")
    long = program.run("next", "--lease", "2d", "--json")
    assert "not for 2d: that is the ledger's longest lease" in long.err
    timed = program.run("next", "--lease", "10m", "--json")
    assert "The task is yours for 1m30s, not for 10m: that is the task's timeout." in timed.err
    assert program.run("next", "--lease", "10m").err == ""


def test_what_a_failed_run_said_is_shown(program: Program) -> None:
    """`show` has the class, the error and the exit code of a failed attempt; people read times, programs numbers."""
    program.submit("c")
    program.ok("complete", "--task-id", "c", "--exit-code", "0")
    assert program.json("show", "c")["completions"][0]["exit_code"] == 0
    assert "exit code 0" in program.ok("show", "c").out
    spec = {"task_id": "a", "workflow_id": "flow", "name": "A", "backoff": {"base_ms": 600_000, "max_ms": 600_000}}
    program.ok("append", "-", text=json.dumps({"op": "submit", "spec": spec}))
    program.ok("next")
    program.ok("fail", "a", "--class", "crash", "--error", "boom", "--exit-code", "3")
    shown = program.json("show", "a")
    (claim,) = shown["claims"]
    assert (claim["failure"], claim["exit_code"]) == ({"class": "crash", "error": "boom"}, 3)
    (backoff,) = shown["obstacles"]
    assert (backoff["kind"], backoff["until"]) == ("backoff", shown["ready_at"])
    told, until = program.ok("show", "a").out, render_time(backoff["until"])
    assert ": crash: boom, exit code 3\n" in told
    assert f"Status: waiting (backoff after failed attempt 1 of 3 until {until})\n" in told
    assert f"  backoff after failed attempt 1 of 3 until {until} (crash: boom)\n" in program.ok("explain", "a").out
    program.submit("b", "--not-before", "2100-01-01T00:00Z")
    assert program.run("complete", "--task-id", "b").out == "✗ task b is waiting: not before 2100-01-01T00:00:00.000Z\n"
