"""Taking blocks in: any order gives the same store; waiting, held and refused events stay within bounds."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ledger.aside import REFUSED_MAX, HeldEvents
from ledger.cid import Cid
from ledger.events import Admission, VerifiedEvent
from ledger.intake import Intake, IntakeReport
from ledger.keys import SigningKey
from ledger.store import EventStore
from ledger.waiting import STRANGER_SHARE, WaitingRoom
from tests.ledger.world import OWNER, SKEW_MS, STRANGER, T0, WORKER, Home, World, event_of


@pytest.fixture
def world() -> World:
    """Return a ledger with a member."""
    world = World()
    world.admit(WORKER)
    return world


@pytest.fixture
def home(tmp_path: Path, world: World) -> Home:
    """Return an empty store of that ledger."""
    return Home(tmp_path / "db", world)


def wide_world(seed: int, size: int) -> World:
    """Return a ledger of `size` events by two actors that saw any of the others."""
    rng = random.Random(seed)
    world = World()
    cids = [world.admit(WORKER)]
    for number in range(size):
        key = rng.choice((OWNER, WORKER))
        parents = rng.sample(cids, rng.randint(1, min(3, len(cids))))
        cites = rng.sample(cids, rng.randint(0, min(2, len(cids))))
        time = T0 + 10 * number
        cids.append(
            world.add(world.event(key, parents=parents, cites=cites, time=time, ops=[{"op": "n", "n": number}]))
        )
    return world


def check_causal(events: Sequence[VerifiedEvent], ledger: Cid) -> None:
    """Assert that each event stands after all it links."""
    seen = {ledger}
    for event in events:
        assert set(event.event.links()) <= seen
        seen.add(event.cid)


@settings(max_examples=30, deadline=None)
@given(st.randoms(use_true_random=False), st.integers(1, 25), st.integers(1, 7))
def test_any_order_gives_the_same_store(rng: random.Random, size: int, batch: int) -> None:
    """Whatever the order, the repetitions and the batches, all is accepted once and handed on after what it links."""
    world = wide_world(rng.randint(0, 2**30), size)
    blocks = [*world.blocks, world.genesis_block, *rng.choices(world.blocks, k=3)]
    rng.shuffle(blocks)
    with TemporaryDirectory() as folder:
        home = Home(Path(folder) / "db", world)
        for start in range(0, len(blocks), batch):
            home.offer(blocks[start : start + batch], 2**50)
        assert set(home.accepted()) == {Cid.of(block) for block in world.blocks}
        assert [event.cid for event in home.handed] == home.accepted()
        check_causal(home.handed, world.ledger)
        with home.database.reading():
            assert home.intake.waiting.count() == 0
            assert [event.cid for event in home.intake.accepted()] == home.accepted()
            assert list(home.intake.accepted()) == home.handed
        home.database.close()


def test_what_is_here_is_known(world: World, home: Home) -> None:
    """An event offered again, and the genesis, are known; an event twice in one go is accepted once."""
    first = world.event()
    cid = Cid.of(first)
    assert home.offer([first, first]) == IntakeReport(accepted=(cid,))
    assert home.offer([world.genesis_block, first]) == IntakeReport(known=(world.ledger, cid))


def test_waiting_and_waking(world: World, home: Home) -> None:
    """An event with missing links waits, is asked for no more than what it lacks, and wakes with the last of them."""
    admit, first, second, third = (*world.grants.values(), *world.chain(3))
    late = world.add(world.event(WORKER, parents=[third]))
    blocks = dict(zip((admit, first, second, third, late), world.blocks, strict=True))

    def offer(*cids: Cid) -> IntakeReport:
        return home.offer([blocks[cid] for cid in cids])

    def wanted() -> set[Cid]:
        with home.database.reading():
            return set(home.intake.waiting.wanted())

    assert offer(third, second).waiting == (third, second)
    assert wanted() == {first}
    assert offer(late).waiting == (late,)
    assert wanted() == {admit, first}
    assert offer(late, second).waiting == (late, second)
    assert offer(first).accepted == (first, second, third)
    assert wanted() == {admit}
    assert offer(admit).accepted == (admit, late)
    assert wanted() == set()


def test_chain_that_wakes_is_no_recursion(world: World, home: Home) -> None:
    """A chain of thousands that waits for one event wakes without recursion, and its cost is that of its links."""
    chain = world.chain(3000)
    assert len(home.offer(world.blocks[:1:-1]).waiting) == 2999
    assert home.offer(world.blocks[1:2]).accepted == tuple(chain)


def test_what_links_a_refused_block_is_refused(world: World, home: Home) -> None:
    """What waited for a block that is refused is refused by A7, and so on down the line; so is what comes later."""
    bad = world.event(STRANGER)  # A8
    cid = Cid.of(bad)
    links: list[bytes] = []
    for _ in range(50):
        links.append(world.event(parents=[cid], height=9))
        cid = Cid.of(links[-1])
    assert len(home.offer(links[:-1]).waiting) == 49
    rules = {refused.cid: refused.rule for refused in home.offer([bad]).refused}
    assert rules.pop(Cid.of(bad)) == "A8"
    assert set(rules.values()) == {"A7"}
    assert len(rules) == 49
    assert [refused.rule for refused in home.offer(links[-1:]).refused] == ["A7"]
    assert home.accepted() == []
    assert [refused.rule for refused in home.offer([bad]).refused] == ["A8"]


def test_what_waits_for_bytes_that_are_no_event(world: World, home: Home) -> None:
    """A block that breaks a rule before its links are looked at takes what waits for it along."""
    forged = world.event(WORKER)
    forged = forged.replace(event_of(forged).sig, bytes(64))
    child = world.event(parents=[Cid.of(forged)])
    assert home.offer([child]).waiting == (Cid.of(child),)
    assert {refused.rule for refused in home.offer([forged]).refused} == {"A5", "A7"}


def test_refused_changes_nothing(world: World, home: Home) -> None:
    """Refused blocks leave the accepted events as they are, and are noted with rule and words, the last thousand."""
    home.offer(world.blocks)
    before = home.accepted()
    home.offer([bytes([n % 256, n // 256]) * 9 for n in range(REFUSED_MAX + 50)], now_ms=T0 + 7)
    assert home.accepted() == before
    with home.database.reading():
        noted = home.intake.refused.latest()
    assert len(noted) == REFUSED_MAX
    assert {refused.rule for refused in noted} <= {"A1", "A2", "A3"}
    assert all(refused.words and refused.at == T0 + 7 for refused in noted)


def test_another_ledger(home: Home) -> None:
    """Blocks of another ledger, its genesis too, are refused by A4."""
    other = World(name="other")
    report = home.offer([other.genesis_block, other.event()])
    assert [refused.rule for refused in report.refused] == ["A4", "A4"]


def test_rollback_takes_all_back(world: World, home: Home) -> None:
    """Where the transaction is rolled back, nothing was accepted, nothing waits, and the same can be offered again."""
    world.chain(2)

    def break_off() -> None:
        with home.database.transaction():
            home.intake.offer([world.blocks[0], world.blocks[2]], T0)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        break_off()
    assert home.offer(world.blocks[1:2]).accepted == (Cid.of(world.blocks[1]),)
    late = world.event(WORKER)
    assert home.offer([late]).waiting == (Cid.of(late),)
    assert home.offer(world.blocks).accepted[0] == Cid.of(world.blocks[0])


def test_a_board_that_raises_keeps_the_store(world: World, home: Home) -> None:
    """Store and board never part: where the board raises, the event is not accepted."""

    def fail(event: VerifiedEvent) -> None:
        raise ValueError(str(event.cid))

    with home.database.reading():
        broken = Intake(home.database, fail)
    with pytest.raises(ValueError, match="bafy"), home.database.transaction():
        broken.offer(world.blocks, T0)
    assert home.accepted() == []


# ---- held


def test_ahead_of_the_clock(world: World, home: Home) -> None:
    """An event further ahead than the skew is held, not refused; what links it waits; both come when its time does."""
    home.offer(world.blocks, T0)
    just = world.add(world.event(time=T0 + SKEW_MS))
    ahead = world.add(world.event(time=T0 + SKEW_MS + 1))
    after = world.add(world.event(parents=[ahead]))
    report = home.offer(world.blocks, T0)
    assert (report.accepted, report.held, report.waiting) == ((just,), (ahead,), (after,))
    assert home.offer(world.blocks[-2:-1], T0).held == (ahead,)
    with home.database.transaction():
        assert home.intake.release_held(T0) == IntakeReport()
        assert home.intake.release_held(T0 + 1).accepted == (ahead, after)
        assert home.intake.held.count() == 0


def test_held_only_if_it_keeps_all_rules(world: World, home: Home) -> None:
    """A stranger's event ahead of the clock is refused, not held."""
    report = home.offer([world.event(STRANGER, time=T0 + SKEW_MS + 1)], T0)
    assert [refused.rule for refused in report.refused] == ["A8"]


