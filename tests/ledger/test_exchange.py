"""Exchange: each side gets what it lacks of the other's log and nothing else, whatever the two have in common."""

from __future__ import annotations

import io
import random
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ledger.acceptance import unsafe_signed
from ledger.car import read_car, write_car
from ledger.carrier import read_message
from ledger.cid import Cid
from ledger.exchange import (
    Answerer,
    CallCarrier,
    ExchangeError,
    Replica,
    State,
    fetch_state,
    past_without,
    pull,
    push,
    sync_stores,
    sync_with,
)
from ledger.exchange_codec import (
    MESSAGE_BYTES_MAX,
    Frontier,
    Want,
    decode_receipt,
    encode_frontier,
    encode_want,
)
from ledger.ranges import Span
from ledger.replica import AcceptedLog
from ledger.store import Bound, EventStore, Item
from tests.ledger.test_intake import wide_world
from tests.ledger.world import OWNER, STRANGER, T0, WORKER, Home, World

NOW = 2**50


def carrier_to(replica: Replica, now_ms: int = NOW) -> CallCarrier:
    """Return a carrier to an answerer for `replica`."""
    return CallCarrier(Answerer(replica, lambda: now_ms))


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
        report = sync_stores(a.replica, b.replica, lambda: NOW)
        assert set(a.accepted()) == set(b.accepted()) == had_a | had_b
        assert (report.sent_to_a, report.sent_to_b) == (len(had_b - had_a), len(had_a - had_b))
        assert (report.a.accepted, report.b.accepted) == (report.sent_to_a, report.sent_to_b)
        again = sync_stores(a.replica, b.replica, lambda: NOW)
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
    """Where the other's heads are known, an answer costs what is missing, not the log, and one round trip."""
    world = World()
    world.chain(400)
    a, b = Home(tmp_path / "a", world), Home(tmp_path / "b", world)
    a.offer(world.blocks)
    b.offer(world.blocks[:-3])
    heads = a.heads_kept()
    looked = Counted(a.intake.events)
    pulled = pull(b.replica, carrier_to(replace(a.replica, heads=lambda: heads, log=looked)), lambda: T0)
    assert pulled.traffic.round_trips == 1
    assert (pulled.events, pulled.is_complete, pulled.missing_there) == (3, True, ())
    assert looked.looked_at <= 10


class Counted(AcceptedLog):
    """A log that counts what is looked at."""

    looked_at = 0

    def links(self, cid: Cid) -> tuple[int, tuple[Cid, ...]] | None:
        self.looked_at += 1
        return AcceptedLog.links(self, cid)

    def items(self, *_: object, **__: object) -> Iterator[Item]:
        raise AssertionError("the log was walked")


def test_both_have_gone_on(tmp_path: Path) -> None:
    """Where heads are unknown, a few rounds find what either lacks, and nothing else is sent."""
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
    synced = sync_with(b.replica, carrier_to(a.replica), lambda: NOW)
    assert (synced.pulled.events, synced.pulled.taken.known, synced.pushed.events) == (10, 0, 10)
    assert synced.pulled.traffic.round_trips + synced.pushed.traffic.round_trips <= 4
    assert set(a.accepted()) == set(b.accepted())


class Without(AcceptedLog):
    """A log without one of the accepted events, as one beyond a fence."""

    def __init__(self, events: EventStore, stray: Cid) -> None:
        super().__init__(events)
        self.stray = stray

    def items(
        self, low: Bound, high: Bound | None, *, most: int | None = None, arrived: int | None = None
    ) -> Iterator[Item]:
        found = AcceptedLog.items(self, low, high, most=most, arrived=arrived)
        return (item for item in found if item[1] != self.stray)

    def count(self, low: Bound, high: Bound | None) -> int:
        return len(list(self.items(low, high)))


def test_only_the_log_is_sent(tmp_path: Path) -> None:
    """What no head of the log reaches stays where it is: the caller's heads decide what is sent."""
    world = World()
    chain = world.chain(5)
    stray = world.add(world.event(parents=[chain[1]], ops=[{"op": "beyond a fence"}]))
    a, b = Home(tmp_path / "a", world), Home(tmp_path / "b", world)
    a.offer(world.blocks)
    log = replace(a.replica, heads=lambda: (chain[-1],), log=Without(a.intake.events, stray))
    assert pull(b.replica, carrier_to(log), lambda: T0).events == 5
    assert stray not in b.accepted()
    assert [cid for cid, _ in wanted_from(log, Want(world.ledger, (stray, chain[2])))] == [chain[2]]


def test_what_waited_wakes(tmp_path: Path) -> None:
    """What events wait for is sent, and they wake: none of them is reported as waiting then."""
    world = World()
    chain = world.chain(6)
    a, b = Home(tmp_path / "a", world), Home(tmp_path / "b", world)
    a.offer(world.blocks)
    assert len(b.offer(world.blocks[4:]).waiting) == 2
    pulled = pull(b.replica, carrier_to(a.replica), lambda: T0)
    assert (pulled.events, pulled.taken.accepted, pulled.taken.waiting) == (6, 6, 0)
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
    assert sync_stores(a.replica, b.replica, lambda: T0).b.blobs == 20
    with a.database.transaction():
        a.intake.offer_blobs(data[20:])
    report = sync_stores(a.replica, b.replica, lambda: T0)
    assert (report.sent_to_b, report.b.blobs) == (0, 20)
    with b.database.reading():
        assert b.intake.blobs.wanted() == ()
        assert not b.intake.blobs.has(Cid.of_raw(b"stray"))


