"""The options that say what a worker is to run: of `submit` and of `run`, in words and as JSON (cli.task_file).

Both become the field `command` of a task as JSON, so that there is one reader. Leaves out the words after `--`
(cli.command.ArgvCommand).
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from cli.command import comma_words
from cli.errors import InputError

if TYPE_CHECKING:
    from cli.output import Output
    from scheduler.task import Payload

ScriptOption = Annotated[
    str | None,
    typer.Option(metavar="FILE", help="A script for a worker to run, in place of the words after --; - reads stdin."),
]
InterpreterOption = Annotated[
    str | None,
    typer.Option(metavar="NAME", help="What reads the script, such as bash or python3. [by its first line]"),
]
EnvOption = Annotated[
    list[str] | None, typer.Option(metavar="NAME=VALUE...", help="Variables of the command; public, no secrets.")
]
PutOption = Annotated[
    list[str] | None,
    typer.Option(
        metavar="PATH[=INSIDE]...", help="A file, or a folder without .git and what git ignores, for the work folder."
    ),
]
KeepOption = Annotated[
    list[str] | None,
    typer.Option(metavar="PATTERN...", help="Files in the work folder that are the result, such as 'dist/**'."),
]
NetworkOption = Annotated[bool, typer.Option("--network", help="The command needs the network.")]
SecretOption = Annotated[
    list[str] | None,
    typer.Option(metavar="NAME...", help="Secrets that it wants as variables; the worker has and grants them."),
]
SandboxOption = Annotated[
    str | None, typer.Option(metavar="LEVEL", help="How far it is kept apart at least: process or bubblewrap.")
]

_FIELDS: Final = frozenset(("argv", "script", "interpreter", "env", "put", "keep", "network", "secrets", "sandbox"))
_SECRET_NAME: Final = re.compile(r"TOKEN|SECRET|PASSWORD|PASSWD|API_?KEY|PRIVATE_?KEY|CREDENTIAL", re.IGNORECASE)
_SCRIPT_LINE: Final = re.compile(r"#!\s*(?:\S*/env\s+(?:-S\s+)?)?(\S+)")


def command_fields(
    argv: list[str] | None,
    script: str | None,
    interpreter: str | None,
    env: list[str] | None,
    put: list[str] | None,
    keep: list[str] | None,
    network: bool,
    secret: list[str] | None,
    sandbox: str | None,
) -> dict[str, Any] | None:
    """Return what options say of a command as JSON has it; None where they say nothing of one."""
    said = {
        "argv": argv,
        "script": None if script is None else {"file": script},
        "interpreter": interpreter,
        "env": None if env is None else dict(map(_variable, env)),
        "put": put,
        "keep": None if keep is None else list(map(_kept, keep)),
        "network": network or None,
        "secrets": None if secret is None else comma_words(secret),
        "sandbox": sandbox,
    }
    found = {name: value for name, value in said.items() if value is not None}
    if found and argv is None and script is None:
        option = next(iter(found)).replace("secrets", "secret")
        raise InputError(f"--{option} is about a command, and there is none", "write `-- COMMAND…` at the end")
    return found or None


def _kept(pattern: str) -> str:
    from scheduler.running.files import FileRefError, check_path

    try:
        return check_path(pattern)
    except FileRefError:
        raise InputError(
            f"--keep {pattern!r} leads out of the work folder",
            "name files from there, such as dist/*.whl",
        ) from None


def read_command(fields: Any) -> Payload:
    """Return the payload that the field `command` of a task says; raise InputError, or ValueError, for what is none."""
    from scheduler.running.gathering import Gathered
    from scheduler.running.job import Level
    from scheduler.running.payloads import Command, write_payload
    from scheduler.task import Payload

    if isinstance(fields, list):
        fields = {"argv": fields}
    if not isinstance(fields, Mapping) or (unknown := sorted(fields.keys() - _FIELDS)):
        words = f"unknown fields {', '.join(unknown)}; " if isinstance(fields, Mapping) else ""
        raise InputError(f"command: {words}a list of words is wanted, or an object with {', '.join(sorted(_FIELDS))}")
    for name in ("argv", "put", "keep", "secrets"):
        if isinstance(fields.get(name), str):
            raise InputError(f"{name}: a list is wanted, not one text")
    if not isinstance(fields.get("env", {}), Mapping):
        raise InputError("env: an object is wanted")
    sandbox = fields.get("sandbox")
    if sandbox is not None and sandbox not in set(Level):
        raise InputError(f"sandbox: no such level: {sandbox!r}", f"known are {', '.join(Level)}")
    script, interpreter = _script(fields.get("script")), fields.get("interpreter")
    if script and interpreter is None:
        interpreter = _interpreter(script)
    gathered = Gathered()
    for path, inside in _put(fields.get("put", ())):
        gathered.put(path, inside)
    if gathered.ignored:
        what = "1 file that git ignores is" if gathered.ignored == 1 else f"{gathered.ignored:,} files git ignores are"
        typer.echo(f"{what} left out; --put takes one that is named by its own path.", err=True)
    command = Command(
        argv=tuple(fields.get("argv", ())),
        script=script,
        interpreter=interpreter,
        env=dict(fields.get("env", {})),
        files=gathered.files,
        outputs=tuple(fields.get("keep", ())),
        network=fields.get("network", False),
        secrets=tuple(fields.get("secrets", ())),
        sandbox=sandbox,
    )
    media_type, data = write_payload(command)
    return Payload(media_type, data, gathered.blobs)


def warn_of_public_secrets(output: Output, fields: Mapping[str, Any] | None) -> None:
    """Say so where a variable looks like a secret: what is in a task is there for every reader, for ever."""
    for name in (fields or {}).get("env", {}):
        if _SECRET_NAME.search(name):
            output.note(f"{name} looks like a secret, and a task is public for ever: `--secret {name}` keeps it out.")


def warn_of_unread_input(output: Output) -> None:
    """Say so where something waits at our own input: a worker's command has an empty one."""
    if _waits_at_input():
        output.note("What is piped in goes nowhere: a task's input is empty. `--put` gives it files.")


