"""`config show`: every value that can be configured, and where it comes from."""

from __future__ import annotations

from typing import Any, Final

import typer

from cli.command import Command, Group
from cli.configuration import Origin
from cli.output import render_table
from cli.session import Session, session_of
from cli.settings_table import SETTINGS, Setting, render

_SECRET: Final = "set, not shown"  # noqa: S105 — words that stand for one


def register(app: typer.Typer) -> None:
    """Add the group of commands."""
    group = typer.Typer(cls=Group, help="What is configured, and where.", rich_markup_mode=None)
    group.command("show", cls=Command)(show)
    app.add_typer(group, name="config")


def show(context: typer.Context) -> None:
    """Show each value, and whether it comes from a flag, the environment, config.toml in the home, or the default.

    A command's own flags beat all of these. Secrets are never shown.
    """
    session = session_of(context)
    rows = [_row(session, setting) for setting in SETTINGS]
    strange = session.configuration.strange_variables()
    path = session.configuration.path
    document = {
        "file": str(path),
        "file_exists": path.exists(),
        "values": rows,
        "strange_variables": list(strange),
    }
    table = [
        (row["name"], row["shown"] or "-", row["origin"] + (f" {row['from']}" if row["from"] else "")) for row in rows
    ]
    session.output.result(
        document, [*render_table(("NAME", "VALUE", "FROM"), table), f"File: {path}{'' if path.exists() else ' (none)'}"]
    )
    if strange:
        session.output.note(f"Set in the environment, and meaning nothing here: {', '.join(strange)}")


def _row(session: Session, setting: Setting) -> dict[str, Any]:
    flags = {"home": session.settings.home, "peer.name": session.settings.peer}
    value, origin = session.configuration.find(setting.name, flags.get(setting.name))
    if setting.name == "home" and origin is Origin.DEFAULT:
        value = str(session.folder)
    if setting.name == "json":
        origin = session.json_origin
        value = session.settings.json
    secret = setting.secret and value is not None
    where = {Origin.FLAG: setting.flag, Origin.VARIABLE: setting.variable, Origin.FILE: "", Origin.DEFAULT: ""}
    return {
        "name": setting.name,
        "value": None if secret else list(value) if isinstance(value, tuple) else value,
        "shown": _SECRET if secret else render(setting, value) or setting.otherwise,
        "origin": origin.value,
        "from": where[origin],
    }
