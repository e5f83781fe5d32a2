"""The simulator's second world: real homes on virtual clocks, peers that act through the product, blocks on the way.

Laws: every home comes to one board, one clock, one state root, and they are the slow reducer's over all that anybody
accepted; what was acknowledged is lost nowhere; no honest action is vain; no task is stuck; a forged block is accepted
nowhere; what was broken off leaves nothing; what waits waits for what does not exist; a home folded anew is the same.
"""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Final

from crdt.records import Snapshot
from crdt.view import FINAL, Status, view
from ledger.cid import Cid
from ledger.operations import Admit
from tests.simulator.fate import RUN_AWAY_MS, Fate
from tests.simulator.hands import Hand
from tests.simulator.household import CrashError, Household
from tests.simulator.marauder import Marauder
from tests.simulator.meeting import Meeting
from tests.simulator.members import LABELS, MEMBER_ROLES, Owner, Worker
from tests.simulator.replica import LawBrokenError
from tests.support.worlds import CREATED, World, signing_key

HOMES_STEPS: Final = 200
_QUIET_MS: Final = 90_000
_ROUND_MS: Final = 500
_SETTLED: Final = FINAL | {Status.BLOCKED}
_MEMORY: Final = Path("/dev/shm")  # noqa: S108  # a folder in memory, where the system has one


@dataclass(slots=True)
class Outcome:
    """What a run came to."""

    seen: Counter[str] = field(default_factory=Counter)
    """Events, superseded results, and what befell the homes."""
    ended: Counter[str] = field(default_factory=Counter)
    rules: Counter[str] = field(default_factory=Counter)
    refusals: Counter[str] = field(default_factory=Counter)


@dataclass(frozen=True, slots=True)
class Letter:
    """Blocks on their way to a home, there at `at` (ms)."""

    at: int
    to: Household
    blocks: tuple[bytes, ...]


@contextmanager
def homes_run(seed: int) -> Iterator[HomesSimulation]:
    """Give a run of `seed` in a temporary folder, in memory where there is one."""
    with tempfile.TemporaryDirectory(dir=_MEMORY if _MEMORY.is_dir() else None) as folder:
        simulation = HomesSimulation(seed, Path(folder))
        try:
            yield simulation
        finally:
            simulation.close()


