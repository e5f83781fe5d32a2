"""Tasks of the board as users of the quick start see them: `P2PTask` values, and mappings by task id that stay current.

Implements: `pending_tasks`, `assigned_tasks` and `completed_tasks` of the Python contract.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Final

from crdt.records import TaskRecord
from crdt.view import holder_of
from ledger.cid import Cid
from ledger.keys import ActorKey
from ledger.operations import Attachment
from scheduler.home import Home
from scheduler.tags import WorkflowTag
from scheduler.task import P2PTask, Payload

_logger = logging.getLogger(__name__)

_KNOWN_TAGS: Final = frozenset(tag.value for tag in WorkflowTag)


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class LiveTasks(Mapping[str, P2PTask]):
    """A mapping from task ids to tasks, read from the board at each access; equal to a dict of the same tasks.

    Where several of its tasks have one id, it shows one of them; by their task keys all are found.

    Args:
        using: gives the home for one access.
        standing: the tasks it is about: "open" or "done".
        holds: which of them, by who holds them at the time.
        show: makes the value.
    """

    using: Callable[[], AbstractContextManager[Home]]
    standing: str
    holds: Callable[[ActorKey | None], bool]
    show: Callable[[TaskRecord], P2PTask]

    def __getitem__(self, task_id: str) -> P2PTask:
        with self.using() as home, home.reading():
            for record in home.tasks.named(task_id):
                if self._has(home, record):
                    return self.show(record)
        raise KeyError(task_id)

    def __iter__(self) -> Iterator[str]:
        return iter(self._ids())

    def __len__(self) -> int:
        return len(self._ids())

    def __repr__(self) -> str:
        return f"LiveTasks({dict(self)!r})"

    def _ids(self) -> dict[str, None]:
        with self.using() as home, home.reading():
            records = home.tasks.standing(self.standing)
            return dict.fromkeys(record.spec.task_id for record in records if self._has(home, record))

    def _has(self, home: Home, record: TaskRecord) -> bool:
        standing = "done" if record.completions else "over" if record.cancels else "open"
        if standing != self.standing:
            return False
        holder = holder_of(record, home.now_ms())
        return self.holds(None if holder is None else holder.actor)


def task_of(home: Home, record: TaskRecord, *, assigned_peer: str | None = None, claim: Cid | None = None) -> P2PTask:
    """Return a task of the board as a user's task, with its key; call it within a reading or writing of `home`."""
    spec = record.spec
    unknown = sorted(set(spec.tags) - _KNOWN_TAGS)
    if unknown:
        _logger.warning("task %s has tags this version does not know: %s", record.key.hex(), ", ".join(unknown))
    task = P2PTask(
        spec.task_id,
        spec.workflow_id,
        spec.name,
        [WorkflowTag.P2P_ELIGIBLE],
        record.priority,
        record.created_at / 1000,
        payload=_payload(home, spec.payload),
        requires=spec.requires,
        needs=tuple(need.hex() for need in spec.needs),
        not_before=_seconds(spec.not_before),
        expires_at=_seconds(spec.expires_at),
        timeout_seconds=_seconds(spec.timeout_ms),
        max_attempts=spec.max_attempts,
        assigned_peer=assigned_peer,
        task_key=record.key.hex(),
        claim=None if claim is None else str(claim),
    )
    # As they stand in the ledger: another program may have written a set that we would not submit.
    task.tags = [WorkflowTag(tag) for tag in spec.tags if tag in _KNOWN_TAGS]
    return task


def _payload(home: Home, item: Attachment | None) -> Payload | None:
    if item is None:
        return None
    if item.blob is None:
        return Payload(item.media_type, item.data or b"")
    data = home.intake.blobs.get_many((item.blob,)).get(item.blob)
    if data is None:
        _logger.warning("the payload %s is not in this home: get it from a peer that has it", item.blob)
        return None
    return Payload(item.media_type, data)


def _seconds(ms: int | None) -> float | None:
    return None if ms is None else ms / 1000
