"""Reconciliation by ranges: any two logs end equal, in few rounds, with bounded messages; and spans behave."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ledger import ranges
from ledger.cid import Cid
from ledger.exchange import Answerer, CallCarrier, ExchangeError, Traffic, pull, push, sync_with
from ledger.exchange_codec import MESSAGE_BYTES_MAX, encode_ranges
from ledger.ranges import (
    FEW_EVENTS,
    LISTED_MAX,
    PARTS,
    SPANS_MAX,
    Fingerprint,
    Listed,
    Said,
    Span,
    answer,
    bound_between,
    check_spans,
    compare,
    digest_of,
    fingerprint,
    opening,
    split,
)
from ledger.replica import LOWEST
from ledger.store import Item
from tests.ledger.test_exchange import NOW, closed_part
from tests.ledger.test_intake import wide_world
from tests.ledger.world import OWNER, WORKER, Home, World
from tests.support.logs import LEDGER, ListLog, reconcile
from tests.support.wild import wild_world

SEEDS = st.integers(0, 2**32).map(Random)
"""Not hypothesis' own randoms: those may well give the same hash twice."""

EVERYTHING = Span(LOWEST, None)


def places(random: Random, count: int, heights: int) -> list[Item]:
    """Return `count` places at up to `heights` heights."""
    return [(random.randint(1, heights), Cid.of(random.randbytes(8))) for _ in range(count)]


@settings(max_examples=60, deadline=None)
@given(
    SEEDS,
    st.sampled_from([0, 1, 30, 400, 3_000]),
    st.sampled_from([0, 1, 40, 900]),
    st.sampled_from([0, 1, 40, 900]),
    st.sampled_from([1, 5, 1_000]),
)
def test_any_two_sets_of_places_find_their_difference(
    random: Random, common: int, mine: int, theirs: int, heights: int
) -> None:
    """Whatever two logs hold, at whatever heights, what either lacks is found, in rounds that grow as a logarithm."""
    both = places(random, common, heights)
    only_mine, only_theirs = places(random, mine, heights), places(random, theirs, heights)
    run = reconcile(ListLog(both + only_mine), ListLog(both + only_theirs))
    assert run.wanted == {cid for _, cid in only_theirs}
    assert run.lacking == {cid for _, cid in only_mine}
    assert len(run.rounds) <= 12
    assert run.largest <= MESSAGE_BYTES_MAX // 2


def test_where_they_differ_at_the_end_only_little_is_said() -> None:
    """Of 20,000 common events nothing is looked at but the last few, if the two have gone on by some."""
    random = Random(7)
    both = [(n, Cid.of(b"%d" % n)) for n in range(20_000)]
    mine = ListLog([*both, *((20_000 + n, Cid.of(random.randbytes(9))) for n in range(10))])
    theirs = ListLog([*both, *((20_000 + n, Cid.of(random.randbytes(9))) for n in range(12))])
    said = opening(theirs)
    assert len(encode_ranges(LEDGER, said)) < 1_000
    found = compare(mine, said, lambda _: False)
    assert found.rest is not None
    assert not found.is_rest_suspect(said)
    assert sum(one.count for one in found.ask) <= 100
    run = reconcile(mine, theirs)
    assert (len(run.wanted), len(run.lacking)) == (12, 10)
    assert len(run.rounds) <= 4
    assert run.largest < 5_000


def test_an_answer_is_bounded_whatever_is_asked() -> None:
    """As many spans as may be asked about, all of them unequal: the answer lists few, splits the others, and fits."""
    log = ListLog([(n, Cid.of(b"%d" % n)) for n in range(60_000)])
    width = 60_000 // SPANS_MAX
    bounds = [(width * n, b"") for n in range(SPANS_MAX)]
    spans = [Span(low, high) for low, high in zip(bounds, [*bounds[1:], None], strict=True)]
    said = answer(log, [Fingerprint(span, 1, b"x" * 32) for span in spans])
    assert sum(len(one.cids) for one in said if isinstance(one, Listed)) <= LISTED_MAX
    assert len(encode_ranges(LEDGER, said)) < MESSAGE_BYTES_MAX
    check_spans(said, [Fingerprint(span, 1, b"x" * 32) for span in spans])


