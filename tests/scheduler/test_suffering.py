"""What users of the existing systems suffered from, each once: here it does not happen."""

from __future__ import annotations

import threading
import time

import pytest

from ipfs_accelerate_py import (
    P2PWorkflowScheduler,
    Payload,
    WorkflowTag,
)
from ledger.events import Role
from ledger.operations import Claim, Complete
from tests.scheduler.guide import task, until_there


def test_another_peers_task_is_not_lost(pair: tuple[P2PWorkflowScheduler, P2PWorkflowScheduler]) -> None:
    """Tasks assigned to another peer are not popped and lost: between them two peers get all, each once."""
    a, b = pair
    for i in range(12):
        a.submit_task(task(f"t{i}"))
    done: list[str] = []
    deadline = time.monotonic() + 30
    while len(done) < 12 and time.monotonic() < deadline:
        for peer_ in pair:
            found = peer_.get_next_task()
            if found is not None:
                assert peer_.mark_task_complete(found.task_id)
                done.append(found.task_id)
    assert sorted(done) == sorted(f"t{i}" for i in range(12))
    assert (a.get_next_task(), b.get_next_task()) == (None, None)


def test_a_finished_task_does_not_run_again(pair: tuple[P2PWorkflowScheduler, P2PWorkflowScheduler]) -> None:
    """Resubmitting a finished task is False, and nobody gets it."""
    a, b = pair
    a.submit_task(task())
    until_there(a.get_next_task)
    a.mark_task_complete("task1")
    assert a.submit_task(task()) is False
    assert (a.get_next_task(), b.get_next_task(), len(a.completed_tasks)) == (None, None, 1)


def test_nobody_completes_anothers_task(
    pair: tuple[P2PWorkflowScheduler, P2PWorkflowScheduler], caplog: pytest.LogCaptureFixture
) -> None:
    """Completing, failing or releasing a task another peer holds is False, and the log names the holder."""
    a, b = pair
    a.submit_task(task())
    until_there(a.get_next_task)
    for refuse in (b.mark_task_complete, b.fail_task, b.release_task):
        caplog.clear()
        assert refuse("task1") is False
        assert "task task1 is held by a" in caplog.text
    assert (list(a.assigned_tasks), list(a.completed_tasks)) == (["task1"], [])


def test_a_token_proves_nothing(pair: tuple[P2PWorkflowScheduler, P2PWorkflowScheduler]) -> None:
    """A completion under another peer's claim has no effect, whoever writes it into the log."""
    a, b = pair
    a.submit_task(task())
    taken = until_there(a.get_next_task)
    session = b._session
    with session.using() as home:
        with home.reading():
            record = home.tasks.named("task1")[0]
        claim = record.claims[0].cid
        assert str(claim) == taken.claim
        home.append(session.key, [Complete(record.key, record.heads, claim)], Role.WORKER)
        home.append(session.key, [Claim(record.key, record.heads, 60_000)], Role.WORKER)
        with home.reading():
            assert [entry.rule for entry in home.board.ignored()] == ["F2a", "F1b"]
    assert (len(b.completed_tasks), list(a.assigned_tasks)) == (0, ["task1"])


def test_priority_99_is_refused(peer: P2PWorkflowScheduler) -> None:
    """A priority outside 1..10 raises, also where it was set later; nothing is stored."""
    with pytest.raises(ValueError, match="priority"):
        task(priority=99)
    later = task()
    later.priority = 99
    with pytest.raises(ValueError, match="priority"):
        peer.submit_task(later)
    assert len(peer.pending_tasks) == 0


def test_success_is_said_of_what_is_stored(peer: P2PWorkflowScheduler, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the store fails, the call raises; it never says True with nothing stored."""
    with monkeypatch.context() as patch:
        patch.setattr(peer._session.home._store, "flush", lambda _: (_ for _ in ()).throw(OSError("disk")))
        with pytest.raises(OSError, match="disk"):
            peer.submit_task(task())
    assert len(peer.pending_tasks) == 0
    assert peer.submit_task(task()) is True


def test_tags_are_kept(peer: P2PWorkflowScheduler) -> None:
    """No tag is dropped between submission and the peer that gets the task."""
    tags = [WorkflowTag.P2P_ELIGIBLE, WorkflowTag.WEB_SCRAPING, WorkflowTag.DATA_PROCESSING]
    peer.submit_task(task(tags=tags))
    taken = peer.get_next_task()
    assert taken is not None
    assert set(taken.tags) == set(tags)


def test_dependencies(peer: P2PWorkflowScheduler) -> None:
    """A task is given after what it needs, and names that by task key."""
    peer.submit_task(task("build"))
    peer.submit_task(task("test", needs=["build"], priority=10))
    first = peer.get_next_task()
    assert first is not None
    assert (first.task_id, peer.get_next_task()) == ("build", None)
    assert peer.mark_task_complete("build", output=Payload("text/plain", b"built"))
    second = peer.get_next_task()
    assert second is not None
    assert (second.task_id, second.needs) == ("test", (first.task_key,))


def test_threads_take_turns(peer: P2PWorkflowScheduler) -> None:
    """Several threads may share a scheduler: each task is given once, and all are done."""
    for i in range(20):
        peer.submit_task(task(f"t{i}"))
    done: list[str] = []

    def work() -> None:
        while (found := peer.get_next_task()) is not None:
            assert peer.mark_task_complete(found.task_id)
            done.append(found.task_id)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    assert sorted(done) == sorted(f"t{i}" for i in range(20))
