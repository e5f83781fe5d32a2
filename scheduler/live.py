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
from ledger.events import TaskKey
from ledger.keys import ActorKey
from ledger.operations import Attachment
from scheduler.home import Home
from scheduler.names import is_key_text
from scheduler.tags import WorkflowTag
from scheduler.task import P2PTask, Payload

_logger = logging.getLogger(__name__)

_KNOWN_TAGS: Final = frozenset(tag.value for tag in WorkflowTag)


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class LiveTasks(Mapping[str, P2PTask]):
    """A mapping from task ids to tasks, read from the board at each access; equal to a dict of the same tasks.

    Where several of its tasks have one id, the one of the least task key stands under the id and each other one under
    its task key, in hexadecimal: what a task stands under is what `mark_task_complete` knows it by. Nothing is left
    out, so `len` is the number in `get_status`; and each task is found by its key, whatever it stands under.

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

    def __getitem__(self, name: str) -> P2PTask:
        with self.using() as home, home.reading():
            keyed = home.board.find_record(TaskKey(bytes.fromhex(name))) if is_key_text(name) else None
            for record in (keyed, *home.tasks.named(name)):
                if record is not None and self._has(home, record):
                    return self.show(record)
        raise KeyError(name)

    def __iter__(self) -> Iterator[str]:
        return iter(self._names())

    def __len__(self) -> int:
        return len(self._names())

    def __repr__(self) -> str:
        return f"LiveTasks({dict(self)!r})"

    def _names(self) -> list[str]:
        """Return what each task stands under, in the order in which they were submitted."""
        with self.using() as home, home.reading():
            found = [record for record in home.tasks.standing(self.standing) if self._has(home, record)]
        first: dict[str, TaskKey] = {}
        for record in found:
            task_id = record.spec.task_id
            first[task_id] = min(record.key, first.get(task_id, record.key))
        keys = {record.key.hex() for record in found}  # an id that is another task's key does not hide that one
        return [
            record.spec.task_id
            if first[record.spec.task_id] == record.key and record.spec.task_id.lower() not in keys
            else record.key.hex()
            for record in found
        ]

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
