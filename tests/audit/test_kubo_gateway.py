"""The gateway of a real Kubo node, with what a real publisher put there: by head, by manifest, by name."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from ledger.cid import Cid
from ledger.kubo import KuboClient
from tests.audit.ledgers import a_world, blocks_of, published
from tests.cli.program import Program
from tests.support.kubo import Nodes
from tests.support.worlds import World


@pytest.fixture
def nodes(tmp_path: Path) -> Iterator[Nodes]:
    """Give nodes, ended with the test."""
    with Nodes(tmp_path / "nodes") as nodes:
        yield nodes


def put(client: KuboClient, world: World) -> Cid:
    """Put a world's events, its segments and its manifest into a node, and return the manifest's CID."""
    cid, blocks = published(world)
    for block in blocks_of(world).values():
        client.put_block(block, codec=0x71)
    for name, block in blocks.items():
        client.put_block(block, codec=name.codec)
    return cid


def test_a_ledger_is_audited_through_a_real_gateway(nodes: Nodes, tmp_path: Path) -> None:
    """By head (a CAR), by manifest (segments) and by IPNS name, each complete and clean with the same state root."""
    world = a_world(30)
    [node] = nodes.start()
    client = nodes.client(node)
    manifest = put(client, world)
    name = client.ensure_key("ledger")
    client.publish_name("ledger", manifest, lifetime_s=3_600, ttl_s=60)
    program = Program(tmp_path / "home")
    head = world.heads(world.events)[0]
    roots, names = set(), []
    for start in (("--head", str(head)), ("--head", str(manifest)), ("--ipns", name)):
        ran = program.run("audit", "--gateway", node.gateway_url, *start, "--json")
        assert ran.code == 0, (start, ran.out, ran.err)
        assert ran.json["events"] == len(world.events)
        assert ran.json["complete"]
        roots.add(ran.json["state_root"])
        [gateway] = ran.json["gateways"]
        assert gateway["requests"] < 20  # segments and CARs, not event by event
        names += ran.json["names"]
    assert len(roots) == 1
    [resolution] = names
    assert (resolution["cid"], resolution["signed"]) == (str(manifest), True)


def test_a_block_that_a_real_gateway_lacks_is_named(nodes: Nodes, tmp_path: Path) -> None:
    """A CAR breaks off where a block is absent; the rest comes block by block, and what lacks is told."""
    world = a_world(6)
    [node] = nodes.start()
    client = nodes.client(node)
    put(client, world)
    lost = list(world.events)[5]
    client.remove_blocks([lost])
    head = world.heads(world.events)[0]
    ran = Program(tmp_path / "home").run("audit", "--gateway", node.gateway_url, "--head", str(head), "--json")
    assert ran.code == 11
    assert [one["cid"] for one in ran.json["missing"]] == [str(lost)]
