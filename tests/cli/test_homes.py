"""Homes, keys and members: founding, entering, admitting, revoking, joining."""

from __future__ import annotations

import os
import pty
import stat
import subprocess
from pathlib import Path

import pytest

from tests.cli.program import DEADLINE_S, Program


def test_init_founds_a_ledger_of_its_own_with_the_policy_asked_for(program: Program) -> None:
    """The owner's key is made here, the policy is as said, and a second ledger in the same home is refused."""
    made = program.json("init", "--name", "ci", "--policy-lease", "2m", "--policy-max-attempts", "5", "--open")
    assert made["name"] == "ci"
    assert made["policy"].items() >= {"lease_ms": 120_000, "max_attempts": 5, "admission": "open"}.items()
    (owner,) = made["owners"]
    assert program.json("keys", "show", "owner")["key"] == owner
    again = program.run("init", "--json")
    assert (again.code, again.json["error"]["kind"]) == (4, "home_exists")
    assert program.json("show", made["ledger"])["kind"] == "genesis"


@pytest.mark.parametrize(
    "options",
    [
        ("--policy-lease", "1s"),  # shorter than clocks may differ
        ("--policy-lease", "soon"),
        ("--owner", "somebody"),
        ("--no-owner-key",),
    ],
    ids=" ".join,
)
def test_a_ledger_that_could_not_work_is_not_founded(program: Program, options: tuple[str, ...]) -> None:
    """What no genesis can say is refused before there is a home."""
    assert program.run("init", *options).code == 2
    assert program.run("log").code == 3


def test_further_owners_are_fixed_by_the_genesis(tmp_path: Path) -> None:
    """An owner elsewhere owns the ledger too; without a key here it alone does."""
    offline = Program(tmp_path / "offline").json("keys", "generate", "owner")["key"]
    both = Program(tmp_path / "both").json("init", "--owner", offline)
    assert offline in both["owners"]
    assert len(both["owners"]) == 2
    here = Program(tmp_path / "here")
    assert here.json("init", "--owner", offline, "--no-owner-key")["owners"] == [offline]
    refused = here.run("submit", "--task-id", "a", "--workflow-id", "w", "--name", "n", "--json")
    assert (refused.code, refused.json["error"]["kind"]) == (5, "not_a_member")
    assert "members admit did:key:" in refused.err


@pytest.mark.parametrize(
    "command",
    [
        ("log",),
        ("tasks",),
        ("explain", "a"),
        ("release", "a"),
        ("join",),
        ("members", "list"),
        ("replay",),
        ("verify",),
        ("append", "-"),
        ("sync", "there.car"),
        ("export", "there.car"),
    ],
    ids=" ".join,
)
def test_other_commands_ask_for_init_and_make_nothing(program: Program, command: tuple[str, ...]) -> None:
    """Only the quick start's commands found a ledger at first use."""
    ran = program.run(*command, "--json", cwd=program.home.parent) if command[0] != "append" else program.run(*command)
    assert ran.code == 3
    assert "p2p-workflow init" in ran.err
    assert not program.home.exists()


def test_keys_go_from_file_to_file_and_never_to_the_screen(program: Program, tmp_path: Path) -> None:
    """Files are 0600 and never written over; a key that others can read is refused; no secret is printed."""
    made = program.json("keys", "generate", "spare")
    assert made["key"].startswith("did:key:z6Mk")
    file = tmp_path / "spare.key"
    exported = program.ok("keys", "export", "spare", str(file))
    secret = file.read_text().strip()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert secret not in exported.out + exported.err
    assert program.run("keys", "export", "spare", str(file)).code == 2
    other = Program(tmp_path / "other")
    imported = other.ok("keys", "import", "copy", str(file))
    assert made["key"] in imported.out
    assert secret not in imported.out + imported.err
    assert other.ok("keys", "import", "again", "-", text=secret + "\n").code == 0
    assert [key["name"] for key in other.json("keys", "list")["keys"]] == ["again", "copy"]
    assert other.run("keys", "import", "copy", str(file)).code == 4
    assert other.run("keys", "show", "nobody").code == 3
    Path(made["file"]).chmod(0o644)
    ran = program.run("keys", "show", "spare", "--json")
    assert (ran.code, ran.json["error"]["kind"]) == (5, "key_permission")
    assert other.run("keys", "import", "bad", "-", text="no key at all").code == 2


def test_a_key_from_the_environment_needs_no_file(program: Program, tmp_path: Path) -> None:
    """P2P_WORKFLOW_KEY signs where a machine keeps no keys."""
    maker = Program(tmp_path / "maker")
    actor = maker.json("keys", "generate", "runner")["key"]
    maker.ok("keys", "export", "runner", str(tmp_path / "runner.key"))
    program.ok("init")
    program.ok("members", "admit", actor, "--name", "runner")
    secret = (tmp_path / "runner.key").read_text().strip()
    runner = Program(program.home, "runner", extra={"P2P_WORKFLOW_KEY": secret})
    runner.submit("a")
    (task,) = program.json("tasks")["tasks"]
    assert task["submitter"] == {"name": "runner", "key": actor}
    assert [key["name"] for key in program.json("keys", "list")["keys"]] == ["owner"]


