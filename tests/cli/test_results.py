"""`result`, `logs`, `wait`, `run`, `renew`, `dead list`, `requeue`: what a task came to, at home and elsewhere."""

from __future__ import annotations

import json
import signal
import subprocess
from pathlib import Path
from typing import Any, BinaryIO, cast

import pytest

from cli.log_text import LogPrinter, harmless
from ledger.cid import Cid
from scheduler.running.files import split
from scheduler.running.outputs import Outputs, write_outputs
from scheduler.running.payloads import OUTPUTS_TYPE
from tests.cli.program import Program
from tests.support.kubo import wait_for

BACKOFF = {"base_ms": 1, "max_ms": 1}


def dying(program: Program, task_id: str, attempts: int = 1, **fields: Any) -> None:
    """Submit a task that is dead after so many failures, which wait for nothing."""
    program.ok("status")  # first use
    spec = {"task_id": task_id, "workflow_id": "flow", "name": task_id, "backoff": BACKOFF, "max_attempts": attempts}
    program.ok("append", "-", text=json.dumps({"op": "submit", "spec": spec | fields}))


def file_of(tmp_path: Path, name: str, data: bytes) -> str:
    """Return the path of a file with these bytes."""
    (tmp_path / name).write_bytes(data)
    return str(tmp_path / name)


def test_a_result_from_any_peer(program: Program, tmp_path: Path) -> None:
    """What was completed is shown at home and elsewhere: exit code, outputs, worker, claim, event, standing."""
    program.submit("a")
    claim = program.json("next")["task"]["claim"]
    output = write_outputs(Outputs({"version": "1.2"}))
    event = program.json(
        "complete", "--task-id", "a", "--exit-code", "0", "--media-type", OUTPUTS_TYPE,
        "--output", file_of(tmp_path, "o", output), "--log", file_of(tmp_path, "l", b"built\n"),
    )["event_cid"]  # fmt: skip
    there = Program(tmp_path / "there", peer="reader")
    there.ok("init", "--from", str(program.home))
    for reader in (program, there):
        found = reader.json("result", "a")
        assert (found["status"], found["exit_code"], found["outputs"]) == ("done", 0, {"version": "1.2"})
        assert (found["claim"], found["event_cid"], found["is_result"]) == (claim, event, True)
        assert found["worker"]["name"] == "worker"
        assert reader.ok("logs", "a").out == "built\n"
    told = program.ok("result", "a").out
    assert "Output version: 1.2\n" in told
    assert f"Event: {event}, stable, at " in told
    assert program.json("logs", "a")["text"] == "built\n"


def test_what_is_no_result_says_so_by_its_code(program: Program) -> None:
    """A task that waits, is held, or has failed shows what there is, and ends with 4."""
    program.submit("a")
    ran = program.run("result", "a", "--json")
    assert (ran.code, ran.json["status"], ran.json["claim"]) == (4, "ready", None)
    program.ok("next")
    program.ok("renew", "a", "--progress", "half")
    ran = program.run("result", "a")
    assert (ran.code, "Progress: half" in ran.out) == (4, True)
    program.ok("fail", "a", "--class", "payload", "--error", "no luck", "--exit-code", "3")
    ran = program.run("result", "a")
    assert (ran.code, "Failure: payload: no luck" in ran.out, "Exit Code: 3" in ran.out) == (4, True, True)
    assert "Task a is waiting: this is no result." in ran.err
    assert program.run("result", "none").code == 3
    assert program.run("result", "a", "--claim", str(Cid.of_raw(b"x"))).code == 3


