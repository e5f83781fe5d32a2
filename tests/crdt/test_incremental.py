"""The board in use equals the slow reducer, which is the specification in code."""

from __future__ import annotations

from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st

from crdt.board import Board
from crdt.board_store import MemoryBoardStore
from crdt.slow import reduce
from ledger.cid import Cid
from ledger.events import VerifiedEvent
from tests.support.wild import wild_world
from tests.support.worlds import World

seeds = st.integers(0, 2**32)


def in_causal_order(world: World, random: Random) -> list[VerifiedEvent]:
    """Return the events of a world in a random order in which each comes after all it links."""
    links = {cid: set(event.event.links()) - {world.ledger} for cid, event in world.events.items()}
    missing = {cid: len(linked) for cid, linked in links.items()}
    children: dict[Cid, list[Cid]] = {}
    for cid, linked in links.items():
        for link in linked:
            children.setdefault(link, []).append(cid)
    ready = [cid for cid, count in missing.items() if not count]
    order: list[VerifiedEvent] = []
    while ready:
        cid = ready.pop(random.randrange(len(ready)))
        order.append(world.events[cid])
        for child in children.get(cid, ()):
            missing[child] -= 1
            if not missing[child]:
                ready.append(child)
    return order


class Fed:
    """A board in memory that is fed events."""

    def __init__(self, world: World) -> None:
        self.store = MemoryBoardStore()
        self.board = Board(world.ledger, world.genesis, self.store)

    def feed(self, event: VerifiedEvent) -> None:
        """Fold an event."""
        self.store.add_event(event)
        self.board.apply(event)


@settings(max_examples=150, deadline=None)
@given(seed=seeds, order=seeds, steps=st.integers(1, 40))
def test_the_incremental_board_equals_the_slow_one(seed: int, order: int, steps: int) -> None:
    """Law: folded one by one in any causal order, hashed now and then, the events give what the rules give them."""
    world, random = wild_world(seed, steps), Random(order)
    fed = Fed(world)
    for event in in_causal_order(world, random):
        fed.feed(event)
        if random.random() < 0.15:
            fed.board.state_root()
    assert fed.board.snapshot() == reduce(world.ledger, world.genesis, world.events.values())


@settings(max_examples=60, deadline=None)
@given(seed=seeds, order=seeds, steps=st.integers(1, 30))
def test_events_that_come_again_change_nothing(seed: int, order: int, steps: int) -> None:
    """Law: an event that was folded before changes nothing, not even what counts as changed."""
    world, random = wild_world(seed, steps), Random(order)
    once, often = Fed(world), Fed(world)
    said: list[VerifiedEvent] = []
    for event in in_causal_order(world, random):
        once.feed(event)
        often.feed(event)
        said.append(event)
        often.board.take_changes()
        for again in random.choices(said, k=random.randint(0, 3)):
            often.feed(again)
        changes = often.board.take_changes()
        assert (changes.tasks, changes.roster, changes.voided) == (set(), False, [])
    assert often.board.snapshot() == once.board.snapshot()


@settings(max_examples=60, deadline=None)
@given(seed=seeds, order=seeds, steps=st.integers(1, 30))
def test_each_prefix_of_an_arrival_is_a_board_of_its_own(seed: int, order: int, steps: int) -> None:
    """Law: the board equals the slow one at any time, not only when all has come: it needs no future."""
    world, random = wild_world(seed, steps), Random(order)
    events = in_causal_order(world, random)
    looks = set(random.sample(range(len(events)), k=min(4, len(events))))
    fed = Fed(world)
    for at, event in enumerate(events):
        fed.feed(event)
        if at in looks:
            assert fed.board.snapshot() == reduce(world.ledger, world.genesis, events[: at + 1])
