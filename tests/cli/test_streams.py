"""Output that nobody reads: what ends the program, and what does not."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

from tests.cli.program import DEADLINE_S, Program


def test_stdout_that_nobody_reads_ends_it_as_it_ends_others(program: Program) -> None:
    """Shells say 141 of it; nothing is said on stderr."""
    program.ok("init")
    reader, writer = os.pipe()
    os.close(reader)
    for command in (["status"], ["status", "--json"], ["--help"]):
        ran = subprocess.run(
            program.command(*command), env=program.environment(), stdout=writer, stderr=subprocess.PIPE, check=False,
            timeout=DEADLINE_S,
        )  # fmt: skip
        assert (ran.returncode, ran.stderr) == (-signal.SIGPIPE, b"")
    os.close(writer)


def test_words_that_nobody_reads_stop_no_work(program: Program) -> None:
    """A worker whose log has lost its reader does its task."""
    program.ok("init")
    program.ok("worker", "policy", "init")
    program.ok("submit", "--task-id", "t", "--workflow-id", "w", "--name", "n", "--", "true")
    reader, writer = os.pipe()
    os.close(reader)
    ran = subprocess.run(
        program.command("worker", "run", "--once"), env=program.environment(), stderr=writer, check=False,
        timeout=DEADLINE_S,
    )  # fmt: skip
    os.close(writer)
    assert ran.returncode == 0
    assert program.json("result", "t")["status"] == "done"


def test_a_pipe_of_its_own_that_breaks_is_an_error_and_not_the_end(program: Program) -> None:
    """What a command writes to, a connection or a process, may go; so the signal stays ignored."""
    script = """
import os, signal
from cli.main import make_app, run
assert run(make_app(), "p2p-workflow", ["status"]) == 0
reader, writer = os.pipe()
os.close(reader)
try:
    os.write(writer, b"x")
except BrokenPipeError:
    print("told")
assert signal.getsignal(signal.SIGPIPE) is signal.SIG_IGN
"""
    program.ok("init")
    ran = subprocess.run([sys.executable, "-c", script], env=program.environment(), capture_output=True, check=False)
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.endswith(b"told\n")
