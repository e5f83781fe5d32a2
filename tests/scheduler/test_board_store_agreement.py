"""The board in the home's tables equals the slow reducer, however its events come and whatever happens in between."""

from __future__ import annotations

import tempfile
from pathlib import Path
from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st

from crdt.slow import reduce
from scheduler.home import Home
from tests.support.wild import wild_world
from tests.support.worlds import CREATED, World

FAR = CREATED + 10**9
"""Later than any event of a wild world, ms since 1970."""

seeds = st.integers(0, 2**32)


class BrokenOffError(Exception):
    """Rolls a transaction back."""


class Machine:
    """A home that takes in the blocks of a world, and a second process's view of it."""

    def __init__(self, world: World, folder: Path, random: Random) -> None:
        self.world = world
        self.random = random
        self.folder = folder
        self.home = Home.enter(folder, world.genesis.encode(), clock=lambda: FAR)
        self.other = Home.open(folder, clock=lambda: FAR)
        self.blocks = [event.block for event in world.events.values()]
        random.shuffle(self.blocks)
        self.came: list[bytes] = []

    def close(self) -> None:
        """Close both."""
        self.home.close()
        self.other.close()

    def run(self) -> None:
        """Take in all blocks, in batches of any size, through one process or the other."""
        while len(self.came) < len(self.blocks):
            self.random.choice((self.take_in,) * 5 + (self.roll_back, self.reopen, self.rebuild, self.look))()

    def next_blocks(self) -> list[bytes]:
        """Return some of the blocks that have not come, and perhaps some that have."""
        start = len(self.came)
        batch = self.blocks[start : start + self.random.choice((1, 1, 2, 5, 20))]
        return batch + self.random.sample(self.came, k=min(len(self.came), self.random.choice((0, 0, 2))))

    def take_in(self) -> None:
        """Offer a batch, in one transaction or in two parts of one."""
        home = self.random.choice((self.home, self.other))
        batch = self.next_blocks()
        cut = self.random.randint(0, len(batch))
        with home.writing() as writing:
            for part in (batch[:cut], batch[cut:]):
                assert not writing.offer(part).refused
                if self.random.random() < 0.2:
                    home.board.state_root()
        self.came = self.blocks[: max(len(self.came), *(self.blocks.index(block) + 1 for block in batch))]

    def roll_back(self) -> None:
        """Offer a batch and take it back."""
        home = self.random.choice((self.home, self.other))
        try:
            with home.writing() as writing:
                writing.offer(self.next_blocks())
                if self.random.random() < 0.5:
                    home.board.state_root()
                raise BrokenOffError
        except BrokenOffError:
            pass

    def reopen(self) -> None:
        """Forget all that is in memory."""
        self.home.close()
        self.home = Home.open(self.folder, clock=lambda: FAR)

    def rebuild(self) -> None:
        """Fold the board anew from the blocks."""
        self.random.choice((self.home, self.other)).rebuild()

    def look(self) -> None:
        """Read, and hash what changed."""
        assert self.home.state_root() == self.other.state_root()


@settings(max_examples=60, deadline=None)
@given(seed=seeds, order=seeds, steps=st.integers(1, 30))
def test_the_board_in_tables_equals_the_slow_one(seed: int, order: int, steps: int) -> None:
    """Law: in any order and batches, by two openings, with rollbacks and rebuilds, a home has the right board."""
    world = wild_world(seed, steps)
    expected = reduce(world.ledger, world.genesis, world.events.values())
    with tempfile.TemporaryDirectory() as folder:
        machine = Machine(world, Path(folder) / "home", Random(order))
        try:
            machine.run()
            for home in (machine.home, machine.other):
                assert home.state_root() == expected.state_root
                with home.reading():
                    assert home.board.snapshot() == expected
        finally:
            machine.close()
