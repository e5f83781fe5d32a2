"""Honest peers: owners, submitters and workers that do what the rules allow by what they have seen.

Everything they say must have effect on their own replica: `say` checks it. They can be slow, crash, be cut off, and be
revoked by mistake; they never hide what they know.
"""

from __future__ import annotations

from collections.abc import Iterable
from random import Random

from crdt.order import order_key
from crdt.records import ClaimRecord, Snapshot, TaskRecord
from crdt.slow import words
from crdt.view import own_ready_at
from ledger.cid import Cid
from ledger.events import Role, TaskKey
from ledger.keys import ActorKey, SigningKey
from ledger.operations import (
    Admit,
    Cancel,
    Claim,
    Complete,
    Fail,
    Join,
    Leave,
    Operation,
    Prioritize,
    Release,
    Renew,
    Requeue,
    Revoke,
    Submit,
)
from tests.simulator.judgement import PARENTS_MAX, follows_of, holder, inputs_of, rank, status
from tests.simulator.replica import LawBrokenError, Replica
from tests.support.worlds import CREATED, a_spec

_SLOTS = 3


def one_for_each_task(ops: Iterable[Operation]) -> list[Operation]:
    """M3: return the first operation on each task, and all that are on none."""
    kept: dict[object, Operation] = {}
    for op in ops:
        task = op.key if isinstance(op, Submit) else getattr(op, "task", None)
        kept.setdefault(object() if task is None else task, op)
    return list(kept.values())


