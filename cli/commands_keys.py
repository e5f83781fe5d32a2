"""`keys`: the signing keys of a home. Secrets go by files and pipes, never to a screen or a command line."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.command import Command, Group
from cli.errors import InputError
from cli.output import render_table
from cli.session import Session, session_of

if TYPE_CHECKING:
    from ledger.keys import ActorKey

_SECRET_CHARS_MAX = 1024

NameArgument = Annotated[str, typer.Argument(metavar="NAME", help="The name the key is kept under.")]


def register(app: typer.Typer) -> None:
    """Add the group of commands."""
    keys = typer.Typer(
        cls=Group,
        help="Generate, list, show, import and export signing keys.",
        rich_markup_mode=None,
    )
    keys.command("generate", cls=Command)(generate)
    keys.command("list", cls=Command)(list_keys)
    keys.command("show", cls=Command)(show)
    keys.command("import", cls=Command)(import_key)
    keys.command("export", cls=Command)(export_key)
    app.add_typer(keys, name="keys")


def generate(context: typer.Context, name: NameArgument) -> None:
    """Make a new key and keep it; prints its did:key, which an owner admits."""
    session = session_of(context)
    key = session.ring().generate(name)
    _print_key(session, name, key.actor)


def list_keys(context: typer.Context) -> None:
    """List the keys of this home."""
    from ledger.keys import did_key

    session = session_of(context)
    actors = session.ring().actors()
    session.output.result(
        {"keys": [_document(session, name, actor) for name, actor in actors.items()]},
        render_table(("NAME", "KEY"), [(name, did_key(actor)) for name, actor in actors.items()]),
    )


def show(context: typer.Context, name: NameArgument) -> None:
    """Show the did:key of one key."""
    session = session_of(context)
    _print_key(session, name, session.ring().load(name).actor)


def import_key(
    context: typer.Context,
    name: NameArgument,
    file: Annotated[
        str, typer.Argument(metavar="FILE", help="A file of yours alone, as `keys export` writes it; - reads stdin.")
    ],
) -> None:
    """Keep a key that comes from elsewhere."""
    from ledger.keyring import read_private
    from ledger.keys import KeyFormatError, SigningKey

    session = session_of(context)
    text = sys.stdin.read(_SECRET_CHARS_MAX) if file == "-" else read_private(Path(file))
    try:
        key = SigningKey.from_text(text.strip())
    except KeyFormatError as error:
        raise InputError(f"{file}: {error}", "give a file that `keys export` wrote") from None
    session.ring().add(name, key)
    _print_key(session, name, key.actor)


def export_key(
    context: typer.Context,
    name: NameArgument,
    file: Annotated[
        str,
        typer.Argument(metavar="FILE", help="A new file, readable by you alone, never written over; - for stdout."),
    ],
) -> None:
    """Write the secret of a key to a new file (mode 0600) or a pipe, for another machine or for P2P_WORKFLOW_KEY."""
    from ledger.keys import did_key

    session = session_of(context)
    key = session.ring().load(name)
    if file == "-":
        if sys.stdout.isatty():
            raise InputError("a secret is not for screens, and stdout is a terminal", "name a file, or use a pipe")
        typer.echo(key.to_text())
    else:
        _write_new(Path(file), key.to_text() + "\n")
        session.output.result(
            {"name": name, "key": did_key(key.actor), "file": file}, [f"✓ Secret of {name} written to {file}"]
        )
    session.output.note("Whoever has this secret can sign as this key: move it safely, then delete it.")


def _write_new(path: Path, secret: str) -> None:
    """Write a file that was not there, readable by its owner alone; where there is no room for it, none is left."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    except FileExistsError:
        raise InputError(f"{path} is there already", "name a new file") from None
    try:
        with os.fdopen(descriptor, "w", encoding="ascii") as target:
            target.write(secret)
            target.flush()
            os.fsync(descriptor)
    except BaseException:
        path.unlink()
        raise


def _print_key(session: Session, name: str, actor: ActorKey) -> None:
    from ledger.keys import did_key

    session.output.result(_document(session, name, actor), [f"Name: {name}", f"Key: {did_key(actor)}"])


def _document(session: Session, name: str, actor: ActorKey) -> dict[str, Any]:
    from ledger.keyring import key_file_name
    from ledger.keys import did_key

    return {"name": name, "key": did_key(actor), "file": str(session.ring().folder / key_file_name(name))}
