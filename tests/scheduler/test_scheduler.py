"""`P2PWorkflowScheduler` to the letter of the contract: the calls of the guide, and the state they show."""

from __future__ import annotations

import re
import time

import pytest

from ipfs_accelerate_py import (
    FibonacciHeap,
    MerkleClock,
    P2PTask,
    P2PWorkflowScheduler,
    Payload,
    WorkflowTag,
    calculate_hamming_distance,
)
from scheduler.actions import ConflictError
from tests.scheduler.guide import task, until_there

# ---- the calls of the guide


def test_basic_usage_of_the_guide(capsys: pytest.CaptureFixture[str]) -> None:
    """The guide's "Python: Basic Usage" does what it says."""
    scheduler = P2PWorkflowScheduler(peer_id="my-peer")
    scheduler.submit_task(
        P2PTask(
            task_id="task1",
            workflow_id="workflow1",
            name="Code Generation",
            tags=[WorkflowTag.P2P_ONLY, WorkflowTag.CODE_GENERATION],
            priority=8,
            created_at=time.time(),
        )
    )
    next_task = scheduler.get_next_task()
    if next_task:
        print(f"Executing: {next_task.name}")  # noqa: T201  # the guide does
        scheduler.mark_task_complete(next_task.task_id)
    assert capsys.readouterr().out == "Executing: Code Generation\n"
    assert list(scheduler.completed_tasks) == ["task1"]
    scheduler.close()


def test_submit_task(peer: P2PWorkflowScheduler) -> None:
    """submit_task is True once, False for the same request again, and raises for another under its name."""
    first = task(priority=8)
    assert peer.submit_task(first) is True
    assert peer.submit_task(first) is False
    assert peer.submit_task(task(priority=3, created_at=1.0)) is False
    with pytest.raises(ConflictError):
        peer.submit_task(task(name="something else"))
    assert first.assigned_peer == "my-peer"
    assert re.fullmatch("[0-9a-f]{64}", first.task_key or "")


def test_get_next_task(peer: P2PWorkflowScheduler) -> None:
    """get_next_task gives each task once, highest priority first, with all that was submitted, then None."""
    given = task(
        "low",
        priority=2,
        tags=[WorkflowTag.DATA_PROCESSING, WorkflowTag.P2P_ELIGIBLE],
        payload=Payload("text/plain", b"x" * 10_000),
        timeout_seconds=60.0,
        max_attempts=2,
    )
    peer.submit_task(given)
    peer.submit_task(task("high", priority=9))
    taken = [peer.get_next_task(), peer.get_next_task(), peer.get_next_task()]
    assert [one and one.task_id for one in taken] == ["high", "low", None]
    low = taken[1]
    assert low is not None
    assert low.to_dict() == given.to_dict()
    assert (low.payload, low.timeout_seconds, low.max_attempts) == (given.payload, 60.0, 2)
    assert (low.assigned_peer, low.task_key) == ("my-peer", given.task_key)
    assert (low.claim or "").startswith("bafyrei")
    assert low.created_at == pytest.approx(given.created_at, abs=0.001)


def test_mark_task_complete(peer: P2PWorkflowScheduler) -> None:
    """mark_task_complete is True for a task held, for an open one, and again; False for one not found."""
    peer.submit_task(task("held", priority=9))
    peer.submit_task(task("open"))
    assert peer.get_next_task() is not None
    assert peer.mark_task_complete("held") is True
    assert peer.mark_task_complete("open") is True
    assert peer.mark_task_complete("open") is True
    assert peer.mark_task_complete("missing") is False
    assert set(peer.completed_tasks) == {"held", "open"}


def test_a_task_is_found_by_its_key_too(peer: P2PWorkflowScheduler) -> None:
    """Where two workflows have a task of one name, the key says which."""
    one, two = task("t", workflow_id="one"), task("t", workflow_id="two")
    peer.submit_task(one)
    peer.submit_task(two)
    assert peer.mark_task_complete("t") is False
    assert two.task_key is not None
    assert peer.mark_task_complete(two.task_key) is True
    assert peer.completed_tasks["t"].workflow_id == "two"


