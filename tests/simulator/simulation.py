"""One seeded run: a hostile time, healing, then quiet; and the laws that must hold in it.

Laws: all honest boards become equal; no task is stuck; no honest operation is without effect where it is made; no
honest work is undone by another's revocation; a stable result changes only by a revocation, by a worker that was not
active then, or by a member that provably had seen it; a denial is never undone and done stays done (Replica).
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from random import Random

from crdt.records import Snapshot
from ledger.cid import Cid
from ledger.events import TaskKey
from ledger.keys import ActorKey
from ledger.operations import Admit
from tests.simulator.adversary import Adversary
from tests.simulator.honest import Owner, Peer, Submitter
from tests.simulator.judgement import ENDED, status
from tests.simulator.replica import Boards, LawBrokenError, Reducer, Replica
from tests.support.worlds import CREATED, World, signing_key

_QUIET_MS = 90_000
_ROUND_MS = 150
_MEMBER_ROLES = ("submitter", "worker")


@dataclass(frozen=True, slots=True)
class Stable:
    """What some replica once showed as final."""

    result: Cid
    active: frozenset[ActorKey]
    revocations: frozenset[Cid]


@dataclass(slots=True)
class Outcome:
    """What a run came to."""

    events: int = 0
    ended: Counter[str] = field(default_factory=Counter)
    rules: Counter[str] = field(default_factory=Counter)
    superseded: int = 0
    stable: int = 0
    provable: int = 0
    """Stable results that a member changed which had seen them: the limit that nobody can lift."""


class Simulation:
    """Two owners, three or four honest members and one or two adversaries on one network."""

    def __init__(self, seed: int, reducer: Reducer) -> None:
        self.random = Random(seed)
        self.world = World(name=f"simulation {seed}")
        self.boards = Boards(self.world, reducer)
        names = ("ada", "ben", "cyd", "dan")[: self.random.choice((3, 3, 4))]
        rogues = ("mal", "eve")[: self.random.choice((1, 1, 2))]
        members = [signing_key(name) for name in (*names, *rogues)]
        admits = [Admit(key.actor, _MEMBER_ROLES, labels=("gpu",)) for key in members]
        first = self.world.event(self.world.owners[0], *admits, time=CREATED)
        suspects = [key.actor for key in members[len(names) :]]
        self.owners = [
            Owner(name, key, self.replica(), self.random, suspects)
            for name, key in zip(("olga", "otto"), self.world.owners, strict=True)
        ]
        wronged = [key.actor for key in members[: len(names)]]
        for owner in self.owners:
            owner.wronged = wronged
        workers = [Submitter(name, signing_key(name), self.replica(), self.random) for name in names]
        self.honest: list[Peer] = [*self.owners, *workers]
        self.rogues = [Adversary(signing_key(name), self.world, first, self.random) for name in rogues]
        self.now_ms = CREATED
        self.islands: list[set[str]] = []
        self.mail: list[tuple[int, Peer, tuple[Cid, ...]]] = []
        self.stable: dict[tuple[TaskKey, Cid], Stable] = {}
        for peer in self.honest:
            peer.replica.tick(self.now_ms)
            peer.replica.receive((first,))

    def replica(self) -> Replica:
        """Return a new replica whose clock is within half the allowed skew of the true time."""
        skew_ms = self.world.genesis.policy.skew_ms // 2
        return Replica(self.boards, self.random.randint(-skew_ms, skew_ms), self.random)

    def run(self, steps: int) -> Outcome:
        """Run `steps` hostile steps, heal, and drive the rest until quiet; raise LawBrokenError where a law fails."""
        for _ in range(steps):
            self.hostile_step()
        self.heal()
        board = self.drive_until_quiet()
        return self.judge(board)

    # ---- the hostile time

    def hostile_step(self) -> None:
        """Let time pass, deliver some of the mail, and let somebody act."""
        self.now_ms += self.random.choice((5, 50, 150, 400))
        if self.random.random() < 0.06:
            self.partition()
        self.deliver()
        if self.random.random() < 0.25:
            rogue = self.random.choice(self.rogues)
            made = rogue.act(self.now_ms)
            for peer in self.random.sample(self.honest, k=self.random.randint(0, 2)):
                past = self.world.closure(made) if self.random.random() < 0.8 else made
                self.mail.append((self.now_ms, peer, tuple(past)))
            return
        peer = self.random.choice(self.honest)
        peer.replica.tick(self.now_ms)
        made = peer.act()
        if made:
            self.watch(peer)
        for other in self.honest:
            if other is not peer and self.connected(peer, other) and self.random.random() < 0.6:
                what = tuple(made) if self.random.random() < 0.5 else tuple(peer.replica.snapshot().log)
                self.mail.append((self.now_ms + self.random.choice((1, 80, 600)), other, what))

    def partition(self) -> None:
        """Cut the network in two, or join it again."""
        names = [peer.name for peer in self.honest]
        self.islands = [set(self.random.sample(names, k=len(names) // 2))] if not self.islands else []

    def connected(self, one: Peer, other: Peer) -> bool:
        """Return whether two peers are on the same side."""
        return all((one.name in island) == (other.name in island) for island in self.islands)

    def deliver(self) -> None:
        """Hand over what is due, in random order; some is lost, some comes twice."""
        due = [letter for letter in self.mail if letter[0] <= self.now_ms]
        self.mail = [letter for letter in self.mail if letter[0] > self.now_ms]
        self.random.shuffle(due)
        for letter in due:
            _, peer, cids = letter
            if self.random.random() < 0.15:
                continue
            peer.replica.tick(self.now_ms)
            peer.replica.receive(cids)
            if self.random.random() < 0.1:
                self.mail.append((self.now_ms + 100, peer, cids))

    def watch(self, peer: Peer) -> None:
        """Note which results this peer would show as stable."""
        board = peer.replica.snapshot()
        for key, task in board.tasks.items():
            result = task.result
            if result and board.active_workers and board.active_workers <= board.seen_by[result.cid]:
                noted = Stable(result.cid, board.active_workers, revocations_of(board))
                self.stable.setdefault((key, result.cid), noted)

    # ---- healing and quiet

    def heal(self) -> None:
        """End the partition and the hostility; from here on all that is sent arrives."""
        self.islands, self.mail = [], []
        for peer in self.honest:
            peer.settled = True

    def drive_until_quiet(self) -> Snapshot:
        """Let the honest peers work until every task has ended; raise where one is stuck."""
        deadline = self.now_ms + _QUIET_MS
        board = self.exchange()
        while self.now_ms < deadline:
            self.now_ms += _ROUND_MS
            self.exchange()
            for peer in self.random.sample(self.honest, k=len(self.honest)):
                peer.act()
            board = self.exchange()
            if set(self.states(board).values()) <= ENDED and not any(peer.replica.holds() for peer in self.honest):
                return board
        raise LawBrokenError(f"stuck: {[(key.hex()[:8], word) for key, word in self.states(board).items()]}")

    def exchange(self) -> Snapshot:
        """Let every replica hand its log to every other; return the board they all have, or raise."""
        for peer in self.honest:
            peer.replica.tick(self.now_ms)
        logs: set[Cid] = set()
        # What arrives can set free what waited for it, and that is news to the others.
        while (now := set[Cid]().union(*(peer.replica.snapshot().log for peer in self.honest))) != logs:
            logs = now
            for peer in self.honest:
                peer.replica.receive(logs)
        boards = [peer.replica.snapshot() for peer in self.honest]
        if not any(logs & peer.replica.aside for peer in self.honest) and any(board != boards[0] for board in boards):
            raise LawBrokenError("the same log, and not the same board")
        return boards[0]

    def states(self, board: Snapshot) -> dict[TaskKey, str]:
        """Return the status of each task."""
        return {key: status(board, key, self.now_ms, self.world.genesis.policy) for key in board.tasks}

    # ---- the laws that look back

    def judge(self, board: Snapshot) -> Outcome:
        """Check the laws about the whole run, and count what happened in it."""
        self.check_honest_work(board)
        outcome = Outcome(events=len(self.world.events), ended=Counter(self.states(board).values()))
        outcome.rules = Counter(item.rule for item in board.ignored)
        outcome.superseded = sum(len(task.completions) > 1 for task in board.tasks.values())
        outcome.stable = len(self.stable)
        outcome.provable = sum(self.check_stable(board, key, noted) for (key, _), noted in self.stable.items())
        return outcome

    def check_honest_work(self, board: Snapshot) -> None:
        """An honest completion stands unless its own author was revoked, or nobody asks for the task any more."""
        revoked = {(row.actor, row.grant) for row in board.roster.members if row.revoked_by}
        for peer in self.honest:
            for cid, key in peer.completed:
                event, task = self.world.events[cid].event, board.tasks.get(key)
                stands = task is None or any(done.cid == cid for done in task.completions)
                if not stands and (event.actor, event.grant) not in revoked:
                    raise LawBrokenError(f"work of {peer.name} was undone by another's revocation")

    def check_stable(self, board: Snapshot, key: TaskKey, noted: Stable) -> bool:
        """A stable result has not changed; return whether it has, by a member that provably had seen it."""
        task = board.tasks.get(key)
        if revocations_of(board) != noted.revocations or (task and task.result and task.result.cid == noted.result):
            return False
        if task is None or task.result is None:
            raise LawBrokenError("a stable result is gone")
        if task.result.actor not in noted.active:
            return False
        if task.result.actor in {rogue.key.actor for rogue in self.rogues}:
            return True
        raise LawBrokenError("a stable result was changed by an honest worker")


def revocations_of(board: Snapshot) -> frozenset[Cid]:
    """Return all revocations that a board knows of."""
    return frozenset(cid for row in board.roster.members for cid in row.revoked_by)