def test_the_files_of_a_result_are_written_and_replace_nothing(program: Program, tmp_path: Path) -> None:
    """Files of a result go below the folder; what is there, or leads elsewhere, is in the way and stays as it was."""
    data = b"x" * 1_500_000
    file, parts = split(data, executable=True)
    source = file_of(tmp_path, "source", data)
    program.ok("submit", "--task-id", "carrier", "--workflow-id", "w", "--name", "n", "--put", source, "--", "true")
    output = write_outputs(Outputs({}, {"bin/tool": file, "empty": split(b"")[0]}))
    program.submit("a")
    done = ("--media-type", OUTPUTS_TYPE, "--output", file_of(tmp_path, "o", output))
    program.ok("complete", "--task-id", "a", *done)
    out = tmp_path / "out"
    assert set(program.json("result", "a", "--output", str(out))["written"]) == {"bin/tool", "empty"}
    assert (out / "bin" / "tool").read_bytes() == data
    assert (out / "bin" / "tool").stat().st_mode & 0o111
    program.ok("result", "a", "--output", str(out))  # the same again is no clash
    (out / "empty").write_text("mine")
    ran = program.run("result", "a", "--output", str(out), "--json")
    assert (ran.code, ran.json["error"]["kind"], (out / "empty").read_text()) == (4, "file_in_the_way", "mine")
    linked = tmp_path / "linked"
    (linked / "elsewhere").mkdir(parents=True)
    (linked / "bin").symlink_to(linked / "elsewhere")
    assert program.run("result", "a", "--output", str(linked)).code == 4
    assert list((linked / "elsewhere").iterdir()) == []
    assert len(parts) == 2
    program.submit("b")
    program.ok("complete", "--task-id", "b", "--output", file_of(tmp_path, "answer.txt", b"an answer"))
    program.ok("result", "b", "--output", str(tmp_path / "of b"))
    assert (tmp_path / "of b" / "output.txt").read_text() == "an answer"


def bare_copy(program: Program, folder: Path) -> Program:
    """Return a home that has the events of another and no blobs."""
    from scheduler.home import Home

    with Home.open(program.home) as home, home.reading():
        genesis = home.genesis.encode()
        blocks = [block for _, _, block in home.events.in_order_of_arrival()]
    with Home.enter(folder, genesis) as home, home.writing() as writing:
        writing.offer(blocks)
    return Program(folder, peer="reader")


def test_what_is_missing_here_is_named(program: Program, tmp_path: Path) -> None:
    """A home without the blobs says which, in words and in JSON, and ends with 11; after a sync it has them."""
    log, answer = b"line\n" * 2_000, b"answer " * 2_000
    program.submit("a")
    program.ok("next")
    program.ok("renew", "a", "--log", "-", text="first\n")
    program.ok(
        "complete", "--task-id", "a", "--log", file_of(tmp_path, "l", log), "--output", file_of(tmp_path, "o", answer)
    )
    bare = bare_copy(program, tmp_path / "bare")
    ran = bare.run("result", "a", "--json")
    assert (ran.code, ran.json["missing"]) == (11, [str(Cid.of_raw(answer))])
    assert "Not in this home yet" in ran.err
    ran = bare.run("logs", "a")
    assert (ran.code, ran.out) == (11, "first\n")
    assert f"10,000 bytes of the log are not in this home yet: blob {Cid.of_raw(log)}" in ran.err
    bare.ok("sync", str(program.home))
    assert bare.ok("logs", "a").out == "first\n" + log.decode()
    assert bare.json("result", "a")["missing"] == []


def test_logs_are_followed_until_the_task_is_over(program: Program) -> None:
    """`logs -f` prints each piece as it is renewed, over a failed attempt too, and ends with the task."""
    dying(program, "a", attempts=2)
    following = program.start("logs", "-f", "a")
    program.ok("next", "--wait", "20")
    program.ok("renew", "a", "--log", "-", text="one\n")
    assert following.stdout is not None
    assert following.stdout.readline() == "one\n"
    program.ok("fail", "a", "--log", "/dev/null")
    program.ok("next", "--wait", "20")
    program.ok("renew", "a", "--log", "-", text="two\n")
    assert following.stdout.readline() == "two\n"
    program.ok("complete", "--task-id", "a")
    out, err = following.communicate(timeout=30)
    assert (following.returncode, out) == (0, "")
    assert "attempt 1, by worker" in err
    assert "attempt 2, by worker" in err


def test_waiting_ends_with_the_tasks_or_the_time(program: Program) -> None:
    """`wait` ends 0 where all are done, 4 where one failed for good, 13 where the time is up."""
    program.submit("a")
    dying(program, "b")
    ran = program.run("wait", "a", "b", "--timeout", "200ms")
    assert (ran.code, "a: ready" in ran.out) == (13, True)
    waiting = program.start("wait", "a", "b")
    program.ok("complete", "--task-id", "a")
    wait_for(
        "b is dead", lambda: program.run("next").code == 0 and program.run("fail", "b", "--class", "limit").code == 0
    )
    out, _ = waiting.communicate(timeout=30)
    assert (waiting.returncode, out) == (4, "a: done\nb: dead (limit)\n")
    assert program.ok("wait", "a").out == "a: done\n"


