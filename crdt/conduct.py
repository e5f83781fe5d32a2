"""How members behaved, judged while a board is grown in the linear order: forked keys, and what was left out of a past.

Implements: specs/audit.md, J1 and J2. Nothing here changes what anything means: who hides what it saw gains what the
rules of tasks let it gain (specs/counterexamples.md, 4), and this names the event that proves it. Leaves out whose turn
a claim was (scheduler.turns), since turns are policy.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Final

from crdt.board import Board
from crdt.board_store import Node
from crdt.fold import TaskFold, Verdict
from crdt.order import order_key
from crdt.prospect import FOLLOWS_MAX
from crdt.soundness import Context, judge
from crdt.task_graph import first_by_task
from ledger.cid import Cid
from ledger.events import PARENTS_MAX, TaskKey, VerifiedEvent
from ledger.keys import ActorKey
from ledger.operation_codec import read_operations
from ledger.operations import Submit, TaskOperation, Unread

FINDINGS_MAX: Final = 16
"""Most findings of one rule that are kept of one actor on one task; all are counted."""
NAMED_MAX: Final = 8
"""Most events that one finding names."""


@dataclass(frozen=True, slots=True)
class Finding:
    """What one event shows about its author. `about` are the events that prove it, at most NAMED_MAX of them."""

    rule: str
    event: Cid
    actor: ActorKey
    task: TaskKey | None
    about: tuple[Cid, ...]
    words: str


class Findings:
    """Findings in the linear order of their events; of what a flood would repeat some are kept, all are counted."""

    def __init__(self) -> None:
        self.kept: list[Finding] = []
        self.counts: Counter[tuple[str, ActorKey]] = Counter()
        self._on_task: Counter[tuple[str, ActorKey, TaskKey | None]] = Counter()

    def add(self, finding: Finding) -> None:
        """Count a finding, and keep it where there are few of its kind."""
        self.counts[finding.rule, finding.actor] += 1
        kind = finding.rule, finding.actor, finding.task
        self._on_task[kind] += 1
        if self._on_task[kind] <= FINDINGS_MAX:
            self.kept.append(finding)


class Conduct:
    """Watches a board that is grown in the linear order (C1): `before` each event, and `after` it."""

    def __init__(self, board: Board, findings: Findings, *, parents_max: int = PARENTS_MAX) -> None:
        self._parents_max = parents_max
        self._board = board
        self._findings = findings
        self._said: dict[ActorKey, list[Node]] = {}
        self._behind: list[tuple[TaskKey, TaskOperation]] = []
        self.forked: set[ActorKey] = set()
        """Keys that were used in two places."""

    def before(self, event: VerifiedEvent) -> None:
        """Note which of an event's operations do not follow all heads of their task; most do, and are done with."""
        self._behind = []
        for key, op in first_by_task(read_operations(event.event)).items():
            if isinstance(op, Submit | Unread):
                continue
            task = self._board.store.find_task(key)
            if task is not None and (task.fenced or not task.heads.issubset(op.follows)):
                self._behind.append((key, op))

    def after(self, event: VerifiedEvent) -> None:
        """Judge an event that the board has folded."""
        node = self._board.graph.node(event.cid)
        if not node.counts:
            return  # it is void as a whole, and reported as such
        # Who has more heads than an event has room for merges them first, in witnesses that need not see one another.
        if event.event.ops or len(event.event.parents) < self._parents_max:
            self._judge_place(node)
        for key, op in self._behind:
            self._judge_follows(node, event, key, op)

    def _judge_place(self, node: Node) -> None:
        said = self._said.setdefault(node.actor, [])
        # What a revocation that the author knows has voided is not to be linked any more (R6).
        former = next((one.cid for one in reversed(said) if not one.fenced_by & node.revocations), None)
        said.append(node)
        if former is not None and not self.in_past(node, (former,)):
            self.forked.add(node.actor)
            words = "the key was used in two places: this event has not its author's former one in its past"
            self._findings.add(Finding("J1", node.cid, node.actor, None, (former,), words))

    def in_past(self, node: Node, cids: Collection[Cid]) -> set[Cid]:
        """Return which of `cids` are in the causal past of `node`; walks no further down than they lie."""
        graph = self._board.graph
        wanted = set(cids)
        found = wanted.intersection(node.links)
        if not wanted or found == wanted:
            return found
        lowest = min(graph.node(cid).height for cid in wanted)
        passed: set[Cid] = set()
        stack = [node]
        while stack and found != wanted:
            for cid in stack.pop().links:
                if cid in passed:
                    continue
                passed.add(cid)
                if cid in wanted:
                    found.add(cid)
                linked = graph.node(cid)
                if linked.height > lowest:
                    stack.append(linked)
        return found

    # ---- J2

    def _judge_follows(self, node: Node, event: VerifiedEvent, key: TaskKey, op: TaskOperation) -> None:
        verdicts = self._board.store.verdicts(key)
        own = verdicts.get(node.cid)
        if own is None or own.rule is not None:
            return  # without effect, and reported as such
        reached = self._board.task_graph.reach(key, op.follows, verdicts)
        left = [cid for cid, verdict in verdicts.items() if verdict.rule is None and cid not in reached]
        missed, elsewhere = self._seen(node, (cid for cid in left if cid != node.cid))
        if not missed and not elsewhere:
            return
        if self._is_excused(node, event, key, op, {cid: verdicts[cid] for cid in (*reached, *missed, *elsewhere)}):
            return
        about = tuple(sorted(missed or elsewhere, key=self._order))
        had = "its author had seen" if missed else "another event of its author had seen"
        words = f"it did not follow {len(about)} operations on the task that {had}"
        named = about[-NAMED_MAX:]
        if not missed:
            words += "; the key was used in two places, or its author hides where it stood"
        self._findings.add(Finding("J2", node.cid, node.actor, key, named, words))

    def _seen(self, node: Node, cids: Iterable[Cid]) -> tuple[list[Cid], list[Cid]]:
        """Return which of `cids` are in the past of `node`, and which in that of its author's other events alone.

        What lies beyond a revocation in that past is not there to be followed (P).
        """
        number = self._board.store.state.workers.get(node.actor)
        graph = self._board.graph
        linked = [one for one in map(graph.node, cids) if not one.fenced_by & node.revocations]
        if number is None:
            return list(self.in_past(node, [one.cid for one in linked])), []
        marked = [one.cid for one in linked if one.seen >> number & 1]
        if node.actor not in self.forked:  # its events are a chain: what one of them has seen, the latest has
            return marked, []
        own = self.in_past(node, marked)
        return list(own), [cid for cid in marked if cid not in own]

    def _is_excused(
        self, node: Node, event: VerifiedEvent, key: TaskKey, op: TaskOperation, seen: dict[Cid, Verdict]
    ) -> bool:
        """Tell whether a flooded task left the author no choice but to follow less (S7).

        It names the least submit then, and says only what is sound by all it has seen.
        """
        graph, tasks = self._board.graph, self._board.task_graph
        stands = {cid: verdict for cid, verdict in seen.items() if not graph.node(cid).fenced_by & node.revocations}
        if len(stands) <= FOLLOWS_MAX:
            return False
        entries = (tasks.entry(cid, key)[1] for cid in stands)
        followed = [cid for one in entries if one is not None and not isinstance(one, Submit) for cid in one.follows]
        heads = stands.keys() - tasks.reach(key, tuple(followed), seen).keys()
        if len(heads) <= FOLLOWS_MAX:
            return False
        fold = TaskFold(key)
        for cid, verdict in stands.items():
            tasks.add_to(fold, cid, verdict)
        if not fold.submits or fold.least_submit.cid not in op.follows:
            return False
        policy = self._board.genesis.policy
        context = Context(policy, lambda need, inputs: True, lambda cid: graph.node(cid).actor)
        return judge(op, event.event, event.grant, fold, context).rule is None

    def _order(self, cid: Cid) -> tuple[int, Cid]:
        return order_key(self._board.graph.node(cid).height, cid)
