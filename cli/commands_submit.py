"""`submit`: one task by options, or many from a file. The same request again is the same task."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.awaiting import WaitingArgvCommand, seconds_of, wait_for
from cli.command import argv_of, comma_words
from cli.errors import CliError, InputError, tell
from cli.light import LedgerOption, ViaOption, find_light
from cli.payload_options import (
    EnvOption,
    InterpreterOption,
    KeepOption,
    NetworkOption,
    PutOption,
    SandboxOption,
    ScriptOption,
    SecretOption,
    command_fields,
    warn_of_public_secrets,
)
from cli.result_text import result_lines
from cli.session import Session, session_of
from cli.submission import submit_requests, submitted_lines
from cli.task_file import read_task, read_tasks
from cli.task_options import NeedsOption, PriorityOption, RequiresOption, TagsOption, TimeoutOption

if TYPE_CHECKING:
    from scheduler.submitting import SubmitRequest


class UsageError(CliError):
    """The command line leaves out what the command needs: told as Typer's own, `usage`."""


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("submit", cls=WaitingArgvCommand, options_metavar="[OPTIONS] [-- COMMAND...]")(submit)


def submit(
    context: typer.Context,
    task_id: Annotated[
        str | None, typer.Option(metavar="ID", help="The task's name. Required, but with --file.")
    ] = None,
    workflow_id: Annotated[
        str | None, typer.Option(metavar="ID", help="Its workflow. Required, but with --file.")
    ] = None,
    name: Annotated[
        str | None, typer.Option(metavar="TEXT", help="Words for people. Required, but with --file.")
    ] = None,
    tags: TagsOption = None,
    priority: PriorityOption = None,
    payload: Annotated[
        str | None, typer.Option(metavar="FILE", help="What the task works on; - reads stdin. At most 1 MiB.")
    ] = None,
    media_type: Annotated[str | None, typer.Option(metavar="TYPE", help="Of the payload. [by the file's name]")] = None,
    needs: NeedsOption = None,
    requires: RequiresOption = None,
    not_before: Annotated[str | None, typer.Option(metavar="TIME", help="ISO 8601, or +15m from now.")] = None,
    expires_at: Annotated[str | None, typer.Option(metavar="TIME", help="Nobody takes it from then on.")] = None,
    timeout: TimeoutOption = None,
    max_attempts: Annotated[int | None, typer.Option(metavar="1-100", help="How many may fail. [the policy's]")] = None,
    script: ScriptOption = None,
    interpreter: InterpreterOption = None,
    env: EnvOption = None,
    put: PutOption = None,
    keep: KeepOption = None,
    network: NetworkOption = False,
    secret: SecretOption = None,
    sandbox: SandboxOption = None,
    file: Annotated[
        str | None,
        typer.Option(metavar="TASKS.json", help="Many tasks: an array, or one object a line; - reads stdin."),
    ] = None,
    wait: Annotated[
        str | None,
        typer.Option(
            metavar="[TIME]", help="Wait until it is over, printing its log, and end as it ended; no longer than TIME."
        ),
    ] = None,
    ledger: LedgerOption = None,
    via: ViaOption = None,
) -> None:
    """Submit a task, or many.

    What stands after `--` is a command for a worker to run (`worker run`), as are --script and the options about it;
    a task without it is for whoever takes it with `next`. No shell reads the words: for one, write `-- sh -c '…'`.

    A file holds objects with these options as fields (`task_id`, `not_before`, …), each task after those it needs.
    `tags`, `needs` and `requires` are lists, times ISO 8601 or ms since 1970, `payload` is a text or an object
    {"text"|"json"|"hex"|"file": …, "media_type": …}, `command` a list of words or an object {"argv": […], "env": {…},
    "put": {inside: path} or […], "keep": […], "network": true, "secrets": […], "sandbox": level}, which has in place of
    "argv" maybe "script", a text or {"file": …}, and "interpreter". All tasks of a file are read before the first is
    submitted, a thousand in one durable transaction; a file may be submitted again, and what is there is not made
    twice.

    Without a home, a token and the key in P2P_WORKFLOW_KEY are enough: the tasks are handed to a peer, which has to be
    up, and success is said when it has them. Waiting then rests on what that peer shows: each event is checked, so a
    peer can hold something back, and cannot make anything up.
    """
    from ledger.events import TaskKey

    session = session_of(context)
    if wait is not None and file is not None:
        raise InputError("--wait waits for one task", "submit the file, then `wait` for its tasks")
    light = find_light(session, ledger, via)
    if light is not None and wait is not None:
        light.places()  # raises where nobody can be asked, before anything is submitted
    command = command_fields(argv_of(context), script, interpreter, env, put, keep, network, secret, sandbox)
    fields: dict[str, Any] = {
        "task_id": task_id,
        "workflow_id": workflow_id,
        "name": name,
        "tags": tags,
        "priority": priority,
        "needs": needs,
        "requires": None if requires is None else comma_words(requires),
        "not_before": not_before,
        "expires_at": expires_at,
        "timeout": timeout,
        "max_attempts": max_attempts,
        "command": command,
        "payload": None if payload is None else {"file": payload} | ({"media_type": media_type} if media_type else {}),
    }
    said = {field: value for field, value in fields.items() if value is not None}
    if file is None:
        warn_of_public_secrets(session.output, command)
        requests = [_one(said, media_type, payload)]
    elif said.keys() - {"workflow_id"}:
        raise InputError("with --file the tasks say everything themselves", "leave out all options but --workflow-id")
    else:
        requests = read_tasks(file, workflow_id, _now_ms())
    documents = submit_requests(session, light, requests)
    if file is not None:
        _print_many(session, documents)
        return
    (document,) = documents
    if wait is None or document["earlier"]:
        session.output.result(document, submitted_lines(document))
        return
    for line in submitted_lines(document):
        session.output.line(line)
    task = TaskKey(bytes.fromhex(document["task_key"]))
    waited = wait_for(session, light, task, document["task_id"], seconds_of(wait))
    session.output.result(document | {"result": waited.result, "exit": waited.code}, result_lines(waited.result))
    if waited.code:
        raise typer.Exit(waited.code)


def _now_ms() -> int:
    from scheduler.place import wall_clock_ms

    return wall_clock_ms()


def _one(said: dict[str, Any], media_type: str | None, payload: str | None) -> SubmitRequest:
    missing = [f"'--{field.replace('_', '-')}'" for field in ("task_id", "workflow_id", "name") if field not in said]
    if missing:
        raise UsageError(f"Missing option {', '.join(missing)}.", "see p2p-workflow submit --help")
    if media_type is not None and payload is None:
        raise InputError("--media-type without --payload says nothing", "leave one out, or name the file")
    try:
        return read_task(said, None, _now_ms())
    except ValueError as error:  # as P2PTask and the readers of times and tags raise it
        if tell(error) is not None:
            raise  # it has a kind of its own
        raise InputError(str(error)) from error


def _print_many(session: Session, documents: list[dict[str, Any]]) -> None:
    created = sum(document["created"] for document in documents)
    earlier = sum(document["earlier"] for document in documents)
    done_before = f", {earlier} of them done in the previous ledger" if earlier else ""
    session.output.result(
        {
            "success": True,
            "submitted": created,
            "already": len(documents) - created,
            "earlier": earlier,
            "tasks": documents,
        },
        [f"✓ {created} tasks submitted, {len(documents) - created} already there{done_before}"]
        + [f"  {document['task_id']}  {document['task_key']}" for document in documents],
    )
