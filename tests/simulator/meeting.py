"""What homes must have in common once they have met: by the exchange alone, and when each has had every block."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import permutations
from random import Random

from crdt.records import Snapshot
from crdt.slow import reduce
from ledger.cid import Cid
from tests.faults.audit import audit
from tests.simulator.household import Household
from tests.simulator.replica import LawBrokenError
from tests.support.worlds import World


class Meeting:
    """The homes of one world, brought together and judged."""

    def __init__(self, households: Sequence[Household], world: World, random: Random) -> None:
        self.households = households
        self.world = world
        self.random = random

    def everything(self, junk: Sequence[bytes]) -> list[bytes]:
        """Return every block that anybody made, and `junk`, in any order."""
        blocks = [*junk, *(event.block for event in self.world.events.values())]
        self.random.shuffle(blocks)
        return blocks

    def scatter(self, junk: Sequence[bytes]) -> None:
        """Bring each block to one home."""
        everything = self.everything(junk)
        for place, household in enumerate(self.households):
            household.offer([everything[place :: len(self.households)]])

    def deliver_all(self, junk: Sequence[bytes]) -> None:
        """Bring every block and every payload to every home."""
        blobs = [blob for household in self.households for blob in household.blobs]
        for household in self.households:
            household.offer([self.everything(junk)])
            with household.home.writing():
                household.home.intake.offer_blobs(blobs)

    def sync(self) -> None:
        """Exchange in pairs until nobody sends anything.

        What comes can wake what waited, and that is news to the others: each round brings one event further at least.
        """
        for household in self.households:
            household.offer([])  # takes in what was held
        pairs = list(permutations(self.households, 2))
        for _ in range(len(self.world.events) + 1):
            self.random.shuffle(pairs)
            if not sum(into.pull(source) for into, source in pairs):
                break
        else:
            raise LawBrokenError("the homes exchange events for ever")
        self.check_agreement()

    def check_agreement(self) -> None:
        """Check that all homes have one log and one state root."""
        seen = set()
        for household in self.households:
            root = household.home.state_root()
            with household.home.reading():
                seen.add((household.home.board.heads, household.home.board.clock_root, root))
        if len(seen) > 1 and not any(household.held() for household in self.households):
            raise LawBrokenError("the homes have exchanged all, and do not agree")

    def check_promises(self) -> None:
        """Check that what an honest peer was told is durable is in its home."""
        for household in self.households:
            if lost := [cid for cid in sorted(household.promised) if not household.has_kept(cid)]:
                raise LawBrokenError(f"{household.name} acknowledged and lost {lost}")

    def slow(self, cids: Sequence[Cid]) -> Snapshot:
        """Return the slow reducer's board of some events."""
        return reduce(self.world.ledger, self.world.genesis, self.world.of(cids))

    def board(self, orphans: set[Cid]) -> Snapshot:
        """Return the slow reducer's board over all that anybody accepted, which every home must have.

        Each home is audited, block by block, and its board folded anew; where every block was brought to every home,
        nothing but `orphans`, whose links do not exist, may still wait.
        """
        expected = self.slow(sorted({cid for household in self.households for cid in household.accepted()}))
        for household in self.households:
            home = household.home
            if audit(home) != expected:
                raise LawBrokenError(f"the board of {household.name} is not the slow reducer's over all there is")
            home.rebuild()
            if household.snapshot() != expected:
                raise LawBrokenError(f"the board of {household.name}, folded anew, is another")
            if set(household.waiting()) != orphans or household.held():
                raise LawBrokenError(f"in {household.name} something waits that could be accepted")
            with home.reading():
                if home.intake.blobs.wanted(None, 1):
                    raise LawBrokenError(f"{household.name} lacks a payload that was brought to it")
        return expected