@settings(max_examples=60, deadline=None)
@given(SEEDS, st.integers(FEW_EVENTS + 1, 400), st.integers(1, 30))
def test_a_split_covers_its_span(random: Random, count: int, heights: int) -> None:
    """Parts are at most sixteen, adjoin, cover the span, and hold what the fingerprints say."""
    log = ListLog(places(random, count, heights))
    parts = split(log, EVERYTHING, count)
    assert len(parts) <= PARTS
    assert (parts[0].span.low, parts[-1].span.high) == (LOWEST, None)
    assert all(a.span.high == b.span.low for a, b in pairwise(parts))
    assert parts == [fingerprint(log, part.span) for part in parts]
    assert sum(part.count for part in parts) == count


@settings(max_examples=100, deadline=None)
@given(SEEDS)
def test_a_bound_separates(random: Random) -> None:
    """What comes before is below the bound, what comes after is not, and no shorter bound does that."""
    before, after = sorted(places(random, 2, random.choice((1, 3))))
    height, prefix = bound = bound_between(before, after)
    assert before < bound <= after
    assert prefix == b"" or not before < (height, prefix[:-1])


def test_what_a_fingerprint_is() -> None:
    """SHA-256 over the hashes of the events in the linear order, and how many they are."""
    import hashlib

    items = places(Random(1), 5, 2)
    log = ListLog(items)
    hashed = hashlib.sha256(b"".join(cid.digest for _, cid in sorted(items))).digest()
    assert fingerprint(log, EVERYTHING) == Fingerprint(EVERYTHING, 5, hashed)
    assert digest_of(()) == hashlib.sha256().digest()


A, B, C, D = (0, b""), (3, b""), (5, b"\1"), (9, b"")
ASKED = [Fingerprint(Span(A, B), 2, b"d" * 32), Fingerprint(Span(C, None), 2, b"d" * 32)]


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ([Listed(Span(A, C), ())], "not asked about"),
        ([Listed(Span(B, C), ())], "not asked about"),
        ([Listed(Span(C, None), ()), Listed(Span(A, B), ())], "not ascending"),
        ([Listed(Span(A, B), ()), Listed(Span(A, B), ())], "not ascending"),
        ([Listed(Span(D, C), ())], "ends before"),
        ([Listed(Span(B, B), ())], "ends before"),
        ([Fingerprint(Span(C, None), 4, b"e" * 32)], "does not shrink"),
    ],
)
def test_answers_that_lead_nowhere_are_refused(said: list[Said], words: str) -> None:
    """An answer keeps to the spans it was asked about, in order, and makes them smaller."""
    check_spans([Listed(Span(A, B), ()), Fingerprint(Span(C, D), 1, b"e" * 32), Listed(Span(D, None), ())], ASKED)
    with pytest.raises(ExchangeError, match=words):
        check_spans(said, ASKED)


# ---- whole logs


@settings(max_examples=25, deadline=None)
@given(SEEDS, st.integers(1, 40), st.sampled_from([(1,), (1, 2), (2, 4, 8)]))
def test_any_two_logs_end_equal(random: Random, size: int, first: tuple[int, ...]) -> None:
    """Random DAGs, split in two at random: after one exchange with one side both are equal; a second sends nothing.

    The first answer is made short, so that what lies below it is met with few events.
    """
    world = wide_world(random.randint(0, 2**30), size)
    kept, few = ranges._FIRST_SPANS, ranges.FEW_EVENTS
    ranges._FIRST_SPANS, ranges.FEW_EVENTS = first, random.choice((1, 2, few))  # type: ignore[misc]  # see above
    try:
        _meet(world, random)
    finally:
        ranges._FIRST_SPANS, ranges.FEW_EVENTS = kept, few  # type: ignore[misc]  # as they were


