"""What the board keeps between events, behind a small protocol: in memory here, in SQLite in the scheduler's home.

Everything in it is derived: it can be thrown away and rebuilt from the blocks.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Protocol

from crdt.fold import TaskFold, Verdict
from crdt.members import RosterFold
from crdt.records import Ignored
from ledger.cid import Cid
from ledger.events import Event, TaskKey, VerifiedEvent
from ledger.keys import ActorKey


@dataclass(slots=True)
class Node:
    """One accepted event as the graph sees it.

    The integers are sets: bit i of `revocations`, `own_revocations` and `fenced_by` is revocation number i of the
    board, bit i of `seen` its worker number i.
    """

    cid: Cid
    height: int
    actor: ActorKey
    grant: Cid
    links: tuple[Cid, ...]
    revocations: int = 0
    """Those in its causal past."""
    own_revocations: int = 0
    """Those it makes."""
    fenced_by: int = 0
    """Those it lies beyond; it counts where there are none (R4)."""
    in_log: bool = False
    seen: int = 0
    """Workers with a counting event that has this one in its past (C7)."""

    @property
    def counts(self) -> bool:
        """Whether no revocation fences the event out."""
        return not self.fenced_by


@dataclass(slots=True)
class TaskState:
    """One task's fold with its heads.

    `fenced`: some sound operation on it does not count, so that the fold is not what every author had before him.
    """

    fold: TaskFold
    heads: set[Cid] = field(default_factory=set)
    fenced: bool = False


@dataclass(slots=True)
class BoardState:
    """What a board knows beside events and tasks; small."""

    roster: RosterFold = field(default_factory=RosterFold)
    heads: set[Cid] = field(default_factory=set)
    workers: dict[ActorKey, int] = field(default_factory=dict)
    """The bit of each actor that has joined, in order of arrival; a local numbering."""
    voided: bool = False
    """Whether some accepted event does not count."""


class BoardStore(Protocol):
    """Where a board keeps what it derived. `put_…` of a value that was changed in place makes the change lasting."""

    state: BoardState

    def event(self, cid: Cid) -> Event:
        """Return an accepted event; KeyError for any other."""

    def find_node(self, cid: Cid) -> Node | None:
        """Return the node of an accepted event."""

    def put_node(self, node: Node) -> None:
        """Keep a node, new or changed."""

    def nodes_of(self, actor: ActorKey, grant: Cid | None = None) -> list[Node]:
        """Return the nodes of an actor, under one grant or all."""

    def nodes_downwards(self) -> Iterable[Node]:
        """Return all nodes, greatest height first."""

    def find_task(self, key: TaskKey) -> TaskState | None:
        """Return the state of a task that some sound operation is about."""

    def put_task(self, task: TaskState) -> None:
        """Keep a task, new or changed; its leaf is stale from now on."""

    def tasks(self) -> Iterable[TaskState]:
        """Return all tasks."""

    def void_tasks(self) -> list[TaskKey]:
        """Return the tasks none of whose submits counts."""

    def take_stale(self) -> list[TaskKey]:
        """Return the tasks put since their leaf was last put, and forget that they are stale."""

    def find_verdict(self, key: TaskKey, cid: Cid) -> Verdict | None:
        """Return what was decided of the operation of an event on a task."""

    def verdicts(self, key: TaskKey) -> dict[Cid, Verdict]:
        """Return what was decided of each operation on a task."""

    def put_verdict(self, key: TaskKey, cid: Cid, verdict: Verdict) -> None:
        """Keep what was decided of an operation."""

    def add_ignored(self, ignored: Ignored, actor: ActorKey, task: TaskKey | None) -> None:
        """Keep an operation without effect; how many for each actor and task is bounded."""

    def ignored(self) -> Iterable[Ignored]:
        """Return the operations without effect."""

    def add_to_vector(self, actor: ActorKey, events: int) -> None:
        """Count events of an actor in the log (C4)."""

    def vector(self) -> dict[ActorKey, int]:
        """Return how many events of each actor the log holds."""

    def reset_vector(self) -> None:
        """Forget all counts."""

    def put_state(self) -> None:
        """Make the changes of `state` lasting."""

    # the hash tree of C6
    def put_leaf(self, key: TaskKey, leaf: bytes | None) -> None:
        """Keep the hash of a task; None takes the task out of the tree."""

    def leaves(self, bucket: bytes) -> list[tuple[TaskKey, bytes]]:
        """Return the (key, leaf) pairs whose key begins with the two bytes `bucket`, in key order."""

    def put_branch(self, prefix: bytes, digest: bytes | None) -> None:
        """Keep the hash of a bucket (prefix of two bytes) or of a group (one byte)."""

    def branches(self, prefix: bytes) -> list[tuple[int, bytes]]:
        """Return (next byte, hash) below `prefix` (empty or one byte), ascending."""


@dataclass(slots=True)
class MemoryBoardStore:
    """Keep a board in memory: for tests, simulations and short replays."""

    state: BoardState = field(default_factory=BoardState)
    _events: dict[Cid, Event] = field(default_factory=dict)
    _nodes: dict[Cid, Node] = field(default_factory=dict)
    _tasks: dict[TaskKey, TaskState] = field(default_factory=dict)
    _verdicts: dict[TaskKey, dict[Cid, Verdict]] = field(default_factory=dict)
    _ignored: list[Ignored] = field(default_factory=list)
    _leaves: dict[bytes, dict[TaskKey, bytes]] = field(default_factory=dict)
    _branches: dict[bytes, dict[int, bytes]] = field(default_factory=dict)
    _by_actor: dict[ActorKey, list[Node]] = field(default_factory=dict)
    _stale: set[TaskKey] = field(default_factory=set)
    _vector: dict[ActorKey, int] = field(default_factory=dict)

    def add_event(self, event: VerifiedEvent) -> None:
        """Keep an accepted event, so that the board can read it again."""
        self._events[event.cid] = event.event

    def event(self, cid: Cid) -> Event:
        return self._events[cid]

    def find_node(self, cid: Cid) -> Node | None:
        return self._nodes.get(cid)

    def put_node(self, node: Node) -> None:
        if node.cid not in self._nodes:
            self._by_actor.setdefault(node.actor, []).append(node)
        self._nodes[node.cid] = node

    def nodes_of(self, actor: ActorKey, grant: Cid | None = None) -> list[Node]:
        return [node for node in self._by_actor.get(actor, ()) if grant in (None, node.grant)]

    def nodes_downwards(self) -> Iterable[Node]:
        return sorted(self._nodes.values(), key=lambda node: -node.height)

    def find_task(self, key: TaskKey) -> TaskState | None:
        return self._tasks.get(key)

    def put_task(self, task: TaskState) -> None:
        self._tasks[task.fold.key] = task
        self._stale.add(task.fold.key)

    def take_stale(self) -> list[TaskKey]:
        stale, self._stale = self._stale, set()
        return sorted(stale)

    def tasks(self) -> Iterable[TaskState]:
        return self._tasks.values()

    def void_tasks(self) -> list[TaskKey]:
        return [key for key, task in self._tasks.items() if not task.fold.submits]

    def find_verdict(self, key: TaskKey, cid: Cid) -> Verdict | None:
        return self._verdicts.get(key, {}).get(cid)

    def verdicts(self, key: TaskKey) -> dict[Cid, Verdict]:
        return self._verdicts.get(key, {})

    def put_verdict(self, key: TaskKey, cid: Cid, verdict: Verdict) -> None:
        self._verdicts.setdefault(key, {})[cid] = verdict

    def add_ignored(self, ignored: Ignored, actor: ActorKey, task: TaskKey | None) -> None:
        self._ignored.append(ignored)

    def ignored(self) -> Iterable[Ignored]:
        return tuple(self._ignored)

    def add_to_vector(self, actor: ActorKey, events: int) -> None:
        self._vector[actor] = self._vector.get(actor, 0) + events

    def vector(self) -> dict[ActorKey, int]:
        return dict(self._vector)

    def reset_vector(self) -> None:
        self._vector.clear()

    def put_state(self) -> None:
        pass  # changed in place, and memory is all there is

    def put_leaf(self, key: TaskKey, leaf: bytes | None) -> None:
        leaves = self._leaves.setdefault(key[:2], {})
        if leaf is None:
            leaves.pop(key, None)
        else:
            leaves[key] = leaf

    def leaves(self, bucket: bytes) -> list[tuple[TaskKey, bytes]]:
        return sorted(self._leaves.get(bucket, {}).items())

    def put_branch(self, prefix: bytes, digest: bytes | None) -> None:
        branches = self._branches.setdefault(prefix[:-1], {})
        if digest is None:
            branches.pop(prefix[-1], None)
        else:
            branches[prefix[-1]] = digest

    def branches(self, prefix: bytes) -> list[tuple[int, bytes]]:
        return sorted(self._branches.get(prefix, {}).items())
