"""Several processes on one home at once: nothing is lost, nothing is given twice, nobody is turned away."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

from tests.cli.program import DEADLINE_S, Program

ROOT: Final = Path(__file__).parents[2]


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


INTERRUPTED_WHERE = """
import os, signal, sys

class Interrupting:
    def find_spec(self, name, path=None, target=None):
        if name == {module!r}:
            os.kill(os.getpid(), signal.SIGINT)

sys.meta_path.insert(0, Interrupting())
sys.argv = ["p2p-workflow", "status"]
from cli.start import p2p_workflow
p2p_workflow()
"""


@pytest.mark.parametrize("module", ["cli.main", "typer", "cli.commands_work", "cli.errors"])
def test_an_interrupt_while_modules_are_loaded_is_quiet(program: Program, module: str) -> None:
    """Ctrl-C before there is a command ends the program with its code, without a traceback, and makes nothing."""
    script = INTERRUPTED_WHERE.format(module=module)
    done = subprocess.run([sys.executable, "-c", script], env=program.environment(), capture_output=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (130, b"", b"")
    assert not program.home.exists()


def test_an_interrupt_while_a_command_runs_is_told(program: Program) -> None:
    """Ctrl-C later is one line and the same code."""
    script = INTERRUPTED_WHERE.format(module="scheduler.place")
    done = subprocess.run([sys.executable, "-c", script], env=program.environment(), capture_output=True, check=False)
    assert (done.returncode, done.stdout) == (130, b"")
    assert done.stderr.startswith(b"Interrupted: ")
    assert done.stderr.count(b"\n") == 1


def test_tests_can_interrupt_where_the_suite_runs_in_the_background(tmp_path: Path) -> None:
    """A suite that was started to ignore SIGINT, as a shell's `&` does, still sees programs end by it."""
    test = f"{Path(__file__).relative_to(ROOT)}::test_an_interrupt_while_a_command_runs_is_told"
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", f"--basetemp={tmp_path / 'inner'}", test]
    ignoring = (
        f"import os, signal; signal.signal(signal.SIGINT, signal.SIG_IGN); os.execv({sys.executable!r}, {command!r})"
    )
    done = subprocess.run([sys.executable, "-c", ignoring], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
