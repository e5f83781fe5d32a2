"""Whether a claim was its author's to make when it made it, by what its author had seen (S2 to S4, S6).

Implements: specs/audit.md, J3. Lenient where the log does not tell: heartbeats of others, and when a home first saw a
task, can only put a peer further back, so that no honest claim is named. Leaves out who hid what it saw (crdt.conduct).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from crdt.board import Board
from crdt.board_store import Node
from crdt.conduct import NAMED_MAX, Conduct, Finding, Findings
from crdt.fold import TaskFold
from crdt.order import anchor_of, place_of
from crdt.records import Presence, TaskRecord
from crdt.task_graph import first_by_task
from crdt.view import is_overdue, own_ready_at
from ledger.cid import Cid
from ledger.events import TaskKey, VerifiedEvent
from ledger.keys import ActorKey
from ledger.operation_codec import read_operations
from ledger.operations import Claim
from scheduler.assignment import LIVENESS_LEASES, take_at


@dataclass(slots=True)
class _Worker:
    """A worker's own words, in the linear order: comings and goings, and its events with their times (ms)."""

    place: int
    presences: list[Presence] = field(default_factory=list)
    events: list[tuple[int, Node]] = field(default_factory=list)


class Turns:
    """Watches a board that is grown in the linear order (C1), beside the `Conduct` that watches the same one."""

    def __init__(self, board: Board, conduct: Conduct, findings: Findings) -> None:
        self._board = board
        self._conduct = conduct
        self._findings = findings
        self._workers: dict[ActorKey, _Worker] = {}
        self._claims: list[tuple[Claim, TaskRecord | None]] = []

    def before(self, event: VerifiedEvent) -> None:
        """Note the tasks an event claims as they stand before it; None where it does not follow all there is."""
        self._claims = []
        for key, op in first_by_task(read_operations(event.event)).items():
            if isinstance(op, Claim):
                task = self._board.store.find_task(key)
                whole = task is not None and not task.fenced and task.heads.issubset(op.follows)
                self._claims.append((op, self._record(task.fold) if task is not None and whole else None))

    def after(self, event: VerifiedEvent) -> None:
        """Judge the claims of an event that the board has folded, and note what it says of its author."""
        node, actor = self._board.graph.node(event.cid), event.event.actor
        if node.counts and actor not in self._conduct.forked:
            for op, record in self._claims:
                verdict = self._board.store.find_verdict(op.task, node.cid)
                if verdict is not None and verdict.rule is None:
                    seen = record or self._record(self._fold(node, op))
                    if seen is not None:
                        self._judge(node, event, op, seen)
        worker = self._workers.get(actor)
        if worker is not None:
            worker.events.append((event.event.time, node))
        fact = self._board.store.state.roster.presences.get(actor)
        if fact is not None and fact.presence.cid == event.cid:
            if worker is None:
                worker = self._workers[actor] = _Worker(place_of(actor), events=[(event.event.time, node)])
            worker.presences.append(fact.presence)

    # ---- what the author had seen

    def _record(self, fold: TaskFold) -> TaskRecord | None:
        return fold.record(self._board.genesis.policy, ()) if fold.submits else None

    def _fold(self, node: Node, op: Claim) -> TaskFold:
        """Return P of a claim that does not follow all there is."""
        fold = TaskFold(op.task)
        for cid, verdict in self._board.task_graph.reach(op.task, op.follows).items():
            if not self._board.graph.node(cid).fenced_by & node.revocations:
                self._board.task_graph.add_to(fold, cid, verdict)
        return fold

    def _presence(self, worker: _Worker, node: Node, bit: int) -> Presence | None:
        """Return the last coming or going that the author of `node` had seen, None for who is not at work."""
        for presence in reversed(worker.presences):
            said = self._board.graph.node(presence.cid)
            if said.seen & bit and not said.fenced_by & node.revocations:
                fences = self._board.store.state.roster.fences_against(presence.actor, presence.grant)
                return presence if presence.joined and not fences & node.revocations else None
        return None

    def _heard(self, worker: _Worker, bit: int) -> int:
        """Return the time of a worker's latest event that carries the author's `bit`; its events are a chain."""
        low, high = 0, len(worker.events)
        while low < high:
            middle = (low + high) // 2
            if worker.events[middle][1].seen & bit:
                low = middle + 1
            else:
                high = middle
        return worker.events[low - 1][0] if low else 0

    # ---- J3

    def _judge(self, node: Node, event: VerifiedEvent, op: Claim, record: TaskRecord) -> None:
        policy, time = self._board.genesis.policy, event.event.time
        number = self._board.store.state.workers.get(node.actor)
        own = self._workers.get(node.actor)
        bit = 0 if number is None else 1 << number
        presence = None if own is None else self._presence(own, node, bit)
        if own is None or presence is None or not set(record.spec.requires) <= set(presence.labels):
            why = "was not at work" if presence is None else "lacks a label that the task requires"
            self._add(node, op.task, (), f"its author {why}: the task was not its to take (S6)")
            return
        inputs = [self._board.store.event(cid).time for cid in op.inputs]
        ready_at = max(own_ready_at(record), *inputs) if inputs else own_ready_at(record)
        overdue = is_overdue(record)
        if time >= take_at(ready_at, len(self._workers), policy, overdue=overdue):
            return
        nearer = tuple(self._nearer(node, bit, record, time - LIVENESS_LEASES * policy.lease_ms))
        turn = take_at(ready_at, len(nearer), policy, overdue=overdue)
        if time < turn:
            words = (
                f"out of turn: of rank {len(nearer)} by what its author had seen, it was to wait until {turn},"
                f" {turn - time} ms later (S4)"
            )
            self._add(node, op.task, nearer, words)

    def _nearer(self, node: Node, bit: int, record: TaskRecord, since: int) -> Iterator[Cid]:
        """Yield the joins of the eligible workers that are nearer than the author of `node`."""
        anchor = anchor_of(record.submits[0], record.key)
        mine = ((self._workers[node.actor].place ^ anchor).bit_count(), node.actor)
        for actor, worker in self._workers.items():
            if ((worker.place ^ anchor).bit_count(), actor) < mine and self._heard(worker, bit) >= since:
                presence = self._presence(worker, node, bit)
                if presence is not None and set(record.spec.requires) <= set(presence.labels):
                    yield presence.cid

    def _add(self, node: Node, task: TaskKey, about: tuple[Cid, ...], words: str) -> None:
        self._findings.add(Finding("J3", node.cid, node.actor, task, about[:NAMED_MAX], words))
