"""One peer at work on a home: its key, its queue, the claims it keeps alive, and taking turns among threads.

Implements: what the Python contract says of `peer_id`, first use and renewal. `P2PWorkflowScheduler` stands on it and
gives it the names of the guide.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final, TypeVar

from crdt.clock import MerkleClock
from crdt.records import TaskRecord
from ledger.cid import Cid
from ledger.events import Role, TaskKey
from ledger.keys import did_key
from ledger.operations import Join
from scheduler.actions import ActionError, Taken, resolve
from scheduler.bootstrap import enter_invited, keep_endpoints, read_bootstrap
from scheduler.folders import home_folder
from scheduler.home import Home
from scheduler.live import task_of
from scheduler.membership import NotAMemberError
from scheduler.peers import KnownPeers
from scheduler.queue import TaskQueue
from scheduler.renewal import Renewer
from scheduler.task import P2PTask

_logger = logging.getLogger(__name__)
_said_where: Final[set[Path]] = set()  # homes whose founding this process has told of

T = TypeVar("T")


class Session:
    """An open home with a peer that works in it. Arguments and errors are those of `P2PWorkflowScheduler`."""

    def __init__(
        self, peer_id: str, bootstrap_peers: Sequence[str], home: str | Path | None, labels: Sequence[str] | None
    ) -> None:
        self._turn = threading.RLock()
        self._process = os.getpid()
        folder = home_folder(home)
        bootstrap = read_bootstrap(bootstrap_peers)
        enter_invited(folder, bootstrap)
        self.home, founded = Home.open_or_found(folder)
        try:
            if founded and folder not in _said_where:
                _said_where.add(folder)
                _logger.warning("first use: made a private ledger with one owner in %s", folder)
            self._labels = None if labels is None else tuple(sorted(set(labels)))
            self._is_at_work = False
            self.key = self.home.members.key_named(peer_id)
            self.peer_id = self._shown_id(peer_id)
            keep_endpoints(self.home, bootstrap)
            self._work_if_worker()
            self.peers = KnownPeers(self.home, self.key.actor, bootstrap.names)
        except BaseException:
            self.home.close()
            raise
        self._is_closed = False
        self.queue = TaskQueue(self.home, self.key.actor)
        self.renewer = Renewer(folder, self.key, self.home.policy.lease_ms)

    def _shown_id(self, peer_id: str) -> str:
        """Return the id to show: the one asked for where it names the key, else the name of the key that signs."""
        kept = self.home.keys.find(peer_id)
        if kept is not None and kept.actor == self.key.actor:
            return peer_id
        with self.home.reading():
            name = self.home.members.name_of(self.key.actor)
        if name != peer_id:
            _logger.warning("the peer %r of P2P_WORKFLOW_KEY signs where %r was asked for", name, peer_id)
        return name

    def _work_if_worker(self) -> None:
        """Join, where the peer can be a worker; raise NotAMemberError where it is no member at all."""
        try:
            self.work()
        except NotAMemberError:
            with self.home.reading():
                if self.home.members.grant_for(self.key.actor) is None:
                    raise

    def work(self) -> None:
        """Have joined as a worker since this session began, once; raise NotAMemberError where the peer is none."""
        if self._is_at_work:
            return
        self.home.members.put_to_work(self.key, self.peer_id, self._labels or ())
        if self._labels is not None:
            self._join(self._labels)
        self._is_at_work = True

    def has_left(self) -> None:
        """Note that the peer has left: it joins when it next works."""
        self._is_at_work = False

    def _join(self, labels: tuple[str, ...]) -> None:
        """Join anew where the peer has joined with other labels."""
        with self.home.writing() as writing:
            presences = {presence.actor: presence for presence in self.home.board.roster().presences}
            if presences[self.key.actor].labels != labels:
                writing.append(self.key, (Join(labels),), Role.WORKER)

    def close(self) -> None:
        """Stop renewing and close the home; in a process that was forked since, leave both to the parent."""
        if os.getpid() != self._process:
            return
        with self._turn:
            self._is_closed = True
            self.renewer.close()
            self.home.close()

    @contextmanager
    def using(self) -> Iterator[Home]:
        """Have the home for oneself; raise RuntimeError after `close`, or in a process that was forked since."""
        if os.getpid() != self._process:
            raise RuntimeError("this scheduler was made before a fork: make a new one in the child process")
        with self._turn:
            if self._is_closed:
                raise RuntimeError("this scheduler is closed: make a new one, it goes on where this one ended")
            yield self.home

    @contextmanager
    def looking(self) -> Iterator[Home]:
        """Have one state of the home for oneself, with the queue up to date."""
        with self.using() as home, home.reading():
            self.queue.refresh(home.now_ms())
            yield home

    def attempt(self, doing: str, task_id: str, act: Callable[[Home, TaskKey], T]) -> T | None:
        """Return what `act` makes of the task of this id or key; None where the board forbids it, as the log says."""
        with self.using() as home:
            try:
                return act(home, resolve(home, self.key, task_id).key)
            except ActionError as error:
                _logger.warning("%s task %s was refused: %s", doing, task_id, error)
                return None

    def given(self, taken: Taken) -> P2PTask:
        """Return a task just taken, and keep its claim alive from now on."""
        self.renewer.hold(taken.record.key, taken.claim)
        with self.home.reading():
            return self.shown(taken.record, taken.claim)

    def shown(self, record: TaskRecord, claim: Cid | None = None) -> P2PTask:
        """Return a task as its user sees it."""
        return task_of(self.home, record, assigned_peer=self.assigned_peer(record), claim=claim)

    def assigned_peer(self, record: TaskRecord) -> str | None:
        """Return the name of the peer of rank 0, as of the queue's last refresh; None where nobody is eligible."""
        actor = self.queue.crew.assigned_peer(record)
        return None if actor is None else self.peers.name_of(actor)

    def find_submitted(self, task: P2PTask) -> TaskRecord | None:
        """Return what was submitted as `task`: by its key, else by its names, this peer's own first."""
        if task.task_key is not None:
            return self.home.board.find_record(TaskKey(bytes.fromhex(task.task_key)))
        found = self.home.tasks.named(task.task_id, task.workflow_id)
        return min(found, key=lambda record: (record.submitter != self.key.actor, record.key), default=None)

    def clock(self) -> MerkleClock:
        """Return the ledger's clock under this peer's name."""
        board = self.home.board
        vector = {did_key(actor): count for actor, count in board.vector.items()}
        return MerkleClock.of_ledger(self.peer_id, vector, board.heads)