def test_tasks_of_one_id_are_all_shown(peer: P2PWorkflowScheduler) -> None:
    """The mappings lose nothing: of one id, one task stands under it and the others under their keys; each is found."""
    tasks = [task("t", workflow_id=name) for name in ("one", "two", "three")] + [task("u")]
    for one in tasks:
        peer.submit_task(one)
    pending = peer.pending_tasks
    keys = [one.task_key or "" for one in tasks[:3]]
    assert set(pending) == {"t", "u", *keys} - {min(keys)}
    assert len(pending) == peer.get_status()["pending_tasks"] == 4
    assert {name: pending[name].task_key for name in pending} == {
        name: min(keys) if name == "t" else tasks[3].task_key if name == "u" else name for name in pending
    }
    assert {pending[key].workflow_id for key in keys} == {"one", "two", "three"}
    peer.submit_task(task(keys[0].upper()))
    assert (len(pending), len(dict(pending))) == (5, 5)
    assert {pending[name].task_key for name in pending} >= set(keys)


def test_of_tasks_of_one_id_the_one_held_is_completed(peer: P2PWorkflowScheduler) -> None:
    """A name is looked up among the tasks this peer holds first, however many others have it."""
    for name, priority in (("one", 3), ("two", 9), ("three", 5)):
        peer.submit_task(task("t", workflow_id=name, priority=priority))
    taken = peer.get_next_task()
    assert taken is not None
    assert peer.assigned_tasks["t"].workflow_id == taken.workflow_id == "two"
    assert peer.mark_task_complete("t") is True
    assert [one.workflow_id for one in peer.completed_tasks.values()] == ["two"]
    assert (len(peer.pending_tasks), peer.get_status()["pending_tasks"]) == (2, 2)


def test_complete_and_next(peer: P2PWorkflowScheduler) -> None:
    """complete_and_next completes one task and gives the next; it goes on after a refusal, as the two calls would."""
    for name in ("a", "b", "c"):
        peer.submit_task(task(name))
    first = peer.get_next_task()
    assert first is not None
    count = sum(peer.merkle_clock.vector.values())
    second = peer.complete_and_next(first.task_id)
    assert second is not None
    assert sum(peer.merkle_clock.vector.values()) == count + 1
    third = peer.complete_and_next("missing")
    assert third is not None
    assert {first.task_id, second.task_id, third.task_id} == {"a", "b", "c"}
    assert peer.mark_task_complete(second.task_id)
    assert peer.complete_and_next(third.task_id) is None
    assert len(peer.completed_tasks) == 3


def test_fail_release_cancel(peer: P2PWorkflowScheduler) -> None:
    """A worker fails or gives back what it holds, a submitter cancels; each is False where it may not."""
    for name, priority in (("fails", 9), ("back", 8), ("gone", 1)):
        peer.submit_task(task(name, priority=priority))
    assert peer.fail_task("fails") is False
    assert [one and one.task_id for one in (peer.get_next_task(), peer.get_next_task())] == ["fails", "back"]
    assert peer.fail_task("fails", "it broke", failure_class="exit")
    assert peer.release_task("back", "not now")
    assert peer.cancel_task("gone")
    assert peer.cancel_task("missing") is False
    again = peer.get_next_task()
    assert again is not None
    assert again.task_id == "back"
    assert peer.get_next_task() is None


def test_bypass_and_p2p_only(peer: P2PWorkflowScheduler) -> None:
    """Bypass: p2p-only or p2p-eligible; P2P only: p2p-only alone."""
    for tags, bypass, only in (
        ([WorkflowTag.P2P_ONLY, WorkflowTag.CODE_GENERATION], True, True),
        ([WorkflowTag.P2P_ELIGIBLE], True, False),
        ([WorkflowTag.GITHUB_API], False, False),
        ([WorkflowTag.UNIT_TEST], False, False),
        ([WorkflowTag.CODE_GENERATION], False, False),
        ([], False, False),
    ):
        assert (peer.should_bypass_github(tags), peer.is_p2p_only(tags)) == (bypass, only)


def test_determine_task_owner(pair: tuple[P2PWorkflowScheduler, P2PWorkflowScheduler]) -> None:
    """Every peer names the same assigned peer, the nearest; None before submission."""
    a, b = pair
    submitted = [task(f"t{i}") for i in range(8)]
    assert a.determine_task_owner(submitted[0]) is None
    for one in submitted:
        a.submit_task(one)
    owners = [a.determine_task_owner(one) for one in submitted]
    assert owners == [b.determine_task_owner(task(one.task_id)) for one in submitted]
    assert owners == [one.assigned_peer for one in submitted]
    assert set(owners) <= {"a", "b"}


def test_nobody_owns_what_nobody_can_do(peer: P2PWorkflowScheduler) -> None:
    """A task that requires labels nobody has is assigned to nobody, until somebody joins with them."""
    needy = task(requires=["gpu"])
    peer.submit_task(needy)
    assert (needy.assigned_peer, peer.get_next_task()) == (None, None)
    with P2PWorkflowScheduler("able", labels=["gpu"]) as able:
        assert peer.determine_task_owner(needy) == "able"
        assert able.get_next_task() is not None


