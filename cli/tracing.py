"""What each event of a replay changed: tasks from one status to another, members, voided events, what had no effect."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cli.event_text import operation_words
from cli.output import render_time
from cli.people import name_of, person

if TYPE_CHECKING:
    from crdt.board import Changes
    from ledger.events import TaskKey, VerifiedEvent
    from scheduler.home import Home
    from scheduler.replay import Replay


class Tracer:
    """Watches a replay; `documents` and `lines` grow with it. Names are those the home knows today."""

    def __init__(self, home: Home, replay: Replay) -> None:
        self._home = home
        self._replay = replay
        self._statuses: dict[TaskKey, str] = {}
        self.documents: list[dict[str, Any]] = []
        self.lines: list[str] = []

    def take(self, verified: VerifiedEvent, changes: Changes) -> None:
        """Note one event and what it changed."""
        event = verified.event
        tasks = [self._task(key, event.time) for key in sorted(changes.tasks)]
        ignored = self._replay.ignored
        self.documents.append(
            {
                "cid": str(verified.cid),
                "height": event.height,
                "time": event.time,
                "actor": person(self._home, event.actor),
                "tasks": tasks,
                "roster": changes.roster,
                "voided": list(map(str, changes.voided)),
                "without_effect": [{"index": one.index, "rule": one.rule, "words": one.words} for one in ignored],
            }
        )
        words = operation_words(event, self._name)
        self.lines.append(
            f"{event.height:>5}  {render_time(event.time)}  {verified.cid}  {name_of(self._home, event.actor)}: {words}"
        )
        self.lines += [f"         {task['task_id']}: {task['before'] or 'new'} → {task['after']}" for task in tasks]
        if changes.roster:
            self.lines.append("         members changed")
        self.lines += [f"         void: {cid}" for cid in changes.voided]
        self.lines += [f"         without effect: {one.index}: {one.rule}: {one.words}" for one in ignored]

    def _task(self, key: TaskKey, now: int) -> dict[str, Any]:
        from crdt.view import view

        board = self._replay.board
        record = board.find_record(key)
        before = self._statuses.get(key)
        after = "gone"
        if record is not None:
            after = str(view(record, board.find_record, self._replay.genesis.policy, now).status)
        self._statuses[key] = after
        return {"task_key": key.hex(), "task_id": self._name(key), "before": before, "after": after}

    def _name(self, key: TaskKey) -> str:
        record = self._replay.board.find_record(key)
        return key.hex()[:12] if record is None else record.spec.task_id
