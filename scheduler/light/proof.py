"""What events of a task prove to who has no replica, given the genesis.

Checked here: each author acts under the genesis as an owner, or under an event in which an owner admits it, with the
role the operation needs; claims, endings and who may do what follow one another as the rules say (crdt.one_task).
Hashes and signatures were checked before (ledger.task_asking). What this cannot show is that nothing was left out: a
peer can withhold a completion or a revocation, or call void what counts, and forge nothing. Pure.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from crdt.one_task import SignedOperation, fold_one_task
from crdt.records import TaskRecord
from crdt.task_graph import first_by_task
from crdt.view import TaskView, view
from ledger.acceptance import SignedEvent, admissions
from ledger.cid import Cid
from ledger.events import OPEN_GRANT, OWNER_GRANT, Admission, Event, Genesis, Grant, TaskKey
from ledger.operation_codec import read_operations
from ledger.operations import Complete, Fail, Release, Renew, Submit, TaskOperation, Unread
from ledger.task_asking import TaskAnswer

ClaimOperation = Renew | Release | Fail | Complete


class TaskProof:
    """The events of one task that were shown so far."""

    def __init__(self, ledger: Cid, genesis: Genesis, task: TaskKey) -> None:
        self.task = task
        self._ledger = ledger
        self._genesis = genesis
        self._events: dict[Cid, SignedEvent] = {}
        self._void: frozenset[Cid] = frozenset()
        self.record: TaskRecord | None = None
        """What they come to; None where no submit of the task is among them."""

    def take(self, answer: TaskAnswer) -> None:
        """Add what a peer has told, or have it in place of what was told before, as the answer says."""
        kept, void = (self._events, self._void) if answer.told.since else ({}, frozenset[Cid]())
        self._events, self._void = {**kept, **answer.events}, void | frozenset(answer.told.void)
        self.record = fold_one_task(self.task, self._operations(), self._genesis.policy, self._void)

    def _operations(self) -> list[SignedOperation]:
        found = []
        for cid, signed in self._events.items():
            grant = grant_of(signed.event, self._ledger, self._genesis, self._events.get)
            if grant is not None:
                found.append(SignedOperation(cid, signed.event, grant))
        return found

    def view(self, find: Callable[[TaskKey], TaskRecord | None], now_ms: int) -> TaskView | None:
        """Return where the task stands; `find` gives the records of its needs. None where it is not known."""
        return None if self.record is None else view(self.record, find, self._genesis.policy, now_ms)

    def view_alone(self, now_ms: int) -> TaskView | None:
        """Return where the task stands, its needs aside."""
        if self.record is None:
            return None
        alone = replace(self.record, spec=replace(self.record.spec, needs=()))
        return view(alone, lambda _: None, self._genesis.policy, now_ms)

    def event(self, cid: Cid) -> Event:
        """Return an event that was shown; KeyError for any other."""
        return self._events[cid].event

    def operation(self, cid: Cid) -> Submit | TaskOperation | None:
        """Return the operation of an event on the task, None where there is none that means anything."""
        return operation_on(self.event(cid), self.task)

    def on_claim(self, claim: Cid) -> list[tuple[Cid, ClaimOperation]]:
        """Return renewals and endings of a claim in causal order."""
        found: list[tuple[int, Cid, ClaimOperation]] = []
        for cid, signed in self._events.items():
            op = operation_on(signed.event, self.task)
            if isinstance(op, ClaimOperation) and op.claim == claim and self._is_fit(cid, claim):
                found.append((signed.event.height, cid, op))
        return [(cid, op) for _, cid, op in sorted(found, key=lambda one: one[:2])]

    def _is_fit(self, cid: Cid, claim: Cid) -> bool:
        """Return whether an event counts, and is by the author of the claim."""
        made = self._events.get(claim)
        return cid not in self._void and made is not None and self._events[cid].event.actor == made.event.actor


def grant_of(event: Event, ledger: Cid, genesis: Genesis, find: Callable[[Cid], SignedEvent | None]) -> Grant | None:
    """Return what the author of an event may do, by A8; None where the grant does not admit it, or was not shown."""
    if event.actor in genesis.owners:
        return OWNER_GRANT if event.grant == ledger else None
    if event.grant == ledger:
        return OPEN_GRANT if genesis.policy.admission is Admission.OPEN else None
    granted = find(event.grant)
    return None if granted is None else admissions(granted.event, genesis).get(event.actor)


def operation_on(event: Event, task: TaskKey) -> Submit | TaskOperation | None:
    """Return the first operation of an event on a task (M3), None where that means nothing."""
    op = first_by_task(read_operations(event)).get(task)
    return None if isinstance(op, Unread) else op