def test_dead_tasks_are_listed_and_queued_again(program: Program) -> None:
    """The list has class, error and when; `requeue` takes several, or all that are dead; `tasks` has the class."""
    for name in ("a", "b", "c"):
        dying(program, name)
        program.ok("next")
        program.ok("fail", name, "--class", "timeout", "--error", f"{name} was slow", "--exit-code", "9")
    found = program.json("dead", "list")["tasks"]
    assert [(one["task_id"], one["attempts"]) for one in found] == [("a", 1), ("b", 1), ("c", 1)]
    assert found[0]["last_failure"]["words"] == "timeout: a was slow, exit code 9"
    assert "timeout: b was slow, exit code 9" in program.ok("dead", "list").out
    assert program.json("tasks")["tasks"][0]["last_failure"]["class"] == "timeout"
    assert "timeout" in program.ok("tasks").out.splitlines()[1]
    assert program.json("requeue", "a")["task_id"] == "a"
    assert [one["task_id"] for one in program.json("requeue", "b", "c")["tasks"]] == ["b", "c"]
    assert program.json("dead", "list")["tasks"] == []
    assert program.json("requeue", "--all-dead")["requeued"] == 0
    for name in ("a", "b", "c"):
        program.ok("next")
        program.ok("fail", name)
    assert program.json("requeue", "--all-dead", "--workflow-id", "other")["requeued"] == 0
    assert program.json("requeue", "--all-dead", "--workflow-id", "flow")["requeued"] == 3
    assert program.run("requeue", "a").code == 4
    for line in (("requeue",), ("requeue", "a", "--all-dead"), ("requeue", "a", "--workflow-id", "flow")):
        assert program.run(*line).code == 2


def test_a_need_that_cannot_be_done_is_named_with_its_reason(program: Program) -> None:
    """Dead, cancelled and expired needs, and needs of needs, are named wherever a task that rests on them is shown."""
    dying(program, "broken")
    program.ok("next")
    program.ok("fail", "broken", "--class", "payload", "--error", "boom", "--exit-code", "2")
    program.submit("gone")
    program.ok("cancel", "gone")
    program.submit("late", "--expires-at", "2020-01-01T00:00Z")
    program.submit("between", "--needs", "broken")
    program.submit("a", "--needs", "between", "--needs", "gone", "--needs", "late")
    words = {"need between is blocked, since broken is dead", "need gone is cancelled", "need late is expired"}
    shown = program.json("show", "a")
    assert set(shown["words"].split("; ")) == words
    assert all(one in program.ok("explain", "a").out for one in words)
    assert (
        "broken: dead (its attempts are used up; last failure: payload: boom, exit code 2)"
        in program.ok("explain", "between").out
    )
    ran = program.run("complete", "--task-id", "a")
    assert (ran.code, all(one in ran.out for one in words)) == (4, True)
    assert program.run("wait", "a").code == 4


def test_renewing_keeps_a_task_and_says_how_far_it_is(program: Program) -> None:
    """A renewal runs from now; of a task that is not held, or over, it is refused."""
    program.submit("a")
    assert program.run("renew", "a").code == 4
    first = program.json("next", "--lease", "30s")["task"]
    renewed = program.json("renew", "a", "--lease", "1h", "--progress", "a third")
    assert renewed["until"] > first["until"] + 3_000_000
    assert program.json("show", "a")["until"] == renewed["until"]
    program.ok("complete", "--task-id", "a")
    assert program.run("renew", "a").code == 4


def test_a_log_on_a_terminal_moves_no_cursor() -> None:
    """Colours pass, whole or cut in two; everything else that a terminal obeys is shown as an escape."""
    assert harmless("\x1b[31mred\x1b[0m\tx\r\n") == "\x1b[31mred\x1b[0m\tx\n"
    assert harmless("\x1b[2J\x1b]0;title\x07\x9b1A\x08") == "\\x1b[2J\\x1b]0;title\\x07\\x9b1A\\x08"


class _Stream:
    """Bytes that were written."""

    def __init__(self) -> None:
        self.data = b""

    def write(self, data: bytes) -> None:
        self.data += data

    def flush(self) -> None: ...


