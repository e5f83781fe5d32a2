"""`result`, `logs`, `wait`: how tasks came out and what they printed, on any peer that has the events."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.awaiting import UntakenNotice
from cli.command import Command
from cli.commands_work import TaskArgument, TaskOption, which_task
from cli.errors import MissingError
from cli.exit_codes import ExitCode
from cli.log_text import LogPrinter
from cli.result_text import result_document, result_lines, write_files
from cli.session import Session, session_of
from cli.times import parse_duration

if TYPE_CHECKING:
    from collections.abc import Mapping

    from crdt.records import TaskRecord
    from ledger.cid import Cid
    from ledger.events import TaskKey
    from scheduler.home import Home
    from scheduler.run_log import Piece, Said

ClaimOption = Annotated[
    str | None, typer.Option(metavar="CID", help="Under this claim. [the result's, the holder's, or the last]")
]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command("result", cls=Command)(result)
    app.command("logs", cls=Command)(logs)
    app.command("wait", cls=Command)(wait)


def result(
    context: typer.Context,
    task: TaskArgument = None,
    task_id: TaskOption = None,
    claim: ClaimOption = None,
    output: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="Write its files here; none that is there is replaced.")
    ] = None,
) -> None:
    """Show how a task came out: exit code, outputs, files, how it was run and by whom.

    A task that is not done is shown as far as it came, its last failure for example; the exit code is 0 for a result
    alone, 4 where there is none, 11 where a part of it has not come here yet.
    """
    from scheduler.results import result_of

    session, name = session_of(context), which_task(task, task_id)
    with session.home() as home:
        record = _resolve(session, home, name)
        with home.reading():
            found = result_of(home, record, _claim(record, claim))
            document = result_document(home, found)
        lines = result_lines(document)
        if output is not None:
            document["written"] = write_files(home, found, output)
            lines += [f"✓ {output / path} written" for path in document["written"]]
    session.output.result(document, lines)
    _note_missing(session, document["missing"])
    if document["missing"]:
        raise typer.Exit(ExitCode.UNREACHABLE)
    if not found.is_result:
        session.output.note(f"Task {name} is {found.status}: this is no result.")
        raise typer.Exit(ExitCode.REFUSED)


def _resolve(session: Session, home: Home, name: str) -> TaskRecord:
    from scheduler.actions import resolve

    return resolve(home, session.find_key(home), name)


def _claim(record: TaskRecord, text: str | None) -> Cid | None:
    """Return the claim that an option names; MissingError where the task has none such."""
    from ledger.cid import Cid
    from scheduler.results import find_claim

    if text is None:
        return None
    cid = Cid.parse(text)
    if find_claim(record, cid) is None:
        raise MissingError(f"{cid} is no claim on this task", "`show TASK` lists its claims")
    return cid


def _note_missing(session: Session, blobs: list[str]) -> None:
    if blobs:
        more = f" and {len(blobs) - 1} more" if len(blobs) > 1 else ""
        session.output.note(f"Not in this home yet: blob {blobs[0]}{more}. They come by `sync`, from whoever has them.")


def logs(
    context: typer.Context,
    task: TaskArgument = None,
    task_id: TaskOption = None,
    claim: ClaimOption = None,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on until the task is over.")] = False,
) -> None:
    """Print what a task printed: as far as its worker has sent it; all of it, as it comes, in the worker's own home.

    The log is stdout and stderr together, secrets masked. It is printed as it is into a file or a pipe; a terminal gets
    its colours, and nothing else that moves the cursor. With --json it stands in the document. A part that has not come
    here yet is named, and the exit code is then 11.
    """
    session, name = session_of(context), which_task(task, task_id)
    printer = None if session.output.as_json else LogPrinter.to_stdout()
    missing: list[str] = []
    kept: list[bytes] = []
    last: Cid | None = None
    with session.home() as home:
        record = _resolve(session, home, name)
        only = _claim(record, claim)

        def say(said: Said) -> None:
            nonlocal last
            if follow and said.claim != last:
                tell_attempt(session, home, record, said.claim)
            last = said.claim
            if said.missing is not None:
                missing.append(str(said.missing.blob))
                note_piece(session, said.missing)
            elif printer is None:
                kept.append(said.data)
            else:
                printer.write(said.data)

        _read(home, record, only, follow, say)
        if printer is not None:
            printer.end()
        with home.reading():
            document = _log_document(home, record, only, b"".join(kept), missing)
    session.output.result(document, [])
    if missing:
        raise typer.Exit(ExitCode.UNREACHABLE)


def _read(home: Home, record: TaskRecord, claim: Cid | None, follow: bool, say: Any) -> None:
    from scheduler.run_log import LogFollower, follow_log

    if follow:
        for said in follow_log(home, record, claim):
            say(said)
        return
    with LogFollower(home, record.key, claim, patience_s=0) as follower:
        for said in follower.new():
            say(said)


def _log_document(home: Home, record: TaskRecord, claim: Cid | None, data: bytes, missing: list[str]) -> dict[str, Any]:
    from scheduler.results import result_of

    found = result_document(home, result_of(home, record, claim))
    fields = ("task_id", "workflow_id", "task_key", "status", "worker", "claim", "attempt", "exit_code")
    document = {field: found[field] for field in fields} | {"size": len(data), "missing": missing}
    try:
        return document | {"text": data.decode()}
    except UnicodeDecodeError:
        return document | {"hex": data.hex()}


def note_piece(session: Session, piece: Piece) -> None:
    """Say which piece of a log is not here."""
    session.output.note(f"{piece.size:,} bytes of the log are not in this home yet: blob {piece.blob}")


def tell_attempt(session: Session, home: Home, record: TaskRecord, claim: Cid) -> None:
    """Say whose attempt the next lines are of."""
    from cli.people import name_of
    from scheduler.actions import get_task
    from scheduler.results import find_claim

    with home.reading():
        made = find_claim(get_task(home, record.key), claim)
        words = "" if made is None else f"attempt {made.attempt}, by {name_of(home, made.actor)}"
    session.output.note(f"Claim {claim}: {words or 'it counts no more'}")


def wait(
    context: typer.Context,
    tasks: Annotated[list[str], typer.Argument(metavar="TASK...", help="Task IDs or task keys.")],
    timeout: Annotated[str | None, typer.Option(metavar="TIME", help="Wait no longer, such as 10m.")] = None,
) -> None:
    """Wait until tasks are over: done, cancelled, dead, expired, or blocked by a need that is so.

    The exit code is 0 where all are done, 4 where one is over without being done, 13 where the time is up before.
    """
    from crdt.view import Status
    from scheduler.awaiting import await_tasks, is_over
    from scheduler.results import result_of

    session = session_of(context)
    timeout_s = None if timeout is None else parse_duration(timeout) / 1000
    with session.home() as home:
        keys = [_resolve(session, home, name).key for name in tasks]
        notices = {key: UntakenNotice(session, home, key, "Ctrl-C leaves it as it is") for key in keys}

        def look(found: Mapping[TaskKey, Status]) -> None:
            for key, status in found.items():
                notices[key].look(status)

        found = await_tasks(home, keys, timeout_s, look)
        with home.reading():
            records = [home.board.find_record(key) for key in found]
            documents = [result_document(home, result_of(home, one)) for one in records if one is not None]
    lines = [f"{one['task_id']}: {one['status']}{_why(one)}" for one in documents]
    session.output.result({"tasks": documents}, lines)
    if not all(map(is_over, found.values())):
        raise typer.Exit(ExitCode.TIME_UP)
    if any(status is not Status.DONE for status in found.values()):
        raise typer.Exit(ExitCode.REFUSED)


def _why(one: dict[str, Any]) -> str:
    failure = one["failure"]
    return "" if failure is None else f" ({': '.join(filter(None, failure.values()))})"
