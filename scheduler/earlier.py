"""Tasks that were done in the ledger this one goes on from: to this home they count as submitted.

Implements: specs/events.md, section Moving on, what a home remembers. Policy of the submitter's home: the board knows
nothing of it. Leaves out how the tasks are found in the other ledger (scheduler.moving).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from ledger.cid import Cid
from ledger.codec import Value
from ledger.database import Database
from ledger.events import TaskKey, task_key
from ledger.keys import ActorKey


@dataclass(frozen=True, slots=True)
class DoneTask:
    """A task done in another ledger: its key there, and the spec as its submit has it, unknown fields included."""

    key: TaskKey
    submitter: ActorKey
    task_id: str
    workflow_id: str
    spec_map: dict[str, Value]


@dataclass(frozen=True, slots=True)
class Previous:
    """The ledger that another goes on from, as far as `heads` reach (sorted, 1 to 64), and what is done there."""

    ledger: Cid
    heads: tuple[Cid, ...]
    done: tuple[DoneTask, ...]


def remember(database: Database, ledger: Cid, done: Iterable[DoneTask]) -> None:
    """Keep what counts as submitted in `ledger`: each task by the key that the same request has there."""
    database.connection.executemany(
        "INSERT OR REPLACE INTO earlier VALUES (?, ?, ?, ?, ?)",
        (
            (task_key(ledger, task.submitter, task.spec_map), task.key, task.submitter, task.task_id, task.workflow_id)
            for task in done
        ),
    )


class EarlierTasks:
    """What a home remembers of the ledger before; to be used within a reading or writing of the home."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def __contains__(self, task: TaskKey) -> bool:
        """Return whether this request was done in the ledger before."""
        return self._database.connection.execute("SELECT 1 FROM earlier WHERE key = ?", (task,)).fetchone() is not None

    def find_old_key(self, task: TaskKey) -> TaskKey | None:
        """Return the key in the ledger before of a task done there, named by its key here or there."""
        sql = "SELECT old FROM earlier WHERE key = ? OR old = ?"
        row = self._database.connection.execute(sql, (task, task)).fetchone()
        return None if row is None else TaskKey(row[0])

    def named(self, submitter: ActorKey, task_id: str, workflow_id: str) -> list[TaskKey]:
        """Return the keys here of a submitter's tasks of this name."""
        sql = "SELECT key FROM earlier WHERE submitter = ? AND task_id = ? AND workflow_id = ? ORDER BY key"
        rows = self._database.connection.execute(sql, (submitter, task_id, workflow_id)).fetchall()
        return [TaskKey(key) for (key,) in rows]

    def count(self) -> int:
        """Return how many tasks are remembered."""
        count: int = self._database.connection.execute("SELECT count(*) FROM earlier").fetchone()[0]
        return count