class Peer:
    """One key on one replica."""

    def __init__(self, name: str, key: SigningKey, replica: Replica, random: Random) -> None:
        self.name = name
        self.key = key
        self.replica = replica
        self.world = replica.world
        self.policy = self.world.genesis.policy
        self.random = random
        self.completed: set[tuple[Cid, TaskKey]] = set()
        self.settled = False
        """After healing: nothing new is asked for, only what is there is brought to its end."""
        self._finish: dict[Cid, int] = {}
        self._ready_since: dict[tuple[TaskKey, int, int], int] = {}
        self._said = 0

    @property
    def actor(self) -> ActorKey:
        """The peer's public key."""
        return self.key.actor

    def act(self) -> list[Cid]:
        """Look at the board and say what is to be said, in one event; return it, or nothing."""
        board = self.replica.snapshot()
        grant = self.standing_grant(board)
        if grant is None:
            return []
        time = self.time(board)
        ops = one_for_each_task(op for op in self.wishes(board, time) if op is not None)
        if not ops and (self.settled or self.random.random() > 0.1 or len(board.log) == self._said):
            return []
        made: list[Cid] = []
        while len(board.heads) > PARENTS_MAX:  # an event must have seen every revocation that its author has seen
            made.append(self.say(board, grant, []))
            board = self.replica.snapshot()
        return [*made, self.say(board, grant, ops)]

    def say(self, board: Snapshot, grant: Cid, ops: list[Operation]) -> Cid:
        """Make an event on all that is known here; raise where an operation of it has no effect here."""
        cid = self.world.event(self.key, *ops, parents=self.parents(board), time=self.replica.now_ms, grant=grant)
        self.replica.receive((cid,))
        if cid not in self.replica.known:
            raise LawBrokenError(f"{self.name} holds its own event back")
        after = self.replica.snapshot()
        broken = [(item.rule, ops[item.index]) for item in after.ignored if item.event == cid]
        if broken or cid not in after.counts:
            raise LawBrokenError(f"an honest operation of {self.name} has no effect: {broken}")
        self.completed |= {(cid, op.task) for op in ops if isinstance(op, Complete)}
        for op in ops:
            if isinstance(op, Claim):
                task = after.tasks[op.task]
                if not any(claim.cid == cid and claim.attempt > task.base for claim in task.claims):
                    raise LawBrokenError(f"an attempt of {self.name} is written off as it is made")
                self._finish[cid] = self.replica.now_ms + self.random.choice((50, 300, 900, 2_500))
        self._said = len(after.log)
        return cid

    def parents(self, board: Snapshot) -> tuple[Cid, ...]:
        """Return the heads, or as many of them as there is room for, the latest first."""
        latest = sorted(board.heads, key=lambda cid: order_key(self.height(cid), cid), reverse=True)
        return tuple(latest[:PARENTS_MAX])

    def height(self, cid: Cid) -> int:
        """Return a head's height."""
        return self.world.events[cid].event.height

    def time(self, board: Snapshot) -> int:
        """Return the time that an event made now will have (A10)."""
        return max([self.replica.now_ms, CREATED, *(self.world.time_of(cid) for cid in board.log)])

    def standing_grant(self, board: Snapshot) -> Cid | None:
        """Return the latest admission that stands."""
        if self.actor in self.world.genesis.owners:
            return self.world.ledger
        own = [member for member in board.roster.members if member.actor == self.actor and not member.revoked_by]
        grants = [member.grant for member in own if Role.WORKER in member.roles]
        return max(grants, key=lambda cid: order_key(self.world.events[cid].event.height, cid), default=None)

    def wishes(self, board: Snapshot, time: int) -> list[Operation | None]:
        """Return what a member says now: work first, then its own tasks."""
        return [self.presence(board), *self.work(board, time), *self.look_after(board, time), *self.ask()]

    # ---- work

    def presence(self, board: Snapshot) -> Operation | None:
        """Join where one's latest word is not a join under a grant that stands; leave seldom."""
        if self.actor not in board.active_workers:
            return Join(("gpu",), slots=_SLOTS)
        busy = any(claim.actor == self.actor for task in board.tasks.values() for claim in task.claims)
        return Leave() if not self.settled and not busy and self.random.random() < 0.02 else None

    def work(self, board: Snapshot, time: int) -> list[Operation | None]:
        """Go on with one's claims; take what is ready, in turn, while slots are free."""
        ops: list[Operation | None] = []
        running = 0
        for task in board.tasks.values():
            own = [claim for claim in task.claims if claim.actor == self.actor]
            going = [claim for claim in own if not claim.released and not claim.failed_at]
            if going and not task.completions and not task.cancels:
                ops.append(self.go_on(task, going[-1], time))
                running += words.runs(going[-1], time)
        for key in sorted(board.tasks):
            if running < _SLOTS and self.is_my_turn(board, board.tasks[key], time):
                ops.append(self.claim(board, board.tasks[key]))
                running += 1
        return ops

    def go_on(self, task: TaskRecord, claim: ClaimRecord, time: int) -> Operation | None:
        """Complete, fail, release or renew; or do nothing, as a crashed worker does."""
        follows, dice = follows_of(task, claim.cid), self.random.random()
        first = holder(task, time)
        if first is not None and first.actor != self.actor and dice < 0.8:  # superseded: stop
            return Release(task.key, follows, claim.cid) if dice < 0.4 else None
        if time >= self._finish.get(claim.cid, 0):
            if dice < 0.45:
                return Complete(task.key, follows, claim.cid)
            return Fail(task.key, follows, claim.cid, "error", "it broke") if dice < 0.8 else None
        if time > claim.until - self.policy.lease_ms // 2 and dice < 0.7:
            return Renew(task.key, follows, claim.cid, self.policy.lease_ms)
        return Release(task.key, follows, claim.cid) if dice < 0.03 else None

    def is_my_turn(self, board: Snapshot, task: TaskRecord, time: int) -> bool:
        """S2-S4: the task is ready, and as many graces have passed as others are nearer."""
        place = rank(board, task, self.actor)
        if place is None or status(board, task.key, time, self.policy) != "ready":
            return False
        since = self._ready_since.setdefault((task.key, len(task.claims), task.base), time)
        # A renewal that came late, or a need done otherwise, puts off what was seen ready before.
        needed = (board.tasks[need].result for need in task.spec.needs)
        since = max([since, own_ready_at(task), *(result.time for result in needed if result is not None)])
        overdue = any(not claim.failed_at and not claim.released for claim in task.claims)
        graces = 2 - 2 / 2**place if overdue else place
        return time >= since + graces * self.policy.grace_ms

    def claim(self, board: Snapshot, task: TaskRecord) -> Claim:
        """Take a ready task."""
        lease_ms = self.random.choice((self.policy.lease_ms, self.policy.lease_ms, self.policy.lease_ms_max))
        return Claim(task.key, follows_of(task), lease_ms, inputs_of(board, task))

    # ---- one's own tasks

    def look_after(self, board: Snapshot, time: int) -> list[Operation | None]:
        """Requeue, cancel or prioritize one's own tasks (an owner: anybody's) that one has not worked on."""
        ops: list[Operation | None] = []
        for task in board.tasks.values():
            mine = task.submitter == self.actor or self.actor in self.world.genesis.owners
            working = any(claim.actor == self.actor for claim in task.claims)
            if self.settled or not mine or working or task.completions:
                continue
            follows, dice = follows_of(task), self.random.random()
            if status(board, task.key, time, self.policy) == "dead" and dice < 0.4:
                ops.append(Requeue(task.key, follows))
            elif status(board, task.key, time, self.policy) == "held" and dice < 0.03:
                ops.append(Cancel(task.key, follows))
            elif dice > 0.97:
                ops.append(Prioritize(task.key, follows, self.random.randint(1, 10)))
        return ops

    def ask(self) -> list[Operation | None]:
        """Submit new tasks, some that need others, and old ones again."""
        return []