class HomesSimulation:
    """Three or four homes with two owners and three to five workers, one or two marauders, and a bad network."""

    def __init__(self, seed: int, folder: Path) -> None:
        self.random = Random(seed)
        self.world = World(name=f"homes {seed}")
        self.now_ms = CREATED
        self.outcome = Outcome()
        skew_ms = self.world.genesis.policy.skew_ms // 2
        self.households = [
            Household(name, folder, self.world, self.random.randint(-skew_ms, skew_ms), CREATED)
            for name in ("north", "east", "south", "west")[: self.random.choice((3, 4))]
        ]
        names = ("ada", "ben", "cyd", "dan", "elk")[: self.random.choice((3, 4, 5))]
        rogues = ("mal", "eve")[: self.random.choice((1, 1, 2))]
        members = [signing_key(name).actor for name in (*names, *rogues)]
        first = self.world.event(
            self.world.owners[0], *(Admit(actor, MEMBER_ROLES, labels=LABELS) for actor in members), time=CREATED
        )
        honest, suspects = members[: len(names)], members[len(names) :]
        self.rogues = [Marauder(signing_key(name), self.world, first, self.random) for name in rogues]
        self.hands: list[Hand] = [
            Owner(name, key, household, self.random, suspects, honest)
            for name, key, household in zip(("olga", "otto"), self.world.owners, self.households, strict=False)
        ]
        for place, name in enumerate(names):
            household = self.households[place % len(self.households)]
            self.hands.append(Worker(name, signing_key(name), household, self.random))
        self.meeting = Meeting(self.households, self.world, self.random)
        self.fate = Fate(self.meeting, self.random, self.outcome.seen)
        self.islands: list[set[str]] = []
        self.mail: list[Letter] = []
        self.orphans: set[Cid] = set()
        self.junk: list[bytes] = []
        for household in self.households:
            household.offer([self.blocks([first])])
            household.back_up()

    def close(self) -> None:
        """Close every home."""
        for household in self.households:
            household.close()

    def blocks(self, cids: list[Cid]) -> tuple[bytes, ...]:
        """Return the blocks of events."""
        return tuple(self.world.events[cid].block for cid in cids)

    def run(self, steps: int = HOMES_STEPS) -> Outcome:
        """Run `steps` hostile steps, heal, and drive the rest until quiet; raise LawBrokenError where a law fails."""
        for _ in range(steps):
            self.hostile_step()
        self.heal()
        self.meeting.deliver_all(self.junk)
        self.drive_until_quiet()
        self.judge()
        return self.outcome

    # ---- the hostile time

    def hostile_step(self) -> None:
        """Let time pass, deliver some of the mail, and let somebody act, or something happen."""
        self.pass_time(self.random.choice((5, 50, 150, 400)))
        if self.random.random() < 0.06:
            self.partition()
        self.deliver()
        if self.random.random() < 0.2:
            self.harm()
        elif self.random.random() < 0.2:
            self.fate.befall(self.random.choice(self.households))
        else:
            self.work(self.random.choice(self.hands))

    def pass_time(self, ms: int) -> None:
        """Let true time pass for every clock."""
        self.now_ms += ms
        for household in self.households:
            household.clock.true_ms = self.now_ms

    def partition(self) -> None:
        """Cut the network in two, or join it again."""
        names = [household.name for household in self.households]
        self.islands = [set(self.random.sample(names, k=len(names) // 2))] if not self.islands else []

    def connected(self, one: Household, other: Household) -> bool:
        """Return whether two homes are on the same side."""
        return all((one.name in island) == (other.name in island) for island in self.islands)

    def deliver(self) -> None:
        """Hand over what is due, in any order and some of it twice; some is lost; the taking in may crash."""
        due = [letter for letter in self.mail if letter.at <= self.now_ms]
        self.mail = [letter for letter in self.mail if letter.at > self.now_ms]
        self.random.shuffle(due)
        for letter in due:
            if self.random.random() < 0.15:
                continue
            blocks = [*letter.blocks, *letter.blocks[: self.random.choice((0, 0, 2))]]
            self.random.shuffle(blocks)
            cut = self.random.randint(0, len(blocks))
            if self.random.random() < 0.1:
                letter.to.clock.fuse = self.random.randint(0, len(blocks))
            try:
                letter.to.offer((blocks[:cut], blocks[cut:]))
            except CrashError:
                self.fate.note("crash of the carrier")
                if self.random.random() < 0.5:
                    letter.to.reopen()
            finally:
                letter.to.clock.fuse = None
            if self.random.random() < 0.1:
                self.mail.append(Letter(self.now_ms + 100, letter.to, letter.blocks))

    def harm(self) -> None:
        """Let a rogue do something, and show it to whom it pleases."""
        rogue = self.random.choice(self.rogues)
        dice = self.random.random()
        if dice < 0.1:
            bad = rogue.forgeries()
            self.junk += bad
        elif dice < 0.13 and len(self.orphans) < 90:
            bad = rogue.orphans()
            self.orphans |= set(map(Cid.of, bad))
            self.junk += bad
        else:
            made = self.crowd(rogue) if dice < 0.15 else rogue.act(self.now_ms)
            bad = list(self.blocks(sorted(self.world.closure(made)) if self.random.random() < 0.6 else made))
        for household in self.random.sample(self.households, k=self.random.randint(0, 2)):
            self.mail.append(Letter(self.now_ms, household, tuple(bad)))

    def crowd(self, rogue: Marauder) -> list[Cid]:
        """Let a rogue make more heads than an event can name."""
        self.fate.note("crowd")
        return rogue.crowd(self.now_ms)

    def work(self, hand: Hand) -> None:
        """Let an honest peer act, and tell some of the others: what is new, or all there is; by mail or exchange."""
        known = len(self.world.events)
        hand.act()
        made = list(self.world.events)[known:]
        here = hand.household
        for other in self.households:
            if other is here or not self.connected(here, other) or self.random.random() < 0.5:
                continue
            if self.random.random() < 0.2:
                self.fate.note("exchange")
                one, two = self.random.sample((here, other), k=2)
                one.pull(two)
                if self.random.random() < 0.5:
                    two.pull(one)
            else:
                what = made if self.random.random() < 0.6 else here.accepted()
                at = self.now_ms + self.random.choice((1, 80, 600))
                self.mail.append(Letter(at, other, self.blocks(what)))

    # ---- healing and quiet

    def heal(self) -> None:
        """End partition and hostility, set the clocks right, and let the exchange alone bring the homes together.

        Each block there is has reached some home by now; what is ahead of time is in time.
        """
        self.islands, self.mail = [], []
        for household in self.households:
            household.set_clock_right(restart=True)
        self.pass_time(RUN_AWAY_MS * 2)
        self.meeting.scatter(self.junk)
        self.meeting.sync()
        self.meeting.check_promises()

    def drive_until_quiet(self) -> None:
        """Let the honest peers work until every task has ended; raise where one is stuck."""
        for hand in self.hands:
            hand.settled = True
        deadline = self.now_ms + _QUIET_MS
        while self.now_ms < deadline:
            self.pass_time(_ROUND_MS)
            self.meeting.sync()
            self.outcome.ended = self.states()
            if set(self.outcome.ended) <= _SETTLED and not any(household.held() for household in self.households):
                return
            for hand in self.random.sample(self.hands, k=len(self.hands)):
                hand.act()
        raise LawBrokenError(f"stuck: {self.outcome.ended}")

    def states(self) -> Counter[str]:
        """Return how many tasks stand where, now."""
        home = self.households[0].home
        with home.reading():
            return Counter(
                view(record, home.board.find_record, home.policy, self.now_ms).status.value
                for record in home.tasks.standing(None)
            )

    # ---- the laws that look back

    def judge(self) -> None:
        """Check the laws about the whole run, and count what happened in it."""
        self.meeting.check_promises()
        board = self.meeting.board(self.orphans)
        self.check_honest_work(board)
        self.outcome.seen["events"] = len(board.log)
        self.outcome.seen["superseded"] = sum(len(task.completions) > 1 for task in board.tasks.values())
        self.outcome.rules = Counter(item.rule for item in board.ignored)
        for hand in self.hands:
            self.outcome.seen["crash of a peer"] += hand.crashes
            self.outcome.refusals += hand.refusals

    def check_honest_work(self, board: Snapshot) -> None:
        """An honest completion stands unless its own author was revoked, or nobody asks for the task any more."""
        revoked = {(row.actor, row.grant) for row in board.roster.members if row.revoked_by}
        for hand in self.hands:
            for cid, key in sorted(hand.completed):
                event, task = self.world.events[cid].event, board.tasks.get(key)
                stands = task is None or any(done.cid == cid for done in task.completions)
                if not stands and (event.actor, event.grant) not in revoked:
                    raise LawBrokenError(f"work of {hand.name} was undone by another's revocation")
