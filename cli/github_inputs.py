"""The inputs of action.yml, as the environment has them, and the request that they make."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from cli.errors import InputError, tell
from cli.payload_options import warn_of_public_secrets
from cli.session import Session
from cli.task_file import read_task

if TYPE_CHECKING:
    from scheduler.submitting import SubmitRequest

PREFIX: Final = "P2P_ACTION_"
"""What the variables begin with that hold the action's inputs."""
_FLAGS: Final = {"": False, "true": True, "false": False}
_NAME: Final = re.compile(r"[^A-Za-z0-9._-]+")


class Inputs:
    """The inputs of the action, by name; those that are empty say nothing."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ

    def text(self, name: str) -> str | None:
        """Return an input, None where it is empty."""
        return self._environ.get(PREFIX + name.upper().replace("-", "_"), "").strip() or None

    def words(self, name: str) -> list[str] | None:
        """Return an input as words, parted by blanks, line ends and commas."""
        return (self.text(name) or "").replace(",", " ").split() or None

    def lines(self, name: str) -> list[str] | None:
        """Return the lines of an input, those that are empty left out."""
        return [line.strip() for line in (self.text(name) or "").splitlines() if line.strip()] or None

    def flag(self, name: str) -> bool:
        """Return whether an input is true; InputError for what is neither true nor false."""
        text = (self.text(name) or "").lower()
        if text not in _FLAGS:
            raise InputError(f"input {name}: true or false is wanted, not {text!r}")
        return _FLAGS[text]

    def pairs(self, name: str) -> dict[str, str] | None:
        """Return lines `NAME=value` as a mapping."""
        pairs: dict[str, str] = {}
        for line in self.lines(name) or ():
            key, equals, value = line.partition("=")
            if not equals or not key:
                raise InputError(f"input {name}: NAME=value is wanted on each line, not {line!r}")
            pairs[key] = value
        return pairs or None

    def github(self, name: str) -> str:
        """Return what the runner says of the run, "" where it says nothing."""
        return self._environ.get(f"GITHUB_{name}", "").strip()


def request_of(session: Session, inputs: Inputs) -> SubmitRequest:
    """Return the request that the inputs make; raise InputError for what is none."""
    command = _command(inputs)
    warn_of_public_secrets(session.output, command)
    workflow, job = inputs.github("WORKFLOW"), inputs.github("JOB")
    task_id = "-".join(filter(None, (inputs.github("RUN_ID"), _NAME.sub("-", job))))
    fields: dict[str, Any] = {
        "task_id": inputs.text("task-id") or task_id or None,
        "workflow_id": inputs.text("workflow-id") or workflow or None,
        "name": inputs.text("name")
        or " / ".join(filter(None, (inputs.github("WORKFLOW"), inputs.github("JOB"))))
        or None,
        "tags": inputs.words("tags"),
        "priority": number(inputs, "priority"),
        "needs": inputs.words("needs"),
        "requires": inputs.words("requires"),
        "timeout": inputs.text("task-timeout"),
        "max_attempts": number(inputs, "max-attempts"),
        "command": command,
    }
    try:
        return read_task({name: value for name, value in fields.items() if value is not None}, None, _now_ms())
    except ValueError as error:  # as P2PTask and the readers of times and tags raise it
        if tell(error) is not None:
            raise  # it has a kind of its own
        raise InputError(str(error)) from error


def _command(inputs: Inputs) -> dict[str, Any] | None:
    """Return what the inputs say of a command, as a file of tasks has it; None where they say nothing."""
    line, script = inputs.text("command"), inputs.text("script")
    if line is not None and script is not None:
        raise InputError("inputs command and script: a task has one of them", "leave one out")
    said = {
        "argv": None if line is None else _argv(line),
        "script": script,
        "interpreter": inputs.text("shell"),
        "env": inputs.pairs("env"),
        "put": inputs.lines("put"),
        "keep": inputs.lines("keep"),
        "network": inputs.flag("network") or None,
        "secrets": inputs.words("secrets"),
        "sandbox": inputs.text("sandbox"),
    }
    found = {name: value for name, value in said.items() if value is not None}
    if found and line is None and script is None:
        raise InputError(f"input {next(iter(found))} is about a command, and there is none", "give command, or script")
    return found or None


def _argv(line: str) -> list[str]:
    if line.startswith("["):
        try:
            words = json.loads(line)
        except ValueError as error:
            raise InputError(f"input command: no JSON: {error}") from None
        if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
            raise InputError("input command: a JSON list of texts is wanted")
        return words
    try:
        return shlex.split(line)
    except ValueError as error:
        raise InputError(
            f"input command: {error}", "quotes part words as in a shell; nothing else means anything"
        ) from None


def number(inputs: Inputs, name: str) -> int | None:
    """Return an input as a number, None where it is empty; InputError for another text."""
    text = inputs.text(name)
    if text is None:
        return None
    if not text.isascii() or not text.isdecimal():
        raise InputError(f"input {name}: a whole number is wanted, not {text!r}")
    return int(text)


def _now_ms() -> int:
    from scheduler.place import wall_clock_ms

    return wall_clock_ms()
