"""Commands run by real workers: exit codes, logs as they come, files there and back, outputs of needs, other homes."""

from __future__ import annotations

import json
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from scheduler.scheduler import P2PWorkflowScheduler
from scheduler.task import P2PTask, Payload
from tests.cli.program import Program
from tests.support.kubo import wait_for

NAMED = ("--workflow-id", "w", "--name", "n")


@contextmanager
def at_work(program: Program, *args: str) -> Iterator[subprocess.Popen[str]]:
    """Have a worker at work in a home, under the policy that is there, or the first one."""
    if not (program.home / "worker.toml").exists():
        program.ok("worker", "policy", "init")
    with (program.home / "worker.out").open("w") as out:
        process = subprocess.Popen(
            program.command("worker", "run", *args), env=program.environment(), stdout=out, stderr=out, text=True
        )
    try:
        wait_for("the worker works", lambda: "working in" in (program.home / "worker.out").read_text())
        yield process
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
            assert process.wait(60) == 0, (program.home / "worker.out").read_text()


def is_running(script: str) -> bool:
    """Return whether a shell of this machine runs a script."""
    for place in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):
            words = place.read_bytes().split(b"\0")
            if words[:2] == [b"sh", b"-c"] and words[2] == script.encode():
                return True
    return False


@pytest.fixture
def working(program: Program) -> Iterator[Program]:
    """Give a home in which a worker with two slots works."""
    program.ok("status")  # first use
    with at_work(program, "--slots", "2"):
        yield program


def test_run_is_as_if_the_command_ran_here(working: Program, tmp_path: Path) -> None:
    """Its files go there, its lines and its exit code come back, and so do the files it is to keep."""
    (tmp_path / "in.txt").write_text("what is put")
    script = 'cat in.txt; echo; echo "again: $WORD"; mkdir d; tr a-z A-Z < in.txt > d/out.txt'
    args = ("--put", str(tmp_path / "in.txt"), "--env", "WORD=x", "--keep", "d/*", "--output", str(tmp_path / "got"))
    ran = working.run("run", *args, "--", "sh", "-c", script)
    assert (ran.code, ran.out) == (0, "what is put\nagain: x\n"), ran
    assert (tmp_path / "got" / "d" / "out.txt").read_text() == "WHAT IS PUT"
    ran = working.run("run", "--task-id", "bad", "--", "sh", "-c", "echo oops >&2; exit 7")
    assert (ran.code, ran.out) == (7, "oops\n"), ran
    assert "Failure: payload" in ran.err
    assert working.run("run", "--", "sh", "-c", "kill -9 $$").code == 137
    ran = working.run("run", "--", "cat", text="piped")
    assert (ran.code, ran.out, "What is piped in goes nowhere" in ran.err) == (0, "", True), ran
    ran = working.run("run", "--script", "-", "--interpreter", "sh", text="echo read; exit 3")
    assert (ran.code, ran.out, "goes nowhere" in ran.err) == (3, "read\n", False), ran
    ran = working.run("run", "--", "sh", "-c", "echo 'Too many open files'; exit 9")
    assert (ran.code, "Limits hit: open_files" in ran.err) == (9, True), ran
    ran = working.run("run", "--timeout", "1s", "--json", "--", "sleep", "100")
    assert (ran.code, ran.json["exit"], ran.json["failure"]["class"]) == (124, 124, "timeout")


def test_lines_come_while_the_command_runs(working: Program) -> None:
    """In the worker's home a line is here before the command ends; so it is for `logs -f`; Ctrl-C stops the command."""
    script = f": {working.home}; echo begun; while :; do sleep 0.1; done"
    running = working.start("run", "--task-id", "a", "--", "sh", "-c", script)
    assert running.stdout is not None
    assert (running.stdout.readline(), is_running(script)) == ("begun\n", True)
    following = working.start("logs", "-f", "a")
    assert following.stdout is not None
    assert following.stdout.readline() == "begun\n"
    running.send_signal(signal.SIGINT)
    running.communicate(timeout=30)
    assert running.returncode == 130
    following.communicate(timeout=30)
    wait_for("the worker heard of it", lambda: "was cancelled" in (working.home / "worker.out").read_text())
    wait_for("nothing of it runs on", lambda: not is_running(script))


