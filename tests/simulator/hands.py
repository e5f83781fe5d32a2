"""Honest peers that act through the product alone: what workers and owners share.

What stands in the way of an action is theirs to meet; an action that would mean nothing is a defect. They can crash
amid any transaction, forget what they hold, and be revoked by mistake. What each does: tests.simulator.members.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Sequence
from random import Random
from typing import ParamSpec, TypeVar

from ledger.cid import Cid
from ledger.events import Role, TaskKey, VerifiedEvent
from ledger.keys import ActorKey, SigningKey
from ledger.operations import Operation
from scheduler.action_errors import ActionError, ConflictError, RequestError, WithoutEffectError
from scheduler.actions import bump, cancel, requeue
from scheduler.membership import NotAMemberError
from scheduler.queue import TaskQueue
from scheduler.writing import NotAcceptedError
from tests.simulator.household import CrashError, Household
from tests.simulator.replica import LawBrokenError

P = ParamSpec("P")
T = TypeVar("T")


class Hand(ABC):
    """One key in one home, in a process of its own."""

    def __init__(self, name: str, key: SigningKey, household: Household, random: Random) -> None:
        self.name = name
        self.key = key
        self.household = household
        self.random = random
        self.settled = False
        """After healing: nothing new is asked for, only what is there is brought to its end."""
        self.completed: set[tuple[Cid, TaskKey]] = set()
        self.refusals: Counter[str] = Counter()
        self.crashes = 0
        self.home = household.open()
        self.begin()

    def begin(self) -> None:
        """Start the process anew: what it was working on is forgotten."""
        self.home.close()
        self.home = self.household.open()
        self._restarts = self.household.restarts
        self.queue = TaskQueue(self.home, self.actor)
        self.working: dict[TaskKey, tuple[Cid, int]] = {}

    @property
    def actor(self) -> ActorKey:
        """The peer's public key."""
        return self.key.actor

    def act(self) -> None:
        """Do what there is to do, each thing in a transaction of its own, until a crash."""
        if self._restarts != self.household.restarts:
            self.begin()
        if self.random.random() < 0.07 and not self.settled:
            self.household.clock.fuse = self.random.randint(0, 14)
        try:
            self.wishes()
        except CrashError:
            self.crash()
        finally:
            self.household.clock.fuse = None

    def crash(self) -> None:
        """Check that nothing is left of what was broken off; go on in the same process, or in a new one."""
        self.crashes += 1
        if set(self.household.accepted()) - self.household.world.events.keys():
            raise LawBrokenError(f"a crash of {self.name} left half of its work")
        if self.random.random() < 0.6:
            self.begin()

    def attempt(self, action: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T | None:
        """Do one thing; return None where something stands in its way. What it has told is durable from here on."""
        try:
            done = action(*args, **kwargs)
        except (WithoutEffectError, NotAcceptedError, ConflictError, RequestError) as error:
            raise LawBrokenError(f"an honest action of {self.name} failed: {error!r}") from error
        except (ActionError, NotAMemberError) as error:
            self.refusals[type(error).__name__] += 1
            return None
        self.learn()
        return done

    def learn(self) -> None:
        """Note what was written: events that were not in the world before are this home's own."""
        household = self.household
        with self.home.reading():
            rows = self.home.database.connection.execute("SELECT cid, block FROM blocks ORDER BY id").fetchall()
        for cid, block in rows:
            if Cid(cid) not in household.world.events:
                event = household.world.accept(block)
                if event.event.actor != self.actor:
                    raise LawBrokenError(f"{self.name} wrote as somebody else")
                household.promised.add(event.cid)

    def append(self, ops: Sequence[Operation], role: Role | None = None) -> VerifiedEvent | None:
        """Say what no action says."""
        return self.attempt(self.home.append, self.key, ops, role)

    @abstractmethod
    def wishes(self) -> None:
        """Do all that is wished now."""

    # ---- tasks to look after

    def open_tasks(self) -> list[tuple[TaskKey, ActorKey]]:
        """Return the open tasks and who submitted them."""
        with self.home.reading():
            return sorted((record.key, record.submitter) for record in self.home.tasks.open_tasks())

    def look_after(self, tasks: Sequence[TaskKey]) -> None:
        """Requeue, cancel or prioritize."""
        for task in [] if self.settled else tasks:
            dice = self.random.random()
            if dice < 0.04:
                self.attempt(requeue, self.home, self.key, task)
            elif dice < 0.05:
                self.attempt(cancel, self.home, self.key, task)
            elif dice < 0.07:
                self.attempt(bump, self.home, self.key, task, self.random.randint(1, 10))
