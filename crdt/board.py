"""The board in use: folds one accepted event after the other, touching only what the event touches.

Implements: specs/tasks.md, specs/authority.md, specs/clock.md, incrementally; `crdt.slow` is the oracle it must equal.
Never raises on an accepted event: what means nothing goes to `ignored` with its reason.
"""

from __future__ import annotations

from collections.abc import Container
from dataclasses import dataclass, field

from crdt.board_store import BoardState, BoardStore, Node, TaskState
from crdt.clock import clock_root
from crdt.fold import TaskFold, Verdict
from crdt.graph import Graph
from crdt.members import presence_of, refuse_roster_operation
from crdt.order import order_key
from crdt.records import Ignored, Roster, Snapshot, TaskRecord
from crdt.soundness import Context, judge
from crdt.state_tree import read_root, update_tree
from crdt.task_graph import TaskGraph, op_key, task_of
from ledger.cid import Cid
from ledger.events import OPEN_GRANT, OWNER_GRANT, Genesis, Grant, TaskKey, VerifiedEvent
from ledger.keys import ActorKey
from ledger.operation_codec import read_operations
from ledger.operations import Admit, Complete, Join, Leave, Operation, Revoke, Submit, TaskOperation, Unread


@dataclass(slots=True)
class Changes:
    """What events changed since the last `take_changes`."""

    tasks: set[TaskKey] = field(default_factory=set)
    roster: bool = False
    voided: list[Cid] = field(default_factory=list)


