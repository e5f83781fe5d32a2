"""`audit`: a ledger judged by a stranger, from HTTP gateways alone; no home, no node, and no trust in anybody."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from cli.audit_text import AuditReport, audit_lines, history_lines
from cli.board_text import board_lines
from cli.command import Command
from cli.errors import InputError, MissingError
from cli.exit_codes import ExitCode
from cli.session import session_of

if TYPE_CHECKING:
    from ledger.events import TaskKey

_KEY: Final = re.compile(r"[0-9a-fA-F]{64}")
RULES: Final = ("J1", "J2", "J3")
"""What is legal in some ledgers and can be excused: keys in two places, operations that follow too little, turns."""


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("audit", cls=Command)(audit)


def audit(
    context: typer.Context,
    gateway: Annotated[
        list[str], typer.Option(metavar="URL", help="A trustless gateway; several may be named, all are distrusted.")
    ],
    ipns: Annotated[str | None, typer.Option(metavar="NAME", help="The IPNS name of a manifest.")] = None,
    head: Annotated[str | None, typer.Option(metavar="CID", help="An event to begin with, or a manifest.")] = None,
    ledger: Annotated[str | None, typer.Option(metavar="CID", help="The ledger it must be.")] = None,
    task: Annotated[str | None, typer.Option(metavar="KEY", help="Tell the history of this task, too.")] = None,
    excuse: Annotated[
        list[str] | None,
        typer.Option(metavar="RULE", help="J1, J2 or J3: told, and no fault (J1: a key used in two places)."),
    ] = None,
) -> None:
    """Fetch a whole ledger by hash, check every rule; report who did what on whose authority, and what is wrong."""
    from ledger.cid import Cid
    from ledger.gateway import Gateway
    from ledger.spool import Spool
    from scheduler.audit import judge
    from scheduler.audit_sources import collect
    from scheduler.place import wall_clock_ms

    session = session_of(context)
    key = _check(ipns, head, task, excuse or [])
    gateways = [Gateway(url) for url in dict.fromkeys(gateway)]
    try:
        with Spool() as blocks:
            with session.output.progress("fetching events") as step:
                collected = collect(
                    gateways,
                    blocks,
                    name=ipns,
                    head=None if head is None else Cid.parse(head),
                    ledger=None if ledger is None else Cid.parse(ledger),
                    step=step,
                )
            with session.output.progress("judging events", len(blocks)) as step:
                judged = judge(collected, step)
    finally:
        for one in gateways:
            one.close()
    report = AuditReport(judged, gateways, excuse or [], wall_clock_ms())
    document = report.document()
    lines = [_headline(document), *board_lines(document), *audit_lines(document)]
    if key is not None:
        history = report.history(key)
        if not history["history"]:
            raise MissingError(f"no operation on task {key.hex()} is in this ledger", "look at the key")
        document["task_history"] = history
        lines += history_lines(history)
    session.output.result(document, lines)
    if document["faults"]:
        raise typer.Exit(ExitCode.INVALID)
    if not document["complete"]:
        raise typer.Exit(ExitCode.UNREACHABLE)


def _check(ipns: str | None, head: str | None, task: str | None, excused: list[str]) -> TaskKey | None:
    """Return the task to tell of; raise InputError where the arguments lead nowhere."""
    from ledger.events import TaskKey

    if ipns is None and head is None:
        words = "nothing says which ledger: a task key is no address" if task else "nothing says which ledger"
        raise InputError(words, "name a manifest by --ipns NAME, or an event or a manifest by --head CID")
    if unknown := [rule for rule in excused if rule not in RULES]:
        raise InputError(f"{unknown[0]} cannot be excused", f"rules that can: {', '.join(RULES)}")
    if task is not None and not _KEY.fullmatch(task):
        raise InputError(f"{task} is no task key", "write the 64 hexadecimal digits that `show` prints as its Task Key")
    return None if task is None else TaskKey(bytes.fromhex(task))


def _headline(document: dict[str, Any]) -> str:
    if document["faults"]:
        return f"✗ {document['faults']:,} faults" + ("" if document["complete"] else "; not all could be fetched")
    if not document["complete"]:
        return "✗ not all could be fetched; what was is in order"
    return "✓ every hash, signature and rule holds, and nothing is missing"
