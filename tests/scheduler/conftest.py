"""Every test of the scheduler has a home of its own, and nothing of the machine's."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from scheduler.home import Home
from scheduler.scheduler import P2PWorkflowScheduler
from tests.scheduler.desk import Desk
from tests.scheduler.guide import NO_WAIT


@pytest.fixture(autouse=True)
def home_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Point P2P_WORKFLOW_HOME at an empty folder of this test."""
    for variable in ("P2P_WORKFLOW_KEY", "P2P_WORKFLOW_PEER"):
        monkeypatch.delenv(variable, raising=False)
    folder = tmp_path / "home"
    monkeypatch.setenv("P2P_WORKFLOW_HOME", str(folder))
    return folder


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    """Give a home with a clock that the test sets."""
    with Desk(tmp_path / "desk") as found:
        yield found


@pytest.fixture
def peer() -> Iterator[P2PWorkflowScheduler]:
    """Give the scheduler of the guide."""
    with P2PWorkflowScheduler(peer_id="my-peer") as scheduler:
        yield scheduler


@pytest.fixture
def pair(home_folder: Path) -> Iterator[tuple[P2PWorkflowScheduler, P2PWorkflowScheduler]]:
    """Give two peers in one process on one home, whose graces are short."""
    Home.found(home_folder, policy=NO_WAIT).close()
    with P2PWorkflowScheduler("a") as a, P2PWorkflowScheduler("b") as b:
        yield a, b
