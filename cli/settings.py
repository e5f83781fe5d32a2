"""What every command can be told: `--json`, `--home`, `--peer`, before or after its name.

The word nearest the end of the line wins; what is not said is configured elsewhere (cli.configuration). Leaves out what
a command does with it (cli.session).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from typer.core import TyperOption


@dataclass(slots=True)
class Settings:
    """One run's choices, filled while the command line is read."""

    json: bool = False
    home: str | None = None
    peer: str | None = None
    headline_on_stdout: bool = False
    """Whether a refusal's first line is the command's answer, as for the quick start's commands."""


def common_options() -> list[TyperOption]:
    """Return new options for one command; what they are given goes to the run's Settings."""
    return [
        TyperOption(
            param_decls=["--json"],
            is_flag=True,
            type=bool,
            default=False,
            expose_value=False,
            callback=_keep,
            help="Print one JSON document, errors too.",
        ),
        TyperOption(
            param_decls=["--home"],
            metavar="FOLDER",
            expose_value=False,
            callback=_keep,
            help="The folder of the ledger. Else P2P_WORKFLOW_HOME, else the platform's data folder.",
        ),
        TyperOption(
            param_decls=["--peer"],
            metavar="NAME",
            expose_value=False,
            callback=_keep,
            help="The key of this home to act with. Else P2P_WORKFLOW_PEER, else as configured, else the home's own.",
        ),
    ]


def _keep(context: Any, option: Any, value: Any) -> None:
    if value:
        setattr(context.obj, option.name, value)
