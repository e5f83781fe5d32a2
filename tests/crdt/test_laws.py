"""Laws of the board: over wild worlds by hypothesis, and over small ones exhaustively."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import chain, combinations, permutations
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crdt.records import Snapshot
from crdt.slow import reduce, rules_broken
from ledger.cid import Cid
from ledger.events import TaskKey
from ledger.operations import Admit, Cancel, Claim, Complete, Fail, Operation, Release, Revoke
from tests.support.fast import reduce_fast
from tests.support.wild import wild_world
from tests.support.worlds import World, a_spec, signing_key

bounded = settings(max_examples=100, deadline=None)
worlds = st.builds(wild_world, st.integers(0, 2**32), st.integers(1, 24))
randoms = st.integers(0, 2**32).map(Random)

ADA, BEN = signing_key("ada"), signing_key("ben")


def board(world: World, cids: Iterable[Cid]) -> Snapshot:
    """Return the snapshot of some events of a world, having checked that both reducers make it: a law is for both."""
    events = world.of(cids)
    found = reduce(world.ledger, world.genesis, events)
    assert reduce_fast(world.ledger, world.genesis, events) == found
    return found


def rules(world: World, cids: Iterable[Cid]) -> dict[tuple[Cid, TaskKey], str]:
    """Return the rule that each operation of some events of a world breaks."""
    return rules_broken(world.ledger, world.genesis, world.of(cids))


def part(world: World, random: Random) -> frozenset[Cid]:
    """Return a random causally closed part of a world."""
    events = list(world.events)
    return world.closure(random.sample(events, k=random.randint(0, min(4, len(events)))))


@bounded
@given(worlds, randoms)
def test_any_order_and_repetition_of_arrival_gives_the_same_board(world: World, random: Random) -> None:
    """A board depends on the set of events alone: not on their order, nor on how often each came."""
    shuffled = [*world.events, *random.sample(list(world.events), k=2)]
    random.shuffle(shuffled)
    assert board(world, shuffled) == board(world, world.events)


@bounded
@given(worlds, randoms)
def test_merge_is_commutative_associative_and_idempotent(world: World, random: Random) -> None:
    """Union of what peers hold, in any grouping, gives one board."""
    one, two, three = (part(world, random) for _ in range(3))
    whole = board(world, one | two | three)
    assert board(world, [*(one | two), *three]) == whole == board(world, [*three, *two, *one, *two, *one])


@bounded
@given(worlds, randoms)
def test_soundness_never_changes(world: World, random: Random) -> None:
    """What an operation is judged in a causally closed part it is judged in every larger one."""
    some = part(world, random)
    more = some | part(world, random)
    small, large = rules(world, some), rules(world, more)
    assert small.items() <= large.items() <= rules(world, world.events).items()


@bounded
@given(worlds, randoms)
def test_a_denial_is_never_undone(world: World, random: Random) -> None:
    """R4: an event that a revocation denies counts in no larger set."""
    some = part(world, random)
    denied = some - board(world, some).counts
    assert not denied & board(world, world.events).counts


@bounded
@given(worlds, randoms)
def test_done_stays_done_but_for_a_revocation(world: World, random: Random) -> None:
    """D1: more events take no completion away, unless they deny it or every submit of its task."""
    some = part(world, random)
    before, after = board(world, some), board(world, some | part(world, random))
    for key, task in before.tasks.items():
        standing = {done.cid for done in task.completions} & after.counts
        if standing and key in after.tasks:
            assert standing <= {done.cid for done in after.tasks[key].completions}


@bounded
@given(worlds)
def test_the_log_alone_gives_the_same_board(world: World) -> None:
    """R6: who never got what lies beyond a fence sees the same as who keeps it."""
    whole = board(world, world.events)
    assert board(world, whole.log) == whole


@bounded
@given(worlds, randoms)
def test_a_witness_changes_nothing_but_clock_and_sight(world: World, random: Random) -> None:
    """An event without operations changes heads, vector and seen_by alone."""
    before = board(world, world.events)
    author = random.choice((*world.owners, ADA))
    witness = world.event(author, parents=before.heads)
    after = board(world, world.events)
    assert after.tasks == before.tasks
    assert after.roster == before.roster
    assert after.state_root == before.state_root
    assert after.ignored == before.ignored
    if witness in after.counts:
        assert after.heads == (witness,)


@bounded
@given(worlds, randoms)
def test_equal_heads_mean_an_equal_board(world: World, random: Random) -> None:
    """C2: the heads determine the log and with it the board; equal tasks and roster, the state root."""
    one, two = board(world, part(world, random)), board(world, part(world, random))
    assert (one.heads == two.heads) == (one.log == two.log)
    if one.heads == two.heads:
        assert one == two
    if (one.tasks, one.roster) == (two.tasks, two.roster):
        assert one.state_root == two.state_root


@bounded
@given(worlds)
def test_heads_are_those_of_the_log(world: World) -> None:
    """C2, C4, R6: the log is closed, its heads reach it, its vector counts it, and everything that counts is in it."""
    whole = board(world, world.events)
    assert world.closure(whole.heads) == whole.log == world.closure(whole.counts)
    assert sum(whole.vector.values()) == len(whole.log)
    assert whole.counts <= whole.log


@bounded
@given(worlds)
def test_nothing_counts_both_as_ignored_and_on_the_board(world: World) -> None:
    """What a record holds is sound and counts; only what counts is reported as without effect, once, by one rule."""
    whole = board(world, world.events)
    for task in whole.tasks.values():
        held = {*task.submits, *task.cancels, *(claim.cid for claim in task.claims)}
        assert held | {done.cid for done in task.completions} | set(task.heads) <= whole.counts
    places = [(item.event, item.index) for item in whole.ignored]
    assert len(places) == len(set(places))
    assert {event for event, _ in places} <= whole.counts


def test_a_missing_link_is_told() -> None:
    """A set that is not causally closed has no board."""
    world = wild_world(1, 5)
    last = max(world.events.values(), key=lambda verified: verified.event.height)
    with pytest.raises(ValueError, match="not causally closed"):
        board(world, [last.cid])


# ---- exhaustive small worlds


def small_world(choice: tuple[int, ...]) -> World:
    """Return a world where up to four members and owners, each knowing only the beginning, say one thing each.

    `choice` picks for each event what is said; the odd ones see the event before as well.
    """
    world = World(name="small", owners=("olga",))
    olga = world.owners[0]
    spec = world.submit(ADA, a_spec("small"))
    start = world.event(olga, *(Admit(key.actor, ("submitter", "worker")) for key in (ADA, BEN)))
    submit = world.event(ADA, spec, parents=(start,))
    claim = world.event(BEN, Claim(spec.key, (submit,), 500), parents=(submit,))
    said: tuple[tuple[str, tuple[Operation, ...]], ...] = (
        ("ben", (Complete(spec.key, (claim,), claim),)),
        ("ben", (Fail(spec.key, (claim,), claim, "error", ""),)),
        ("ben", (Release(spec.key, (claim,), claim),)),
        ("ada", (Claim(spec.key, (submit,), 500),)),
        ("ada", (Cancel(spec.key, (submit, claim)),)),
        ("ada", (spec,)),
        ("olga", (Revoke(start, BEN.actor, (claim,)),)),
        ("olga", (Revoke(start, BEN.actor, ()),)),
        ("ben", ()),
    )
    keys = {"ada": ADA, "ben": BEN, "olga": olga}
    before = claim
    for place, index in enumerate(choice):
        name, ops = said[index]
        before = world.event(keys[name], *ops, parents=(before,) if place % 2 else (claim,), time=2_000_000 + place)
    return world


SAYINGS = 9


@pytest.mark.parametrize("size", [1, 2, 3, 4])
def test_every_small_world_has_one_board(size: int) -> None:
    """Every choice of up to four sayings after the same beginning, in every order of arrival, has one board."""
    for choice in combinations(range(SAYINGS), size):
        world = small_world(choice)
        late = list(world.events)[3:]
        whole = board(world, world.events)
        for order in permutations(late):
            assert board(world, [*order, *list(world.events)[:3]]) == whole


def test_every_part_of_a_small_world_keeps_the_laws() -> None:
    """In every closed part of every world of four sayings: soundness stays, denials stay, merges agree."""
    for choice in combinations(range(SAYINGS), 4):
        world = small_world(choice)
        late = list(world.events)[3:]
        parts = {world.closure(some) for some in chain.from_iterable(combinations(late, n) for n in range(5))}
        judged, whole = rules(world, world.events), board(world, world.events)
        for some in parts:
            assert rules(world, some).items() <= judged.items()
            small = board(world, some)
            assert not (some - small.counts) & whole.counts
            for key, task in small.tasks.items():
                standing = {done.cid for done in task.completions} & whole.counts
                assert not standing or key not in whole.tasks or whole.tasks[key].result is not None