def test_clock_set_back(world: World, home: Home) -> None:
    """After the clock was set back, what is ahead of it is held again, links included, and nothing of it is lost."""
    cids = [world.add(world.event(time=T0 + 1000 * n)) for n in range(30)]
    tips = [world.add(world.event(parents=[cid])) for cid in cids]
    home.offer(world.blocks, T0 + 30_000)
    everything = set(home.accepted())
    with home.database.transaction():
        assert not home.intake.recompute_held(T0 + 30_000)
        assert home.intake.recompute_held(T0 + 5_000)
    kept = set(home.accepted())
    assert kept == {Cid.of(world.blocks[0]), *cids[:16], *tips[:16]}
    with home.database.reading():
        check_causal(list(home.intake.accepted()), world.ledger)
        assert home.intake.held.count() == 28
    with home.database.transaction():
        assert len(home.intake.release_held(T0 + 30_000).accepted) == 28
    assert set(home.accepted()) == everything


def test_held_is_bounded_for_newcomers_only(world: World, home: Home) -> None:
    """Members cannot fill the disk with events of the far future; what was accepted before is held beyond the bound."""
    home.intake.held = HeldEvents(home.database, blocks_max=5)
    blocks = [world.event(time=2**50 + n) for n in range(8)]
    report = home.offer(blocks, T0)
    assert (len(report.held), len(report.evicted)) == (5, 3)
    home.offer([world.event(time=T0 + 100 + n) for n in range(8)], T0 + 100)
    with home.database.transaction():
        assert home.intake.recompute_held(T0 - SKEW_MS)
        assert home.intake.held.count() == 13


