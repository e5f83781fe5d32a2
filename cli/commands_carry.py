"""`export`, `import`, `sync`: events leave and enter a home, by CAR files or from home to home."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.carrying import (
    import_document,
    import_lines,
    import_notes,
    is_faulty,
    is_home,
    taken_document,
    taken_lines,
)
from cli.command import Command
from cli.errors import InputError, InvalidError, MissingError
from cli.remote import find_name, is_address, no_gateways, sync_name, sync_peer
from cli.session import Session, session_of

if TYPE_CHECKING:
    from ledger.cid import Cid
    from scheduler.home import Home


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command("export", cls=Command)(export)
    app.command("import", cls=Command)(import_file)
    app.command("sync", cls=Command)(sync)


def export(
    context: typer.Context,
    file: Annotated[str, typer.Argument(metavar="FILE.car", help="The CAR to write, or - for stdout.")],
    since: Annotated[
        list[str] | None, typer.Option(metavar="CID", help="Leave out this event and its causal past; can be repeated.")
    ] = None,
    task: Annotated[str | None, typer.Option(metavar="TASK", help="Only this task, with its causal past.")] = None,
) -> None:
    """Write the log, with the payloads it links, to a CAR that any IPFS tool reads and a stranger can verify."""
    from ledger.car_io import export_car
    from ledger.car_sync import replaced_file
    from ledger.cid import Cid
    from scheduler.replica import replica_of

    session = session_of(context)
    known = [Cid.parse(text) for text in since or ()]
    with session.home() as home:
        heads = None if task is None else _task_heads(session, home, task)
        with home.reading():
            unknown = [cid for cid in known if cid != home.ledger and home.events.find_link(cid) is None]
        for cid in unknown:
            session.output.note(f"{cid} is not known here: nothing is left out for it")
        replica = replica_of(home)
        if file == "-":
            if sys.stdout.isatty():
                raise InputError("a CAR is no text, and stdout is a terminal", "name a file, or send stdout to one")
            events = export_car(replica, sys.stdout.buffer, heads=heads, since=known)
            sys.stdout.buffer.flush()
            session.output.note(f"{events:,} events of ledger {home.ledger}")
            return
        with replaced_file(Path(file)) as stream, session.output.progress("exporting blocks") as step:
            events = export_car(replica, stream, heads=heads, since=known, seen=lambda _: step(1))
        with home.reading():
            roots = home.board.heads if heads is None else heads
        session.output.result(
            {"file": file, "events": events, "ledger": str(home.ledger), "roots": list(map(str, roots))},
            [f"✓ {events:,} events of ledger {home.ledger} written to {file}"],
        )


def _task_heads(session: Session, home: Home, name: str) -> tuple[Cid, ...]:
    from scheduler.actions import resolve

    return resolve(home, session.find_key(home), name).heads


def import_file(
    context: typer.Context,
    file: Annotated[str, typer.Argument(metavar="FILE.car", help="A CAR of this ledger, or - for stdin.")],
) -> None:
    """Take in the blocks of a CAR, in any order; says what was accepted, waits for what, or was refused by which rule.

    With --json it counts all and names the first 100 of each verdict.
    """
    from ledger.car_import import import_car
    from scheduler.replica import replica_of

    session = session_of(context)
    with session.home() as home, session.output.progress("importing blocks") as step:
        if file == "-":
            report = import_car(replica_of(home), sys.stdin.buffer, home.now_ms(), seen=lambda _: step(1))
        else:
            with Path(file).open("rb") as stream:
                report = import_car(replica_of(home), stream, home.now_ms(), seen=lambda _: step(1))
    session.output.result({"file": file} | import_document(report), import_lines(report))
    for words in import_notes(report):
        session.output.note(words)
    if is_faulty(report):
        raise typer.Exit(InvalidError.exit_code)


def sync(
    context: typer.Context,
    where: Annotated[
        str,
        typer.Argument(
            metavar="PLACE",
            help="HOME, FILE.car (it may be new), http://HOST:PORT, a node's address /…/p2p/ID, or ipns:NAME.",
        ),
    ],
    gateway: Annotated[
        list[str] | None,
        typer.Option(metavar="URL", help="Gateways for ipns:NAME, all distrusted; without, this home's IPFS node."),
    ] = None,
) -> None:
    """Give both sides what they lack of the ledger: this home and another, here or far away, or a CAR between them.

    http://HOST:PORT and /…/p2p/ID are peers that run `peer run`; they serve members. From ipns:NAME, the
    name of a manifest that such a peer publishes, all is fetched by segments, and nothing is sent.
    """
    session = session_of(context)
    if (name := find_name(where)) is None:
        no_gateways(gateway)
    if name is None and not is_address(where):
        _sync_here(session, Path(where))
        return
    with session.home() as home:
        if name is None:
            document, lines, code = sync_peer(session, home, where)
        else:
            document, lines, code = sync_name(session, home, where, name, gateway)
        root = home.state_root().hex()
    session.output.result(document | {"state_root": root}, [*lines, f"State Root: {root}"])
    if code:
        raise typer.Exit(code)


def _sync_here(session: Session, place: Path) -> None:
    """Exchange with a home or a CAR of this machine."""
    from ledger.car_sync import sync_car
    from ledger.exchange import sync_stores
    from scheduler.home import Home
    from scheduler.replica import replica_of

    if str(place) == "-":
        raise InputError("sync reads and writes: it cannot use a stream", "name a file or a home; see `import -`")
    if not place.exists() and place.suffix != ".car":  # a mistyped home must not become a file
        raise InputError(f"{place} is not there", "name a home, or a file that ends in .car to make a new one")
    is_new = not place.exists()
    with session.home() as home, session.output.progress("exchanging events") as step:
        if not is_home(place):
            report, written = sync_car(replica_of(home, step), place, home.now_ms())
            document = {"place": str(place), "received": taken_document(report.taken), "sent": {"events": written}}
            lines = [f"received: {taken_lines(report.taken)[0]}", f"sent: {written:,} events"]
            lines += taken_lines(report.taken)[1:]
            if is_new:
                session.output.note(f"wrote a new CAR, {place}")
            faulty = bool(report.taken.refused)  # what else was wrong with the file is mended now
            for words in import_notes(report):
                session.output.note(words)
        else:
            if place.resolve() == home.folder.resolve():
                raise InputError(f"{place} is this home", "name another one")
            with Home.open(place) as other:
                both = sync_stores(replica_of(home, step), replica_of(other, step), home.now_ms)
            document = {"place": str(place), "received": taken_document(both.a), "sent": taken_document(both.b)}
            lines = [f"received: {taken_lines(both.a)[0]}", f"sent: {taken_lines(both.b)[0]}"]
            lines += taken_lines(both.a)[1:] + taken_lines(both.b)[1:]
            faulty = bool(both.a.refused or both.b.refused)
        root = home.state_root().hex()
    session.output.result(document | {"state_root": root}, [*lines, f"State Root: {root}"])
    if faulty:
        raise typer.Exit(InvalidError.exit_code)


def genesis_from(place: Path) -> bytes:
    """Return the genesis block of the ledger in a home or a CAR file."""
    from ledger.car_io import read_genesis
    from scheduler.home import Home

    if is_home(place):
        with Home.open(place) as other, other.reading():
            block = other.events.find_genesis()
        if block is not None:
            return block
        raise MissingError(f"{place} holds no genesis block")
    try:
        with place.open("rb") as stream:
            return read_genesis(stream)
    except LookupError as error:
        raise MissingError(f"{place}: {error}", "export the whole ledger, or name a home") from None