def test_a_key_from_the_environment_and_an_explicit_peer_do_not_differ(program: Program) -> None:
    """Neither beats the other in silence; a name with no key here is but a name, and garbage is told with its place."""
    program.ok("init")
    keys = {name: program.json("keys", "generate", name)["key"] for name in ("ann", "bob")}
    for key in keys.values():
        program.ok("members", "admit", key)
    secret = program.ok("keys", "export", "ann", "-").out.strip()
    runner = Program(program.home, extra={"P2P_WORKFLOW_KEY": secret})
    for command in (("status",), ("join",), ("leave",)):
        refused = runner.run("--peer", "bob", *command, "--json")
        assert (refused.code, refused.json["error"]["kind"]) == (2, "input")
        assert "unset P2P_WORKFLOW_KEY" in refused.json["error"]["advice"]
    for peer in ("ann", "elsewhere"):
        assert runner.json("--peer", peer, "status")["peer_key"] == keys["ann"]
    garbage = Program(program.home, extra={"P2P_WORKFLOW_KEY": "0xABCDEF"}).run("status", "--json")
    assert (garbage.code, garbage.json["error"]["kind"]) == (2, "key_variable")
    assert garbage.json["error"]["message"].startswith("P2P_WORKFLOW_KEY: ")
    assert "keys export" in garbage.json["error"]["advice"]
    assert "ABCDEF" not in garbage.out + garbage.err


def test_a_secret_that_others_can_read_is_not_taken(program: Program, tmp_path: Path) -> None:
    """A key that somebody else may have is refused with the chmod that would have kept it; a pipe has no mode."""
    program.ok("keys", "generate", "spare")
    exported = program.ok("keys", "export", "spare", "-")
    file = tmp_path / "spare.key"
    file.write_text(exported.out)
    file.chmod(0o644)
    other = Program(tmp_path / "other")
    refused = other.run("keys", "import", "copy", str(file), "--json")
    assert (refused.code, refused.json["error"]["kind"]) == (5, "key_permission")
    assert f"chmod 600 '{file}'" in refused.json["error"]["message"]
    assert not other.home.exists()
    file.chmod(0o600)
    other.ok("keys", "import", "copy", str(file))
    other.ok("keys", "import", "piped", "-", text=exported.out)


def test_a_secret_goes_to_a_pipe_and_to_no_screen(program: Program, tmp_path: Path) -> None:
    """`-` is stdout, no file; a terminal would show the secret and is refused."""
    program.ok("keys", "generate", "spare")
    exported = program.run("keys", "export", "spare", "-", cwd=tmp_path)
    assert exported.code == 0
    assert len(exported.out.splitlines()) == 1
    assert not (tmp_path / "-").exists()
    terminal, child = pty.openpty()
    command = program.command("keys", "export", "spare", "-")
    done = subprocess.run(command, env=program.environment(), stdout=child, stderr=subprocess.PIPE, check=False)
    os.close(child)
    os.close(terminal)
    assert done.returncode == 2
    assert b"terminal" in done.stderr


def test_members_are_admitted_with_roles_and_labels(program: Program) -> None:
    """A worker joins within its grant's labels; a submitter does not work."""
    program.ok("init")
    for name in ("w", "s"):
        program.ok("keys", "generate", name)
    program.ok("members", "admit", "w", "--labels", "gpu,linux", "--role", "worker")
    assert program.json("members", "admit", "s", "--role", "submitter")["roles"] == ["submitter"]
    worker, submitter = Program(program.home, "w"), Program(program.home, "s")
    assert worker.json("join", "--labels", "gpu", "linux", "--slots", "2")["labels"] == ["gpu", "linux"]
    rows = {row["name"]: row for row in program.json("members", "list")["members"]}
    assert (rows["w"]["joined"], rows["w"]["labels"], rows["s"]["joined"]) == (True, ["gpu", "linux"], False)
    submitter.submit("needs-gpu", "--requires", "gpu")
    assert worker.json("next")["task"]["task_id"] == "needs-gpu"
    refused = worker.run("submit", "--task-id", "a", "--workflow-id", "w", "--name", "n")
    assert refused.code == 5
    worker.ok("leave")
    assert not any(row["joined"] for row in program.json("members", "list")["members"])
    events = program.json("status")["events"]
    assert worker.json("join")["labels"] == ["gpu", "linux"]  # as before, in one event
    assert program.json("status")["events"] == events + 1
    assert worker.json("join", "--labels", "linux")["labels"] == ["linux"]
    assert program.run("members", "admit", "w", "--role", "king").code == 2
    assert program.run("members", "admit", "stranger").code == 3


