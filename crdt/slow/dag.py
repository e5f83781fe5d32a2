"""A causally closed set of events with its causal pasts as plain sets, and what each event says.

Implements: "causal past" and C1 of specs/clock.md; M1-M3 of specs/tasks.md. Leaves out what the operations mean.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from typing import TypeAlias

from crdt.order import order_key
from ledger.cid import Cid
from ledger.events import Event, Genesis, TaskKey, VerifiedEvent
from ledger.operation_codec import read_operations
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
    Unread,
)

OnTask: TypeAlias = Submit | Claim | Renew | Release | Fail | Complete | Cancel | Prioritize | Requeue
"""The operations that have a task."""


class Dag:
    """The events by CID in linear order, with the causal past of each; the genesis is in no past."""

    def __init__(self, ledger: Cid, genesis: Genesis, events: Iterable[VerifiedEvent]) -> None:
        """Hold `events`, given in any order and however often; raise ValueError where a linked one is missing."""
        self.ledger = ledger
        self.genesis = genesis
        by_cid = {verified.cid: verified for verified in events}
        # C1, the linear order: what an event links comes before it, because its height is greater.
        ordered = sorted(by_cid.values(), key=lambda verified: order_key(verified.event.height, verified.cid))
        self.events: dict[Cid, VerifiedEvent] = {verified.cid: verified for verified in ordered}
        self.past: dict[Cid, frozenset[Cid]] = {}
        for cid, verified in self.events.items():
            links = frozenset(verified.event.links()) - {ledger}
            if not links <= self.past.keys():
                raise ValueError(f"not causally closed: {cid} links an event that is missing")
            self.past[cid] = links.union(*(self.past[link] for link in links))
        self.ops = {cid: read_operations(verified.event) for cid, verified in self.events.items()}

    def event(self, cid: Cid) -> Event:
        """Return the envelope of an event."""
        return self.events[cid].event

    def is_owner(self, cid: Cid) -> bool:
        """Return whether an owner made this event."""
        return self.event(cid).actor in self.genesis.owners

    def has_role(self, cid: Cid, role: str) -> bool:
        """Return whether the grant of this event holds a role; owners hold every role."""
        return self.is_owner(cid) or role in self.events[cid].grant.roles

    def reading_rule(self, cid: Cid, index: int) -> str:
        """Return the rule of reading that one operation breaks: M1 unknown, M2 malformed, M3 not the first; or ""."""
        op = self.ops[cid][index]
        if isinstance(op, Unread):
            return op.rule
        earlier = {subject for other in self.ops[cid][:index] for subject in _subjects(other)}
        return "M3" if earlier.intersection(_subjects(op)) else ""

    def tasks_of(self, cid: Cid) -> list[TaskKey]:
        """Return the tasks that an event has operations on, each once."""
        found = [task for op in self.ops[cid] if (task := task_of(op)) is not None]
        return list(dict.fromkeys(found))

    def on_task(self, cid: Cid, task: TaskKey) -> OnTask | Unread | None:
        """Return the event's operation on a task, that is the first (M3); None where it has none."""
        for op in self.ops[cid]:
            if task_of(op) == task:
                # An operation on a task is one of the two: nothing else has a task to read.
                assert isinstance(op, OnTask | Unread)  # noqa: S101  # narrows the type
                return op
        return None


def task_of(op: Operation | Unread) -> TaskKey | None:
    """Return the task an operation is on, as far as it can be read."""
    if isinstance(op, Submit):
        return op.key
    return op.task if isinstance(op, OnTask | Unread) else None


def _subjects(op: Operation | Unread) -> tuple[Hashable, ...]:
    """M3: return what at most one operation of an event can have effect on; a malformed admit may be on a task too."""
    match op:
        case Admit():
            return (("admit", op.actor),)
        case Revoke():
            return (("revoke", op.grant, op.actor),)
        case Join() | Leave():
            return ("presence",)
        case _:
            task = task_of(op)
            named = op.admits if isinstance(op, Unread) else None
            on_task: tuple[Hashable, ...] = () if task is None else (("task", task),)
            return on_task if named is None else (*on_task, ("admit", named))
