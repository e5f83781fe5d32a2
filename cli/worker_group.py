"""`worker`: the group of commands about doing tasks. Each module adds its own."""

from __future__ import annotations

import typer

from cli import commands_worker, commands_worker_policy
from cli.command import Group


def register(app: typer.Typer) -> None:
    """Add the group of commands."""
    group = typer.Typer(cls=Group, help="Do tasks that others submit, as a policy allows.", rich_markup_mode=None)
    commands_worker.register(group)
    commands_worker_policy.register(group)
    app.add_typer(group, name="worker")
