"""What a home answers about one task: its operations that count, and the grants that their authors act under.

Implements: specs/exchange.md, rule X19, of who answers: which events, what an asker has already, and waiting until
there is something new. Who waits holds no transaction, and only so many wait at once; the others are answered at once.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Final

from crdt.board_store import TaskState
from crdt.order import order_key
from ledger.cid import CODEC_RAW, Cid
from ledger.events import TaskKey
from ledger.operation_writing import named_blobs
from ledger.operations import Complete, Fail, Renew, Submit
from ledger.task_exchange import NAMES_MAX, TASK_EVENTS_MAX, TASK_HEADS_MAX, TaskFound, TaskName, TaskQuestion
from scheduler.home import Home
from scheduler.wake import Watch

WAITERS_MAX: Final = 4
"""Askers that are kept waiting at once: fewer than a server has threads."""
BLOBS_MAX: Final = 64
"""Outputs and pieces of logs that one answer holds; the rest is asked for by `want`."""
_LOOK_S: Final = 5.0
"""How often who waits looks by itself: should it not have been woken."""


class WaitingRoom:
    """Askers that wait for a change of a home, in whatever threads; shared by all homes of a server."""

    def __init__(self, most: int = WAITERS_MAX) -> None:
        self._most = most
        self._turn = threading.Lock()
        self._inside: set[Watch] = set()
        self._is_closed = False

    @contextmanager
    def enter(self, watch: Watch) -> Iterator[bool]:
        """Tell whether there is room to wait; it is taken until the block ends."""
        with self._turn:
            is_inside = not self._is_closed and len(self._inside) < self._most
            if is_inside:
                self._inside.add(watch)
        try:
            yield is_inside
        finally:
            with self._turn:
                self._inside.discard(watch)

    @property
    def is_closed(self) -> bool:
        """Whether nobody is to wait any more."""
        return self._is_closed

    def close(self) -> None:
        """Send all away."""
        with self._turn:
            self._is_closed = True
            for watch in self._inside:
                watch.poke()


class HomeTasks:
    """Answers about the tasks of one home."""

    def __init__(self, home: Home, room: WaitingRoom) -> None:
        self._home = home
        self._room = room

    def find(self, question: TaskQuestion) -> TaskFound:
        """Return what there is, kept back while the heads are those of the question, as long as it says."""
        if not question.wait_ms:
            return self._look(question)
        until = time.monotonic() + question.wait_ms / 1000
        with Watch(self._home.folder) as watch, self._room.enter(watch) as may_wait:
            while True:
                found = self._look(question)
                left = until - time.monotonic()
                if found.heads != question.heads or not may_wait or left <= 0 or self._room.is_closed:
                    return found
                watch.wait(min(left, _LOOK_S))

    def _look(self, question: TaskQuestion) -> TaskFound:
        home = self._home
        with home.reading():
            state = home.board.store.find_task(question.task)
            since, missing = self._missing(question.task, state, question.heads)
            part = missing[:TASK_EVENTS_MAX]
            heads = () if state is None else tuple(sorted(state.heads))
            if len(part) < len(missing):
                heads = self._heads_of(question.task, (*question.heads, *part) if since else part)
            named = [cid for name in question.names for cid in self._submits(name)]
            events = self._with_grants(dict.fromkeys((*part, *named)))
            void = tuple(cid for cid in part if not home.board.graph.counts(cid))
            heads = heads if len(heads) <= TASK_HEADS_MAX else ()
            return TaskFound(heads, since, events, void, self._blobs(question.task, part))

    def _missing(self, task: TaskKey, state: TaskState | None, heads: tuple[Cid, ...]) -> tuple[bool, list[Cid]]:
        """Return whether `heads` spare something, and the operations that mean something and that these do not follow.

        Where some operation does not count any more the asker may take it for one that does: it is told all anew.
        """
        board = self._home.board
        verdicts = board.store.verdicts(task)
        since = bool(heads) and state is not None and not state.fenced and all(cid in verdicts for cid in heads)
        have = board.task_graph.reach(task, heads, verdicts) if since else {}
        wanted = (
            cid for cid, verdict in verdicts.items() if (verdict.rule is None or verdict.through) and cid not in have
        )
        return since, self._in_order(wanted)

    def _heads_of(self, task: TaskKey, cids: Iterable[Cid]) -> tuple[Cid, ...]:
        """Return those of some operations that no other of them follows."""
        graph, some = self._home.board.task_graph, set(cids)
        followed: set[Cid] = set()
        for cid in some:
            _, op = graph.entry(cid, task)
            if op is not None and not isinstance(op, Submit):
                followed.update(op.follows)
        verdicts = self._home.board.store.verdicts(task)
        return tuple(sorted(cid for cid in some - followed if cid in verdicts and verdicts[cid].rule is None))

    def _submits(self, name: TaskName) -> Iterator[Cid]:
        """Yield the least submit of each task its submitter calls so."""
        found = [
            one for one in self._home.tasks.named(name.task_id, name.workflow_id) if one.submitter == name.submitter
        ]
        yield from (record.submits[0] for record in found[:NAMES_MAX])

    def _with_grants(self, cids: Iterable[Cid]) -> tuple[Cid, ...]:
        """Return events and the grants of their authors, in the linear order; the genesis is known to whoever asks."""
        board = self._home.board
        events = set(cids)
        events |= {grant for cid in events if (grant := board.graph.node(cid).grant) != self._home.ledger}
        return tuple(self._in_order(events))

    def _in_order(self, cids: Iterable[Cid]) -> list[Cid]:
        node = self._home.board.graph.node
        return sorted(cids, key=lambda cid: order_key(node(cid).height, cid))

    def _blobs(self, task: TaskKey, cids: Iterable[Cid]) -> tuple[Cid, ...]:
        """Return the outputs and logs of operations that are blobs; payloads the asker has, or can ask for."""
        graph = self._home.board.task_graph
        found: dict[Cid, None] = {}
        for cid in cids:
            _, op = graph.entry(cid, task)
            if isinstance(op, Renew | Fail | Complete):
                found |= dict.fromkeys(blob for blob in named_blobs(op) if blob.codec == CODEC_RAW)
        return tuple(found)[:BLOBS_MAX]
