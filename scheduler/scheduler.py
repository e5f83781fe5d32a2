"""`P2PWorkflowScheduler`: the quick start's class, over the ledger in the home folder.

Implements: the Python contract. What it knows is the board's: nothing is kept here but the peer's queue, the claims it
renews, and what it was told of other peers' clocks. Calls may come from several threads; each takes its turn. Leaves
out rules and actions, which are `crdt` and `scheduler.actions`.
"""

from __future__ import annotations

import weakref
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

from crdt.clock import MerkleClock
from ledger.events import TaskKey
from ledger.operations import Attachment
from scheduler import actions
from scheduler.actions import Settled
from scheduler.awaiting import await_tasks
from scheduler.home import Home
from scheduler.live import LiveTasks
from scheduler.queue import TaskQueue
from scheduler.results import Result, result_of
from scheduler.run_log import read_log
from scheduler.session import Session
from scheduler.tags import WorkflowTag, is_p2p_only, should_bypass_github
from scheduler.task import P2PTask, Payload
from scheduler.working.counters import WorkerCounters
from scheduler.working.draining import DRAIN_LIMIT_S
from scheduler.working.handlers import Handlers, HandlerWork
from scheduler.working.joining import leave
from scheduler.working.signals import heeding_signals
from scheduler.working.worker import Options, Until, Worker