class Submitter(Peer):
    """A member that asks for work, and works too."""

    def __init__(self, name: str, key: SigningKey, replica: Replica, random: Random) -> None:
        super().__init__(name, key, replica, random)
        self.asked: list[TaskKey] = []
        self.said: dict[TaskKey, Submit] = {}
        self.wanted = random.randint(2, 5)

    def ask(self) -> list[Operation | None]:
        """Submit a batch, or again what was submitted before (never two operations on one task in an event)."""
        if self.settled or self.random.random() > 0.5:
            return []
        if len(self.asked) >= self.wanted:
            again = self.random.choice(self.asked)
            return [self.said[again]] if self.random.random() < 0.05 else []
        batch: list[Operation | None] = []
        for _ in range(self.random.choice((1, 1, 2))):
            needs = tuple(self.random.sample(self.asked, k=1)) if self.asked and self.random.random() < 0.4 else ()
            later = self.replica.now_ms + self.random.choice((100, 1_500))
            spec = a_spec(
                f"{self.name} {len(self.asked)}",
                needs=needs,
                requires=self.random.choice(((), ("gpu",))),
                not_before=self.random.choice((None, None, None, later)),
                expires_at=self.random.choice((None, None, None, later + 3_000)),
                max_attempts=self.random.choice((None, 1, 3)),
            )
            op = self.world.submit(self.key, spec, priority=self.random.randint(1, 10))
            self.asked.append(op.key)
            self.said[op.key] = op
            batch.append(op)
        return batch


class Owner(Peer):
    """An owner: admits and revokes, late or with a stale view of what to keep, and looks after dead tasks."""

    def __init__(self, name: str, key: SigningKey, replica: Replica, random: Random, suspects: list[ActorKey]) -> None:
        super().__init__(name, key, replica, random)
        self.suspects = suspects
        self.wronged: list[ActorKey] = []
        """Honest members that it may revoke by mistake, to admit them anew."""
        self._remembered: tuple[Cid, ...] = ()

    def wishes(self, board: Snapshot, time: int) -> list[Operation | None]:
        """Return what an owner says now."""
        # What a revocation makes void is seen on the next board: nothing else is said with it.
        return [*self.revoke(board), *self.readmit(board)] or self.look_after(board, time)

    def revoke(self, board: Snapshot) -> list[Operation | None]:
        """Deny a suspect, or seldom an honest member, all its grants; keep what is seen now, or what was seen once."""
        dice = self.random.random()
        if self._remembered == () or self.random.random() < 0.2:
            self._remembered = board.heads
        targets = self.suspects if dice < 0.012 else self.wronged if dice < 0.04 else []
        if self.settled or not targets:
            return []
        target = self.random.choice(targets)
        seen = self.world.closure(self._remembered if self.random.random() < 0.5 else board.heads)
        own = [cid for cid in seen if self.world.events[cid].event.actor == target]
        inner = {link for cid in own for link in self.world.closure(self.world.events[cid].event.links())}
        keep = tuple(sorted(set(own) - inner))
        standing = [row for row in board.roster.members if row.actor == target and not row.revoked_by]
        return [Revoke(row.grant, target, keep) for row in standing]

    def readmit(self, board: Snapshot) -> list[Operation | None]:
        """Admit anew honest members that have no grant left; after healing at once."""
        standing = {row.actor for row in board.roster.members if not row.revoked_by}
        lost = [actor for actor in self.wronged if actor not in standing]
        if not self.settled and self.random.random() > 0.2:
            return []
        return [Admit(actor, ("submitter", "worker"), labels=("gpu",)) for actor in lost]
