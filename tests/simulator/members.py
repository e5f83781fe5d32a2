"""What honest members of the ledger do among real homes: workers that ask and work, owners that admit and revoke."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from random import Random
from typing import Final

from crdt.order import order_key
from ledger.cid import Cid
from ledger.events import Role, TaskKey
from ledger.keys import ActorKey, SigningKey
from ledger.operations import Admit, Attachment, Join, Leave, Operation, Revoke
from scheduler.acting import INLINE_BYTES_MAX
from scheduler.actions import SubmitRequest, complete, fail, release, renew, submit, take
from tests.simulator.hands import Hand
from tests.simulator.household import Household
from tests.support.worlds import a_spec

_SLOTS: Final = 3
MEMBER_ROLES: Final = ("submitter", "worker")
LABELS: Final = ("gpu",)


class Worker(Hand):
    """A member that asks for work, and does it."""

    def __init__(self, name: str, key: SigningKey, household: Household, random: Random) -> None:
        self.asked: list[tuple[TaskKey, SubmitRequest]] = []
        self.wanted = random.randint(2, 6)
        super().__init__(name, key, household, random)

    def wishes(self) -> None:
        """Be there, go on, take, ask; seldom witness what is new."""
        if not self.is_there():
            return
        for task in sorted(self.working):
            self.go_on(task, self.working[task][1])
        self.renew()
        if len(self.working) < _SLOTS:
            self.take()
        if self.random.random() < 0.5:
            self.ask()
        self.look_after([task for task, submitter in self.open_tasks() if submitter == self.actor])
        if self.random.random() < 0.05 and not self.settled:
            self.append(())

    def is_there(self) -> bool:
        """Join where one has not, or leave for a while."""
        with self.home.reading():
            there = self.actor in self.home.board.active_workers()
        if not there:
            return self.append((Join(LABELS, _SLOTS),), Role.WORKER) is not None
        if not self.settled and not self.working and self.random.random() < 0.02:
            self.append((Leave(),), Role.WORKER)
            return False
        return True

    # ---- work

    def take(self) -> None:
        """Take the next task, with the queue that is kept or with one made anew."""
        lease_ms = self.random.choice((None, 1_000, 1_000))
        queue = self.queue if self.random.random() < 0.8 else None
        taken = self.attempt(take, self.home, self.key, lease_ms=lease_ms, queue=queue)
        if taken is not None:
            self.begin_work(taken.record.key, taken.claim)

    def begin_work(self, task: TaskKey, claim: Cid) -> None:
        """Plan when a task will be finished."""
        self.working[task] = (claim, self.home.now_ms() + self.random.choice((50, 300, 900, 2_500)))

    def go_on(self, task: TaskKey, finish_ms: int) -> None:
        """Complete or fail what is finished; give up, or forget, as a crashed worker does."""
        dice = self.random.random()
        if self.home.now_ms() < finish_ms:
            if dice < 0.03:
                self.attempt(release, self.home, self.key, task)
                self.working.pop(task, None)
            return
        self.working.pop(task, None)
        if dice < 0.55 or self.settled:
            self.complete(task)
        elif dice < 0.85:
            self.attempt(fail, self.home, self.key, task, error="it broke")

    def complete(self, task: TaskKey) -> None:
        """Complete a task, and perhaps take the next one with it."""
        and_next = len(self.working) < _SLOTS and self.random.random() < 0.4
        output = Attachment("text/plain", data=b"done") if self.random.random() < 0.2 else None
        queue = self.queue if and_next else None
        settled = self.attempt(complete, self.home, self.key, task, output=output, and_next=and_next, queue=queue)
        if settled is not None:
            self.completed.add((settled.event, task))
            if settled.next is not None:
                self.begin_work(settled.next.record.key, settled.next.claim)

    def renew(self) -> None:
        """Renew what one works on; mostly stop what is lost."""
        if not self.working or self.random.random() < 0.5:
            return
        claims = {task: claim for task, (claim, _) in self.working.items()}
        renewal = self.attempt(renew, self.home, self.key, claims, lease_ms=1_000)
        for task in () if renewal is None else renewal.lost:
            if self.random.random() < 0.8:
                self.working.pop(task, None)

    # ---- one's own tasks

    def ask(self) -> None:
        """Submit new tasks, some that need others, or again what was submitted before; or do what nobody was given."""
        if self.settled:
            return
        if len(self.asked) < self.wanted:
            requests = [self.request(len(self.asked) + i) for i in range(self.random.choice((1, 1, 2)))]
            submitted = self.attempt(submit, self.home, self.key, requests)
            for one, request in zip(submitted or (), requests, strict=bool(submitted)):
                self.asked.append((one.record.key, request))
        elif self.random.random() < 0.1:
            again = self.random.choice(self.asked)[1]
            self.attempt(submit, self.home, self.key, again)
        elif self.random.random() < 0.1 and (tasks := self.open_tasks()):
            self.complete(self.random.choice(tasks)[0])

    def request(self, number: int) -> SubmitRequest:
        """Return a request for a task."""
        needs = (self.random.choice(self.asked)[0].hex(),) if self.asked and self.random.random() < 0.4 else ()
        later = self.home.now_ms() + self.random.choice((100, 1_500))
        spec = a_spec(
            f"{self.name} {number}",
            requires=self.random.choice(((), LABELS)),
            not_before=self.random.choice((None, None, None, later)),
            expires_at=self.random.choice((None, None, None, later + 3_000)),
            max_attempts=self.random.choice((None, 1, 3)),
        )
        if self.random.random() < 0.15:
            self.household.blobs.append(self.random.randbytes(INLINE_BYTES_MAX + 1))
            spec = replace(spec, payload=Attachment("application/octet-stream", data=self.household.blobs[-1]))
        return SubmitRequest(spec, priority=self.random.randint(1, 10), needs=needs)


class Owner(Hand):
    """An owner: admits and revokes, late or with a stale view of what to keep, and looks after dead tasks."""

    def __init__(
        self,
        name: str,
        key: SigningKey,
        household: Household,
        random: Random,
        suspects: Sequence[ActorKey],
        wronged: Sequence[ActorKey],
    ) -> None:
        self.suspects = suspects
        self.wronged = wronged
        """Honest members that it may revoke by mistake, to admit them anew."""
        self._remembered: tuple[Cid, ...] = ()
        super().__init__(name, key, household, random)

    def wishes(self) -> None:
        """Revoke, admit anew, look after tasks."""
        ops = self.revocations() or self.admissions()
        if ops:
            self.append(ops)
        else:
            self.look_after([task for task, _ in self.open_tasks()])

    def revocations(self) -> list[Operation]:
        """Deny a suspect, or seldom an honest member, all its grants; keep what is seen now, or what was seen once."""
        with self.home.reading():
            heads, members = self.home.board.heads, self.home.board.roster().members
        if not self._remembered or self.random.random() < 0.2:
            self._remembered = heads
        dice = self.random.random()
        targets = self.suspects if dice < 0.02 else self.wronged if dice < 0.04 else ()
        if self.settled or not targets:
            return []
        target = self.random.choice(targets)
        world = self.household.world
        seen = world.closure(heads)
        if self.random.random() < 0.5:
            seen &= world.closure(self._remembered)
        own = [cid for cid in seen if world.events[cid].event.actor == target]
        inner = {link for cid in own for link in world.closure(world.events[cid].event.links())}
        keep = tuple(sorted(set(own) - inner, key=lambda cid: order_key(world.events[cid].event.height, cid))[-64:])
        return [Revoke(m.grant, target, keep) for m in members if m.actor == target and not m.revoked_by]

    def admissions(self) -> list[Operation]:
        """Admit anew honest members that have no grant left; after healing at once."""
        with self.home.reading():
            members = self.home.board.roster().members
        standing = {member.actor for member in members if not member.revoked_by}
        if not self.settled and self.random.random() > 0.2:
            return []
        return [Admit(actor, MEMBER_ROLES, labels=LABELS) for actor in self.wronged if actor not in standing]