class P2PWorkflowScheduler:
    """Submit tasks, take them and complete them, as one peer of a ledger that several processes and machines share.

    Its state is durable: what a call has answered is on the disk. Claims it holds are renewed in the background until
    they are settled, or `close`. A context manager; not to be carried over a fork.

    Where the board does not allow what a call asks, the call returns False and the log says why: a loop goes on.

    Args:
        peer_id: names a key of the home, made at first use, and admitted and joined where the owner's key is at hand.
            The key in P2P_WORKFLOW_KEY signs only where the home has no key of that name and cannot admit one, or it is
            that very peer's; `peer_id` then is the name it was admitted under, else its did:key. A member that is no
            worker can submit and look; to take and complete tasks raises NotAMemberError.
        bootstrap_peers: names of peers known from the start; and addresses where peers are reached (a multiaddr that
            ends in /p2p/ID, an http URL, or the token of `peer invite`), which a running `peer run` dials at once. A
            token makes a new home enter its ledger.
        home: the home folder; None: P2P_WORKFLOW_HOME, else the platform's data folder. First use founds a ledger.
        labels: what this peer can do, for tasks that require it; None: as it joined last.

    Raises:
        TypeError: `peer_id` is no text.
        ValueError: `peer_id` cannot be the name of a key.
        NotAMemberError: an owner elsewhere must admit the key first; the message names it.
        RuntimeError: from any call after `close`, or after a fork.
    """

    def __init__(
        self,
        peer_id: str,
        bootstrap_peers: Sequence[str] | None = None,
        *,
        home: str | Path | None = None,
        labels: Sequence[str] | None = None,
    ) -> None:
        if not isinstance(peer_id, str):
            raise TypeError(f"peer_id must be text, not {type(peer_id).__name__}")
        session = self._session = Session(peer_id, () if bootstrap_peers is None else bootstrap_peers, home, labels)
        # Who forgets to close must not keep its claims for ever, nor the home's files open.
        weakref.finalize(self, session.close)
        me = session.key.actor
        self.peer_id = session.peer_id
        looking, shown = session.looking, session.shown
        self.pending_tasks: Mapping[str, P2PTask] = LiveTasks(looking, "open", lambda holder: holder != me, shown)
        self.assigned_tasks: Mapping[str, P2PTask] = LiveTasks(looking, "open", lambda holder: holder == me, shown)
        self.completed_tasks: Mapping[str, P2PTask] = LiveTasks(looking, "done", lambda _: True, shown)

    # ---- tasks

    def submit_task(self, task: P2PTask) -> bool:
        """Submit a task; return False where this very request was submitted before, whatever became of it.

        So too where it was done in the ledger that this one goes on from. Fills in `task.task_key` and
        `task.assigned_peer`.

        Raises:
            ConflictError: this peer submitted another request under the same `task_id` and `workflow_id`.
            TypeError: it is no P2PTask.
            ValueError: a field of the task cannot be as it is.
        """
        if not isinstance(task, P2PTask):
            raise TypeError(f"a P2PTask is wanted, not {type(task).__name__}")
        session = self._session
        with session.using() as home:
            submitted = actions.submit(home, session.key, actions.request_of(task))[0]
            with session.looking():
                task.task_key = submitted.key.hex()
                task.assigned_peer = None if submitted.found is None else session.assigned_peer(submitted.found)
            return submitted.created

    def get_next_task(self) -> P2PTask | None:
        """Claim the next task for this peer and return it; None where there is none for it now."""
        session = self._session
        with session.using() as home:
            session.work()
            taken = actions.take(home, session.key, lease_ms=home.policy.lease_ms, queue=session.queue)
            return None if taken is None else session.given(taken)

    def mark_task_complete(self, task_id: str, *, output: Payload | None = None) -> bool:
        """Complete a task; an open one that nobody holds is claimed first.

        Args:
            task_id: its id, or its task key in hexadecimal.
            output: its result.

        Returns:
            True once the ledger has it that this peer completed the task. False where it may not: the task is not
            found, is another peer's, who holds it or has completed it, was cancelled, or is nobody's to take now. The
            log says which, and who.
        """
        return self._complete(task_id, output, and_next=False) is not None

    def complete_and_next(self, task_id: str, *, output: Payload | None = None) -> P2PTask | None:
        """Complete a task and take the next one: one event, one disk sync. Return the next one, None without.

        A task that may not be completed, as `mark_task_complete` says, does not keep from the next one.
        """
        with self._session.using():
            settled = self._complete(task_id, output, and_next=True)
            if settled is None or settled.already:
                return self.get_next_task()
            return None if settled.next is None else self._session.given(settled.next)

    def _complete(self, task_id: str, output: Payload | None, *, and_next: bool) -> Settled | None:
        session = self._session
        result = None if output is None else Attachment(output.media_type, data=output.data)

        def complete(home: Home, task: TaskKey) -> Settled:
            lease_ms, queue = home.policy.lease_ms, session.queue
            return actions.complete(
                home, session.key, task, output=result, and_next=and_next, lease_ms=lease_ms, queue=queue
            )

        with session.using():
            session.work()
            return self._let_go(session.attempt("completing", task_id, complete))

    def _let_go(self, settled: Settled | None) -> Settled | None:
        if settled is not None:
            self._session.renewer.drop(settled.record.key)
        return settled

    def fail_task(self, task_id: str, error: str = "", *, failure_class: str = "error") -> bool:
        """Say that this peer's attempt at a task it holds has failed; False where it holds none."""
        key = self._session.key
        settled = self._session.attempt(
            "failing",
            task_id,
            lambda home, task: actions.fail(home, key, task, failure_class=failure_class, error=error),
        )
        return self._let_go(settled) is not None

    def release_task(self, task_id: str, reason: str | None = None) -> bool:
        """Give back a task this peer holds, untried; False where it holds none."""
        key = self._session.key
        settled = self._session.attempt(
            "releasing", task_id, lambda home, task: actions.release(home, key, task, reason=reason)
        )
        return self._let_go(settled) is not None

    def cancel_task(self, task_id: str, reason: str | None = None) -> bool:
        """Cancel a task this peer submitted; False where it is done or another's."""
        key = self._session.key
        steered = self._session.attempt(
            "cancelling", task_id, lambda home, task: actions.cancel(home, key, task, reason=reason)
        )
        return steered is not None

    def result(self, task_id: str) -> Result:
        """Return how a task came out, or how far it is: outputs, exit code, worker, claim, what is not here yet.

        Raises TaskNotFoundError, and AmbiguousTaskError where several tasks have the name.
        """
        with self._session.using() as home:
            return result_of(home, actions.resolve(home, self._session.key, task_id))

    def logs(self, task_id: str) -> bytes:
        """Return what a task printed, as far as it has come; words stand for a piece that is not here.

        Of a task that was tried several times it is the log of the result, of who holds it, or of the last attempt.
        Raises as `result`.
        """
        with self._session.using() as home:
            return b"".join(read_log(home, actions.resolve(home, self._session.key, task_id)))

    def wait(self, task_id: str, timeout: float | None = None) -> Result:
        """Wait until a task is over, at most `timeout` seconds; return its result as it is then. Raises as `result`.

        Over is done, cancelled, dead, expired, or blocked by a need that is so: see the result's `status`. Other
        threads may use this scheduler meanwhile.
        """
        if timeout is not None and not timeout >= 0:
            raise ValueError(f"timeout must be 0 or more, not {timeout!r}")
        with self._session.using() as home:
            folder, task = home.folder, actions.resolve(home, self._session.key, task_id).key
        with Home.open(folder) as own:
            await_tasks(own, (task,), timeout)
            return result_of(own, actions.resolve(own, None, task.hex()))

    def determine_task_owner(self, task: P2PTask) -> str | None:
        """Return the peer a task is assigned to, the same on every peer that knows the same events and who is there.

        None for a task that was not submitted, and where no peer heard of lately may take it.
        """
        with self._session.looking():
            record = self._session.find_submitted(task)
            return None if record is None else self._session.assigned_peer(record)

    def should_bypass_github(self, tags: Iterable[str | WorkflowTag]) -> bool:
        """Tell whether a task of these tags may run peer-to-peer; raise UnknownTagError for a tag there is not."""
        return should_bypass_github(tags)

    def is_p2p_only(self, tags: Iterable[str | WorkflowTag]) -> bool:
        """Tell whether a task of these tags must run peer-to-peer; raise UnknownTagError for a tag there is not."""
        return is_p2p_only(tags)

    def run_worker(
        self, handlers: Handlers, *, slots: int = 1, until: Until = Until.TOLD, drain_limit_s: float = DRAIN_LIMIT_S
    ) -> WorkerCounters:
        """Do tasks with functions of this program, several at once, until it is told to end; return what was done.

        Claims are renewed and settled together, as `worker run` does it. In the main thread SIGTERM and Ctrl-C end it:
        it takes nothing new and lets what runs finish; a second one gives back what runs. In the end the peer has left;
        it joins again when it next takes a task.

        Args:
            handlers: a function for each media type of payloads; it is given a HandledTask and returns the result. What
                it raises is a failed attempt.
            slots: tasks at once, each in a thread.
            until: when it ends by itself.
            drain_limit_s: how long tasks may run on once it was told to end.

        Raises:
            NotAMemberError: this peer is no worker, or not any more.
        """
        session = self._session
        with session.using() as home:
            session.work()
            folder, key = home.folder, session.key
        options = Options(slots=slots, until=until, drain_limit_s=drain_limit_s)
        with Home.open(folder) as own:
            worker = Worker(own, key, lambda _: HandlerWork(own, handlers), options)
            with heeding_signals(worker):
                counters = worker.run()
                leave(own, key)
        session.has_left()
        return counters

    # ---- peers

    def check_peer_failure(self, peer: str, timeout_seconds: float = 300) -> bool:
        """Tell whether nothing was heard of a peer for so long: no event, no heartbeat in this home, no clock.

        True for one never heard of, False for this peer itself. Raises ValueError for a timeout that is not 0 or more.
        """
        if not timeout_seconds >= 0:
            raise ValueError(f"timeout_seconds must be 0 or more, not {timeout_seconds!r}")
        session = self._session
        with session.looking() as home:
            if peer == self.peer_id or session.peers.find_actor(peer) == session.key.actor:
                return False
            heard_ms = session.peers.heard_ms(peer)
            return heard_ms is None or home.now_ms() - heard_ms > timeout_seconds * 1000

    def update_peer_state(self, peer_id: str, clock: MerkleClock | Mapping[str, object]) -> None:
        """Take note of another peer's clock, as `known_peers[peer_id]["clock"]`, and that it was heard of.

        Our own clock moves by signed events alone. Raises ClockError for a clock that is malformed, whose root is not
        its own, or that counts more events than its heads hold, where we know them, or that is another peer's.
        """
        with self._session.using():
            self._session.peers.update(peer_id, clock)

    @property
    def known_peers(self) -> dict[str, dict[str, Any]]:
        """The other peers by name: `clock` as last told, `last_seen` in seconds since 1970 or None."""
        with self._session.looking():
            return self._session.peers.entries()

    @property
    def task_queue(self) -> TaskQueue:
        """What this peer can take, up to date."""
        with self._session.looking():
            return self._session.queue

    @property
    def merkle_clock(self) -> MerkleClock:
        """The ledger's Merkle clock: its heads, and how many events of each actor it holds."""
        with self._session.looking():
            return self._session.clock()

    clock = merkle_clock

    def get_status(self) -> dict[str, Any]:
        """Return the numbers of the quick start's status, and this peer's clock as a dict."""
        session = self._session
        with session.looking() as home:
            counts = home.tasks.counts()
            held = list(session.queue.held().values()).count(session.key.actor)
            return {
                "peer_id": self.peer_id,
                "merkle_clock": session.clock().to_dict(),
                "pending_tasks": counts.get("open", 0) - held,
                "assigned_tasks": held,
                "completed_tasks": counts.get("done", 0),
                "queue_size": session.queue.size(),
                "known_peers": len(session.peers.entries()),
            }

    def close(self) -> None:
        """Stop renewing and close the home; claims run on until their leases end."""
        self._session.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
