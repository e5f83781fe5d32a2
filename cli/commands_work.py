"""`next`, `complete`, `release`, `fail`: what a worker does, one durable event each."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from cli.attachments import attachment_document, read_attachment
from cli.command import Command
from cli.errors import InputError
from cli.output import render_time
from cli.payload_file import take_into
from cli.people import name_of
from cli.session import session_of
from cli.task_text import seven_fields, task_hash
from cli.times import parse_duration, render_duration

if TYPE_CHECKING:
    from scheduler.actions import Settled, Taken
    from scheduler.home import Home

_POLL_S: Final = 0.5
"""How often `next --wait` looks again, in seconds: other processes tell nobody when they write."""

TaskArgument = Annotated[str | None, typer.Argument(metavar="TASK", show_default=False, help="Task ID or task key.")]
TaskOption = Annotated[str | None, typer.Option("--task-id", metavar="TASK", help="The same, as an option.")]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command("next", cls=Command)(next_task)
    app.command("complete", cls=Command)(complete)
    app.command("renew", cls=Command)(renew)
    app.command("release", cls=Command)(release)
    app.command("fail", cls=Command)(fail)


def next_task(
    context: typer.Context,
    lease: Annotated[str | None, typer.Option(metavar="TIME", help="How long it is yours. [15m]")] = None,
    wait: Annotated[float, typer.Option(metavar="SECONDS", min=0, help="Wait so long for a task.")] = 0,
    payload: Annotated[Path | None, typer.Option(metavar="FILE", help="Write its payload here.")] = None,
) -> None:
    """Take the next task: claims it durably, then prints it."""
    from scheduler.actions import take
    from scheduler.queue import TaskQueue

    session = session_of(context)
    lease_ms = None if lease is None else parse_duration(lease)
    with session.first_use() as home:
        key = session.worker_key(home)
        queue = TaskQueue(home, key.actor)
        deadline = time.monotonic() + wait

        def take_one() -> Taken | None:
            taken = take(home, key, lease_ms=lease_ms, queue=queue)
            while taken is None and time.monotonic() < deadline:
                time.sleep(min(_POLL_S, max(0.0, deadline - time.monotonic())))
                taken = take(home, key, lease_ms=lease_ms, queue=queue)
            return taken

        taken, fault = (take_one(), None) if payload is None else take_into(home, payload, take_one)
        if taken is None:
            session.output.result({"task": None, "message": "No tasks available"}, ["No tasks available for this peer"])
            return
        with home.reading():
            document = taken_document(home, taken)
        shorter = None if lease_ms is None else _shorter_lease(home, taken, lease_ms)
    session.output.result({"task": document}, ["✓ Next task:", *_taken_lines(document)])
    for words in filter(None, (shorter, None if fault is None else fault[0])):
        session.output.note(words)
    if fault is not None and fault[1]:
        raise typer.Exit(fault[1])


def _shorter_lease(home: Home, taken: Taken, asked_ms: int) -> str | None:
    """Return that the claim runs for less time than was asked, and why; None where it does not."""
    given_ms = taken.until - next(one.time for one in taken.record.claims if one.cid == taken.claim)
    if given_ms >= asked_ms:
        return None
    limit = "the ledger's longest lease" if given_ms == home.policy.lease_ms_max else "the task's timeout"
    return f"The task is yours for {render_duration(given_ms)}, not for {render_duration(asked_ms)}: that is {limit}."


def taken_document(home: Home, taken: Taken) -> dict[str, Any]:
    """Return a task just taken as JSON: the seven fields, then what the worker needs."""
    from ledger.keys import did_key

    record, assigned = taken.record, taken.assigned
    claim = next(one for one in record.claims if one.cid == taken.claim)
    return seven_fields(record, None if assigned is None else name_of(home, assigned)) | {
        "assigned_peer_key": None if assigned is None else did_key(assigned),
        "task_key": record.key.hex(),
        "claim": str(taken.claim),
        "until": taken.until,
        "attempt": claim.attempt,
        "payload": attachment_document(home, record.spec.payload),
    }


def _taken_lines(task: dict[str, Any]) -> list[str]:
    return [
        f"Task ID: {task['task_id']}",
        f"Workflow ID: {task['workflow_id']}",
        f"Name: {task['name']}",
        f"Tags: {', '.join(task['tags'])}",
        f"Priority: {task['priority']}",
        f"Assigned Peer: {task['assigned_peer']}",
        f"Yours until: {render_time(task['until'])}",
        f"Claim: {task['claim']}",
    ]


def complete(
    context: typer.Context,
    task_id: Annotated[str, typer.Option(metavar="TASK", help="Task ID or task key.")],
    output: Annotated[
        str | None, typer.Option(metavar="FILE", help="The result; - reads stdin. At most 1 MiB.")
    ] = None,
    media_type: Annotated[str | None, typer.Option(metavar="TYPE", help="Of the result. [by the file's name]")] = None,
    log: Annotated[str | None, typer.Option(metavar="FILE", help="What the run printed.")] = None,
    exit_code: Annotated[int | None, typer.Option(metavar="N", help="How the run ended.")] = None,
    and_next: Annotated[bool, typer.Option("--and-next", help="Take the next task in the same transaction.")] = False,
) -> None:
    """Complete a task; an open one that nobody holds is claimed first."""
    from ledger.events import Role
    from ledger.operations import Report
    from scheduler import actions

    session = session_of(context)
    result, logged = read_attachment(output, media_type), read_attachment(log, "text/plain" if log else None)
    with session.first_use() as home:
        key = session.key(home, Role.WORKER)
        settled = actions.complete(
            home,
            key,
            actions.resolve(home, key, task_id).key,
            output=result,
            log=logged,
            report=None if exit_code is None else Report(exit_code=exit_code),
            and_next=and_next,
        )
        document = settled_document(settled)
        lines = [f"✓ Task {task_id} marked complete"]
        if and_next:
            with home.reading():
                document["next"] = None if settled.next is None else taken_document(home, settled.next)
            taken = document["next"]
            lines += ["No tasks available for this peer"] if taken is None else ["✓ Next task:", *_taken_lines(taken)]
    session.output.result(document, lines)


def settled_document(settled: Settled) -> dict[str, Any]:
    """Return what became of a task as JSON."""
    spec = settled.record.spec
    return {
        "success": True,
        "task_id": spec.task_id,
        "workflow_id": spec.workflow_id,
        "task_hash": task_hash(spec.task_id, spec.workflow_id),
        "task_key": settled.record.key.hex(),
        "event_cid": str(settled.event),
        "already": settled.already,
    }


def renew(
    context: typer.Context,
    task: TaskArgument = None,
    task_id: TaskOption = None,
    lease: Annotated[str | None, typer.Option(metavar="TIME", help="How long it is yours from now on. [15m]")] = None,
    progress: Annotated[str | None, typer.Option(metavar="TEXT", help="How far it is, in words.")] = None,
    log: Annotated[
        str | None, typer.Option(metavar="FILE", help="What was printed since the last piece; - reads stdin.")
    ] = None,
) -> None:
    """Keep a task you hold for longer, and say how far it is: others see it with `result` and `logs`."""
    from ledger.events import Role
    from scheduler import actions

    session, name = session_of(context), which_task(task, task_id)
    lease_ms = None if lease is None else parse_duration(lease)
    logged = read_attachment(log, "text/plain" if log else None)
    with session.home() as home:
        key = session.key(home, Role.WORKER)
        settled = actions.renew_task(
            home, key, actions.resolve(home, key, name).key, lease_ms=lease_ms, progress=progress, log=logged
        )
        until = max(claim.until for claim in settled.record.claims if claim.actor == key.actor)
    document = settled_document(settled) | {"until": until}
    session.output.result(document, [f"✓ Task {name} renewed", f"Yours until: {render_time(until)}"])


def release(
    context: typer.Context,
    task: TaskArgument = None,
    task_id: TaskOption = None,
    reason: Annotated[str | None, typer.Option(metavar="TEXT", help="Words for the log.")] = None,
) -> None:
    """Give a task back untried: it counts as no attempt."""
    from ledger.events import Role
    from scheduler import actions

    session, name = session_of(context), which_task(task, task_id)
    with session.home() as home:
        key = session.key(home, Role.WORKER)
        settled = actions.release(home, key, actions.resolve(home, key, name).key, reason=reason)
    session.output.result(settled_document(settled), [f"✓ Task {name} released"])


def fail(
    context: typer.Context,
    task: TaskArgument = None,
    task_id: TaskOption = None,
    error: Annotated[str, typer.Option(metavar="TEXT", help="What went wrong.")] = "",
    failure_class: Annotated[str, typer.Option("--class", metavar="WORD", help="What kind of failure.")] = "error",
    exit_code: Annotated[int | None, typer.Option(metavar="N", help="How the run ended.")] = None,
    log: Annotated[str | None, typer.Option(metavar="FILE", help="What the run printed.")] = None,
) -> None:
    """Say that the attempt failed; the task waits, then is anybody's until its attempts are used up."""
    from ledger.events import Role
    from ledger.operations import Report
    from scheduler import actions

    session, name = session_of(context), which_task(task, task_id)
    logged = read_attachment(log, "text/plain" if log else None)
    with session.home() as home:
        key = session.key(home, Role.WORKER)
        settled = actions.fail(
            home,
            key,
            actions.resolve(home, key, name).key,
            failure_class=failure_class,
            error=error,
            report=None if exit_code is None else Report(exit_code=exit_code),
            log=logged,
        )
    session.output.result(settled_document(settled), [f"✓ Task {name} marked failed"])


def which_task(argument: str | None, option: str | None) -> str:
    """Return the task that was named, as an argument or as `--task-id`, once."""
    if (argument is None) == (option is None):
        raise InputError("name one task, as TASK or with --task-id", "see `tasks` for those there are")
    return argument or option or ""