def test_two_ledgers_and_one_store(tmp_path: Path) -> None:
    """Replicas of different ledgers exchange nothing, and neither does a store with itself."""
    a, b = Home(tmp_path / "a", World()), Home(tmp_path / "b", World(name="other"))
    with pytest.raises(ExchangeError, match="this is ledger"):
        sync_stores(a.replica, b.replica, lambda: T0)
    other = encode_frontier(Frontier(b.replica.intake.ledger, (b.replica.intake.ledger,)))
    with pytest.raises(ExchangeError, match="this is ledger"), carrier_to(a.replica).ask("delta", other):
        pass
    with pytest.raises(ExchangeError, match="both sides"):
        sync_stores(a.replica, a.replica, lambda: T0)


def wanted_from(replica: Replica, want: Want) -> list[tuple[Cid, bytes]]:
    """Return the sections of the answer to a Want."""
    with carrier_to(replica).ask("want", encode_want(want)) as stream:
        return list(read_car(stream))


def test_what_is_wanted_comes_in_order(tmp_path: Path) -> None:
    """The genesis, then events one by one and of spans in the linear order, then blobs; nothing that is not there."""
    world = World()
    chain = world.chain(30)
    data = [b"one", b"two"]
    last = world.add(world.event(parents=[chain[-1]], blobs=[Cid.of_raw(one) for one in data]))
    a = Home(tmp_path / "a", world)
    a.offer(world.blocks)
    with a.database.transaction():
        a.intake.offer_blobs(data)
    heights = {cid: height for height, cid in enumerate(chain, 1)}
    some = (chain[25], chain[3], Cid.of(b"strange"), world.ledger, chain[1], last)
    blobs = (*map(Cid.of_raw, data), Cid.of_raw(b"strange"))
    spans = (Span((5, b""), (8, b"")), Span((heights[chain[9]], b""), (heights[chain[9]], b"\xff")))
    found = wanted_from(a.replica, Want(world.ledger, some, blobs, spans))
    ordered = [world.ledger, chain[1], chain[3], *chain[4:7], chain[9], chain[25], last]
    assert [cid for cid, _ in found] == [*ordered, *sorted(map(Cid.of_raw, data))]


def test_an_offer_is_asked_for_its_blobs(tmp_path: Path) -> None:
    """A receipt counts what became of the blocks, says why one was refused, and which blobs are wanted; they follow."""
    world = World()
    data = [bytes([n]) * 500_000 for n in range(20)]
    for one in data:
        world.add(world.event(blobs=[Cid.of_raw(one)]))
    a, b = Home(tmp_path / "a", world), Home(tmp_path / "b", world)
    a.offer(world.blocks)
    with a.database.transaction():
        a.intake.offer_blobs(data)
    carrier = carrier_to(b.replica)
    pushed = push(a.replica, carrier, [Cid.of(block) for block in world.blocks])
    assert (pushed.events, pushed.blobs, pushed.taken.accepted, pushed.taken.blobs) == (20, 20, 20, 20)
    assert pushed.traffic.round_trips == 1 + 3
    stranger = world.event(STRANGER)
    body = io.BytesIO()
    write_car(body, (), [(Cid.of(stranger), stranger), (Cid.of(world.blocks[0]), world.blocks[0])])
    with carrier.ask("offer", body.getvalue()) as stream:
        receipt = decode_receipt(read_message(stream))
    assert (receipt.taken.refused, receipt.taken.known) == (1, 1)
    assert [(one.cid, one.rule) for one in receipt.taken.reasons] == [(Cid.of(stranger), "A8")]


def test_what_an_offer_leaves_waiting_is_asked_for(tmp_path: Path) -> None:
    """Events that something waits for are named in the receipt, and offered next."""
    world = World()
    chain = world.chain(5)
    a, b = Home(tmp_path / "a", world), Home(tmp_path / "b", world)
    a.offer(world.blocks)
    b.offer(world.blocks[:2])
    pushed = push(a.replica, carrier_to(b.replica), chain[3:])
    assert (pushed.events, pushed.taken.waiting) == (3, 2)
    assert b.accepted() == chain


def test_an_offer_that_breaks_off_keeps_what_was_whole(tmp_path: Path) -> None:
    """Of a CAR that is cut short the events before that are taken in, and the sender is told."""
    world = World()
    chain = world.chain(5)
    b = Home(tmp_path / "b", world)
    body = io.BytesIO()
    write_car(body, (), [(Cid.of(block), block) for block in world.blocks])
    with pytest.raises(ExchangeError, match="breaks off"), carrier_to(b.replica).ask("offer", body.getvalue()[:-1]):
        pass
    assert b.accepted() == chain[:4]


def test_a_state_is_told(tmp_path: Path) -> None:
    """Heads, number of events, and for a home its state root under the reducer's version."""
    from crdt.state_root import REDUCER_VERSION
    from scheduler.home import Home as RealHome
    from scheduler.replica import replica_of

    world = World()
    chain = world.chain(5)
    a = Home(tmp_path / "a", world)
    a.offer(world.blocks)
    assert fetch_state(carrier_to(a.replica), a.replica) == State(world.ledger, (chain[-1],), 5)
    with RealHome.enter(tmp_path / "home", world.genesis_block, clock=lambda: T0 + 1) as home:
        with home.writing() as writing:
            writing.offer(world.blocks)
        told = fetch_state(carrier_to(replica_of(home)), a.replica)
        assert told == State(world.ledger, (chain[-1],), 5, REDUCER_VERSION, home.state_root())


def test_a_request_that_is_none(tmp_path: Path) -> None:
    """Unknown requests and messages that are too long or none are refused before anything is done."""
    a = Home(tmp_path / "a", World())
    carrier = carrier_to(a.replica)
    for path, body in (("gossip", b""), ("delta", b"\xa0"), ("want", bytes(MESSAGE_BYTES_MAX + 1)), ("offer", b"x")):
        with pytest.raises(ExchangeError), carrier.ask(path, body):
            pass
