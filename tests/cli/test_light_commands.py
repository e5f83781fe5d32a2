"""The real program without a home: `members token`, `submit` with a token, and waiting, with a home too."""

from __future__ import annotations

import os
import subprocess
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest

from cli.awaiting import with_wait
from cli.log_text import LogPrinter
from ledger.events import TaskKey
from ledger.operations import Attachment, Report
from scheduler.actions import complete, fail, take
from scheduler.home import Home
from scheduler.light.token import read_ledger_token, write_ledger_token
from scheduler.serving import HomeServer
from tests.cli.program import Program, Ran
from tests.support.kubo import wait_for

SUBMIT = ("submit", "--task-id", "t", "--workflow-id", "w", "--name", "n")


@dataclass
class Team:
    """An owner's program, a server of its home, and a runner's program with the pair in its environment."""

    owner: Program
    runner: Program
    url: str

    def act(self, do: Callable[[Home, Any, TaskKey], object]) -> threading.Thread:
        """Take the first task there is, and do something with it, in a thread."""

        def run() -> None:
            with Home.open(self.owner.home) as home:
                key = home.members.peer_key("worker")
                taken = wait_for("a task", lambda: take(home, key), deadline_s=60)
                assert taken is not None
                do(home, key, taken.record.key)

        thread = threading.Thread(target=run)
        thread.start()
        return thread


@pytest.fixture
def team(tmp_path: Path) -> Iterator[Team]:
    """Give the two programs."""
    owner = Program(tmp_path / "home")
    owner.ok("init")
    owner.ok("keys", "generate", "ci")
    owner.ok("members", "admit", "ci", "--role", "submitter")
    key = owner.ok("keys", "export", "ci", "-").out.strip()
    with Home.open(owner.home) as home:
        server = HomeServer(owner.home, home.keys.load("owner"))
    with server:
        url = f"http://127.0.0.1:{server.port}"
        token = owner.ok("members", "token", "ci", "--url", url).out.strip()
        (tmp_path / "user").mkdir()
        yield Team(
            owner,
            Homeless(tmp_path / "user" / "none", extra={"P2P_WORKFLOW_KEY": key, "P2P_WORKFLOW_LEDGER": token}),
            url,
        )


class Homeless(Program):
    """The program on a machine without a home."""

    def environment(self) -> dict[str, str]:
        found = super().environment()
        if "P2P_WORKFLOW_HOME" not in self.extra:
            del found["P2P_WORKFLOW_HOME"]
        return found


def test_the_token_says_what_is_in_it(team: Team) -> None:
    """As JSON: ledger, grant, key and places; nothing secret; who may not submit gets none."""
    document = team.owner.json("members", "token", "ci", "--url", team.url)
    assert (document["urls"], document["nodes"], document["private"]) == ([team.url], [], False)
    assert team.owner.json("members", "token", "owner")["grant"] == document["ledger"]
    assert "names no URL" in team.owner.ok("members", "token", "ci").err
    team.owner.ok("keys", "generate", "stranger")
    ran = team.owner.run("members", "token", "stranger", "--json")
    assert (ran.code, ran.json["error"]["kind"]) == (5, "not_a_member")


def test_a_submit_without_a_home_says_the_contract_s_lines(team: Team, tmp_path: Path) -> None:
    """To the letter, with the event beside; again, and as JSON; by flag as by variable; no home is made."""
    first = team.runner.ok(*SUBMIT, "--priority", "7")
    lines = first.out.splitlines()
    assert lines[0] == "✓ Task submitted successfully"
    assert [line.partition(":")[0] for line in lines[1:]] == ["Task ID", "Task Hash", "Priority", "Event CID"]
    again = team.runner.json(*SUBMIT, "--priority", "7")
    assert (again["created"], again["how"], again["via"]) == (False, "accepted", team.url)
    assert lines[-1] == f"Event CID: {again['event_cid']}"
    token = team.runner.extra["P2P_WORKFLOW_LEDGER"]
    flagged = replace(team.runner, extra=team.runner.extra | {"P2P_WORKFLOW_LEDGER": ""})
    assert flagged.json(*SUBMIT, "--priority", "7", "--ledger", token)["created"] is False
    assert team.owner.json("show", "t")["task_key"] == again["task_key"]
    assert list((tmp_path / "user").iterdir()) == []


def test_what_is_wrong_with_the_pair_is_told(team: Team) -> None:
    """Each with its own code and words."""

    def run(*more: str, **extra: str) -> Ran:
        return replace(team.runner, extra=team.runner.extra | extra).run(*SUBMIT, *more, "--json")

    other = team.owner.ok("keys", "export", "owner", "-").out.strip()
    for ran, code, kind in (
        (run(P2P_WORKFLOW_LEDGER=""), 2, "input"),
        (run(P2P_WORKFLOW_KEY=""), 2, "input"),
        (run(P2P_WORKFLOW_LEDGER="p2pwl1-abc"), 2, "ledger_token"),
        (run(P2P_WORKFLOW_LEDGER=team.owner.json("members", "token", "ci")["ledger"]), 2, "ledger_token"),
        (run(P2P_WORKFLOW_KEY=other), 5, "token_key"),
        (run("--via", "ftp://x"), 2, "via"),
        (run("--via", "http://127.0.0.1:1"), 11, "nobody_took_it"),
        (run("--via", "kubo:http://127.0.0.1:1"), 11, "nobody_took_it"),
        (run("--home", "x", "--ledger", "y"), 2, "input"),
        (run("--via", "http://127.0.0.1:1", P2P_WORKFLOW_HOME=str(team.owner.home)), 2, "input"),
    ):
        assert (ran.code, ran.json["error"]["kind"]) == (code, kind), ran.err


