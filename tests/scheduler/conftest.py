"""Every test of the scheduler has a home of its own, and nothing of the machine's."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.scheduler.desk import Desk


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