@pytest.mark.parametrize("step", [1, 2, 3, 7, 100])
def test_pieces_of_a_log_are_cut_anywhere(step: int) -> None:
    """A colour or a letter cut in two by a piece's end comes out whole; into a pipe every byte is as it was."""
    data = "ä\x1b[1;31m→ fett\x1b[0m\x1b[2K ende".encode() + b"\xff\x1b"
    terminal, pipe = _Stream(), _Stream()
    printers = [
        LogPrinter(cast("BinaryIO", terminal), is_terminal=True),
        LogPrinter(cast("BinaryIO", pipe), is_terminal=False),
    ]
    for printer in printers:
        for start in range(0, len(data), step):
            printer.write(data[start : start + step])
        printer.end()
    assert terminal.data.decode() == "ä\x1b[1;31m→ fett\x1b[0m\\x1b[2K ende\ufffd\\x1b\n"
    assert pipe.data == data


# ---- run


def started(program: Program, *args: str) -> subprocess.Popen[str]:
    """Start `run` of a task `a`, and wait until it has been submitted."""
    running = program.start("run", "--task-id", "a", *args)
    wait_for("the task is there", lambda: program.run("show", "a").code == 0)
    return running


def test_run_ends_as_its_command_did(program: Program) -> None:
    """It prints the log as it comes, and ends with the exit code; a command that failed is not tried again."""
    program.ok("init")
    running = started(program, "--", "make", "--json")
    program.ok("next", "--wait", "20")
    program.ok("renew", "a", "--log", "-", text="one\n")
    assert running.stdout is not None
    assert running.stdout.readline() == "one\n"
    program.ok("fail", "a", "--class", "payload", "--exit-code", "42", "--error", "no rule")
    out, err = running.communicate(timeout=30)
    assert (running.returncode, out) == (42, "")
    assert "Failure: payload: no rule" in err
    assert program.json("show", "a")["status"] == "cancelled"
    again = program.run("run", "--task-id", "a", "--", "make", "--json")  # the same request is the same task
    assert (again.code, again.out) == (42, "one\n")


def test_run_tells_what_no_command_says(program: Program) -> None:
    """Time up, a limit, infrastructure and a cancel by others have codes of their own."""
    program.ok("init")
    for failure_class, code in (("timeout", 124), ("limit", 122)):
        running = program.start("run", "--task-id", failure_class, "--json", "--", "make")
        program.ok("next", "--wait", "20")
        program.ok("fail", failure_class, "--class", failure_class)
        out, _ = running.communicate(timeout=30)
        assert (running.returncode, json.loads(out)["exit"]) == (code, code)
    running = program.start("run", "--task-id", "i", "--max-attempts", "1", "--", "make")
    program.ok("next", "--wait", "20")
    program.ok("fail", "i", "--class", "infrastructure")
    assert running.wait(30) == 125
    running.communicate()
    running = started(program, "--", "make")
    program.ok("cancel", "a")
    running.communicate(timeout=30)
    assert running.returncode == 125


@pytest.mark.parametrize("asked", [signal.SIGINT, signal.SIGTERM])
def test_who_ends_what_is_run_cancels_it(program: Program, asked: signal.Signals) -> None:
    """The first Ctrl-C or SIGTERM cancels the task durably, says so, and ends with 130."""
    program.ok("init")
    running = started(program, "--", "sleep", "1000")
    running.send_signal(asked)
    _, err = running.communicate(timeout=30)
    assert running.returncode == 130, err
    assert "Cancelled: its worker stops it" in err
    assert program.json("show", "a")["status"] == "cancelled"


def test_run_says_where_nobody_works_and_can_be_left(program: Program, tmp_path: Path) -> None:
    """Without a worker it says so after a moment; detached it says the name; the result's files are fetched."""
    program.ok("init")
    running = started(program, "--output", str(tmp_path / "out"), "--", "make")
    assert running.stderr is not None
    assert running.stderr.readline().startswith("Task a: ")
    assert "waits for a `p2p-workflow worker run`" in running.stderr.readline()
    program.ok("complete", "--task-id", "a", "--output", file_of(tmp_path, "x.txt", b"done"))
    running.communicate(timeout=30)
    assert running.returncode == 0
    assert (tmp_path / "out" / "output.txt").read_bytes() == b"done"
    left = program.ok("run", "--detach", "--", "ls").out.strip()
    assert program.json("show", left)["name"] == "ls"
    assert program.run("run", "ls").code == 2
    assert "write `run -- COMMAND" in program.run("run").err