def test_where_nobody_can_be_asked_nothing_is_submitted(team: Team, tmp_path: Path) -> None:
    """A file, or a node where the token names no peer: who is to wait is refused, `submit` and the action alike."""
    token = team.owner.ok("members", "token", "ci").out.strip()
    path = tmp_path / "tasks.car"
    lone = replace(team.runner, extra=team.runner.extra | {"P2P_WORKFLOW_LEDGER": token})
    for via in (f"file:{path}", "kubo:http://127.0.0.1:1"):
        ran = lone.run(*SUBMIT, "--via", via, "--wait", "--json")
        assert (ran.code, ran.json["error"]["kind"]) == (2, "input")
        assert ran.json["error"]["message"] == "nobody can be asked about the task"
        action = {"P2P_ACTION_TASK_ID": "t", "P2P_ACTION_WAIT": "true", "P2P_ACTION_VIA": via}
        ran = replace(lone, extra=lone.extra | action).run("github", "submit")
        assert (ran.code, "nobody can be asked about the task" in ran.out) == (2, True)
    assert not path.exists()
    named = write_ledger_token(replace(read_ledger_token(token), nodes=("/p2p/12D3KooWpeerpeerpeerpeer",)))
    ran = lone.run(*SUBMIT, "--via", "kubo:http://127.0.0.1:1", "--wait", "--ledger", named, "--json")
    assert (ran.code, ran.json["error"]["kind"]) == (11, "nobody_took_it")  # it was tried


def test_many_tasks_and_files_of_a_command(team: Team, tmp_path: Path) -> None:
    """A file of tasks with needs among them, and a command with files, go without a home as well."""
    tasks = tmp_path / "tasks.json"
    tasks.write_text(
        '[{"task_id": "a", "workflow_id": "w", "name": "n"},'
        ' {"task_id": "b", "workflow_id": "w", "name": "n", "needs": ["a"]}]'
    )
    assert team.runner.json("submit", "--file", str(tasks))["submitted"] == 2
    assert team.runner.json("submit", "--file", str(tasks))["already"] == 2
    big = tmp_path / "big"
    big.write_bytes(os.urandom(3_000_000))
    sent = team.runner.ok(*SUBMIT, "--put", f"{big}=in/big", "--json", "--", "cat", "in/big")
    assert sent.json["created"] is True
    with Home.open(team.owner.home) as home, home.reading():
        assert home.intake.blobs.wanted() == ()


@pytest.mark.parametrize("has_home", [False, True], ids=["without", "with"])
def test_who_waits_ends_as_the_task_ends(team: Team, has_home: bool) -> None:
    """With a home and without one alike: the log on stdout, the result after it, the exit code of the command."""
    program = team.owner if has_home else team.runner

    def succeed(home: Home, key: Any, task: TaskKey) -> None:
        complete(home, key, task, report=Report(exit_code=0), log=Attachment("text/plain", data=b"all is well\n"))

    thread = team.act(succeed)
    ran = program.ok(*SUBMIT, "--wait", "60s")
    thread.join()
    assert "all is well\n" in ran.out
    assert ran.out.startswith("✓ Task submitted successfully\n")
    assert "Status: done" in ran.out
    assert program.json(*SUBMIT, "--wait")["result"]["status"] == "done"

    def break_(home: Home, key: Any, task: TaskKey) -> None:
        fail(home, key, task, failure_class="payload", error="broken", report=Report(exit_code=7))

    thread = team.act(break_)
    failed = program.run("submit", "--task-id", "f", *SUBMIT[3:], "--max-attempts", "1", "--wait=60s", "--json")
    thread.join()
    assert (failed.code, failed.json["exit"]) == (7, 7)
    assert failed.json["result"]["failure"] == {"class": "payload", "error": "broken"}
    late = program.run("submit", "--task-id", "l", *SUBMIT[3:], "--wait=1s", "--json")
    assert (late.code, late.json["error"]["exit_code"]) == (13, 13)
    assert "when the time to wait is over" in late.err


def test_an_optional_value_is_told_from_what_follows() -> None:
    """`--wait` by itself, before an option, with a value either way; and as the value of another option."""
    for line, wanted in (
        (["--wait"], ["--wait=ever"]),
        (["--wait", "--json"], ["--wait=ever", "--json"]),
        (["--wait", "5m"], ["--wait", "5m"]),
        (["--wait=5m"], ["--wait=5m"]),
        (["--name", "--wait"], ["--name", "--wait"]),
        (["--", "--wait"], ["--", "--wait"]),
    ):
        assert with_wait(line, ["--name", "--wait"]) == wanted