# ---- floods


def orphans(world: World, key: SigningKey, count: int, size: int = 0) -> list[bytes]:
    """Return events by `key`, correctly signed, that link what nobody has."""
    return [
        world.event(key, parents=[Cid.of(n.to_bytes(4, "big"))], ops=[{"op": "pad", "n": n, "pad": bytes(size)}])
        for n in range(count)
    ]


def test_a_stranger_has_a_share_of_the_waiting_room(tmp_path: Path) -> None:
    """A flood of one key with no accepted event takes a quarter of the waiting room and pushes nobody out."""
    world = World(admission=Admission.OPEN)
    home = Home(tmp_path / "db", world)
    home.intake.waiting = WaitingRoom(home.database, blocks_max=40)
    honest = orphans(world, OWNER, 20)
    assert len(home.offer(honest).waiting) == 20
    flood = orphans(world, STRANGER, 100)
    report = home.offer(flood)
    assert (len(report.waiting), len(report.evicted)) == (40 // STRANGER_SHARE, 90)
    assert report.waiting == tuple(Cid.of(block) for block in flood[-10:])  # the oldest go first
    assert len(home.offer(honest).waiting) == 20


def test_many_strangers_push_out_strangers_first(tmp_path: Path) -> None:
    """A flood of many keys fills the room, never more, and what known actors have there stays."""
    world = World(admission=Admission.OPEN)
    home = Home(tmp_path / "db", world)
    home.intake.waiting = WaitingRoom(home.database, blocks_max=40)
    home.offer([world.event(WORKER)])  # from now on known
    known = orphans(world, WORKER, 30)
    assert len(home.offer(known).waiting) == 30
    for n in range(60):
        home.offer(orphans(world, SigningKey.from_seed(bytes([100 + n]) * 32), 3))
        with home.database.reading():
            assert home.intake.waiting.count() <= 40
    assert len(home.offer(known).waiting) == 30


def test_the_waiting_room_is_bounded_in_bytes(tmp_path: Path) -> None:
    """Large blocks fill the room by their bytes, not their number, and the file stops growing with it."""
    world = World()
    home = Home(tmp_path / "db", world)
    home.intake.waiting = WaitingRoom(home.database, blocks_max=10_000, bytes_max=1_000_000)
    sizes = []
    for start in range(4):
        home.offer(
            [
                world.event(parents=[Cid.of(bytes([start, n]))], ops=[{"op": "pad", "pad": bytes(50_000)}])
                for n in range(25)
            ]
        )
        with home.database.reading() as connection:
            count, size = connection.execute("SELECT count(*), sum(length(block)) FROM waiting").fetchone()
            sizes.append(connection.execute("PRAGMA page_count").fetchone()[0])
        assert count == 19
        assert size <= 1_000_000
    assert sizes[-1] <= sizes[0] * 1.5


def test_links_of_what_was_evicted_are_forgotten(world: World, home: Home) -> None:
    """What is evicted leaves no trace: neither its block nor what it waited for."""
    home.intake.waiting = WaitingRoom(home.database, blocks_max=4)
    home.offer(orphans(world, OWNER, 50))
    with home.database.reading() as connection:
        assert connection.execute("SELECT count(*) FROM waiting").fetchone() == (4,)
        assert connection.execute("SELECT count(*) FROM waiting_links").fetchone() == (4,)
        assert len(home.intake.waiting.wanted()) == 4


def test_a_store_is_of_one_ledger(tmp_path: Path, world: World) -> None:
    """A store founded on one genesis takes no other, and an intake needs a founded one."""
    home = Home(tmp_path / "db", world)
    with home.database.transaction(), pytest.raises(ValueError, match="holds ledger"):
        EventStore(home.database).put_genesis(World(name="other").genesis_block)
    with home.database.transaction() as connection:
        connection.execute("DELETE FROM meta")
        with pytest.raises(ValueError, match="no ledger yet"):
            Intake(home.database, lambda _: None)


def test_two_intakes_on_one_file(tmp_path: Path, world: World) -> None:
    """What one process accepts or holds back, another's next transaction knows."""
    world.chain(2)
    one, two = Home(tmp_path / "db", world), Home(tmp_path / "db", world)
    one.offer(world.blocks[:2])
    assert two.offer(world.blocks[2:]).accepted == (Cid.of(world.blocks[2]),)
    with one.database.transaction():
        one.intake.recompute_held(T0 - SKEW_MS - 1)
    late = world.event(parents=[Cid.of(world.blocks[2])])
    assert two.offer([late]).waiting == (Cid.of(late),)


def test_what_waits_is_counted_in_a_new_process_that_only_reads(tmp_path: Path) -> None:
    """The room is counted in the database: whoever opens it to read sees what others left waiting, and for what."""
    world = World()
    missing = Cid.of(b"not here")
    waits = world.event(parents=[missing])
    home = Home(tmp_path / "a", world)
    home.offer([waits])
    with home.database.reading():
        fresh = WaitingRoom(home.database)
        assert fresh.count() == 1
        assert fresh.has(Cid.of(waits))
        assert fresh.missing_of(Cid.of(waits)) == (missing,)
