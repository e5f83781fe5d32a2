"""The contract's six commands, to the letter, in both spellings, as the guide writes them."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

import pytest

from tests.cli.program import Program

SPELLINGS = (("p2p-workflow",), ("ipfs-accelerate", "p2p-workflow"))
SUBMIT = (
    *("submit", "--task-id", "task1", "--workflow-id", "workflow1", "--name", "Generate Python Module"),
    *("--tags", "p2p-only", "code-generation", "--priority", "8"),
)
TASK_HASH = hashlib.sha256(b"task1:workflow1").hexdigest()


@pytest.fixture(params=SPELLINGS, ids=" ".join)
def either(request: pytest.FixtureRequest, tmp_path: Path) -> Program:
    """Return the program in either spelling."""
    return Program(tmp_path / "home", "my-peer", request.param)


def test_the_guide_works_as_written_across_processes(either: Program) -> None:
    """Status, submit, next, complete and clock, each in a process of its own, print what the contract says."""
    first = either.ok("status")
    assert re.fullmatch(
        r"✓ P2P Workflow Scheduler Status:\nPeer ID: my-peer\nPending Tasks: 0\nAssigned Tasks: 0\nCompleted Tasks: 0\n"
        r"Queue Size: 0\nKnown Peers: 0\nMerkle Clock Hash: [0-9a-f]{64}\n(?:[A-Z].*\n)*",
        first.out,
    )
    assert "private ledger" in first.err  # said once
    submitted = either.ok(*SUBMIT)
    assert submitted.out == (f"✓ Task submitted successfully\nTask ID: task1\nTask Hash: {TASK_HASH}\nPriority: 8\n")
    assert submitted.err == ""
    taken = either.ok("next")
    assert taken.out.startswith(
        "✓ Next task:\nTask ID: task1\nWorkflow ID: workflow1\nName: Generate Python Module\n"
        "Tags: code-generation, p2p-only\nPriority: 8\nAssigned Peer: my-peer\n"
    )
    assert either.ok("next").out == "No tasks available for this peer\n"
    assert either.ok("complete", "--task-id", "task1").out == "✓ Task task1 marked complete\n"
    status = either.ok("status").out
    assert "Completed Tasks: 1\n" in status
    assert "Pending Tasks: 0\n" in status
    clock = either.ok("clock").out
    assert re.match(
        r"Node ID: my-peer\nMerkle Root: [0-9a-f]{64}\nVector Clock:\n(  did:key:z6Mk\w+: \d+  \S+\n)+$", clock
    )


def test_json_has_the_fields_of_the_contract(either: Program) -> None:
    """Every field of the contract is there; more stand beside them."""
    assert (
        either.json(*SUBMIT).items()
        >= {
            "success": True,
            "created": True,
            "task_id": "task1",
            "task_hash": TASK_HASH,
            "priority": 8,
        }.items()
    )
    status = either.json("status")
    assert status["peer_id"] == "my-peer"
    counts = ("pending_tasks", "assigned_tasks", "completed_tasks", "queue_size", "known_peers")
    assert [status[name] for name in counts] == [1, 0, 0, 1, 0]
    assert status["merkle_clock"].keys() >= {"node_id", "vector", "merkle_root"}
    task = either.json("next")["task"]
    assert (
        task.items()
        >= {
            "task_id": "task1",
            "workflow_id": "workflow1",
            "name": "Generate Python Module",
            "tags": ["code-generation", "p2p-only"],
            "priority": 8,
            "task_hash": TASK_HASH,
            "assigned_peer": "my-peer",
        }.items()
    )
    assert either.json("status")["assigned_tasks"] == 1
    assert either.json("next") == {"task": None, "message": "No tasks available"}
    assert either.json("complete", "--task-id", "task1").items() >= {"success": True, "task_id": "task1"}.items()
    clock = either.json("clock")
    assert clock["node_id"] == "my-peer"
    assert clock["merkle_root"] == either.json("status")["merkle_clock_hash"]
    assert sum(clock["vector"].values()) == 5  # admit, join, submit, claim, complete


def test_a_task_that_is_not_there_is_not_completed(either: Program) -> None:
    """`✗ Task X not found` is the answer, and the exit code says so too."""
    ran = either.run("complete", "--task-id", "nothing")
    assert (ran.code, ran.out) == (3, "✗ Task nothing not found\n")
    error = either.run("complete", "--task-id", "nothing", "--json")
    assert (error.code, error.json["error"]["kind"]) == (3, "task_not_found")


def test_the_same_request_is_the_same_task_and_another_is_a_conflict(either: Program) -> None:
    """Submitting again makes nothing, also once it is done; another request under the name is refused."""
    either.ok(*SUBMIT)
    assert either.ok(*SUBMIT).out.startswith("✓ Task already submitted\nTask ID: task1\n")
    either.ok("complete", "--task-id", "task1")
    assert either.json(*SUBMIT)["created"] is False
    assert either.json("next")["task"] is None
    other = either.run(*SUBMIT[:6], "Another name")
    assert other.code == 4
    assert other.out.startswith("✗ another request was submitted as task 'task1'")


@pytest.mark.parametrize("priority", ["0", "11", "99", "-1"])
def test_a_priority_out_of_range_is_refused(program: Program, priority: str) -> None:
    """Priorities are 1 to 10; others leave nothing behind."""
    ran = program.run("submit", "--task-id", "a", "--workflow-id", "w", "--name", "n", "--priority", priority)
    assert ran.code == 2
    assert f"priority must be from 1 to 10, not {priority}" in ran.out + ran.err
    assert not program.home.exists()


def test_submit_says_which_options_are_missing(program: Program) -> None:
    """The three required options are named where they are missing."""
    ran = program.run("submit", "--task-id", "a")
    assert ran.code == 2
    assert "Missing option '--workflow-id', '--name'." in ran.out + ran.err


def test_two_peers_of_one_home_share_nothing_but_the_ledger(tmp_path: Path) -> None:
    """A task one peer holds is not given to the other, who may not complete it and is told who holds it."""
    one, two = Program(tmp_path / "home", "one"), Program(tmp_path / "home", "two")
    one.submit("a")
    assert one.json("next")["task"]["task_id"] == "a"
    assert two.json("next")["task"] is None
    refused = two.run("complete", "--task-id", "a", "--json")
    assert refused.code == 4
    assert refused.json["error"]["holder"] == "one"
    assert "✗ task a is held by one" in refused.err
    one.ok("complete", "--task-id", "a")


def test_an_open_task_is_claimed_before_it_is_completed(program: Program) -> None:
    """`complete` of a task nobody holds claims it first, so the ledger has both."""
    program.submit("a")
    program.ok("complete", "--task-id", "a")
    said = [operation["op"] for event in program.json("log", "--oldest-first")["events"] for operation in event["ops"]]
    assert said == ["admit", "join", "submit", "claim", "complete"]
