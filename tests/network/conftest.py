"""Machines with real homes, nodes and daemons, for each test its own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.peers import Machines


@pytest.fixture
def machines(tmp_path: Path) -> Iterator[Machines]:
    """Return the machines of one test, none yet."""
    with Machines(tmp_path) as machines:
        yield machines
