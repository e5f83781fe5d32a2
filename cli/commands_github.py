"""`github submit`: what the composite action in action.yml runs: its inputs, from the environment, become a task.

The runner is told all that matters: outputs of the step, annotations, the job's summary. Whatever the inputs are, they
go to no shell. Leaves out how these are written (cli.github_runner), and submitting itself (cli.submission).
"""

from __future__ import annotations

import json
import os
import re
import shlex
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

import typer

from cli.awaiting import Waited, seconds_of, wait_for
from cli.command import Command, Group
from cli.errors import InputError, tell
from cli.github_runner import add_summary, annotation, plain_lines, say, set_outputs, table
from cli.light import find_light
from cli.output import printable
from cli.payload_options import warn_of_public_secrets
from cli.result_text import result_lines
from cli.session import Session, session_of
from cli.submission import submit_requests, submitted_lines
from cli.task_file import read_task

if TYPE_CHECKING:
    from cli.light import Light
    from scheduler.submitting import SubmitRequest

PREFIX: Final = "P2P_ACTION_"
"""What the variables begin with that hold the action's inputs."""
_FLAGS: Final = {"": False, "true": True, "false": False}
_NAME: Final = re.compile(r"[^A-Za-z0-9._-]+")


def register(app: typer.Typer) -> None:
    """Add the group of commands."""
    group = typer.Typer(
        cls=Group, help="In a step of GitHub Actions; see docs/github-actions.md.", rich_markup_mode=None
    )
    group.command("submit", cls=Command)(submit)
    app.add_typer(group, name="github")


def submit(context: typer.Context) -> None:
    """Submit what the inputs of action.yml say, in P2P_ACTION_… variables; wait for it where they say so.

    Writes the outputs of the step (GITHUB_OUTPUT), the job's summary (GITHUB_STEP_SUMMARY) and annotations with the CID
    of the event. Ends as `submit --wait` does.
    """
    session = session_of(context)
    rows: dict[str, str] = {}
    try:
        code = _Step(session, Inputs(os.environ), rows).run()
    except Exception as error:
        told = tell(error)
        words = str(error) if told is None else told.message
        advice = "" if told is None or not told.advice else f"\nwhat to do: {told.advice}"
        say(annotation("error", words + advice + _event_words(rows), title="Not submitted" if not rows else "P2P task"))
        _summarize("✗", rows | {"Error": words})
        raise
    if code:
        raise typer.Exit(code)


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


class _Step:
    """One run of the action. `rows` gathers what the summary shows, whatever happens."""

    def __init__(self, session: Session, inputs: Inputs, rows: dict[str, str]) -> None:
        self._session = session
        self._inputs = inputs
        self._rows = rows

    def run(self) -> int:
        """Do it; return the code to end with."""
        inputs = self._inputs
        wait = inputs.flag("wait")
        timeout = inputs.text("timeout")
        if timeout is not None and not wait:
            raise InputError("input timeout says how long to wait, and wait is not true")
        timeout_s = None if timeout is None else seconds_of(timeout)
        light = find_light(self._session, None, inputs.lines("via"))
        if light is not None and wait and not light.places():
            raise InputError("nobody can be asked about the task", "name a peer's URL in the ledger token, or in via")
        request = request_of(self._session, inputs)
        (document,) = submit_requests(self._session, light, [request])
        self._tell_submitted(document)
        if not wait or document["earlier"]:
            _summarize("✓", self._rows)
            return 0
        return self._wait(light, document, timeout_s)

    def _tell_submitted(self, document: dict[str, Any]) -> None:
        for line in submitted_lines(document):
            say(printable(line))
        self._rows |= {
            "Task": document["task_id"],
            "Workflow": document["workflow_id"],
            "Task key": document["task_key"],
            "Event": document["event_cid"] or "-",
            "Status": "submitted" if document["created"] else "was there already",
        }
        if document.get("how", "accepted") != "accepted":
            self._rows["Status"] = f"{document['how']}: {document['via']}; no peer has said that it has it"
        set_outputs(
            {
                "task-key": document["task_key"],
                "event-cid": document["event_cid"] or "",
                "created": "true" if document["created"] else "false",
            }
        )
        title = "P2P task submitted" if document["created"] else "P2P task was submitted before"
        say(annotation("notice", f"{document['task_id']}{_event_words(self._rows)}", title=title))

    def _wait(self, light: Light | None, document: dict[str, Any], timeout_s: float | None) -> int:
        from ledger.events import TaskKey

        with plain_lines(f"Log of {document['task_id']}"):
            waited = wait_for(self._session, light, TaskKey(bytes.fromhex(document["task_key"])), timeout_s)
        with plain_lines(f"Result of {document['task_id']}"):
            for line in result_lines(waited.result):
                self._session.output.line(line)
        self._tell_result(waited)
        return waited.code

    def _tell_result(self, waited: Waited) -> None:
        result = waited.result
        outputs = json.dumps(result["outputs"], ensure_ascii=False)
        code = result["exit_code"]
        left_out = set_outputs(
            {
                "status": result["status"],
                "exit-code": "" if code is None else str(code),
                "outputs": outputs,
                "result": json.dumps(result, ensure_ascii=False),
            }
        )
        for name in left_out:
            say(annotation("warning", f"the output {name} is too large for the runner, and left out"))
        failure = ": ".join(filter(None, (result["failure"] or {}).values()))
        self._rows |= {"Status": result["status"], "Exit code": "-" if code is None else str(code)}
        self._rows |= {
            name: text for name, text in (("Failure", failure), ("Outputs", outputs)) if text not in {"", "{}"}
        }
        if result["worker"] is not None:
            self._rows["Worker"] = result["worker"]["key"]
        if result["event_cid"] is not None:
            self._rows["Result event"] = result["event_cid"]
        if waited.code:
            words = f"{self._rows['Task']} is {result['status']}" + (f": {failure}" if failure else "")
            exit_words = "" if code is None else f", exit code {code}"
            say(annotation("error", words + exit_words + _event_words(self._rows), title="P2P task failed"))
        _summarize("✗" if waited.code else "✓", self._rows)


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
        "priority": _number(inputs, "priority"),
        "needs": inputs.words("needs"),
        "requires": inputs.words("requires"),
        "timeout": inputs.text("task-timeout"),
        "max_attempts": _number(inputs, "max-attempts"),
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


def _number(inputs: Inputs, name: str) -> int | None:
    text = inputs.text(name)
    if text is None:
        return None
    if not text.isascii() or not text.isdecimal():
        raise InputError(f"input {name}: a whole number is wanted, not {text!r}")
    return int(text)


def _now_ms() -> int:
    from scheduler.place import wall_clock_ms

    return wall_clock_ms()


def _event_words(rows: Mapping[str, str]) -> str:
    return f"\nevent {rows['Event']}\ntask key {rows['Task key']}" if "Event" in rows else ""


def _summarize(mark: str, rows: Mapping[str, str]) -> None:
    add_summary([f"### {mark} P2P task", "", *table(rows.items())])
