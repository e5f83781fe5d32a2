"""What each event of a replay changed: of tasks status, priority, holder and lease; members, voided events.

Also what it said without effect. Leaves out how rosters differ (cli.roster_changes).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from cli.event_text import operation_words
from cli.output import render_time
from cli.people import name_of, person
from cli.roster_changes import roster_changes, roster_words

if TYPE_CHECKING:
    from crdt.board import Changes
    from crdt.records import TaskRecord
    from crdt.view import TaskView
    from ledger.events import TaskKey, VerifiedEvent
    from scheduler.home import Home
    from scheduler.replay import Replay

_COUNTS: Final = ("claims", "completions")
"""Told to people where nothing else changed: a claim that is superseded as it comes shows nowhere else."""


class Tracer:
    """Watches a replay; `documents` and `lines` grow with it. Names are those the home knows today."""

    def __init__(self, home: Home, replay: Replay) -> None:
        self._home = home
        self._replay = replay
        self._tasks: dict[TaskKey, dict[str, Any]] = {}
        self._roster = replay.board.roster()
        self.documents: list[dict[str, Any]] = []
        self.lines: list[str] = []

    def take(self, verified: VerifiedEvent, changes: Changes) -> None:
        """Note one event and what it changed."""
        event = verified.event
        tasks = [self._task(key, event.time) for key in sorted(changes.tasks)]
        members = self._members() if changes.roster else []
        ignored = self._replay.ignored
        self.documents.append(
            {
                "cid": str(verified.cid),
                "height": event.height,
                "time": event.time,
                "actor": person(self._home, event.actor),
                "tasks": tasks,
                "roster": changes.roster,
                "members": members,
                "voided": list(map(str, changes.voided)),
                "without_effect": [{"index": one.index, "rule": one.rule, "words": one.words} for one in ignored],
            }
        )
        words = operation_words(event, self._name)
        self.lines.append(
            f"{event.height:>5}  {render_time(event.time)}  {verified.cid}  {name_of(self._home, event.actor)}: {words}"
        )
        self.lines += [f"         {task['task_id']}: {_task_words(task)}" for task in tasks]
        self.lines += [f"         {roster_words(one)}" for one in members]
        if changes.roster and not members:
            self.lines.append("         members: nothing changed")
        self.lines += [f"         void: {cid}" for cid in changes.voided]
        self.lines += [f"         without effect: {one.index}: {one.rule}: {one.words}" for one in ignored]

    def _task(self, key: TaskKey, now: int) -> dict[str, Any]:
        from crdt.view import view

        board = self._replay.board
        record = board.find_record(key)
        before, after = self._tasks.get(key, {}), {"status": "gone"}
        if record is not None:
            seen = view(record, board.find_record, self._replay.genesis.policy, now)
            after = _state(self._home, record, seen)
        self._tasks[key] = after
        changed = [
            {"what": what, "before": before.get(what), "after": after.get(what)}
            for what in dict.fromkeys((*before, *after))
            if what != "status" and before.get(what) != after.get(what)
        ]
        return {
            "task_key": key.hex(),
            "task_id": self._name(key),
            "before": before.get("status"),
            "after": after["status"],
            "changed": changed,
        }

    def _members(self) -> list[dict[str, Any]]:
        before, self._roster = self._roster, self._replay.board.roster()
        return list(roster_changes(self._home, before, self._roster))

    def _name(self, key: TaskKey) -> str:
        record = self._replay.board.find_record(key)
        return key.hex()[:12] if record is None else record.spec.task_id


def _state(home: Home, record: TaskRecord, seen: TaskView) -> dict[str, Any]:
    """Return what of a task a trace compares, as JSON; times in ms."""
    holder = seen.holder
    return {
        "status": str(seen.status),
        "priority": record.priority,
        "holder": None if holder is None else person(home, holder.actor),
        "until": None if holder is None else holder.until,
        "claims": len(record.claims),
        "completions": len(record.completions),
    }


def _task_words(task: dict[str, Any]) -> str:
    """Return how a task changed: what it has lost with its status is left to the status."""
    words = [] if task["before"] == task["after"] else [f"{task['before'] or 'new'} → {task['after']}"]
    words += [_field_words(one) for one in task["changed"] if one["what"] not in _COUNTS and one["after"] is not None]
    return ", ".join(words or map(_field_words, task["changed"])) or f"{task['after']} as before"


def _field_words(change: dict[str, Any]) -> str:
    before, after = (_value_words(change["what"], change[side]) for side in ("before", "after"))
    return f"{change['what']} {after}" if before is None else f"{change['what']} {before} → {after or 'none'}"


def _value_words(what: str, value: Any) -> str | None:
    if value is None:
        return None
    return render_time(value) if what == "until" else str(value["name"] if what == "holder" else value)
