"""`dead list`: tasks whose attempts are used up, and how the last one failed. It appends nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.command import Command, Group
from cli.output import render_table, render_time
from cli.session import session_of
from cli.task_text import last_failure, task_hash

if TYPE_CHECKING:
    from crdt.records import TaskRecord
    from scheduler.home import Home


def register(app: typer.Typer) -> None:
    """Add the group of commands."""
    group = typer.Typer(cls=Group, help="Tasks that have failed too often (the dead letters).", rich_markup_mode=None)
    group.command("list", cls=Command)(dead_list)
    app.add_typer(group, name="dead")


def dead_list(
    context: typer.Context,
    workflow_id: Annotated[str | None, typer.Option(metavar="ID", help="Only of this workflow.")] = None,
) -> None:
    """List tasks that are dead, with how their last attempt failed; `requeue` brings them back."""
    session = session_of(context)
    with session.home() as home:
        found = dead_tasks(home, workflow_id)
        with home.reading():
            documents = [_document(home, record) for record in found]
    rows = [
        (one["task_id"], one["workflow_id"], str(one["attempts"]), _when(one), _words(one), one["task_key"][:12])
        for one in documents
    ]
    header = ("TASK ID", "WORKFLOW", "ATTEMPTS", "FAILED AT", "LAST FAILURE", "TASK KEY")
    session.output.result({"tasks": documents}, render_table(header, rows) if rows else ["No task is dead"])


def dead_tasks(home: Home, workflow_id: str | None = None) -> list[TaskRecord]:
    """Return the dead tasks of a home, in the order in which they were submitted."""
    from crdt.view import Status, view

    now = home.now_ms()
    with home.reading():
        return [
            record
            for record in home.tasks.standing("open")
            if workflow_id in (None, record.spec.workflow_id)
            and view(record, home.board.find_record, home.policy, now).status is Status.DEAD
        ]


def _document(home: Home, record: TaskRecord) -> dict[str, Any]:
    spec = record.spec
    attempts = len({claim.attempt for claim in record.claims if claim.attempt > record.base and not claim.released})
    return {
        "task_id": spec.task_id,
        "workflow_id": spec.workflow_id,
        "name": spec.name,
        "task_hash": task_hash(spec.task_id, spec.workflow_id),
        "task_key": record.key.hex(),
        "attempts": attempts,
        "last_failure": last_failure(home, record),
    }


def _when(one: dict[str, Any]) -> str:
    failure = one["last_failure"]
    return "-" if failure is None else render_time(failure["at"])


def _words(one: dict[str, Any]) -> str:
    failure = one["last_failure"]
    return "its lease ran out" if failure is None else str(failure["words"])[:200]
