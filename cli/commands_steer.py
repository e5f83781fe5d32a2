"""`cancel`, `bump`, `requeue`: what a task's submitter, or an owner with `--peer owner`, does with it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.command import Command
from cli.commands_work import TaskArgument, TaskOption, which_task
from cli.session import session_of
from cli.task_text import task_hash

if TYPE_CHECKING:
    from scheduler.actions import Steered


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command("cancel", cls=Command)(cancel)
    app.command("bump", cls=Command)(bump)
    app.command("requeue", cls=Command)(requeue)


def cancel(
    context: typer.Context,
    task: TaskArgument = None,
    task_id: TaskOption = None,
    reason: Annotated[str | None, typer.Option(metavar="TEXT", help="Words for the log.")] = None,
) -> None:
    """Cancel a task; a completion that is not here yet still beats it."""
    from ledger.events import Role
    from scheduler import actions

    session, name = session_of(context), which_task(task, task_id)
    with session.home() as home:
        key = session.key(home, Role.SUBMITTER)
        steered = actions.cancel(home, key, actions.resolve(home, key, name).key, reason=reason)
    session.output.result(_document(steered), [_words(steered, f"Task {name} cancelled", "was cancelled before")])


def bump(
    context: typer.Context,
    priority: Annotated[int, typer.Option(metavar="1-10", help="The new priority; 10 comes first.")],
    task: TaskArgument = None,
    task_id: TaskOption = None,
) -> None:
    """Give a task another priority."""
    from ledger.events import Role
    from scheduler import actions

    session, name = session_of(context), which_task(task, task_id)
    with session.home() as home:
        key = session.key(home, Role.SUBMITTER)
        steered = actions.bump(home, key, actions.resolve(home, key, name).key, priority)
    session.output.result(
        _document(steered), [_words(steered, f"Task {name} has priority {priority}", "had it before")]
    )


def requeue(context: typer.Context, task: TaskArgument = None, task_id: TaskOption = None) -> None:
    """Queue a dead task again, with all its attempts."""
    from ledger.events import Role
    from scheduler import actions

    session, name = session_of(context), which_task(task, task_id)
    with session.home() as home:
        key = session.key(home, Role.SUBMITTER)
        steered = actions.requeue(home, key, actions.resolve(home, key, name).key)
    session.output.result(_document(steered), [f"✓ Task {name} queued again"])


def _document(steered: Steered) -> dict[str, Any]:
    spec = steered.record.spec
    return {
        "success": True,
        "task_id": spec.task_id,
        "workflow_id": spec.workflow_id,
        "task_hash": task_hash(spec.task_id, spec.workflow_id),
        "task_key": steered.record.key.hex(),
        "priority": steered.record.priority,
        "event_cid": None if steered.event is None else str(steered.event),
    }


def _words(steered: Steered, done: str, before: str) -> str:
    return f"✓ {done}" if steered.event is not None else f"✓ {done}: {before}"
