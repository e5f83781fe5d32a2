"""One server for each module: tests that need a fresh one start their own."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.mcp.serving import Server, home_of, serving


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Return a server on a home of its own, for all tests of a module: each has task names of its own."""
    with serving(home_of(tmp_path_factory.mktemp("mcp"))) as one:
        yield one
