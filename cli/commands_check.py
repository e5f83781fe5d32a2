"""`check-tags`: what a set of tags says about where a task may run. Needs no home."""

from __future__ import annotations

from typing import Annotated

import typer

from cli.command import Command
from cli.session import session_of


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("check-tags", cls=Command)(check_tags)


def check_tags(
    context: typer.Context,
    tags: Annotated[list[str], typer.Option(metavar="TAG...", help="Tags: `a b`, `a,b`, or the option repeated.")],
) -> None:
    """Say whether a task of these tags bypasses GitHub, and whether it must."""
    from scheduler.tags import is_p2p_only, parse_tags, should_bypass_github

    known = parse_tags(tags)
    names = [tag.value for tag in known]
    bypass, only = should_bypass_github(known), is_p2p_only(known)
    session_of(context).output.result(
        {"should_bypass_github": bypass, "is_p2p_only": only, "tags": names},
        [
            "✓ Tag Check Results:",
            f"Tags: {', '.join(names)}",
            f"Should Bypass GitHub: {_yes(bypass)}",
            f"P2P Only: {_yes(only)}",
        ],
    )


def _yes(value: bool) -> str:
    return "Yes" if value else "No"