def test_outputs_of_needs_reach_the_task_that_needs_them(working: Program, tmp_path: Path) -> None:
    """Outputs by name and files by path of what a task needs are in its inputs; an agent's answer is there, too."""
    working.ok("submit", "--task-id", "agent", *NAMED)
    (tmp_path / "answer.txt").write_text("forty-two")
    working.ok("complete", "--task-id", "agent", "--output", str(tmp_path / "answer.txt"))
    script = 'echo "version=1.2" >> "$P2P_WORKFLOW_OUTPUT"; echo built > x.bin'
    working.ok("submit", "--task-id", "build", *NAMED, "--keep", "x.bin", "--", "sh", "-c", script)
    reads = (
        "import json, os, pathlib\n"
        "given = json.load(open(os.environ['P2P_WORKFLOW_INPUTS']))\n"
        "print(given['build']['outputs']['version'])\n"
        "print(pathlib.Path(given['build']['files']['x.bin']).read_text().strip())\n"
        "print(pathlib.Path(given['agent']['output']['path']).read_text())\n"
    )
    ran = working.run("run", "--needs", "build", "--needs", "agent", "--", "python3", "-c", reads)
    assert (ran.code, ran.out) == (0, "1.2\nbuilt\nforty-two\n"), ran
    assert working.json("result", "build")["sandbox"]


def test_from_another_home_results_and_logs_come_by_sync(program: Program, tmp_path: Path) -> None:
    """Submitted with files in one home, run in another: result, files and log are read in the first."""
    program.ok("status")
    there = Program(tmp_path / "there", peer="far")
    there.ok("init", "--from", str(program.home))
    key = there.json("keys", "show", "far")["key"]
    program.ok("members", "admit", key, "--name", "far")
    data = b"x" * 1_500_000
    (tmp_path / "in").write_bytes(data)
    script = "sha256sum in; seq 100000; cp in out"
    program.ok(
        "submit", "--task-id", "a", *NAMED, "--put", str(tmp_path / "in"), "--keep", "out", "--", "sh", "-c", script
    )
    there.ok("sync", str(program.home))
    there.ok("worker", "policy", "init")
    policy = there.home / "worker.toml"
    mine = program.json("show", "a")["submitter"]["key"]
    policy.write_text(policy.read_text().replace("submitters = [", f'submitters = ["{mine}", ', 1))
    there.ok("worker", "run", "--once")
    assert program.run("result", "a").code == 4
    program.ok("sync", str(there.home))
    found = program.json("result", "a", "--output", str(tmp_path / "got"))
    assert (found["worker"]["name"], found["written"], found["missing"]) == ("far", ["out"], [])
    assert (tmp_path / "got" / "out").read_bytes() == data
    log = program.ok("logs", "a").out.splitlines()
    assert (len(log), log[-1]) == (100_001, "100000")


def test_a_log_outlives_its_worker(program: Program) -> None:
    """What the last renewal carried is there after kill −9, in every home; the task goes on elsewhere."""
    program.ok("status")
    program.ok("submit", "--task-id", "a", *NAMED, "--", "sh", "-c", "echo before; sleep 1000")
    with at_work(program) as worker:
        wait_for("the first piece is in the ledger", lambda: "renew" in program.ok("log", "--task", "a").out)
        worker.kill()
        worker.wait(30)
    (log,) = (program.home / "work").glob("*.log")
    log.unlink()
    assert program.ok("logs", "a").out == "before\n"


def test_python_submits_waits_and_reads(program: Program) -> None:
    """`P2PWorkflowScheduler` has result, logs and wait; a wait that ends by time tells where the task stands."""
    program.ok("status")
    with P2PWorkflowScheduler("worker", home=program.home) as scheduler:
        payload = Payload.command(["sh", "-c", "cat a; exit 0"], files={"a": b"from a file\n"})
        scheduler.submit_task(P2PTask("a", "w", "n", ["p2p-eligible"], payload=payload))  # type: ignore[list-item]  # as the guide has it
        assert scheduler.wait("a", timeout=0.1).status == "ready"
        with at_work(program):
            found = scheduler.wait("a", timeout=60)
        assert (found.status, found.exit_code, found.is_result) == ("done", 0, True)
        assert scheduler.result("a").event == found.event
        assert scheduler.logs("a") == b"from a file\n"
        assert json.dumps(scheduler.get_status())
        with pytest.raises(LookupError):
            scheduler.result("nothing")
