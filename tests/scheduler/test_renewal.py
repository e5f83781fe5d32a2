"""Claims are kept alive while their process works, all in one event, and no longer."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from crdt.records import ClaimRecord
from ledger.cid import Cid
from ledger.events import Policy, TaskKey
from ledger.keys import SigningKey
from scheduler.home import Home
from scheduler.scheduler import P2PWorkflowScheduler
from scheduler.settling import Renewal, renew
from tests.scheduler.guide import task, until_there

LEASE_MS = 400
SHORT = Policy(lease_ms=LEASE_MS, skew_ms=100, grace_ms=1)


@pytest.fixture
def worker(home_folder: Path) -> Iterator[P2PWorkflowScheduler]:
    """Give a peer of a ledger whose leases are short."""
    Home.found(home_folder, policy=SHORT).close()
    with P2PWorkflowScheduler("worker") as scheduler:
        yield scheduler


def claims(folder: Path, task_id: str) -> tuple[ClaimRecord, ...]:
    """Return the claims on a task, as another process sees them."""
    with Home.open(folder) as home, home.reading():
        return home.tasks.named(task_id)[0].claims


def until_ms(folder: Path, task_id: str) -> int:
    """Return until when the only claim on a task runs."""
    (only,) = claims(folder, task_id)
    return only.until


def test_a_claim_outlives_its_lease(worker: P2PWorkflowScheduler, home_folder: Path) -> None:
    """While a peer works, its claim runs on beyond several leases, and nobody else is given the task."""
    worker.submit_task(task())
    until_there(worker.get_next_task)
    first = until_ms(home_folder, "task1")
    with P2PWorkflowScheduler("rival") as rival:

        def outlived() -> bool | None:
            assert rival.get_next_task() is None
            return True if until_ms(home_folder, "task1") > first + 2 * LEASE_MS else None

        until_there(outlived)
        assert list(worker.assigned_tasks) == ["task1"]
        assert worker.mark_task_complete("task1")


def test_all_claims_in_one_event(worker: P2PWorkflowScheduler, home_folder: Path) -> None:
    """A renewal carries every claim of the peer in one event."""
    for i in range(3):
        worker.submit_task(task(f"t{i}"))
        until_there(worker.get_next_task)
    latest = [until_ms(home_folder, f"t{i}") for i in range(3)]
    until_there(lambda: all(until_ms(home_folder, f"t{i}") > latest[i] for i in range(3)) or None)
    with Home.open(home_folder) as home, home.reading():
        said = [[op["op"] for op in event.event.ops] for event in home.intake.accepted()]
    assert ["renew", "renew", "renew"] in said


def test_closing_ends_the_renewals(worker: P2PWorkflowScheduler) -> None:
    """After close nothing is renewed: the claim runs out, and another peer takes the task."""
    worker.submit_task(task())
    until_there(worker.get_next_task)
    worker.close()
    with P2PWorkflowScheduler("rival") as rival:
        assert until_there(rival.get_next_task).task_id == "task1"
        assert rival.mark_task_complete("task1")


def test_what_is_settled_is_let_go(worker: P2PWorkflowScheduler, caplog: pytest.LogCaptureFixture) -> None:
    """What the peer completed, failed or released is not renewed, and no word is lost on it."""
    settle: dict[str, Callable[[str], bool]] = {
        "done": worker.mark_task_complete,
        "failed": worker.fail_task,
        "back": worker.release_task,
    }
    for name, act in settle.items():
        worker.submit_task(task(name))
        until_there(worker.get_next_task)
        assert act(name)
    assert worker._session.renewer.claims() == {}
    assert "renewed" not in caplog.text


def test_a_lost_claim_is_told(worker: P2PWorkflowScheduler, caplog: pytest.LogCaptureFixture) -> None:
    """A claim whose task was cancelled is renewed no more; the log says which and why."""
    worker.submit_task(task())
    until_there(worker.get_next_task)
    assert worker.cancel_task("task1")
    until_there(lambda: None if worker._session.renewer.claims() else True)
    until_there(lambda: "is not renewed any more: the task was cancelled" in caplog.text or None)


def test_an_error_does_not_end_the_renewals(
    worker: P2PWorkflowScheduler, home_folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Where a renewal fails, the log has the error, and the next one is tried well before the claim runs out."""
    failures = iter([OSError("the disk is away")])

    def shaky(home: Home, key: SigningKey, held: dict[TaskKey, Cid], *, lease_ms: int) -> Renewal:
        for failure in failures:
            raise failure
        return renew(home, key, held, lease_ms=lease_ms)

    monkeypatch.setattr("scheduler.renewal.renew", shaky)
    worker.submit_task(task())
    until_there(worker.get_next_task)
    first = until_ms(home_folder, "task1")
    until_there(lambda: until_ms(home_folder, "task1") > first or None)
    assert "the disk is away" in caplog.text
    assert list(worker.assigned_tasks) == ["task1"]


def test_a_scheduler_of_the_same_name_renews_its_own_claims_only(
    worker: P2PWorkflowScheduler, home_folder: Path
) -> None:
    """What a process that died had claimed is not kept alive by the next one, which does not work on it."""
    worker.submit_task(task())
    until_there(worker.get_next_task)
    worker._session.renewer.close()  # as if the process had died
    with P2PWorkflowScheduler("worker") as again:
        again.submit_task(task("other", priority=10))
        taken = [until_there(again.get_next_task), until_there(again.get_next_task)]
        assert [one.task_id for one in taken] == ["other", "task1"]
        assert len(claims(home_folder, "task1")) == 2
