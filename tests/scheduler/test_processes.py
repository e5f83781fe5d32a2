"""Several processes on one home: real ones, with nothing between them but its folder."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from pathlib import Path

from scheduler.home import Home
from scheduler.scheduler import P2PWorkflowScheduler
from tests.scheduler.guide import NO_WAIT, task, until_there

ROOT = Path(__file__).resolve().parents[2]

PEER_OF_THE_GUIDE = """
#!/usr/bin/env python3
from ipfs_accelerate_py import P2PWorkflowScheduler
import time

scheduler = P2PWorkflowScheduler(peer_id="worker-1")

while True:
    task = scheduler.get_next_task()
    if task:
        print(f"Executing: {task.name}", flush=True)
        # ... execute task ...
        scheduler.mark_task_complete(task.task_id)
    else:
        time.sleep(10)
"""

RACER = """
import sys
from ipfs_accelerate_py import P2PWorkflowScheduler

name, count = sys.argv[1], int(sys.argv[2])
with P2PWorkflowScheduler(peer_id=name) as scheduler:
    while len(scheduler.completed_tasks) < count:
        task = scheduler.get_next_task()
        while task:
            print(task.task_id, task.claim)
            task = scheduler.complete_and_next(task.task_id)
"""

SUBMITTER = """
import sys
from ipfs_accelerate_py import P2PWorkflowScheduler, P2PTask, WorkflowTag

name, count = sys.argv[1], int(sys.argv[2])
with P2PWorkflowScheduler(peer_id=name) as scheduler:
    for i in range(count):
        scheduler.submit_task(P2PTask(f"{name}-{i}", "w", "n", [WorkflowTag.P2P_ONLY], priority=1 + i % 10))
"""


FORKER = """
import os, sys
from ipfs_accelerate_py import P2PTask, P2PWorkflowScheduler, WorkflowTag

scheduler = P2PWorkflowScheduler("a")
scheduler.submit_task(P2PTask("t1", "w", "n", [WorkflowTag.P2P_ONLY]))
child = os.fork()
if child == 0:
    try:
        scheduler.get_next_task()
    except RuntimeError as error:
        print(error, flush=True)
    sys.exit(0)
os.waitpid(child, 0)
print(scheduler.get_next_task().task_id)
"""


def start(program: str, *arguments: str) -> subprocess.Popen[str]:
    """Start a Python program in a process of its own, with this test's home."""
    return subprocess.Popen(
        [sys.executable, "-c", program, *arguments], cwd=ROOT, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )


def finish(process: subprocess.Popen[str]) -> str:
    """Return what a program printed, once it has ended well."""
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    return out


def test_the_peer_of_the_guide() -> None:
    """The guide's "Running a P2P Peer", as written, executes what another process submits, and completes it."""
    with P2PWorkflowScheduler("submitter") as submitter:
        submitter.submit_task(task(name="Generate Python Module"))
        peer = start(PEER_OF_THE_GUIDE)
        try:
            assert peer.stdout is not None
            assert peer.stdout.readline() == "Executing: Generate Python Module\n"
            until_there(lambda: "task1" in submitter.completed_tasks or None)
        finally:
            peer.kill()
            peer.communicate(timeout=60)


def test_peers_that_race_get_each_task_once(home_folder: Path) -> None:
    """Two peers that race for tasks on one home are given each once, under one claim; none is lost."""
    Home.found(home_folder, policy=NO_WAIT).close()
    finish(start(SUBMITTER, "s", "30"))
    lines = [
        line.split() for racer in [start(RACER, n, "30") for n in ("a", "b")] for line in finish(racer).splitlines()
    ]
    assert Counter(task_id for task_id, _ in lines) == Counter(f"s-{i}" for i in range(30))
    with Home.open(home_folder) as home, home.reading():
        records = list(home.tasks.standing("done"))
        assert {(r.spec.task_id, str(c.cid)) for r in records for c in r.claims} == {(t, c) for t, c in lines}
        assert all(len(record.claims) == len(record.completions) == 1 for record in records)
        assert home.board.ignored() == []


def test_two_processes_under_one_name_get_each_task_once(home_folder: Path) -> None:
    """Two processes of the same peer are one peer: what one was given, the other is not."""
    Home.found(home_folder, policy=NO_WAIT).close()
    finish(start(SUBMITTER, "s", "20"))
    lines = [
        line.split() for racer in [start(RACER, "a", "20") for _ in range(2)] for line in finish(racer).splitlines()
    ]
    assert Counter(task_id for task_id, _ in lines) == Counter(f"s-{i}" for i in range(20))


def test_a_fork_leaves_the_parent_whole() -> None:
    """A child that was forked cannot use the scheduler, ends well, and its parent goes on."""
    assert finish(start(FORKER)).splitlines() == [
        "this scheduler was made before a fork: make a new one in the child process",
        "t1",
    ]


def test_first_use_by_many_at_once(home_folder: Path) -> None:
    """Processes that use an empty home at the same time found one ledger, and every task is in it."""
    submitters = [start(SUBMITTER, f"s{i}", "5") for i in range(4)]
    for submitter in submitters:
        finish(submitter)
    with Home.open(home_folder) as home, home.reading():
        assert len(list(home.tasks.open_tasks())) == 20
        assert len(home.board.active_workers()) == 4
