"""Ledgers to audit: a world's blocks, and manifests of it as honest and lying publishers make them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from crdt.state_root import REDUCER_VERSION
from ledger.cid import Cid
from ledger.keys import SigningKey
from ledger.manifest import Manifest, SegmentEntry, sign_manifest
from ledger.operations import Admit, Claim, Complete, Join
from ledger.segments import Packer, Segment, section
from tests.support.fast import reduce_fast
from tests.support.worlds import CREATED, World, a_spec, signing_key

ADA, BEN = signing_key("ada"), signing_key("ben")
ROLES = ("submitter", "worker")


def a_world(tasks: int = 20) -> World:
    """Return a ledger in which ben has done some tasks of ada's, each event on the one before."""
    world = World(owners=("olga",))
    world.event(world.owners[0], *(Admit(key.actor, ROLES, name=name) for key, name in ((ADA, "ada"), (BEN, "ben"))))
    world.event(BEN, Join())
    for number in range(tasks):
        op = world.submit(ADA, a_spec(f"task {number}"))
        asked = world.event(ADA, op, time=CREATED + 10_000 * number)
        claim = world.event(BEN, Claim(op.key, (asked,), 1_000))
        world.event(BEN, Complete(op.key, (claim,), claim))
    return world


def blocks_of(world: World, cids: Iterable[Cid] | None = None) -> dict[Cid, bytes]:
    """Return the genesis and the events of a world, or of a part, in the linear order."""
    chosen = world.of(world.events if cids is None else cids)
    chosen.sort(key=lambda one: (one.event.height, one.cid))
    return {world.ledger: world.genesis.encode()} | {one.cid: one.block for one in chosen}


def segments_of(world: World, cids: Iterable[Cid] | None = None) -> list[Segment]:
    """Return the log of a world, or of a part, in segments of a few events each."""
    packer = Packer(world.ledger, world.genesis.encode())
    segments: list[Segment] = []
    for cid, block in blocks_of(world, cids).items():
        if cid == world.ledger:
            continue
        packer.add(section(cid, block))
        if packer.events == 7:
            segments.append(packer.open_segment())
            packer = Packer(world.ledger, None)
    return segments if packer.is_empty else [*segments, packer.open_segment()]


def manifest_of(world: World, cids: Iterable[Cid] | None = None, *, time: int = CREATED + 10**6) -> Manifest:
    """Return what an honest publisher says of a world, or of a part."""
    part = list(world.events if cids is None else cids)
    board = reduce_fast(world.ledger, world.genesis, world.of(part))
    entries = tuple(SegmentEntry(one.cid, one.events, len(one.data)) for one in segments_of(world, part))
    return Manifest(world.ledger, BEN.actor, time, board.heads, len(part), REDUCER_VERSION, board.state_root, entries)


def published(
    world: World,
    cids: Iterable[Cid] | None = None,
    *,
    key: SigningKey = BEN,
    time: int = CREATED + 10**6,
    **lies: object,
) -> tuple[Cid, dict[Cid, bytes]]:
    """Return the CID of a signed manifest, and it and its segments as blocks; `lies` are fields to say otherwise."""
    part = list(world.events if cids is None else cids)
    block = sign_manifest(key, replace(manifest_of(world, part, time=time), **lies))  # type: ignore[arg-type]  # fields of a Manifest
    blocks = {one.cid: one.data for one in segments_of(world, part)}
    return Cid.of(block), blocks | {Cid.of(block): block}