def test_the_action_installs_the_program_where_it_is_not(tmp_path: Path) -> None:
    """The script of action.yml makes an environment with the Python it is told, and installs its own checkout."""
    action = (Path(__file__).parents[2] / "action.yml").read_text(encoding="utf-8")
    script = "".join(line[8:] + "\n" for line in action.split("      run: |\n")[1].splitlines())
    log = tmp_path / "log"
    python = tmp_path / "python"
    python.write_text(
        f'#!/bin/sh\necho "$@" >> {log}\n'
        'if [ "$2" = venv ]; then mkdir -p "$3/bin"; cp "$0" "$3/bin/python"; fi\n'
        'if [ "$2" = pip ]; then cp "$0" "$(dirname "$0")/p2p-workflow"; fi\n'
    )
    python.chmod(0o755)
    (tmp_path / "bin").mkdir()
    for name in ("bash", "mkdir", "cp", "dirname", "sh"):
        (tmp_path / "bin" / name).symlink_to(Path("/bin") / name)
    for _ in range(2):
        subprocess.run(
            ["bash", "-euo", "pipefail", "-c", script],
            check=True,
            env={
                "PATH": str(tmp_path / "bin"),
                "RUNNER_TEMP": str(tmp_path),
                "P2P_ACTION_PYTHON": str(python),
                "P2P_ACTION_PATH": "/the action",
            },
        )
    place = tmp_path / "p2p-workflow-venv"
    assert log.read_text().splitlines() == [
        f"-m venv {place}",
        "-m pip install --quiet --disable-pip-version-check /the action",
        "github submit",
        "github submit",
    ]


def test_a_command_that_needs_a_home_does_not_answer_from_another_ledger(team: Team) -> None:
    """With a token and no home named it says so, and makes none: a `run` would wait for ever in a ledger of its own."""
    nowhere = team.owner.home.parent / "nowhere"
    lost = replace(team.runner, extra=team.runner.extra | {"P2P_WORKFLOW_HOME": str(nowhere)})
    for words in (("run", "--", "true"), ("result", "t"), ("status",)):
        for runner in (team.runner, lost):
            ran = runner.run(*words)
            assert ran.code == 2
            assert "needs a home" in ran.out + ran.err
    assert lost.json(*SUBMIT)["how"] == "accepted"  # the ledger that the token names, not a new one
    assert not nowhere.exists()
    named = replace(team.runner, extra=team.runner.extra | {"P2P_WORKFLOW_HOME": str(team.owner.home)})
    assert named.run("status").code == 0


def test_a_token_is_made_beside_another_one(tmp_path: Path, team: Team) -> None:
    """In the home that nobody has named, with the last token still in the environment."""
    at_home = Homeless(tmp_path / "user" / "none")
    at_home.ok("init")
    exported = replace(at_home, extra={"P2P_WORKFLOW_LEDGER": team.runner.extra["P2P_WORKFLOW_LEDGER"]})
    assert exported.run("status").code == 2
    assert exported.ok("members", "token", "owner").out == at_home.ok("members", "token", "owner").out


def test_who_waits_at_home_hears_that_nobody_takes_it(team: Team) -> None:
    """Once, on stderr, after a while; and that Ctrl-C does not cancel it."""
    ran = team.owner.run(*SUBMIT, "--wait=6s")
    assert ran.code == 13
    assert ran.err.count("Nobody at work was heard of lately") == 1
    assert "`explain t` says more; Ctrl-C leaves it as it is." in ran.err


def test_who_waits_for_what_needs_a_task_that_nobody_takes_hears_of_that_one(team: Team) -> None:
    """By its name; while it is held somebody is at work, and nothing is said."""
    team.owner.ok("submit", "--task-id", "a b", "--workflow-id", "w", "--name", "first", "--tags", "p2p-only")
    team.owner.ok(*SUBMIT, "--needs", "a b")
    ran = team.owner.run("wait", "t", "--timeout", "6s")
    assert ran.code == 13
    assert ran.err.count("Nobody at work was heard of lately: a b, which it needs, waits for a") == 1
    assert "`explain 'a b'` says more; Ctrl-C leaves it as it is." in ran.err
    team.owner.ok("next")
    ran = team.owner.run("wait", "t", "--timeout", "6s")
    assert (ran.code, "Nobody" in ran.err) == (13, False)


def test_no_line_of_a_log_is_a_command_of_the_runner() -> None:
    """On a runner of GitHub Actions a log stands between the words that stop commands; elsewhere as it is."""
    stream = BytesIO()
    printer = LogPrinter(stream, is_terminal=False, stop_word="stop-x")
    printer.write(b"::add-mask::a\n::err")
    printer.write(b"or::b")
    printer.end()
    assert stream.getvalue() == b"::stop-commands::stop-x\n::add-mask::a\n::error::b\n::stop-x::\n"
    plain = BytesIO()
    printer = LogPrinter(plain, is_terminal=False)
    printer.write(b"::error::b\n")
    printer.end()
    assert plain.getvalue() == b"::error::b\n"
