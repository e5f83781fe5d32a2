"""What an operation's `follows` reaches on its task: the set P of the rules, cheaply where the author was up to date.

Implements: specs/tasks.md, section "P". An author who follows all heads of the task has seen all that the fold holds,
so P is the fold itself; a chain of late operations is folded link by link; else the task's own small DAG is walked.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Container, Mapping
from typing import Final

from crdt.board_store import BoardStore, Node, TaskState
from crdt.fold import TaskFold, Verdict
from ledger.cid import Cid
from ledger.events import Event, TaskKey
from ledger.operation_codec import read_operations
from ledger.operations import Admit, Join, Leave, Operation, Revoke, Submit, TaskOperation, Unread

_EVENTS_MAX: Final = 4096
_CHAINS_MAX: Final = 256

TaskEntry = Submit | TaskOperation | Unread


class TaskGraph:
    """Read and walk the operations on tasks of accepted events."""

    def __init__(self, store: BoardStore) -> None:
        self._store = store
        self._read: OrderedDict[Cid, tuple[Event, dict[TaskKey, TaskEntry]]] = OrderedDict()
        self._chains: OrderedDict[tuple[TaskKey, Cid], TaskFold] = OrderedDict()

    def clear(self) -> None:
        """Forget what was cached of folds, after the board changed beneath."""
        self._chains.clear()

    def entry(self, cid: Cid, key: TaskKey) -> tuple[Event, TaskEntry | None]:
        """Return an accepted event and its operation on a task, None where it has none."""
        found = self._read.get(cid)
        if found is None:
            event = self._store.event(cid)
            found = (event, first_by_task(read_operations(event)))
            self._read[cid] = found
            if len(self._read) > _EVENTS_MAX:
                self._read.popitem(last=False)
        return found[0], found[1].get(key)

    def past(self, node: Node, op: TaskOperation, task: TaskState) -> tuple[TaskFold, set[Cid]]:
        """Return P of an operation, not to be changed, and the heads of the task that it follows."""
        if not task.fenced:
            if task.heads.issubset(op.follows):
                return task.fold, set(task.heads)
            if len(op.follows) == 1:
                chain = self._chains.pop((task.fold.key, op.follows[0]), None)
                if chain is not None:
                    return chain, task.heads.intersection(op.follows)
        reached = self.reach(task.fold.key, op.follows)
        fold = TaskFold(task.fold.key)
        for cid, verdict in reached.items():
            linked = self._store.find_node(cid)
            # A revocation the author had not seen must not reach into soundness: it would change when it arrives.
            if linked is not None and not linked.fenced_by & node.revocations:
                self.add_to(fold, cid, verdict)
        return fold, task.heads.intersection(reached)

    def extend_chain(self, cid: Cid, op: TaskOperation, past: TaskFold, task: TaskState, verdict: Verdict) -> None:
        """Remember `past` with the operation added, for the next one of a chain that is not the task's only one."""
        if past is task.fold or task.fenced:
            return
        self.add_to(past, cid, verdict)
        self._chains[task.fold.key, cid] = past
        if len(self._chains) > _CHAINS_MAX:
            self._chains.popitem(last=False)

    def reach(
        self,
        key: TaskKey,
        follows: tuple[Cid, ...],
        verdicts: Mapping[Cid, Verdict] | None = None,
        known: Container[Cid] = (),
    ) -> dict[Cid, Verdict]:
        """Return the sound operations on a task that `follows` reaches, but for what is `known` to be reached.

        What is unknown or malformed is followed through, what is unsound is a dead end. `verdicts` spares looking them
        up again.
        """
        if verdicts is None:
            verdicts = self._store.verdicts(key)
        reached: dict[Cid, Verdict] = {}
        passed: set[Cid] = set()
        stack = list(follows)
        while stack:
            cid = stack.pop()
            verdict = verdicts.get(cid)
            if verdict is None or cid in passed or cid in known or (verdict.rule is not None and not verdict.through):
                continue
            passed.add(cid)
            if verdict.rule is None:
                reached[cid] = verdict
            _, op = self.entry(cid, key)
            if op is not None and not isinstance(op, Submit):
                stack.extend(op.follows)
        return reached

    def add_to(self, fold: TaskFold, cid: Cid, verdict: Verdict) -> None:
        """Add the sound operation of an accepted event to a fold."""
        event, op = self.entry(cid, fold.key)
        if op is not None and not isinstance(op, Unread):
            fold.add(cid, event, op, verdict)

    def refold(self, key: TaskKey) -> TaskState:
        """Return the task folded anew over the operations that count."""
        state = TaskState(TaskFold(key))
        counting: list[Cid] = []
        for cid, verdict in self._store.verdicts(key).items():
            if verdict.rule is not None:
                continue
            node = self._store.find_node(cid)
            if node is not None and node.counts:
                self.add_to(state.fold, cid, verdict)
                counting.append(cid)
            else:
                state.fenced = True
        state.heads = set(counting)
        followed: list[Cid] = []
        for cid in counting:
            _, op = self.entry(cid, key)
            if op is not None and not isinstance(op, Submit):
                followed.extend(op.follows)
        state.heads.difference_update(self.reach(key, tuple(followed)))
        return state


def first_by_task(ops: tuple[Operation | Unread, ...]) -> dict[TaskKey, TaskEntry]:
    """Return the operation on each task: of several in one event only the first has effect (M3)."""
    found: dict[TaskKey, TaskEntry] = {}
    for op in ops:
        key = task_of(op)
        if key is not None and not isinstance(op, Admit | Revoke | Join | Leave):
            found.setdefault(key, op)
    return found


def op_key(op: Submit | TaskOperation) -> TaskKey:
    """Return the task of an operation on one."""
    return op.key if isinstance(op, Submit) else op.task


def task_of(op: Operation | Unread) -> TaskKey | None:
    """Return the task an operation is about, None where it is about none or its task cannot be read."""
    match op:
        case Admit() | Revoke() | Join() | Leave():
            return None
        case Unread():
            return op.task
        case _:
            return op_key(op)