class Board:
    """The meaning of a ledger, kept in `store` and grown by `apply`."""

    def __init__(self, ledger: Cid, genesis: Genesis, store: BoardStore) -> None:
        self.ledger = ledger
        self.genesis = genesis
        self.store = store
        self.graph = Graph(store, ledger)
        self.task_graph = TaskGraph(store)
        self._changes = Changes()

    @property
    def _state(self) -> BoardState:
        return self.store.state

    # ---- growing

    def apply(self, event: VerifiedEvent) -> None:
        """Fold one accepted event, whose links have all been applied before it. Applying it again changes nothing."""
        if self.store.find_node(event.cid) is not None:
            return
        node = self.graph.new_node(event)
        seen: set[object] = set()
        revocations: list[int] = []
        for index, op in enumerate(read_operations(event.event)):
            repeated = _repeats(op, seen)
            if isinstance(op, Admit | Revoke | Join | Leave):
                self._apply_roster(node, event, index, op, repeated, revocations)
            elif isinstance(op, Unread):
                self._pass_by(node, index, op, repeated)
            elif repeated:
                self._ignore(node, index, "M3", "only the first operation on a task has effect", op_key(op))
            else:
                self._apply_to_task(node, event, index, op)
        for number in revocations:
            node.own_revocations |= 1 << number
        self.graph.enter(node, event)
        voided: list[Cid] = []
        for number in revocations:
            voided += self.graph.fence(self._state.roster.revocations[number], number)
        if voided:
            self._void(voided)
        self.store.put_state()

    def _apply_roster(
        self,
        node: Node,
        event: VerifiedEvent,
        index: int,
        op: Admit | Revoke | Join | Leave,
        repeated: bool,
        revocations: list[int],
    ) -> None:
        if repeated:
            self._ignore(node, index, "M3", "only the first of its kind in an event has effect", None)
            return
        refused = refuse_roster_operation(op, event.grant, self.ledger, self.genesis.owners)
        if refused:
            self._ignore(node, index, *refused, None)
            return
        roster = self._state.roster
        match op:
            case Admit():
                roster.admit(event.cid, event.event, op)
            case Revoke():
                revocations.append(roster.revoke(event.cid, event.event, op))
            case Join() | Leave():
                if node.counts:
                    roster.meet(event.cid, event.event.height, presence_of(event.cid, event.event, op))
        self._changes.roster = True

    def _pass_by(self, node: Node, index: int, op: Unread, repeated: bool) -> None:
        """Note an unknown or malformed operation, so that its task's DAG is followed through it."""
        if op.task is not None and not repeated:
            self.store.put_verdict(op.task, node.cid, Verdict(op.rule, op.words, through=True))
        self._ignore(node, index, op.rule, op.words, op.task)

    def _apply_to_task(self, node: Node, event: VerifiedEvent, index: int, op: Submit | TaskOperation) -> None:
        key = op_key(op)
        task = self.store.find_task(key) or TaskState(TaskFold(key))
        context = Context(
            self.genesis.policy,
            lambda need, inputs: self._has_input(node, need, inputs),
            lambda cid: None if cid == self.ledger else self.graph.node(cid).actor,
        )
        past, followed = (TaskFold(key), set[Cid]()) if isinstance(op, Submit) else self.task_graph.past(node, op, task)
        verdict = judge(op, event.event, event.grant, past, context)
        self.store.put_verdict(key, node.cid, verdict)
        if verdict.rule is not None:
            self._ignore(node, index, verdict.rule, verdict.words, key)
            return
        if not isinstance(op, Submit):
            self.task_graph.extend_chain(node.cid, op, past, task, verdict)
        if node.counts:
            task.fold.add(node.cid, event.event, op, verdict)
            task.heads.difference_update(followed)
            task.heads.add(node.cid)
            self._touch(key)
        else:
            task.fenced = True
        self.store.put_task(task)

    def _has_input(self, node: Node, need: TaskKey, inputs: tuple[Cid, ...]) -> bool:
        """Whether an input holds a sound completion of `need` not beyond a fence in the claim's own past (F1e)."""
        for cid in inputs:
            verdict = self.store.find_verdict(need, cid)
            if verdict is None or verdict.rule is not None:
                continue
            _, op = self.task_graph.entry(cid, need)
            if isinstance(op, Complete) and not self.graph.node(cid).fenced_by & node.revocations:
                return True
        return False

    def _void(self, voided: list[Cid]) -> None:
        """Fold again what a revocation has taken events from (R4): one task each, never the ledger."""
        self.graph.survey()
        for actor in {self.graph.node(cid).actor for cid in voided}:
            self._look_up_presence(actor)
        self.task_graph.clear()
        touched: set[TaskKey] = set()
        for cid in voided:
            keys = (task_of(op) for op in read_operations(self.store.event(cid)))
            touched.update(key for key in keys if key is not None)
        for key in touched:
            if self.store.find_task(key) is not None:
                self.store.put_task(self.task_graph.refold(key))
                self._touch(key)
        self._changes.roster = True
        self._changes.voided += voided

    def _look_up_presence(self, actor: ActorKey) -> None:
        """Find the greatest join or leave of an actor that still counts; only the greatest is kept (R5b)."""
        roster = self._state.roster
        roster.absent(actor)
        for node in self.store.nodes_of(actor):
            if node.counts:
                event = self.store.event(node.cid)
                grant = self._grant_of(actor, node.grant)
                ops = [op for op in read_operations(event) if isinstance(op, Join | Leave)][:1]
                for op in ops:
                    if refuse_roster_operation(op, grant, self.ledger, self.genesis.owners) is None:
                        roster.meet(node.cid, node.height, presence_of(node.cid, event, op))

    def _grant_of(self, actor: ActorKey, grant: Cid) -> Grant:
        """Return what an accepted event of an actor may do under its grant, as acceptance found it (A8)."""
        if actor in self.genesis.owners:
            return OWNER_GRANT
        admitted = self._state.roster.admissions.get((actor, grant))
        return OPEN_GRANT if admitted is None else Grant(frozenset(admitted.roles), labels=admitted.labels)

    def _touch(self, key: TaskKey) -> None:
        self._changes.tasks.add(key)

    def _ignore(self, node: Node, index: int, rule: str, words: str, task: TaskKey | None) -> None:
        if node.counts:
            self.store.add_ignored(Ignored(node.cid, index, rule, words), node.actor, task)

    def take_changes(self) -> Changes:
        """Return what changed since the last call."""
        changes, self._changes = self._changes, Changes()
        return changes

    def changed_tasks(self) -> tuple[TaskKey, ...]:
        """Return the tasks that have changed since the last `take_changes`."""
        return tuple(self._changes.tasks)

    def has_changed_only(self, keys: Container[TaskKey]) -> bool:
        """Tell whether no other task has changed since the last `take_changes`."""
        return all(key in keys for key in self._changes.tasks)

    # ---- reading

    def find_record(self, key: TaskKey) -> TaskRecord | None:
        """Return a task of the board, None where no submit of it counts."""
        task = self.store.find_task(key)
        return None if task is None else self.record_of(task)

    def record_of(self, task: TaskState) -> TaskRecord | None:
        """Return the record of a task's state, None where no submit of it counts."""
        if not task.fold.submits:
            return None
        return task.fold.record(self.genesis.policy, tuple(sorted(task.heads)))

    def roster(self) -> Roster:
        """Return members and presences (R5)."""
        return self._state.roster.roster(self.ledger, self.genesis.policy.admission)

    def active_workers(self) -> frozenset[ActorKey]:
        """Return who joined last under a grant that stands (R5)."""
        return self._state.roster.active_workers()

    @property
    def heads(self) -> tuple[Cid, ...]:
        """Heads of the log, sorted; the genesis alone for an empty log (C2)."""
        return tuple(sorted(self._state.heads)) or (self.ledger,)

    @property
    def clock_root(self) -> bytes:
        """Return the root of the Merkle clock (C3)."""
        return clock_root(self.heads)

    @property
    def vector(self) -> dict[ActorKey, int]:
        """How many events of each actor the log holds (C4)."""
        return self.store.vector()

    def seen_by(self, cid: Cid) -> frozenset[ActorKey]:
        """Return the active workers that have seen an event of the log (C7)."""
        seen, workers = self.graph.node(cid).seen, self._state.workers
        return frozenset(actor for actor in self.active_workers() if actor in workers and seen >> workers[actor] & 1)

    def is_stable(self, cid: Cid) -> bool:
        """Return whether every active worker has seen an event, and there is one (C7)."""
        active = self.active_workers()
        return bool(active) and self.seen_by(cid) == active

    def ignored(self) -> list[Ignored]:
        """Return operations without effect, in the linear order of their events."""
        found = [entry for entry in self.store.ignored() if self.graph.counts(entry.event)]
        found += self._on_void_tasks()
        return sorted(found, key=lambda e: (*order_key(self.graph.node(e.event).height, e.event), e.index))

    def _on_void_tasks(self) -> list[Ignored]:
        """Return what was sound when it was said, on tasks all of whose submits a revocation has voided since (F0a)."""
        found: list[Ignored] = []
        for key in self.store.void_tasks():
            for cid, verdict in self.store.verdicts(key).items():
                if verdict.rule is None and self.graph.counts(cid):
                    keys = [task_of(op) for op in read_operations(self.store.event(cid))]
                    found.append(Ignored(cid, keys.index(key), "F0a", "no submit of this task counts any more"))
        return found

    def refresh_tree(self) -> None:
        """Bring the hash tree up to date with the tasks that changed."""
        update_tree(self.store, ((key, self.find_record(key)) for key in self.store.take_stale()))

    def state_root(self) -> bytes:
        """Return the hash over the whole board (C6)."""
        self.refresh_tree()
        return read_root(self.store, self.ledger, self.roster())

    def snapshot(self) -> Snapshot:
        """Return the whole board as one value, for comparison with the oracle; costs as much as the ledger is long."""
        nodes = list(self.store.nodes_downwards())
        records = (self.record_of(task) for task in self.store.tasks())
        log = frozenset(node.cid for node in nodes if node.in_log)
        return Snapshot(
            ledger=self.ledger,
            tasks={record.key: record for record in records if record is not None},
            roster=self.roster(),
            heads=self.heads,
            vector=self.vector,
            log=log,
            counts=frozenset(node.cid for node in nodes if node.counts),
            seen_by={cid: self.seen_by(cid) for cid in log},
            active_workers=self.active_workers(),
            ignored=frozenset(Ignored(entry.event, entry.index, entry.rule, "") for entry in self.ignored()),
            state_root=self.state_root(),
        )


def _repeats(op: Operation | Unread, seen: set[object]) -> bool:
    """Return whether an event already held an operation of the kind that only the first of has effect (M3)."""
    match op:
        case Admit():
            mark: object = ("admit", op.actor)
        case Unread() if op.admits is not None:
            seen.add(("admit", op.admits))
            mark = op.task
        case Revoke():
            mark = ("revoke", op.grant, op.actor)
        case Join() | Leave():
            mark = "presence"
        case _:
            mark = task_of(op)
    if mark is None or mark in seen:
        return mark is not None
    seen.add(mark)
    return False
