"""Exchange: each side gets what it lacks of the other's log and nothing else, whatever the two have in common."""

from __future__ import annotations

import random
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ledger.acceptance import unsafe_signed
from ledger.cid import Cid
from ledger.exchange import (
    ExchangeError,
    Frontier,
    Replica,
    frontier_of,
    listing_for,
    past_without,
    pull,
    sync_stores,
    want_of,
)
from tests.ledger.test_intake import wide_world
from tests.ledger.world import OWNER, T0, WORKER, Home, World

NOW = 2**50


def closed_part(world: World, rng: random.Random) -> list[bytes]:
    """Return the blocks of some events and of all they link, in causal order."""
    events = {signed.cid: signed for signed in map(unsafe_signed, world.blocks)}
    inside: set[Cid] = set()
    turn = rng.sample(list(events), rng.randint(0, min(4, len(events))))
    while turn:
        cid = turn.pop()
        if cid in events and cid not in inside:
            inside.add(cid)
            turn += events[cid].event.links()
    return [signed.block for cid, signed in events.items() if cid in inside]


@settings(max_examples=30, deadline=None)
@given(st.randoms(use_true_random=False), st.integers(1, 30))
def test_sync_brings_all_and_sends_no_more(rng: random.Random, size: int) -> None:
    """After a sync both have what either had; each event that one lacked was sent once, and no other."""
    world = wide_world(rng.randint(0, 2**30), size)
    with TemporaryDirectory() as folder:
        a, b = Home(Path(folder) / "a", world), Home(Path(folder) / "b", world)
        a.offer(closed_part(world, rng), NOW)
        b.offer(closed_part(world, rng), NOW)
        had_a, had_b = set(a.accepted()), set(b.accepted())
        report = sync_stores(a.replica, b.replica, NOW)
        assert set(a.accepted()) == set(b.accepted()) == had_a | had_b
        assert (report.sent_to_a, report.sent_to_b) == (len(had_b - had_a), len(had_a - had_b))
        assert (report.a.accepted, report.b.accepted) == (report.sent_to_a, report.sent_to_b)
        again = sync_stores(a.replica, b.replica, NOW)
        assert (again.sent_to_a, again.sent_to_b) == (0, 0)
        a.database.close()
        b.database.close()


@settings(max_examples=30, deadline=None)
@given(st.randoms(use_true_random=False), st.integers(1, 30))
def test_past_without_is_the_difference_of_pasts(rng: random.Random, size: int) -> None:
    """The walk finds the past of some heads less that of others, in the linear order."""
    world = wide_world(rng.randint(0, 2**30), size)
    events = {signed.cid: signed.event for signed in map(unsafe_signed, world.blocks)}

    def past(cids: list[Cid]) -> set[Cid]:
        found: set[Cid] = set()
        turn = cids[:]
        while turn:
            cid = turn.pop()
            if cid in events and cid not in found:
                found.add(cid)
                turn += events[cid].links()
        return found

    heads, without = (rng.sample(list(events), rng.randint(0, min(3, len(events)))) for _ in range(2))
    with TemporaryDirectory() as folder:
        home = Home(Path(folder) / "a", world)
        home.offer(world.blocks, NOW)
        with home.database.reading():
            found = past_without(home.replica, heads, [*without, Cid.of(b"unknown"), world.ledger])
        assert set(found) == past(heads) - past(without)
        assert found == sorted(found, key=lambda cid: (events[cid].height, cid))
        home.database.close()


def test_what_is_missing_is_found_without_walking_the_log(tmp_path: Path) -> None:
    """Where the other's heads are known, the cost of a listing is that of what is missing, not of the log."""
    world = World()
    world.chain(400)
    a, b = Home(tmp_path / "a", world), Home(tmp_path / "b", world)
    a.offer(world.blocks)
    b.offer(world.blocks[:-3])
    frontier = frontier_of(b.replica)
    heads = a.heads_kept()
    read: list[Cid] = []
    find_block = a.intake.events.find_block

    def counted(cid: Cid) -> bytes | None:
        read.append(cid)
        return find_block(cid)

    a.intake.events.find_block = counted  # type: ignore[method-assign]  # counts what is read
    replica = Replica(a.intake, lambda: heads, a.database.reading, a.database.transaction)
    listing = listing_for(replica, frontier)
    assert listing.exact
    assert listing.cids == tuple(Cid.of(block) for block in world.blocks[-3:])
    assert len(read) == 3


