"""`next`, `fail` and `show` as a worker uses them: nothing claimed stays unsaid, nor a lease that was cut."""

from __future__ import annotations

from pathlib import Path

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
