"""What a task's submitter, or an owner of the ledger, does with it: cancel, change its priority, queue it again.

Implements: F3 of specs/tasks.md as an honest submitter meets it; one durable transaction each.
"""

from __future__ import annotations

from dataclasses import dataclass

from crdt.attempts import is_dead
from crdt.prospect import requeue_follows
from crdt.records import TaskRecord
from ledger.cid import Cid
from ledger.events import Role, TaskKey
from ledger.keys import SigningKey
from ledger.operations import Cancel, Prioritize, Requeue
from scheduler.acting import acting, follows, write
from scheduler.action_errors import NotAllowedError, NotDeadError, RequestError, TaskOverError
from scheduler.home import Home
from scheduler.names import get_task
from scheduler.task import PRIORITY_MAX, PRIORITY_MIN


@dataclass(frozen=True, slots=True)
class Steered:
    """A task after an action, and the event that made it so; None where it was so before."""

    record: TaskRecord
    event: Cid | None


def cancel(home: Home, key: SigningKey, task: TaskKey, *, reason: str | None = None) -> Steered:
    """Cancel a task; a completion that nobody here has seen still beats it.

    Raises:
        TaskNotFoundError, NotAllowedError, NotAMemberError: as their names say.
        TaskOverError: the task is done.
    """
    with acting(home) as writing:
        record = _steerable(home, key, task)
        if record.cancels:
            return Steered(record, None)
        event = write(writing, key, (Cancel(task, follows(record), reason),), Role.SUBMITTER)
        return Steered(get_task(home, task), event.cid)


def bump(home: Home, key: SigningKey, task: TaskKey, priority: int) -> Steered:
    """Give a task another priority, 1 to 10. Raises as `cancel`, and RequestError for another number."""
    if not PRIORITY_MIN <= priority <= PRIORITY_MAX:
        raise RequestError(f"priority must be from {PRIORITY_MIN} to {PRIORITY_MAX}, not {priority}")
    with acting(home) as writing:
        record = _steerable(home, key, task)
        if record.cancels:
            raise TaskOverError(f"task {record.spec.task_id} was cancelled")
        if record.priority == priority:
            return Steered(record, None)
        event = write(writing, key, (Prioritize(task, follows(record), priority),), Role.SUBMITTER)
        return Steered(get_task(home, task), event.cid)


def requeue(home: Home, key: SigningKey, task: TaskKey) -> Steered:
    """Queue a dead task again, with all its attempts. Raises as `cancel`, and NotDeadError where it is not dead."""
    with acting(home) as writing:
        record = _steerable(home, key, task)
        if record.cancels:
            raise TaskOverError(f"task {record.spec.task_id} was cancelled")
        if not is_dead(record.claims, record.base, record.spec, home.policy, writing.time):
            raise NotDeadError(f"task {record.spec.task_id} is not dead: it has attempts left, or one is running")
        requeued = Requeue(task, requeue_follows(home.board, record, writing.time))
        event = write(writing, key, (requeued,), Role.SUBMITTER)
        return Steered(get_task(home, task), event.cid)


def may_steer(home: Home, key: SigningKey, record: TaskRecord) -> bool:
    """Return whether a task is this key's to steer: its submitter's, or an owner's (F3a)."""
    return key.actor == record.submitter or key.actor in home.genesis.owners


def _steerable(home: Home, key: SigningKey, task: TaskKey) -> TaskRecord:
    """Return a task that `key` may steer (F3a, F3b)."""
    record = get_task(home, task)
    name = record.spec.task_id
    if not may_steer(home, key, record):
        submitter = home.members.name_of(record.submitter)
        here = home.members.names_of_keys({record.submitter, *home.genesis.owners})
        raise NotAllowedError(
            f"task {name} was submitted by {submitter}: only that key or an owner's may do this",
            f"a key of this home may: --peer {' or --peer '.join(here)}" if here else "do it in the home of one",
        )
    if record.completions:
        raise TaskOverError(f"task {name} is done already")
    return record
