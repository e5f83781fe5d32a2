"""Which task a name means: a name is only a name, a task key is the task.

Implements: the look-up of the design's section Tasks: among the tasks one holds, then one's own, then all; if several
are left, the key must say. Leaves out names of peers (scheduler.membership).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

from crdt.records import TaskRecord
from crdt.view import holder_of
from ledger.events import KEY_BYTES, TaskKey
from ledger.keys import ActorKey, SigningKey
from scheduler.action_errors import AmbiguousTaskError, TaskNotFoundError
from scheduler.home import Home

_KEY_TEXT: Final = re.compile(rf"[0-9a-fA-F]{{{2 * KEY_BYTES}}}")


def resolve(home: Home, key: SigningKey | ActorKey | None, text: str) -> TaskRecord:
    """Return the task that `text` means to the actor `key`: a task key in hexadecimal, or a `task_id`.

    Args:
        home: where to look; one state of it is read.
        key: whose tasks come first; None for an onlooker.
        text: what the user typed.

    Raises:
        TaskNotFoundError: there is none.
        AmbiguousTaskError: there are several; the error lists their workflows and keys.
    """
    actor = key.actor if isinstance(key, SigningKey) else key
    with home.reading():
        return find_task(home, actor, text, home.now_ms())


def find_task(home: Home, actor: ActorKey | None, text: str, now: int) -> TaskRecord:
    """Return the task that `text` means, as `resolve` does, within a reading or writing of `home`."""
    if is_key_text(text):
        record = home.board.find_record(TaskKey(bytes.fromhex(text)))
        if record is not None:
            return record
    found = home.tasks.named(text)
    if not found:
        raise TaskNotFoundError(f"Task {text} not found", "see `p2p-workflow tasks` for those there are", task=text)
    for prefers in _preferences(actor, now):
        preferred = [record for record in found if prefers(record)]
        if len(preferred) == 1:
            return preferred[0]
        found = preferred or found
    if len(found) > 1:
        raise AmbiguousTaskError(text, [(record.key, record.spec.workflow_id) for record in found])
    return found[0]


def is_key_text(text: str) -> bool:
    """Return whether `text` can be a task key in hexadecimal."""
    return _KEY_TEXT.fullmatch(text) is not None


def get_task(home: Home, key: TaskKey) -> TaskRecord:
    """Return a task by its key; raise TaskNotFoundError where the board has none."""
    record = home.board.find_record(key)
    if record is None:
        raise TaskNotFoundError(f"Task {key.hex()} not found", task=key.hex())
    return record


def _preferences(actor: ActorKey | None, now: int) -> tuple[Callable[[TaskRecord], bool], ...]:
    if actor is None:
        return ()

    def holds(record: TaskRecord) -> bool:
        holder = None if record.completions or record.cancels else holder_of(record, now)
        return holder is not None and holder.actor == actor

    return holds, lambda record: record.submitter == actor
