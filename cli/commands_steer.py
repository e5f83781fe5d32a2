"""`cancel`, `bump`, `requeue`: what a task's submitter, or an owner with `--peer owner`, does with it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.command import Command
from cli.commands_dead import dead_tasks
from cli.commands_work import TaskArgument, TaskOption, which_task
from cli.errors import InputError
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


def requeue(
    context: typer.Context,
    tasks: Annotated[list[str] | None, typer.Argument(metavar="TASK...", help="Task IDs or task keys.")] = None,
    task_id: TaskOption = None,
    all_dead: Annotated[bool, typer.Option("--all-dead", help="All that are dead and yours to queue again.")] = False,
    workflow_id: Annotated[str | None, typer.Option(metavar="ID", help="With --all-dead: of this workflow.")] = None,
) -> None:
    """Queue dead tasks again, with all their attempts: one, several, or with --all-dead all that `dead list` shows.

    Of several each is queued by itself; the first that cannot be ends the command, and those before stay queued.
    """
    from ledger.events import Role
    from scheduler import actions

    session = session_of(context)
    names = [*(tasks or ()), *(() if task_id is None else (task_id,))]
    if bool(names) == all_dead:
        raise InputError("name tasks, or say --all-dead", "see `dead list` for those there are")
    if workflow_id is not None and not all_dead:
        raise InputError("--workflow-id without --all-dead says nothing", "leave it out")
    with session.home() as home:
        key = session.key(home, Role.SUBMITTER)
        if all_dead:
            keys = [record.key for record in dead_tasks(home, workflow_id) if actions.may_steer(home, key, record)]
        else:
            keys = [actions.resolve(home, key, name).key for name in names]
        steered = [actions.requeue(home, key, task) for task in keys]
    documents = [_document(one) for one in steered]
    lines = [f"✓ Task {document['task_id']} queued again" for document in documents]
    if len(names) == 1:
        session.output.result(documents[0], [f"✓ Task {names[0]} queued again"])
        return
    session.output.result(
        {"success": True, "requeued": len(documents), "tasks": documents}, lines or ["No task is dead"]
    )


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
