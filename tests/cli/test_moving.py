"""`init --previous`: a ledger moves on to another policy, by the real program."""

from __future__ import annotations

from pathlib import Path

from tests.cli.program import Program, operation_lines

SUBMIT = ("submit", "--task-id", "a", "--workflow-id", "flow", "--name", "Task a")


def carry_key(old: Program, new: Program, folder: Path) -> None:
    """Give a home the key that the peer has in another."""
    file = folder / f"{new.home.name}.key"
    old.ok("keys", "export", old.peer, str(file))
    new.ok("keys", "import", new.peer, str(file))


def test_what_is_done_in_the_previous_ledger_is_not_done_again(program: Program, tmp_path: Path) -> None:
    """It counts as submitted in the home that founds the new ledger, and in one that enters it; open tasks do not."""
    program.submit("a")
    program.ok("complete", "--task-id", "a")
    program.submit("b")
    heads = program.json("clock")["heads"]
    new, third = Program(tmp_path / "new"), Program(tmp_path / "third")
    carry_key(program, new, tmp_path)
    made = new.json("init", "--previous", str(program.home), "--policy-lease", "2m")
    assert (made["previous"], made["earlier"]) == (heads, 1)
    assert new.json("show", made["ledger"])["previous"] == heads
    car = tmp_path / "old.car"
    program.submit("c")  # the old one goes on all the same
    program.ok("export", str(car))
    carry_key(program, third, tmp_path)
    assert third.json("init", "--from", str(new.home), "--previous", str(car))["earlier"] == 1
    new.submit("b")
    third.ok("sync", str(new.home))
    for home in (new, third):
        before = home.json("status")["state_root"]
        ran = home.ok(*SUBMIT)
        assert ran.out.splitlines()[0] == "✓ Task already submitted"
        assert "Done in the previous ledger" in ran.out
        said = home.json(*SUBMIT)
        assert (said["created"], said["earlier"], said["event_cid"]) == (False, True, None)
        assert home.json("status")["state_root"] == before
        assert [task["task_id"] for task in home.json("tasks")["tasks"]] == ["b"]
    assert third.submit("b").items() >= {"created": False, "earlier": False}.items()
    lines = '{"task_id": "a", "name": "Task a"}\n{"task_id": "d", "name": "Task d", "needs": ["a"]}\n'
    many = new.json("submit", "--file", "-", "--workflow-id", "flow", text=lines)
    assert (many["submitted"], many["already"], many["earlier"]) == (1, 1, 1)
    assert new.json("verify")["verified"]


def test_what_is_no_ledger_to_go_on_from_is_refused_and_nothing_is_made(program: Program, tmp_path: Path) -> None:
    """A damaged or partial CAR, another ledger, one that is not there: each is told, and no home is founded."""
    program.ok("init")
    program.ok("append", "-", text=operation_lines(3))
    car, part, bad = tmp_path / "old.car", tmp_path / "part.car", tmp_path / "bad.car"
    program.ok("export", str(car))
    first = program.json("log")["events"][-1]["cid"]
    program.ok("export", str(part), "--since", first)
    damaged = bytearray(car.read_bytes())
    damaged[-70] ^= 1
    bad.write_bytes(damaged)
    new = Program(tmp_path / "new")
    for place, code in ((bad, 6), (part, 3), (tmp_path / "nothing.car", 3)):
        ran = new.run("init", "--previous", str(place), "--json")
        assert (ran.code, new.home.exists()) == (code, False), (place, ran.err)
    assert new.run("init", "--from", str(program.home), "--previous", str(car)).code == 4
    assert not new.home.exists()
    new.ok("init")
    assert new.run("init", "--previous", str(car)).code == 4
