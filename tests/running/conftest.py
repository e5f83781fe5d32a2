"""A sandbox for each test, at each level where the test asks for one."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from scheduler.running.job import Level
from scheduler.running.sandbox import Sandbox
from tests.running.support import LEVELS, Bench


@pytest.fixture(scope="session")
def sandbox() -> Iterator[Sandbox]:
    """A sandbox with a short grace; one for all, as a worker has it."""
    shared = Sandbox(grace_ms_max=400)
    yield shared
    shared.close()


@pytest.fixture
def bench(tmp_path: Path, sandbox: Sandbox) -> Bench:
    """A sandbox, with a folder of its own."""
    folder = tmp_path / "run"
    folder.mkdir()
    return Bench(folder, sandbox)


@pytest.fixture(params=LEVELS, ids=str)
def level(request: pytest.FixtureRequest) -> Level:
    """Each level in turn."""
    found: Level = request.param
    return found


@pytest.fixture
def mark() -> str:
    """A word that no other process has, with which `sleep` does as well: for finding what a run has left."""
    return f"1000.{uuid.uuid4().int % 10**15:015d}"
