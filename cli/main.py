"""The two programs: `p2p-workflow`, and `ipfs-accelerate` with the same commands as its group `p2p-workflow`.

Implements: the command line of the contract. What is here is the way in and the way out: arguments, one handler for
errors, one line for Ctrl-C. Each command imports what it needs itself, so that `--help` needs nothing.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import Annotated, Final

import typer

from cli import (
    commands_append,
    commands_audit,
    commands_carry,
    commands_check,
    commands_config,
    commands_dead,
    commands_github,
    commands_init,
    commands_ipfs,
    commands_keys,
    commands_log,
    commands_mcp,
    commands_members,
    commands_peer,
    commands_replay,
    commands_result,
    commands_run,
    commands_status,
    commands_steer,
    commands_submit,
    commands_tasks,
    commands_verify,
    commands_work,
    commands_workflow,
    worker_group,
)
from cli.command import Group
from cli.conflict import check_for_conflict
from cli.errors import InstallationError, report
from cli.exit_codes import ExitCode
from cli.settings import Settings
from cli.streams import prepare_streams

HELP: Final = (
    "Schedule tasks without a server: every submit, claim and completion is a signed event in a Merkle-DAG, and every "
    "peer derives the same board from it."
)

COMMANDS: Final = (
    commands_status,
    commands_submit,
    commands_work,
    commands_check,
    commands_tasks,
    commands_run,
    commands_result,
    commands_steer,
    commands_dead,
    commands_init,
    commands_keys,
    commands_members,
    commands_log,
    commands_append,
    commands_replay,
    commands_verify,
    commands_audit,
    commands_carry,
    commands_ipfs,
    commands_peer,
    worker_group,
    commands_workflow,
    commands_config,
    commands_mcp,
    commands_github,
)
"""In the order in which `--help` lists them."""


def make_app() -> typer.Typer:
    """Return the commands of `p2p-workflow`."""
    app = typer.Typer(cls=Group, help=HELP, rich_markup_mode=None, pretty_exceptions_enable=False)
    app.callback()(_of_all)
    for module in COMMANDS:
        module.register(app)
    return app


def make_outer_app() -> typer.Typer:
    """Return the program `ipfs-accelerate`, in which the scheduler is one group of commands."""
    outer = typer.Typer(
        cls=Group,
        help="Tools of the P2P workflow scheduler.",
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
    )
    outer.callback()(_of_all)
    outer.add_typer(make_app(), name="p2p-workflow")
    commands_mcp.register(outer)
    return outer


def _tell_version(is_asked: bool) -> None:
    if is_asked:
        from importlib.metadata import version

        from scheduler.extras import DISTRIBUTION

        typer.echo(version(DISTRIBUTION))
        raise typer.Exit


def _of_all(
    _: Annotated[
        bool, typer.Option("--version", callback=_tell_version, is_eager=True, help="Print the version, and end.")
    ] = False,
) -> None:
    """Take what may stand before the name of a command."""


def run(app: typer.Typer, program: str, args: Sequence[str]) -> int:
    """Run one command line and return the exit code."""
    settings = Settings()
    try:
        prepare_streams()
        _check_installation()
        code = typer.main.get_command(app).main(list(args), program, standalone_mode=False, obj=settings)
    except (KeyboardInterrupt, typer.Abort):
        code = ExitCode.INTERRUPTED
    except Exception as error:  # noqa: BLE001 — the one handler: it tells what it knows, and shows the rest as defects
        settings.json = settings.json or "--json" in args  # the line may have been refused before it was read so far
        code = report(error, settings)
        _drop_unwritten()
    if code == ExitCode.INTERRUPTED:
        typer.echo("Interrupted: what was acknowledged is kept, nothing is half done.", err=True)
    return int(code or ExitCode.OK)


def _check_installation() -> None:
    """Raise InstallationError where the other distribution of our import name is installed, too."""
    try:
        check_for_conflict()
    except ImportError as error:
        raise InstallationError(str(error)) from None


def _drop_unwritten() -> None:
    """Give up output that a full disk does not take, or the interpreter fails over it once more at its end."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
