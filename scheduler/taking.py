"""Taking a task: the next one by the queue, or the one an action is about, claimed durably before anybody is told.

Implements: `claim` of specs/tasks.md as an honest worker makes it. The queue is asked inside the transaction that
writes the claim, on a board that knows what every other process of the home has committed: no task is given twice.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Final

from crdt.prospect import claim_follows
from crdt.records import TaskRecord
from crdt.view import ObstacleKind, Status, view
from ledger.cid import Cid
from ledger.events import Policy, Role, TaskKey
from ledger.keys import ActorKey, SigningKey
from ledger.operations import Claim
from scheduler.acting import acting, inputs, write
from scheduler.action_errors import HeldByOtherError, NotReadyError, TaskOverError
from scheduler.assignment import LIVENESS_LEASES
from scheduler.explanation import render_obstacle
from scheduler.home import Home
from scheduler.membership import NotAMemberError
from scheduler.names import get_task
from scheduler.queue import TaskQueue
from scheduler.writing import Writing

LEASE_BY_HAND_MS: Final = 900_000
"""Lease of a task taken by hand, which nobody renews."""


@dataclass(frozen=True, slots=True)
class Taken:
    """A task this peer now holds under `claim`, the fencing token, until `until` (ms); `assigned` is who has rank 0."""

    record: TaskRecord
    claim: Cid
    until: int
    assigned: ActorKey | None


def lease_by_hand(policy: Policy, lease_ms: int | None = None) -> int:
    """Return the lease of a claim nobody renews: the one asked for, else 15 minutes; never above the policy's most."""
    return min(LEASE_BY_HAND_MS if lease_ms is None else lease_ms, policy.lease_ms_max)


def take(home: Home, key: SigningKey, *, lease_ms: int | None = None, queue: TaskQueue | None = None) -> Taken | None:
    """Claim the next task for `key` and return it; None where there is none for this peer now.

    Args:
        home: where to look.
        key: the peer's key.
        lease_ms: how long the claim runs; None: as long as by hand.
        queue: the peer's queue, where it keeps one; else one is built.

    Raises:
        NotAMemberError: no grant of the key lets it work.
    """
    queue = TaskQueue(home, key.actor) if queue is None else queue
    if not is_worth_writing(home, key.actor, queue):
        return None
    with acting(home, queue) as writing:
        writing.heard(key.actor)
        record = queue.next_task(writing.time)
        return None if record is None else claim(writing, key, record, lease_by_hand(home.policy, lease_ms), queue)


def is_worth_writing(home: Home, me: ActorKey, queue: TaskQueue) -> bool:
    """Tell whether there is a task, or a heartbeat is due; an idle poll waits for nobody and writes seldom."""
    if queue.wakes_at() == 0:  # there was one at the last look; the transaction looks again
        return True
    with home.reading():
        if queue.next_task(home.event_time()) is not None:
            return True
        if home.members.grant_for(me, Role.WORKER) is None:
            raise NotAMemberError(me, Role.WORKER)
        beat_ms = LIVENESS_LEASES * home.policy.lease_ms // 8
        return home.now_ms() - home.heard_of().get(me, 0) >= beat_ms


def claim(
    writing: Writing, key: SigningKey, record: TaskRecord, lease_ms: int, queue: TaskQueue | None = None
) -> Taken:
    """Claim a task that is ready, within a transaction."""
    event = write(writing, key, (claim_of(writing.home, record, lease_ms),), Role.WORKER)
    return taken(writing.home, record.key, event.cid, queue)


def claim_of(home: Home, record: TaskRecord, lease_ms: int) -> Claim:
    """Return the operation that claims a task."""
    followed = claim_follows(home.board, record, home.event_time())
    return Claim(record.key, followed, lease_ms, inputs(home.board, record))


def taken(home: Home, task: TaskKey, claim_cid: Cid, queue: TaskQueue | None) -> Taken:
    """Return what a claim just written has taken."""
    record = get_task(home, task)
    made = next(claim for claim in record.claims if claim.cid == claim_cid)
    assigned = None if queue is None else queue.crew.assigned_peer(record)
    return Taken(record, claim_cid, made.until, assigned)


def check_ready(home: Home, record: TaskRecord, me: ActorKey, now: int) -> None:
    """Raise what stands in the way of claiming a task by name: its end, a holder, or what it waits for."""
    seen = view(record, home.board.find_record, home.policy, now)
    task = record.spec.task_id
    match seen.status:
        case Status.READY:
            return
        case Status.DONE:
            assert record.result is not None  # noqa: S101  # what done means
            raise TaskOverError(f"task {task} is done already, by {home.members.name_of(record.result.actor)}")
        case Status.CANCELLED:
            raise TaskOverError(f"task {task} was cancelled")
        case Status.HELD:
            assert seen.holder is not None  # noqa: S101  # what held means
            if seen.holder.actor != me:
                raise HeldByOtherError(task, seen.holder.actor, home.members.name_of(seen.holder.actor))
        case Status.DEAD | Status.EXPIRED | Status.BLOCKED | Status.WAITING:
            words = "; ".join(map(render_obstacle, seen.obstacles))
            expired = any(one.kind is ObstacleKind.EXPIRED for one in seen.obstacles)  # no requeue helps
            again = seen.status is Status.DEAD and not expired
            advice = "queue it again with `p2p-workflow requeue`" if again else "see `p2p-workflow explain`"
            obstacles = [asdict(one) for one in seen.obstacles]
            raise NotReadyError(f"task {task} is {seen.status}: {words}", advice, obstacles=obstacles)
