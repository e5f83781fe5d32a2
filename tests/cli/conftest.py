"""One fresh home for each test that asks for one; and Ctrl-C reaches what the tests start."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.program import Program


@pytest.fixture
def program(tmp_path: Path) -> Program:
    """Return the program `p2p-workflow` with a home that does not exist yet."""
    return Program(tmp_path / "home")