def test_labels_can_change(peer: P2PWorkflowScheduler) -> None:
    """A peer that names other labels joins anew; one that names none keeps those it had."""
    peer.submit_task(task(requires=["gpu"]))
    with P2PWorkflowScheduler("my-peer", labels=["gpu"]):
        pass
    with P2PWorkflowScheduler("my-peer") as again:
        assert again.get_next_task() is not None


# ---- state


def test_get_status(pair: tuple[P2PWorkflowScheduler, P2PWorkflowScheduler]) -> None:
    """get_status has the keys of the contract, with the numbers of the mappings."""
    a, _ = pair
    for i in range(4):
        a.submit_task(task(f"t{i}"))
    taken = until_there(a.get_next_task)
    a.mark_task_complete(taken.task_id)
    until_there(a.get_next_task)
    status = a.get_status()
    assert list(status) == [
        "peer_id", "merkle_clock", "pending_tasks", "assigned_tasks", "completed_tasks", "queue_size", "known_peers",
    ]  # fmt: skip
    assert status == {
        "peer_id": "a",
        "merkle_clock": a.merkle_clock.to_dict(),
        "pending_tasks": len(a.pending_tasks),
        "assigned_tasks": len(a.assigned_tasks),
        "completed_tasks": len(a.completed_tasks),
        "queue_size": a.task_queue.size(),
        "known_peers": len(a.known_peers),
    }
    assert [status[name] for name in ("pending_tasks", "assigned_tasks", "completed_tasks", "queue_size")] == [
        2,
        1,
        1,
        2,
    ]


def test_mappings_are_live(pair: tuple[P2PWorkflowScheduler, P2PWorkflowScheduler]) -> None:
    """The three mappings show by task id what is so now, whoever did it."""
    a, b = pair
    pending, assigned, completed = a.pending_tasks, a.assigned_tasks, a.completed_tasks
    b.submit_task(task())
    assert (list(pending), list(assigned), list(completed)) == (["task1"], [], [])
    assert pending == {"task1": task(created_at=pending["task1"].created_at)}
    assert (assigned, repr(completed)) == ({}, "LiveTasks({})")
    assert pending["task1"].name == "Code Generation"
    taken = until_there(a.get_next_task)
    assert (list(pending), list(assigned)) == ([], ["task1"])
    assert list(b.pending_tasks) == ["task1"]
    assert "task1" in assigned
    a.mark_task_complete(taken.task_id)
    assert (list(assigned), list(completed), list(b.completed_tasks)) == ([], ["task1"], ["task1"])
    with pytest.raises(KeyError):
        assigned["task1"]


def test_merkle_clock(pair: tuple[P2PWorkflowScheduler, P2PWorkflowScheduler]) -> None:
    """Two peers that have seen the same have the same root; each event moves it; vectors are keyed by did:key."""
    a, b = pair
    before = a.merkle_clock
    a.submit_task(task())
    after = a.clock
    assert after.merkle_root == b.merkle_clock.merkle_root != before.merkle_root
    assert (before.compare(after), after.compare(before)) == (-1, 1)
    assert all(name.startswith("did:key:z6Mk") for name in after.vector)
    assert MerkleClock.from_dict(after.to_dict()) == after
    assert (after.node_id, b.merkle_clock.node_id) == ("a", "b")


def test_state_outlives_the_process_and_its_peers(peer: P2PWorkflowScheduler) -> None:
    """A new scheduler of the same name goes on where the last one ended; it holds what that one held."""
    peer.submit_task(task("done", priority=9))
    peer.submit_task(task("held", priority=8))
    peer.submit_task(task("open"))
    assert peer.complete_and_next("done") is not None
    root = peer.merkle_clock.merkle_root
    peer.close()
    with P2PWorkflowScheduler("my-peer") as again:
        assert again.merkle_clock.merkle_root == root
        assert (list(again.completed_tasks), list(again.assigned_tasks), list(again.pending_tasks)) == (
            ["done"],
            ["held"],
            ["open"],
        )
        assert again.mark_task_complete("held")


def test_the_other_names_of_the_contract() -> None:
    """The façade's other names are those of the contract."""
    heap = FibonacciHeap[int, str]()
    heap.insert(2, "b")
    heap.insert(1, "a")
    assert (heap.get_min(), heap.extract_min(), heap.size(), heap.is_empty()) == ((1, "a"), (1, "a"), 1, False)
    assert calculate_hamming_distance("0000", "ffff") == 16
