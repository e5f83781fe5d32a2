"""Members that break every rule that acceptance lets them break.

They see all that anybody made, act under any grant they ever had, choose their parents and times as they like, leave
out what they have seen, and show an event to whom they please.
"""

from __future__ import annotations

from random import Random

from crdt.slow.dag import task_of
from ledger.cid import Cid
from ledger.events import TaskKey
from ledger.keys import SigningKey
from ledger.operation_codec import read_operations
from ledger.operations import (
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
    Submit,
)
from tests.simulator.judgement import PARENTS_MAX
from tests.support.worlds import Raw, World, a_spec

_WHIMS = ("alone", "pump", "steal", "junk", "strange", "presence", "ask", "late", "double", "batch", "hidden result")


class Adversary:
    """One key without scruples."""

    def __init__(self, key: SigningKey, world: World, first_grant: Cid, random: Random) -> None:
        self.key = key
        self.world = world
        self.grants = [first_grant]
        self.random = random
        self._asked: list[Submit] = []

    def act(self, now_ms: int) -> list[Cid]:
        """Do harm in one to four events; return them."""
        made: list[Cid] = []
        if self.random.random() < 0.04:
            return self.flood(now_ms)
        whim = self.random.choice(_WHIMS)
        for _ in range(self.random.choice((1, 1, 2, 4)) if whim == "pump" else 1):
            ops = self.operations(whim)
            if ops:
                grant = self.random.choice(self.grants)
                parents = self.parents()
                made.append(self.world.event(self.key, *ops, parents=parents, time=self.lie(now_ms), grant=grant))
        return made

    def flood(self, now_ms: int) -> list[Cid]:
        """Make more concurrent events than an honest one has room for as parents: heads of the log, and of a task."""
        parents, grant, task = self.parents(), self.random.choice(self.grants), self.task()
        ops = [] if task is None else [self.on_task(self.random.choice(("alone", "pump", "junk")), task)]
        times = [self.lie(now_ms) + step for step in range(PARENTS_MAX + 2)]
        return [self.world.event(self.key, *ops, parents=parents, time=time, grant=grant) for time in times]

    def parents(self) -> tuple[Cid, ...]:
        """Return some part of the past: all, little, or next to nothing."""
        events = list(self.world.events)
        dice = self.random.random()
        if dice < 0.4:
            return tuple(events)
        return (self.grants[0],) if dice < 0.6 else tuple(self.random.sample(events, k=1))

    def lie(self, now_ms: int) -> int:
        """Return a time: long ago (A10 lifts it to the latest linked), now, or ahead within and beyond skew."""
        return self.random.choice((0, 0, now_ms, now_ms, now_ms + 90, now_ms + 2_000))

    def operations(self, whim: str) -> list[Operation | Raw]:
        """Return what to say."""
        if whim == "presence":
            return [self.random.choice((Join(("gpu",)), Join(("prod",)), Leave()))]
        if whim == "ask":
            if not self._asked or self.random.random() < 0.4:
                self._asked.append(self.world.submit(self.key, a_spec(f"spam {len(self._asked)}"), created_at=0))
            return [self.random.choice(self._asked)]
        task = self.task()
        if task is None:
            return []
        if whim == "batch":  # M3: which of them has effect?
            return [self.on_task(self.random.choice(_WHIMS), task) for _ in range(3)]
        return [self.on_task(whim, task)]

    def task(self) -> TaskKey | None:
        """Return any task."""
        keys = [op.key for cid in self.world.events for op in self.said(cid) if isinstance(op, Submit)]
        return self.random.choice(keys) if keys else None

    def said(self, cid: Cid) -> tuple[object, ...]:
        """Return the operations of an event."""
        return read_operations(self.world.events[cid].event)

    def on_task(self, whim: str, task: TaskKey) -> Operation | Raw:
        """Return one hostile operation on a task."""
        events = [cid for cid in self.world.events if any(_is_on(op, task) for op in self.said(cid))]
        submits = [cid for cid in events if any(isinstance(op, Submit) and op.key == task for op in self.said(cid))]
        claims = [cid for cid in events if any(isinstance(op, Claim) and op.task == task for op in self.said(cid))]
        mine = [cid for cid in claims if self.world.events[cid].event.actor == self.key.actor]
        everything = tuple(events)
        inputs = tuple(cid for cid in self.world.events if any(isinstance(op, Complete) for op in self.said(cid)))
        claim = Claim(task, (submits[0],), self.random.choice((1, 1_000, 4_000)), inputs)
        match whim:
            case "pump":  # a chain of its own attempts
                if mine and self.random.random() < 0.5:
                    ending = self.random.choice((Release, Renew, Fail))
                    return _ending(ending, task, (submits[0], mine[-1]), mine[-1])
                return Claim(task, tuple(dict.fromkeys((submits[0], *self.own(events)))), 4_000, inputs)
            case "steal" if claims:
                stolen = self.random.choice(claims)
                return _ending(self.random.choice((Release, Renew, Fail, Complete)), task, everything, stolen)
            case "hidden result" if mine:  # it has seen more, and follows its claim alone
                return Complete(task, (mine[0],), mine[0])
            case "late" if mine:
                return _ending(self.random.choice((Complete, Fail)), task, everything, self.random.choice(mine))
            case "junk":
                return self.random.choice(
                    (Cancel(task, everything), Prioritize(task, everything, 10), Requeue(task, everything))
                )
            case "strange":
                fields = self.random.choice(({}, {"lease_ms": "long"}, {"claim": 99}))
                return Raw(self.random.choice(("ponder", "claim", "complete")), task, everything, fields)
            case "double":
                return Claim(task, everything, 4_000, inputs)
            case _:
                return claim

    def own(self, events: list[Cid]) -> tuple[Cid, ...]:
        """Return its own out of these events."""
        return tuple(cid for cid in events if self.world.events[cid].event.actor == self.key.actor)


def _is_on(op: object, task: TaskKey) -> bool:
    return task_of(op) == task  # type: ignore[arg-type]  # it is one of those that read_operations returns


def _ending(kind: type, task: TaskKey, follows: tuple[Cid, ...], claim: Cid) -> Operation:
    if kind is Renew:
        return Renew(task, follows, claim, 4_000)
    if kind is Fail:
        return Fail(task, follows, claim, "error", "on purpose")
    return Release(task, follows, claim) if kind is Release else Complete(task, follows, claim)
