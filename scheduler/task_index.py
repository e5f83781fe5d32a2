"""Finding tasks in a home: by name, by standing, by what changed. Costs as much as what is found, not as the log.

Leaves out where a task stands at a given time (crdt.view) and which one is next (scheduler.queue).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from crdt.board import Board
from crdt.records import TaskRecord
from ledger.events import TaskKey
from scheduler.board_tables import SqliteBoardStore


class TaskIndex:
    """Tasks of a board kept in `store`; to be used within a reading or writing of the home."""

    def __init__(self, board: Board, store: SqliteBoardStore) -> None:
        self._board = board
        self._store = store

    def open_tasks(self) -> Iterator[TaskRecord]:
        """Yield the tasks neither done nor cancelled, in the order they were submitted."""
        return self.standing("open")

    def standing(self, standing: str | None) -> Iterator[TaskRecord]:
        """Yield the tasks of one standing ("open", "done" or "over" for cancelled), or all where it is None."""
        for task in self._store.tasks_standing(standing):
            record = self._board.record_of(task)
            if record is not None:
                yield record

    def named(self, task_id: str, workflow_id: str | None = None) -> list[TaskRecord]:
        """Return the tasks with this name, of this workflow where one is given, by key."""
        records: Iterable[TaskRecord | None] = map(self._board.record_of, self._store.tasks_named(task_id))
        return [r for r in records if r is not None and workflow_id in (None, r.spec.workflow_id)]

    def keys_with_prefix(self, prefix: bytes) -> list[TaskKey]:
        """Return up to two task keys that begin with `prefix`: one is a name for the task, two are not."""
        return self._store.keys_with_prefix(prefix)

    def changed_since(self, number: int) -> tuple[int, list[TaskKey]]:
        """Return the number of the last change and the tasks changed after change `number` (0: all)."""
        changed = self._store.changed_since(number)
        return max([number, *(last for _, last in changed)]), [key for key, _ in changed]

    def standing_since(self, number: int) -> list[tuple[TaskKey, str]]:
        """Return the tasks changed after change `number`, with the standing that each has now."""
        return self._store.standing_since(number)

    @property
    def last_change(self) -> int:
        """The number of the last change that this home has made or seen."""
        return self._store.changes

    def first_seen_ms(self, key: TaskKey) -> int:
        """Return when this home first saw the task ready at its present instant (S2), ms since 1970."""
        return self._store.first_seen_ms(key)

    def counts(self) -> dict[str, int]:
        """Return how many tasks are "open", "done", "over"."""
        return self._store.counts()
