"""One node for the tests that need any, one pair for those that need two, in each process."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from ledger.kubo import KuboClient
from ledger.kubo_node import ManagedNode
from tests.support.kubo import Nodes


@pytest.fixture(scope="session")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[ManagedNode, ManagedNode]]:
    """Return two connected nodes."""
    with Nodes(tmp_path_factory.mktemp("pair")) as nodes:
        one, two = nodes.start(2)
        nodes.connect(one, two)
        yield one, two


@pytest.fixture
def nodes(tmp_path: Path) -> Iterator[Nodes]:
    """Return the nodes of one test, none yet."""
    with Nodes(tmp_path / "nodes") as nodes:
        yield nodes


@pytest.fixture
def clients(pair: tuple[ManagedNode, ManagedNode]) -> Iterator[tuple[KuboClient, KuboClient]]:
    """Return clients of two connected nodes."""
    with pair[0].client() as one, pair[1].client() as two:
        yield one, two


@pytest.fixture
def client(clients: tuple[KuboClient, KuboClient]) -> KuboClient:
    """Return a client of a node."""
    return clients[0]
