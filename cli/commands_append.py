"""`append`: operations as JSON lines, signed in batches; or finished blocks, which must pass acceptance."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from cli.append_checks import AppendChecks
from cli.command import Command
from cli.errors import InputError
from cli.finished_blocks import append_blocks
from cli.located import located
from cli.operation_json import read_operation
from cli.session import Session, session_of

if TYPE_CHECKING:
    from ledger.cid import Cid
    from ledger.events import Role
    from ledger.keys import SigningKey
    from ledger.operations import Operation
    from scheduler.home import Home
    from scheduler.writing import Writing

_BATCH_OPERATIONS: Final = 128
_TRANSACTION_EVENTS: Final = 8
"""Events signed in one durable transaction."""


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("append", cls=Command)(append)


def append(
    context: typer.Context,
    file: Annotated[str, typer.Argument(metavar="FILE", help="JSON lines, one operation each; - reads stdin.")],
    blocks: Annotated[bool, typer.Option("--blocks", help="FILE holds finished blocks: a CAR, or one block.")] = False,
) -> None:
    """Sign operations and append them; prints the CID of each event.

    A line is an object such as {"op": "submit", "spec": {"task_id": …, "workflow_id": …, "name": …}}: the fields of
    specs/events.md, with CIDs and did:key as text and other bytes in hexadecimal. May be left out: `follows` (the
    task's heads), `priority` (5), `created_at` (now), empty lists. The whole input is read before anything is signed;
    several operations make one event, and events are durable in batches. Ctrl-C leaves whole batches.
    """
    session = session_of(context)
    with session.home() as home:
        if blocks:
            append_blocks(session, home, file)
        else:
            _append_operations(session, home, file)


def _append_operations(session: Session, home: Home, file: str) -> None:
    key = _signing_key(session, home)
    with home.reading():
        checks = AppendChecks(home, key.actor)
        operations = [_read_line(home, key, checks, number, line) for number, line in _lines(file)]
    cids: list[Cid] = []
    with session.output.progress("signing operations", len(operations)) as step:
        done = 0
        while done < len(operations):
            with home.writing() as writing:
                done, made = _append_some(writing, key, operations, done, step)
            cids += made
            for cid in made:  # once they are durable: after Ctrl-C it is known how far it came
                session.output.line(str(cid))
    ignored = _without_effect(home, cids)
    session.output.result(
        {"events": list(map(str, cids)), "operations": len(operations), "without_effect": ignored}, ()
    )
    for entry in ignored:
        session.output.note(
            f"without effect: operation {entry['index']} of {entry['event']}: {entry['rule']}: {entry['words']}"
        )


def _signing_key(session: Session, home: Home) -> SigningKey:
    """Return the key that `--peer` names, whichever it is; owners append under their own name, too."""
    key = session.find_key(home)
    return session.worker_key(home) if key is None else key


def _lines(file: str) -> Iterator[tuple[int, str]]:
    stream: Iterable[str] = sys.stdin if file == "-" else Path(file).read_text(encoding="utf-8").splitlines()
    for number, line in enumerate(stream, 1):
        if line.strip():
            yield number, line


def _read_line(home: Home, key: SigningKey, checks: AppendChecks, number: int, line: str) -> Operation:
    from scheduler.action_errors import ConflictError
    from scheduler.tags import TagError

    try:
        fields = json.loads(line)
        if isinstance(fields, dict):
            fields = _with_defaults(home, fields)
        operation = read_operation(fields, home.ledger, key.actor)
        checks.check(operation)
    except (InputError, TagError, ConflictError) as error:
        raise located(f"line {number}", error) from None
    except (json.JSONDecodeError, RecursionError) as error:
        raise InputError(f"line {number}: no JSON: {error}", "write one object on each line") from None
    return operation


def _with_defaults(home: Home, fields: dict[str, Any]) -> dict[str, Any]:
    match fields.get("op"):
        case "submit":
            return {"priority": 5, "created_at": home.now_ms()} | fields
        case "claim":
            return {"follows": [], "inputs": []} | fields
        case "join":
            return {"labels": []} | fields
        case _:
            return {"follows": []} | fields if "task" in fields else fields


def _append_some(
    writing: Writing, key: SigningKey, operations: list[Operation], start: int, step: Any
) -> tuple[int, list[Cid]]:
    """Append events of operations from `start`, up to the size of a transaction; return how far, and the CIDs made."""
    from ledger.signing import DraftError, DraftTooLargeError

    made: list[Cid] = []
    while start < len(operations) and len(made) < _TRANSACTION_EVENTS:
        batch = _batch(operations[start : start + _BATCH_OPERATIONS])
        while True:
            said = [_following(writing.home, op) for op in batch]
            try:
                made.append(writing.append(key, said, _role_of(said)).cid)
                break
            except DraftTooLargeError as error:
                if len(batch) == 1:
                    raise InputError(str(error), "put less into one operation") from None
                batch = batch[: len(batch) // 2]
            except DraftError as error:
                raise InputError(str(error)) from None
        start += len(batch)
        step(len(batch))
    return start, made


def _batch(operations: list[Operation]) -> list[Operation]:
    """Return those of the first operations that may stand in one event: of two on one matter one has no effect (M3)."""
    from ledger.operations import Admit, Join, Leave, Revoke, Submit

    seen: set[object] = set()
    for count, op in enumerate(operations):
        match op:
            case Admit():
                mark: object = ("admit", op.actor)
            case Revoke():
                mark = ("revoke", op.grant, op.actor)
            case Join() | Leave():
                mark = "presence"
            case Submit():
                mark = op.key
            case _:
                mark = op.task
        if mark in seen:
            return operations[:count]
        seen.add(mark)
    return operations


def _following(home: Home, op: Operation) -> Operation:
    """Return the operation with the task's heads as what it follows, where its line named nothing."""
    from crdt.prospect import claim_follows, requeue_follows
    from ledger.operations import Claim, Requeue, TaskOperation
    from scheduler.acting import follows

    if not isinstance(op, TaskOperation) or op.follows:
        return op
    record = home.board.find_record(op.task)
    if record is None:
        return op
    if isinstance(op, Claim):
        return replace(op, follows=claim_follows(home.board, record, home.event_time()))
    if isinstance(op, Requeue):
        return replace(op, follows=requeue_follows(home.board, record, home.event_time()))
    return replace(op, follows=follows(record, getattr(op, "claim", None)))


def _role_of(operations: Iterable[Operation]) -> Role | None:
    """Return the role that all operations need; None where they need several, or an owner."""
    from ledger.events import Role
    from ledger.operations import Admit, Cancel, Prioritize, Requeue, Revoke, Submit

    roles = {
        None
        if isinstance(op, Admit | Revoke)
        else Role.SUBMITTER
        if isinstance(op, Submit | Cancel | Prioritize | Requeue)
        else Role.WORKER
        for op in operations
    }
    return roles.pop() if len(roles) == 1 else None


def _without_effect(home: Home, cids: list[Cid]) -> list[dict[str, Any]]:
    wanted = set(cids)
    with home.reading():
        return [
            {"event": str(one.event), "index": one.index, "rule": one.rule, "words": one.words}
            for one in home.board.store.ignored()
            if one.event in wanted
        ]
