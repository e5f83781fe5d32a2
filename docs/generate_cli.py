"""Write docs/cli.md from the commands themselves, so that the reference cannot drift: `python docs/generate_cli.py`.

`tests/cli/test_reference.py` compares the file with what this returns.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import typer

from cli import operation_json, task_file
from cli.exit_codes import MEANINGS
from cli.main import make_app
from cli.settings import common_options

TARGET: Final = Path(__file__).parent / "cli.md"

PREAMBLE: Final = """\
# Command line

<!-- Written by docs/generate_cli.py from the code; change it there. -->

`p2p-workflow COMMAND …`; the same commands are the group `p2p-workflow` of the program `ipfs-accelerate`:
`ipfs-accelerate p2p-workflow COMMAND …`. `--version` before a command prints the version.

Results go to stdout, words (notes, warnings, progress) to stderr. A progress bar is drawn only where stderr is a
terminal. With `--json` stdout carries one JSON document, in which times are milliseconds since 1970; for people they
are ISO 8601 in UTC. Actors are written `did:key:z6Mk…`, with the name they were admitted under beside it; CIDs in
base32.

An error is one line that begins with `✗` and says what is wrong, where, and which rule it breaks, then what to do, on
stderr; of the quick start's six commands (`status`, `submit`, `next`, `complete`, `check-tags`, `clock`) the `✗` line
is the answer and stands on stdout. With `--json` stdout carries `{"error": {"kind", "message", "rule", "advice",
"exit_code", …}}` and stderr the words; `kind` is a stable word for programs. Ctrl-C leaves nothing half done: what
was acknowledged is kept.

The quick start's commands make a private ledger with one owner where there is no home yet, and say so once on stderr;
all others ask for `init`. Commands that read append no events and work on a home that cannot be written.

An option that can be repeated takes its values in any of three forms, `--tags a b`, `--tags a,b` (but for needs,
whose names may hold commas) and `--tags a --tags b`; beside positional arguments the last two only. A duration is
written `90s`, `15m`, `1h30m`; a bare number is seconds. A time is ISO 8601 (UTC where it names no zone), `+15m` from
now, or ms since 1970.

What is not said on the line is looked for in the environment, then in the file `config.toml` of the home:
docs/configuration.md has all that can be configured.

`P2P_WORKFLOW_KEY` holds a key as `keys export` writes it, for machines without a key file: it signs in place of the
home's keys, and the peer's name is but shown. An explicit `--peer` that names another key of the home is an error then.
"""


def reference() -> str:
    """Return the whole reference."""
    return "\n".join([PREAMBLE, *_exit_codes(), *_common(), *_commands(), *_forms()])


def _exit_codes() -> Iterator[str]:
    yield "## Exit codes\n\n| code | name | meaning |\n|---|---|---|"
    for code, meaning in MEANINGS.items():
        yield f"| {int(code)} | {code.name.lower()} | {meaning} |"
    yield ""


def _common() -> Iterator[str]:
    yield "## Options of every command\n\nBefore or after the name of the command; the later one wins.\n"
    yield from _table(common_options())


def _commands() -> Iterator[str]:
    yield "## Commands\n"
    shared = {option.name for option in common_options()} | {"help"}
    for path, command in _walk(typer.main.get_command(make_app()), ()):
        yield f"### {' '.join(path)}\n"
        arguments = [param for param in command.params if param.param_type_name == "argument"]
        options = command.options_metavar or "[OPTIONS]"
        usage = " ".join(["p2p-workflow", *path, options, *(_usage(argument) for argument in arguments)])
        yield f"    {usage}\n\n{inspect.cleandoc(command.help or '')}\n"
        own = [param for param in command.params if param.name not in shared]
        if own:
            yield from _table(own)


def _forms() -> Iterator[str]:
    yield "## Operations and tasks as JSON\n"
    for module in (operation_json, task_file):
        yield f"{inspect.cleandoc(module.__doc__ or '')}\n"


def _walk(command: Any, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Yield the commands, but not the groups they stand in."""
    children = getattr(command, "commands", None)
    if children is None:
        yield path, command
        return
    for name, child in children.items():
        yield from _walk(child, (*path, name))


def _usage(argument: Any) -> str:
    return argument.metavar if argument.required else f"[{argument.metavar}]"


def _table(params: list[Any]) -> Iterator[str]:
    yield "| | | |\n|---|---|---|"
    for param in params:
        if param.param_type_name == "argument":
            name, value = f"`{param.metavar}`", ""
        else:
            name = ", ".join(f"`{spelling}`" for spelling in param.opts)
            value = "" if param.is_flag else f"`{param.metavar or param.type.name.upper()}`".replace("|", "\\|")
        words = (param.help or "").replace("|", "\\|")
        default = param.default
        if param.required:
            words += " Required."
        elif default not in (None, False, "") and not callable(default):
            words += f" [{default}]"
        yield f"| {name.replace('|', chr(92) + '|')} | {value} | {words} |"
    yield ""


if __name__ == "__main__":
    TARGET.write_text(reference(), encoding="utf-8")