def test_listing_where_both_have_gone_on(tmp_path: Path) -> None:
    """Where a head is unknown, samples keep the listing near what is missing, and Want makes the answer exact."""
    world = World()
    world.admit(WORKER)
    base = world.chain(500)
    shared = len(world.blocks)
    world.chain(10, WORKER, base[-1])
    middle = len(world.blocks)
    world.chain(10, OWNER, base[-1])
    a, b = Home(tmp_path / "a", world), Home(tmp_path / "b", world)
    a.offer(world.blocks[:middle])
    b.offer(world.blocks[:shared] + world.blocks[middle:])
    listing = listing_for(a.replica, frontier_of(b.replica))
    assert not listing.exact
    assert 10 <= len(listing.cids) <= 40
    want = want_of(b.replica, listing)
    assert want.cids == tuple(Cid.of(block) for block in world.blocks[shared:middle])


def test_only_the_log_is_sent(tmp_path: Path) -> None:
    """What no head of the log reaches stays where it is: the caller's heads decide what is sent."""
    world = World()
    chain = world.chain(5)
    stray = world.add(world.event(parents=[chain[1]], ops=[{"op": "beyond a fence"}]))
    a, b = Home(tmp_path / "a", world), Home(tmp_path / "b", world)
    a.offer(world.blocks)
    log = Replica(a.intake, lambda: (chain[-1],), a.database.reading, a.database.transaction)
    assert pull(b.replica, log, T0)[0] == 5
    assert stray not in b.accepted()


def test_what_waits_is_not_sent_again(tmp_path: Path) -> None:
    """Events that wait on the other side are left out; what they wait for is sent, and they wake."""
    world = World()
    chain = world.chain(6)
    a, b = Home(tmp_path / "a", world), Home(tmp_path / "b", world)
    a.offer(world.blocks)
    assert len(b.offer(world.blocks[4:]).waiting) == 2
    sent, totals = pull(b.replica, a.replica, T0)
    assert (sent, totals.accepted) == (4, 6)
    assert b.accepted() == chain


def test_blobs_come_along(tmp_path: Path) -> None:
    """The blobs that events link follow them, late ones too, and no others."""
    world = World()
    data = [bytes([n]) * 1000 for n in range(40)]
    world.add(world.event(blobs=[Cid.of_raw(one) for one in data]))
    a, b = Home(tmp_path / "a", world), Home(tmp_path / "b", world)
    a.offer(world.blocks)
    with a.database.transaction():
        a.intake.offer_blobs(data[:20])
        a.intake.blobs.put_many([(Cid.of_raw(b"stray"), b"stray")])
    assert sync_stores(a.replica, b.replica, T0).b.blobs == 20
    with a.database.transaction():
        a.intake.offer_blobs(data[20:])
    report = sync_stores(a.replica, b.replica, T0)
    assert (report.sent_to_b, report.b.blobs) == (0, 20)
    with b.database.reading():
        assert b.intake.blobs.wanted() == ()
        assert not b.intake.blobs.has(Cid.of_raw(b"stray"))


def test_two_ledgers_and_one_store(tmp_path: Path) -> None:
    """Replicas of different ledgers exchange nothing, and neither does a store with itself."""
    a, b = Home(tmp_path / "a", World()), Home(tmp_path / "b", World(name="other"))
    with pytest.raises(ExchangeError, match="this is ledger"):
        sync_stores(a.replica, b.replica, T0)
    with pytest.raises(ExchangeError, match="both sides"):
        sync_stores(a.replica, a.replica, T0)


def test_an_empty_log_has_the_genesis_for_its_head(tmp_path: Path) -> None:
    """A replica with nothing says so by the genesis, and gets all of the log."""
    world = World()
    world.chain(3)
    a, b = Home(tmp_path / "a", world), Home(tmp_path / "b", world)
    a.offer(world.blocks)
    assert frontier_of(b.replica) == Frontier(world.ledger, (world.ledger,))
    listing = listing_for(a.replica, frontier_of(b.replica))
    assert (len(listing.cids), listing.exact) == (3, True)
