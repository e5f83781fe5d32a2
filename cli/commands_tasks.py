"""`tasks` and `explain`: where tasks stand, and why. They append nothing."""

from __future__ import annotations

import itertools
from typing import Annotated, Any, Final

import typer

from cli.actors import get_actor
from cli.command import Command, comma_words
from cli.commands_work import TaskArgument, TaskOption, which_task
from cli.output import render_table
from cli.session import session_of
from cli.task_listing import onlookers_crew, viewed, wanted_statuses
from cli.task_policy import policy_judge
from cli.task_text import task_document

_SHOWN: Final = 100


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command("tasks", cls=Command)(tasks)
    app.command("explain", cls=Command)(explain)


def tasks(
    context: typer.Context,
    status: Annotated[
        list[str] | None,
        typer.Option(
            metavar="STATUS...", help="ready, waiting, held, blocked, done, cancelled, dead, expired; or open."
        ),
    ] = None,
    tags: Annotated[list[str] | None, typer.Option(metavar="TAG...", help="Only tasks with all of these.")] = None,
    workflow_id: Annotated[str | None, typer.Option(metavar="ID", help="Only of this workflow.")] = None,
    submitter: Annotated[str | None, typer.Option(metavar="KEY", help="Only of this name or did:key.")] = None,
    holder: Annotated[str | None, typer.Option(metavar="KEY", help="Only those it holds now.")] = None,
    limit: Annotated[int, typer.Option(metavar="N", min=0, help="How many; 0 for all.")] = _SHOWN,
) -> None:
    """List tasks in the order in which they were submitted."""
    session = session_of(context)
    wanted = wanted_statuses(status or ())
    with session.home() as home, home.reading():
        by, held_by = (None if text is None else get_actor(home, text) for text in (submitter, holder))
        known_tags = set(comma_words(tags))
        found = (
            (record, seen)
            for record, seen in viewed(home, wanted)
            if (workflow_id in (None, record.spec.workflow_id) and known_tags <= set(record.spec.tags))
            and by in (None, record.submitter)
            and (held_by is None or (seen.holder is not None and seen.holder.actor == held_by))
        )
        crew = onlookers_crew(home)
        judged = policy_judge(session, home)
        documents = [
            task_document(home, record, seen, crew.assigned_peer(record)) | {"policy": judged(record)}
            for record, seen in itertools.islice(found, limit or None)
        ]
        more = next(found, None) is not None
    session.output.result({"tasks": documents, "more": more}, _table(documents))
    denied = sum(one["policy"] is not None and not one["policy"]["allowed"] for one in documents)
    if denied:
        session.output.note(f"{denied} of these this worker may not run: `explain TASK` says why.")
    if more:
        session.output.note(f"Only {limit} tasks are shown; --limit 0 shows all.")


def _table(documents: list[dict[str, Any]]) -> list[str]:
    header = ("TASK ID", "WORKFLOW", "STATUS", "PRIO", "ASSIGNED", "BY", "TASK KEY", "FAILED BY", "NAME")
    return render_table(
        header,
        [
            (
                one["task_id"],
                one["workflow_id"],
                one["status"],
                str(one["priority"]),
                one["assigned_peer"] or "-",
                ((one["holder"] or one["completed_by"] or {}).get("name")) or "-",
                one["task_key"][:12],
                (one["last_failure"] or {}).get("class") or "-",
                one["name"],
            )
            for one in documents
        ],
    )


def explain(context: typer.Context, task: TaskArgument = None, task_id: TaskOption = None) -> None:
    """Say whose turn a task is and when, what it waits for, and why its holder or result is what it is."""
    from scheduler.actions import find_task
    from scheduler.explain import explain as explain_task

    session, name = session_of(context), which_task(task, task_id)
    with session.home() as home, home.reading():
        key, now = session.find_key(home), home.now_ms()
        record = find_task(home, None if key is None else key.actor, name, now)
        explanation = explain_task(home, record, now, None if key is None else key.actor, session.worker_policy())
    session.output.result(explanation.to_dict(), list(explanation.render_lines()))