def _waits_at_input() -> bool:
    import fcntl
    import termios

    try:
        state = os.fstat(0)
        if stat.S_ISREG(state.st_mode):
            return state.st_size > os.lseek(0, 0, os.SEEK_CUR)
        waiting = bytearray(4)
        if stat.S_ISFIFO(state.st_mode):
            fcntl.ioctl(0, termios.FIONREAD, waiting)
    except OSError:  # it is closed
        return False
    return any(waiting)


def _variable(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals:
        raise InputError(f"--env: NAME=VALUE is wanted, not {text!r}")
    return name, value


def _script(value: Any) -> str | None:
    from cli.attachments import read_bytes

    if isinstance(value, Mapping) and value.keys() == {"file"}:
        try:
            return read_bytes(str(value["file"])).decode()
        except UnicodeDecodeError as error:
            raise InputError(f"{value['file']}: a script is text in UTF-8: {error}") from None
    if value is not None and not isinstance(value, str):
        raise InputError('script: a text is wanted, or {"file": …}')
    return value


def _interpreter(script: str) -> str:
    """Return the interpreter that the first line of a script names."""
    line = _SCRIPT_LINE.match(script)
    if line is None:
        raise InputError("the script does not say what reads it", "give --interpreter, such as bash or python3")
    return line[1].rpartition("/")[2]


def _put(value: Any) -> list[tuple[Path, str | None]]:
    """Return what to put where: a list of `PATH[=INSIDE]`, or an object of paths by their place inside."""
    if isinstance(value, Mapping):
        return [(Path(path), inside) for inside, path in value.items()]
    return [_put_one(text) for text in value]


def _put_one(text: str) -> tuple[Path, str | None]:
    path, equals, inside = text.rpartition("=")
    return (Path(text), None) if not equals or Path(text).exists() else (Path(path), inside)
