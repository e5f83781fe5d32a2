"""Real Kubo nodes for tests: any number, on loopback, in one private network, always cleaned up.

    @pytest.fixture
    def nodes(tmp_path): with Nodes(tmp_path) as nodes: yield nodes

    one, two = nodes.start(2); nodes.connect(one, two)

A node starts in 0.4 s and takes 70 MB. Nodes are made, not started, by `make`; `ManagedNode` has the rest: `stop`,
`kill` (SIGKILL), `start` again, `client`. `wait_for` is how a test waits: for a condition, with a deadline.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import Final, Self, TypeVar

from ledger.kubo import KuboClient
from ledger.kubo_config import LOOPBACK, new_swarm_key
from ledger.kubo_node import ManagedNode

T = TypeVar("T")

DEADLINE_S: Final = 30.0


def wait_for(what: str, condition: Callable[..., T], *given: object, deadline_s: float = DEADLINE_S) -> T:
    """Return what `condition(*given)` returns once it is true; fail with `what` where that takes too long."""
    deadline = time.monotonic() + deadline_s
    while not (found := condition(*given)):
        assert time.monotonic() < deadline, f"after {deadline_s} s still not: {what}"
        time.sleep(0.01)
    return found


@cache
def binary() -> Path:
    """Return the program `ipfs`, built where there is none: tests of real nodes are never skipped."""
    from ledger.kubo_build import ensure

    return ensure(lambda _: None)


class Nodes:
    """The nodes of one test, in folders below `folder`. A context manager that ends and removes them.

    Args:
        folder: where their repositories are.
        swarm_key: of the network they are in; one of their own, unless given.
    """

    def __init__(self, folder: Path, swarm_key: str | None = None) -> None:
        self.folder = folder
        self.swarm_key = swarm_key or new_swarm_key()
        self.all: list[ManagedNode] = []
        self._clients: list[KuboClient] = []

    def make(self, folder: Path | None = None, *, mode: str = "private", swarm_key: str | None = None) -> ManagedNode:
        """Return a new node that is not started, in `folder` (such as HOME/ipfs)."""
        node = ManagedNode(folder or self.folder / f"node{len(self.all)}", binary=binary())
        self.all.append(node)  # first, so that it is cleaned up whatever happens
        node.init(mode, (swarm_key or self.swarm_key) if mode == "private" else None, listen=LOOPBACK)
        return node

    def start(self, count: int = 1) -> list[ManagedNode]:
        """Return `count` new nodes that answer."""
        made = [self.make() for _ in range(count)]
        with ThreadPoolExecutor(max(1, count)) as pool:
            list(pool.map(ManagedNode.start, made))
        return made

    def client(self, node: ManagedNode) -> KuboClient:
        """Return a client of a node that is closed at the end."""
        client = node.client()
        self._clients.append(client)
        return client

    def connect(self, *nodes: ManagedNode) -> None:
        """Connect the first node to each of the others, and wait until both sides know."""
        first, *others = nodes
        with first.client() as client:
            for other in others:
                client.connect(address_of(other))
                wait_for("connected", is_connected, other, first)

    def disconnect(self, one: ManagedNode, two: ManagedNode) -> None:
        """Close the connections between two nodes, and wait until both sides know."""
        with one.client() as client:
            client.disconnect(f"/p2p/{two.peer_id}")
        wait_for("disconnected", lambda: not is_connected(one, two) and not is_connected(two, one))

    def wipe(self, node: ManagedNode) -> None:
        """End a node and lose its repository; it is made anew, with another peer id, and not started."""
        node.kill()
        key = node.swarm_key
        shutil.rmtree(node.folder)
        node.init("lan" if key is None else "private", key, listen=LOOPBACK)

    def close(self) -> None:
        """End all nodes and remove their repositories."""
        for client in self._clients:
            client.close()
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(_end, self.all))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _end(node: ManagedNode) -> None:
    if node.folder.exists():
        node.kill()
        shutil.rmtree(node.folder)


def meet_on(topic: str, *clients: KuboClient) -> None:
    """Wait until each of some nodes, which have subscribed, shares a topic with all the others."""
    ids = {client.identity().peer_id for client in clients}
    for client in clients:
        others = ids - {client.identity().peer_id}
        wait_for("they meet on the topic", _sees, client, topic, others)


def _sees(client: KuboClient, topic: str, others: set[str]) -> bool:
    return others <= set(client.topic_peers(topic))


def address_of(node: ManagedNode) -> str:
    """Return the loopback address at which others connect to a node, with its peer id."""
    return f"/ip4/{LOOPBACK}/tcp/{node.swarm_port}/p2p/{node.peer_id}"


def is_connected(node: ManagedNode, other: ManagedNode) -> bool:
    """Return whether a node says that it is connected to another."""
    with node.client() as client:
        return any(found.peer_id == other.peer_id for found in client.connected())
