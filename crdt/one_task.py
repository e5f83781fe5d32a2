"""One task by itself: what its own operations come to, for who has nothing of the ledger but them.

Implements: specs/tasks.md, P, F0 to F3 and D1 to D8, over the operations on one task alone. Two things lie outside its
DAG, and who gives the events answers for them: whether the completions that a claim names as inputs are sound (F1e),
and what lies beyond a fence (R4), which is named as void. Which of that an author had already seen fenced off cannot be
told from here; so an operation is taken for sound where some such choice makes it so: more may be, never less. The
rules are those of the board in use (crdt.soundness, crdt.fold); nothing is spelled a second time.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace
from typing import NamedTuple

from crdt.board_store import MemoryBoardStore, Node, TaskState
from crdt.fold import TaskFold, Verdict
from crdt.order import order_key
from crdt.records import TaskRecord
from crdt.soundness import Context, judge
from crdt.task_graph import TaskGraph, first_by_task
from ledger.cid import Cid
from ledger.events import Event, Grant, Policy, TaskKey
from ledger.keys import ActorKey
from ledger.operation_codec import read_operations
from ledger.operations import Claim, Submit, TaskOperation, Unread


class SignedOperation(NamedTuple):
    """An event whose signature and grant were checked, with an operation on the task; its other links were not."""

    cid: Cid
    event: Event
    grant: Grant


class _Events(MemoryBoardStore):
    """A store whose events are those at hand."""

    def __init__(self, known: Mapping[Cid, SignedOperation]) -> None:
        super().__init__()
        self.known = known

    def event(self, cid: Cid) -> Event:
        return self.known[cid].event


def fold_one_task(
    key: TaskKey, events: Iterable[SignedOperation], policy: Policy, void: Collection[Cid] = ()
) -> TaskRecord | None:
    """Return what `events` but for the `void` ones make of the task; None where no sound submit is among them.

    Never raises.
    """
    known = {one.cid: one for one in events}
    store = _Events(known)
    graph = TaskGraph(store)
    task = TaskState(TaskFold(key))

    def actor_of(cid: Cid) -> ActorKey | None:
        return known[cid].event.actor if cid in known else None

    context = Context(policy, lambda need, inputs: bool(inputs), actor_of)
    for one in sorted(known.values(), key=lambda one: order_key(one.event.height, one.cid)):
        op = first_by_task(read_operations(one.event)).get(key)
        node = Node(one.cid, one.event.height, one.event.actor, one.event.grant, one.event.links())
        store.put_node(node)
        if op is None:
            continue
        if isinstance(op, Unread):
            store.put_verdict(key, one.cid, Verdict(op.rule, op.words, through=True))
            continue
        followed: set[Cid] = set()
        if isinstance(op, Submit):
            verdict = judge(op, one.event, one.grant, TaskFold(key), context)
        elif void:
            reached = graph.reach(key, op.follows)
            followed = task.heads.intersection(reached)
            verdict = _judge_beside_void(op, one, _pasts(graph, key, op, reached, void), context)
        else:
            past, followed = graph.past(node, op, task)
            verdict = judge(op, one.event, one.grant, past, context)
            if verdict.rule is None:
                graph.extend_chain(one.cid, op, past, task, verdict)
        store.put_verdict(key, one.cid, verdict)
        if verdict.rule is None and one.cid not in void:
            task.fold.add(one.cid, one.event, op, verdict)
            task.heads.difference_update(followed)
            task.heads.add(one.cid)
    return task.fold.record(policy, tuple(sorted(task.heads))) if task.fold.submits else None


def _pasts(
    graph: TaskGraph, key: TaskKey, op: TaskOperation, reached: Mapping[Cid, Verdict], void: Collection[Cid]
) -> tuple[TaskFold, TaskFold, TaskFold]:
    """Return what P may be: without all that is void, with it, and no more than what the operation rests on."""
    without, whole, least = TaskFold(key), TaskFold(key), TaskFold(key)
    rests_on = getattr(op, "claim", None)
    for cid, verdict in reached.items():
        _, found = graph.entry(cid, key)
        graph.add_to(whole, cid, verdict)
        if isinstance(found, Submit) or cid not in void:
            graph.add_to(without, cid, verdict)
        if isinstance(found, Submit) or cid == rests_on:
            graph.add_to(least, cid, verdict)
    return without, whole, least


def _judge_beside_void(
    op: TaskOperation, one: SignedOperation, pasts: tuple[TaskFold, TaskFold, TaskFold], context: Context
) -> Verdict:
    """Return the verdict by the first of `pasts` that makes the operation sound, else by the last."""
    verdicts = [judge(op, one.event, one.grant, past, context) for past in pasts]
    found = next((verdict for verdict in verdicts if verdict.rule is None), verdicts[-1])
    if found is verdicts[-1] and isinstance(op, Claim) and found.rule is None:
        return replace(found, attempt=pasts[1].next_attempt)
    return found
