"""Publishing to real nodes: walked by links, found by name, got by segments, and mended whatever dies or is lost."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from random import Random
from unittest.mock import patch

import pytest

from ledger.cid import Cid
from ledger.cold_start import fetch_segments
from ledger.fetching import Get, UnavailableError, from_node
from ledger.kubo import KuboClient
from ledger.kubo_errors import KuboError
from ledger.manifest import Manifest, decode_manifest
from ledger.network_tables import open_network
from ledger.publishing import Publisher
from ledger.segments import unpack
from scheduler.home import Home
from scheduler.published import publisher_of
from scheduler.replica import replica_of
from tests.support.kubo import Nodes, wait_for
from tests.support.wild import wild_world
from tests.support.worlds import CREATED

FAR = CREATED + 10**9
SEGMENT_BYTES = 20_000
BATCH_BYTES = 8_000
OWNER = wild_world(11, 0).owners[0]


@pytest.fixture(autouse=True)
def small() -> Iterator[None]:
    """Make segments and batches small, so that a few hundred events fill many."""
    with (
        patch("ledger.segments.SEGMENT_BYTES_MAX", SEGMENT_BYTES),
        patch("ledger.gathering.BATCH_BYTES", BATCH_BYTES),
    ):
        yield


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    """Close at the end what a test has opened."""
    with ExitStack() as stack:
        yield stack


def a_home(folder: Path, stack: ExitStack, events: int = 300) -> Home:
    """Return a home with a log of so many events and a few."""
    world = wild_world(11, 40)
    home = stack.enter_context(Home.enter(folder, world.genesis.encode(), clock=lambda: FAR))
    with home.writing() as writing:
        writing.offer([event.block for event in world.events.values()])
    with home.writing() as writing:
        for _ in range(events):
            writing.append(OWNER, [])
    return home


def a_publisher(home: Home, client: KuboClient, stack: ExitStack) -> Publisher:
    """Return a publisher as a new process would have it."""
    return publisher_of(home, stack.enter_context(open_network(home.folder)), client, home.keys.ensure("publisher"))


def manifest_on(client: KuboClient, cid: Cid | None) -> Manifest:
    """Return a manifest, as a node gives it."""
    assert cid is not None
    return decode_manifest(client.get_block(cid))


def check_copy(home: Home, client: KuboClient, manifest: Manifest) -> None:
    """See that the node has the log of `home`, event by event and in segments, and nothing twice."""
    with home.reading():
        snapshot = home.board.snapshot()
    assert (manifest.heads, manifest.events, manifest.state_root) == (
        snapshot.heads,
        len(snapshot.log),
        snapshot.state_root,
    )
    packed: list[Cid] = []
    for entry in manifest.segments:
        found = unpack(client.get_block(entry.cid, offline=True), home.ledger)
        assert (found.fault, len(found.events)) == (None, entry.events)
        packed += found.events
    assert len(packed) == len(set(packed))
    assert snapshot.log <= set(packed)
    assert all(client.has_block(cid) for cid in Random(1).sample(packed, 100))


def cold_copy(home: Home, folder: Path, manifest: Manifest, get: Get) -> None:
    """See that a cold peer comes to the same board by the segments."""
    with Home.enter(folder, home.genesis.encode(), clock=lambda: FAR) as cold:
        found = fetch_segments(replica_of(cold), manifest, get, lambda: FAR)
        assert (found.faults, found.root_agrees, found.segments) == ([], True, len(manifest.segments))
        assert cold.state_root() == home.state_root()


def test_the_log_is_walked_by_its_links(tmp_path: Path, client: KuboClient, stack: ExitStack) -> None:
    """`ipfs dag get` leads from a head to the genesis, and from the manifest to head and segments."""
    home = a_home(tmp_path / "home", stack, 20)
    publisher = a_publisher(home, client, stack)
    manifest = publisher.publish_segments()
    found = client.dag_get(f"{manifest}/heads/0")
    steps = 0
    while found.get("kind") != "genesis":
        found = client.dag_get(found["parents"][0]["/"])
        steps += 1
    assert found["name"] == home.genesis.name
    assert steps > 20
    assert client.dag_get(f"{manifest}/segments/0")["events"] == manifest_on(client, manifest).segments[0].events
    grant = f"{home.board.heads[0]}/parents/0/parents/0/grant"
    assert client.dag_get(grant)["kind"] == "genesis"


def test_another_node_finds_all_of_it_by_name(
    tmp_path: Path, clients: tuple[KuboClient, KuboClient], stack: ExitStack
) -> None:
    """The name leads a second node to the manifest, and a cold peer there to the same board; again when it grows."""
    one, two = clients
    home = a_home(tmp_path / "home", stack)
    publisher = a_publisher(home, one, stack)
    for number in range(2):
        published = publisher.publish_segments()
        name = publisher.name
        assert name is not None
        wait_for("the name leads there", lambda name=name, published=published: two.resolve_name(name) == published)
        manifest = manifest_on(two, published)
        assert len(manifest.segments) > 4
        cold_copy(home, tmp_path / f"cold{number}", manifest, from_node(two))
        with home.writing() as writing:
            for _ in range(50):
                writing.append(OWNER, [])
    check_copy(home, one, manifest_on(one, publisher.publish_segments()))


def test_a_gateway_is_enough(tmp_path: Path, nodes: Nodes, stack: ExitStack) -> None:
    """A cold peer without a node gets everything from a gateway, by plain HTTP."""
    (node,) = nodes.start()
    home = a_home(tmp_path / "home", stack)
    publisher = a_publisher(home, nodes.client(node), stack)
    published = publisher.publish_segments()
    assert published is not None

    def get(cid: Cid, bytes_max: int) -> bytes:
        request = urllib.request.Request(f"{node.gateway_url}/ipfs/{cid}?format=raw")  # noqa: S310  # the gateway on loopback
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310  # as above
                found: bytes = answer.read(bytes_max + 1)
        except OSError as error:
            raise UnavailableError(str(error)) from error
        return found

    cold_copy(home, tmp_path / "cold", decode_manifest(get(published, 1_048_576)), get)


def test_a_lost_repository_is_noticed_and_made_again(tmp_path: Path, nodes: Nodes, stack: ExitStack) -> None:
    """A node that was replaced gets the same segments again, under a name of its own."""
    (node,) = nodes.start()
    home = a_home(tmp_path / "home", stack)
    publisher = a_publisher(home, nodes.client(node), stack)
    before = manifest_on(nodes.client(node), publisher.publish_segments())
    name, peer = publisher.name, node.peer_id
    assert not publisher.repair()
    nodes.wipe(node)
    node.start()
    client = nodes.client(node)
    publisher = a_publisher(home, client, stack)
    assert publisher.repair()
    assert not publisher.repair()
    after = manifest_on(client, publisher.manifest)
    assert node.peer_id != peer
    assert publisher.name != name
    assert client.resolve_name(publisher.name or "") == publisher.manifest
    assert after.segments == before.segments
    check_copy(home, client, after)


def test_segments_outlive_garbage_collection(tmp_path: Path, nodes: Nodes, stack: ExitStack) -> None:
    """Segments and manifest are pinned; single events are not, are missed, and come back."""
    (node,) = nodes.start()
    client = nodes.client(node)
    home = a_home(tmp_path / "home", stack)
    publisher = a_publisher(home, client, stack)
    published = publisher.publish_segments()
    client.collect_garbage()
    manifest = manifest_on(client, published)
    cold_copy(home, tmp_path / "cold", manifest, from_node(client))
    assert not client.has_block(manifest.heads[0])
    assert publisher.repair()
    check_copy(home, client, manifest_on(client, publisher.manifest))


def test_a_node_that_is_killed_in_the_middle_loses_nothing(tmp_path: Path, nodes: Nodes, stack: ExitStack) -> None:
    """Kill −9 of the node while it is sent to: the publisher says so, and goes on when there is a node again."""
    (node,) = nodes.start()
    home = a_home(tmp_path / "home", stack, 600)
    publisher = a_publisher(home, nodes.client(node), stack)
    network = stack.enter_context(open_network(home.folder))

    def packed() -> int:
        with network.reading() as connection:
            return int(connection.execute("SELECT count(*) FROM packed").fetchone()[0])

    failed: list[KuboError] = []

    def publish() -> None:
        try:
            publisher.publish_segments()
        except KuboError as error:
            failed.append(error)

    thread = threading.Thread(target=publish)
    thread.start()
    wait_for("some of it is sent", lambda: packed() > 100)
    node.kill()
    thread.join()
    assert failed or packed() >= 600
    node.start()
    client = nodes.client(node)
    publisher = a_publisher(home, client, stack)
    publisher.publish_segments()
    publisher.repair()  # what the node had not yet on its disk is missed
    check_copy(home, client, manifest_on(client, publisher.publish_segments()))


PROGRAM = """
import sys
from pathlib import Path
from unittest.mock import patch
from ledger.kubo_node import ManagedNode
from ledger.network_tables import open_network
from scheduler.home import Home
from scheduler.published import publisher_of
home = Home.open(Path(sys.argv[1]), clock=lambda: int(sys.argv[3]))
with patch("ledger.segments.SEGMENT_BYTES_MAX", 20_000), patch("ledger.gathering.BATCH_BYTES", 8_000):
    client = ManagedNode(Path(sys.argv[2]), binary=None).client()
    publisher = publisher_of(home, open_network(home.folder), client, home.keys.ensure("publisher"))
    print("ready", flush=True)
    publisher.publish_segments()
"""


def test_a_publisher_that_is_killed_in_the_middle_goes_on(tmp_path: Path, nodes: Nodes, stack: ExitStack) -> None:
    """Kill −9 of the process at random instants, until one comes through: no gap is left, and nothing stands twice."""
    (node,) = nodes.start()
    client = nodes.client(node)
    home = a_home(tmp_path / "home", stack, 400)
    home.keys.ensure("publisher")
    arguments = [sys.executable, "-c", PROGRAM, str(home.folder), str(node.folder), str(FAR)]
    random = Random(5)
    killed = 0
    while True:
        with subprocess.Popen(arguments, stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == b"ready\n"
            try:
                process.wait(random.uniform(0.0, 0.3) if killed < 8 else 60)
            except subprocess.TimeoutExpired:
                os.kill(process.pid, signal.SIGKILL)
                killed += 1
                continue
        assert process.returncode == 0
        if killed == 8:
            break
        with home.writing() as writing:  # it was faster: there is to be something to do for the next
            for _ in range(100):
                writing.append(OWNER, [])
    publisher = a_publisher(home, client, stack)
    manifest = manifest_on(client, publisher.publish_segments())
    check_copy(home, client, manifest)
    cold_copy(home, tmp_path / "cold", manifest, from_node(client))