def test_a_revocation_shows_first_what_becomes_void(program: Program) -> None:
    """Without yes nothing happens; the preview names just what is void afterwards."""
    program.submit("a")
    program.ok("complete", "--task-id", "a")
    before = program.json("replay")
    asked = program.run("members", "revoke", "worker", "--void-all", "--json")
    assert (asked.code, asked.json["error"]["kind"]) == (9, "unconfirmed")
    assert "voids 4 events and affects 1 tasks" in asked.err
    task = program.json("show", "a")
    assert f"  task flow/a {task['task_key']}: done → void\n" in asked.err
    (shown,) = asked.json["error"]["tasks"]
    assert shown == {
        "task_key": task["task_key"], "task_id": "a", "workflow_id": "flow", "status": "done", "status_after": None
    }  # fmt: skip
    assert len(asked.json["error"]["voided_events"]) == 4
    assert program.json("replay")["state_root"] == before["state_root"]
    done = program.json("members", "revoke", "worker", "--void-all", "--reason", "test", "--yes")
    assert (len(done["voided_events"]), len(done["affected_tasks"])) == (4, 1)
    assert (done["voided_events"], done["tasks"]) == (asked.json["error"]["voided_events"], [shown])
    rows = program.json("members", "list")["members"]
    assert [row["name"] for row in rows if row["revoked_by"]] == ["worker"]
    assert program.json("tasks")["tasks"] == []
    refused = program.run("complete", "--task-id", "a", "--json")  # the owner's key is at hand, and admits nobody anew
    assert (refused.code, refused.json["error"]["kind"]) == (5, "not_a_member")
    assert program.run("members", "revoke", "worker", "--yes").code == 3
    assert program.json("verify")["verified"]


def test_a_revocation_keeps_by_default_all_it_has_seen(program: Program) -> None:
    """What is here of the actor still counts; `--keep` draws the line elsewhere."""
    first = program.submit("a")["event_cid"]
    program.submit("b")
    preview = program.run("members", "revoke", "worker", "--keep", first)
    assert "voids 1 events and affects 1 tasks" in preview.err
    kept = program.json("members", "revoke", "worker", "--yes")
    assert kept["voided_events"] == []
    assert len(program.json("tasks")["tasks"]) == 2
    assert program.run("submit", "--task-id", "c", "--workflow-id", "w", "--name", "n").code == 5


@pytest.mark.parametrize(("answer", "code"), [("y", 0), ("n", 9)])
def test_a_revocation_asks_where_a_person_sits(program: Program, answer: str, code: int) -> None:
    """On a terminal the question can be answered; no is no."""
    program.submit("a")
    terminal, child = pty.openpty()
    os.write(terminal, f"{answer}\n".encode())
    done = subprocess.run(
        program.command("members", "revoke", "worker", "--void-all"),
        env=program.environment(),
        stdin=child,
        capture_output=True,
        text=True,
        check=False,
        timeout=DEADLINE_S,
    )
    os.close(child)
    os.close(terminal)
    assert done.returncode == code
    assert "Revoke? [y/N]" in done.stderr
    assert len(program.json("tasks")["tasks"]) == (0 if code == 0 else 1)


def test_a_revocation_is_not_made_where_the_ledger_has_moved_on_since_its_preview(program: Program) -> None:
    """What was shown is what is made void: another event meanwhile, and a yes revokes nothing."""
    program.submit("a")
    terminal, child = pty.openpty()
    running = subprocess.Popen(
        program.command("members", "revoke", "worker", "--void-all"),
        env=program.environment(),
        stdin=child,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    os.close(child)
    assert running.stderr is not None
    asked = b""
    while b"Revoke?" not in asked:
        more = os.read(running.stderr.fileno(), 4_096)
        assert more, asked
        asked += more
    program.submit("b")
    os.write(terminal, b"y\n")
    _, said = running.communicate(timeout=DEADLINE_S)
    os.close(terminal)
    assert running.returncode == 9
    assert b"moved on" in said
    assert {task["task_id"] for task in program.json("tasks")["tasks"]} == {"a", "b"}
    assert not any(row["revoked_by"] for row in program.json("members", "list")["members"])


def test_only_an_owners_home_admits_and_revokes(program: Program, tmp_path: Path) -> None:
    """A home without the owner's key says where it can be done."""
    program.ok("init")
    other = Program(tmp_path / "other", "o")
    key = other.json("init", "--from", str(program.home))["peer_key"]
    refused = other.run("members", "admit", key, "--json")
    assert (refused.code, refused.json["error"]["kind"]) == (5, "forbidden")
