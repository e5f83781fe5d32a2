"""A bench that runs jobs through act."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from scheduler.running.sandbox import Sandbox
from tests.workflows.act_bench import ActBench


@pytest.fixture(scope="session")
def act_sandbox() -> Iterator[Sandbox]:
    """A sandbox with a short grace; one for all, as a worker has it."""
    shared = Sandbox(grace_ms_max=400)
    yield shared
    shared.close()


@pytest.fixture
def act(tmp_path: Path, act_sandbox: Sandbox) -> ActBench:
    """A bench, with a folder of its own."""
    return ActBench(tmp_path, act_sandbox)