def _meet(world: World, random: Random) -> None:
    with TemporaryDirectory() as folder:
        a, b = Home(Path(folder) / "a", world), Home(Path(folder) / "b", world)
        a.offer(closed_part(world, random), NOW)
        b.offer(closed_part(world, random), NOW)
        had_a, had_b = set(a.accepted()), set(b.accepted())
        synced = sync_with(a.replica, CallCarrier(Answerer(b.replica, lambda: NOW)), lambda: NOW)
        assert set(a.accepted()) == set(b.accepted()) == had_a | had_b
        assert synced.pulled.taken.accepted == len(had_b - had_a)
        assert synced.pushed.events == synced.pushed.taken.accepted == len(had_a - had_b)
        assert synced.pulled.is_complete
        assert synced.pulled.traffic.round_trips <= 12
        again = sync_with(a.replica, CallCarrier(Answerer(b.replica, lambda: NOW)), lambda: NOW)
        assert again.pulled.traffic.round_trips == 1
        assert (again.pulled.events, again.pushed.events) == (0, 0)
        a.database.close()
        b.database.close()


def test_a_thousand_on_either_side(tmp_path: Path) -> None:
    """Both sides have gone on by hundreds: few rounds, and the bytes are those of the events and little more."""
    world = World()
    world.admit(WORKER)
    base = world.chain(300)
    shared = len(world.blocks)
    world.chain(700, WORKER, base[-1])
    middle = len(world.blocks)
    world.chain(700, OWNER, base[-1])
    a, b = Home(tmp_path / "a", world), Home(tmp_path / "b", world)
    a.offer(world.blocks[:middle], NOW)
    b.offer(world.blocks[:shared] + world.blocks[middle:], NOW)
    synced = sync_with(b.replica, CallCarrier(Answerer(a.replica, lambda: NOW)), lambda: NOW)
    assert set(a.accepted()) == set(b.accepted())
    traffic = [synced.pulled.traffic, synced.pushed.traffic]
    assert sum(one.round_trips for one in traffic) <= 5
    missing = sum(len(block) for block in world.blocks[shared:])
    assert sum(one.bytes_sent + one.bytes_received for one in traffic) <= 1.5 * missing


def test_differences_far_below(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What differs only far below the last events is found as well, when heads stay unknown."""
    monkeypatch.setattr(ranges, "_FIRST_SPANS", (4, 8))
    world = World()
    world.admit(WORKER)
    base = world.chain(200)
    shared = len(world.blocks)
    world.chain(20, WORKER, base[20])  # more than would be asked for one after the other
    a, b = Home(tmp_path / "a", world), Home(tmp_path / "b", world)
    a.offer(world.blocks, NOW)
    own = world.add(world.event(OWNER, parents=[base[30]], ops=[{"op": "n"}]))
    b.offer([*world.blocks[:shared], world.blocks[-1]], NOW)
    pulled = pull(b.replica, CallCarrier(Answerer(a.replica, lambda: NOW)), lambda: NOW)
    assert (pulled.taken.accepted, pulled.is_complete, pulled.missing_there) == (20, True, (own,))
    pushed = push(b.replica, CallCarrier(Answerer(a.replica, lambda: NOW)), pulled.missing_there)
    assert pushed.taken.accepted == 1
    assert set(a.accepted()) == set(b.accepted())


def test_wild_homes_meet(tmp_path: Path) -> None:
    """Homes with boards, fences and revocations: after an exchange each has what the other's log had, and one root."""
    from scheduler.home import Home as RealHome
    from scheduler.replica import replica_of

    for seed in range(6):
        world = wild_world(seed, 40)
        blocks = [event.block for event in world.events.values()]
        homes = []
        random = Random(seed)
        for name in "ab":
            home = RealHome.enter(tmp_path / f"{name}{seed}", world.genesis.encode(), clock=lambda: NOW)
            view = world.closure(random.sample(list(world.events), k=4))
            with home.writing() as writing:
                writing.offer(block for block in blocks if Cid.of(block) in view)
            homes.append(home)
        a, b = homes
        traffic = Traffic()
        for _ in range(3):  # a revocation that came by the first exchange changes what the log of the other is
            synced = sync_with(replica_of(a), CallCarrier(Answerer(replica_of(b), lambda: NOW)), lambda: NOW)
            traffic = synced.pulled.traffic
        with a.reading(), b.reading():
            assert a.board.heads == b.board.heads
            assert a.board.state_root() == b.board.state_root()
        assert traffic.round_trips == 1
        for home in homes:
            home.close()
