"""`run -- COMMAND…`: submit a command, wait for a worker to run it, print what it prints, end as it ended."""

from __future__ import annotations

import secrets
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from cli.awaiting import UntakenNotice
from cli.command import ArgvCommand, argv_of, comma_words
from cli.commands_result import note_piece, tell_attempt
from cli.errors import InputError
from cli.log_text import LogPrinter
from cli.payload_options import (
    EnvOption,
    InterpreterOption,
    KeepOption,
    NetworkOption,
    PutOption,
    SandboxOption,
    ScriptOption,
    SecretOption,
    command_fields,
    warn_of_public_secrets,
    warn_of_unread_input,
)
from cli.result_text import result_document, result_lines, write_files
from cli.run_codes import RunCode, run_code
from cli.session import Session, session_of
from cli.task_file import read_task
from cli.task_options import NeedsOption, PriorityOption, RequiresOption, TagsOption, TimeoutOption

if TYPE_CHECKING:
    from crdt.records import TaskRecord
    from ledger.cid import Cid
    from ledger.keys import SigningKey
    from scheduler.home import Home
    from scheduler.results import Result
    from scheduler.run_log import LogFollower, Said
    from scheduler.submitting import Submitted

_NAME_CHARS: Final = 200


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("run", cls=ArgvCommand, options_metavar="[OPTIONS] -- COMMAND...")(run)


def run(
    context: typer.Context,
    task_id: Annotated[str | None, typer.Option(metavar="ID", help="The task's name. [one of its own]")] = None,
    workflow_id: Annotated[str, typer.Option(metavar="ID", help="Its workflow.")] = "run",
    name: Annotated[str | None, typer.Option(metavar="TEXT", help="Words for people. [the command]")] = None,
    tags: TagsOption = None,
    priority: PriorityOption = None,
    needs: NeedsOption = None,
    requires: RequiresOption = None,
    timeout: TimeoutOption = None,
    max_attempts: Annotated[
        int | None,
        typer.Option(metavar="1-100", help="How many may fail. [one that the command itself fails, the policy's else]"),
    ] = None,
    script: ScriptOption = None,
    interpreter: InterpreterOption = None,
    env: EnvOption = None,
    put: PutOption = None,
    keep: KeepOption = None,
    network: NetworkOption = False,
    secret: SecretOption = None,
    sandbox: SandboxOption = None,
    output: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="Write its result files here at the end.")
    ] = None,
    detach: Annotated[bool, typer.Option("--detach", help="Submit it, say its task ID, and do not wait.")] = False,
) -> None:
    """Have a worker run a command; print what it prints, and end with its exit code.

    The command runs wherever a worker that may run it takes it (`worker run`), in an empty folder: `--put .` gives it
    what is here, without .git and what git ignores. Its input is empty. What it prints comes as far as its worker
    sends it, at once where that is in this home.

    Exit codes are the command's own; 128 and a signal's number where a signal ended it; 122 where a limit ended it, 124
    where its time was up, 125 where it could not be run to an end (no attempt left, expired, cancelled by others, a
    need that is dead), 130 after Ctrl-C or SIGTERM. What goes wrong before it is submitted has the codes of all
    commands.

    A command that fails is not tried again, unless --max-attempts says so: its task is cancelled, for that reason. One
    whose worker dies is. Ctrl-C, like SIGTERM, cancels the task: its worker stops it as soon as it hears of it. The
    second one does not wait for that to be written. With --json the log goes to stderr, and the result to stdout.
    """
    session = session_of(context)
    command = command_fields(argv_of(context), script, interpreter, env, put, keep, network, secret, sandbox)
    if command is None:
        raise InputError("there is no command to run", "write `run -- COMMAND…`, or give --script")
    warn_of_public_secrets(session.output, command)
    if script != "-":
        warn_of_unread_input(session.output)
    chosen_id = task_id or f"run-{secrets.token_hex(6)}"
    fields: dict[str, Any] = {
        "task_id": chosen_id,
        "workflow_id": workflow_id,
        "name": name or _name_of(command, script),
        "tags": tags,
        "priority": priority,
        "needs": needs,
        "requires": None if requires is None else comma_words(requires),
        "timeout": timeout,
        "max_attempts": max_attempts,
        "command": command,
    }
    with session.first_use() as home:
        key, submitted = _submit(session, home, {field: value for field, value in fields.items() if value is not None})
        document = {"task_id": chosen_id, "workflow_id": workflow_id, "task_key": submitted.key.hex()}
        if detach:
            session.output.result(document | {"created": submitted.created}, [chosen_id])
            return
        if submitted.found is None:
            session.output.result(document | {"earlier": True}, [])
            session.output.note(f"Task {chosen_id} was done in the previous ledger, which has its result.")
            return
        session.output.note(f"Task {chosen_id}: {submitted.key.hex()}")
        code = _Run(session, home, key, submitted.found, tries_again=max_attempts is not None).run(output)
    raise typer.Exit(code)


def _name_of(command: dict[str, Any], script: str | None) -> str:
    words = shlex.join(command["argv"]) if "argv" in command else str(script)
    return words[:_NAME_CHARS].replace("\n", " ") or "command"


def _submit(session: Session, home: Home, fields: dict[str, Any]) -> tuple[SigningKey, Submitted]:
    from cli.errors import tell
    from ledger.events import Role
    from scheduler.actions import submit
    from scheduler.place import wall_clock_ms

    try:
        request = read_task(fields, None, wall_clock_ms())
    except ValueError as error:  # as P2PTask and the readers of times and tags raise it
        if tell(error) is not None:
            raise  # it has a kind of its own
        raise InputError(str(error)) from error
    key = session.key(home, Role.SUBMITTER)
    return key, submit(home, key, request)[0]


class _Run:
    """One task that is waited for."""

    def __init__(self, session: Session, home: Home, key: SigningKey, record: TaskRecord, *, tries_again: bool) -> None:
        self._session = session
        self._home = home
        self._key = key
        self._record = record
        self._tries_again = tries_again
        self._printer = LogPrinter.to_stderr() if session.output.as_json else LogPrinter.to_stdout()
        self._claim: Cid | None = None
        self._notice = UntakenNotice(session, home, record.key, "Ctrl-C cancels")
        self._interrupts = 0
        self._is_cancelled = False

    def run(self, output: Path | None) -> int:
        """Follow the task to its end; return the code to end with."""
        from scheduler.actions import get_task
        from scheduler.results import result_of
        from scheduler.run_log import LogFollower
        from scheduler.signals import ended_by, heeding

        follower = LogFollower(self._home, self._record.key)
        with follower, heeding(ended_by(lambda: self._interrupt(follower))):
            while not follower.is_over:
                for said in follower.new():
                    self._say(said)
                if self._interrupts and not self._is_cancelled:
                    self._cancel("interrupted by its submitter")
                    self._session.output.note("Cancelled: its worker stops it as soon as it hears of it.")
                elif not follower.is_over:
                    self._look(follower)
                    follower.wait()
        self._printer.end()
        with self._home.reading():
            found = result_of(self._home, get_task(self._home, self._record.key))
            document = result_document(self._home, found)
        code = run_code(found, interrupted=bool(self._interrupts))
        if output is not None:
            document["written"] = write_files(self._home, found, output)
        self._tell_end(found, document, code)
        return code

    def _say(self, said: Said) -> None:
        if self._claim not in (None, said.claim):
            tell_attempt(self._session, self._home, self._record, said.claim)
        self._claim = said.claim
        if said.missing is not None:
            note_piece(self._session, said.missing)
        else:
            self._printer.write(said.data)

    def _look(self, follower: LogFollower) -> None:
        """Give up on a command that has failed, and say who could run one that nobody has taken."""
        from crdt.view import Status

        if follower.status not in {Status.READY, Status.WAITING}:
            return
        if not self._tries_again and self._has_failed_itself():
            self._cancel("its command has failed: `run` does not try again")
        else:
            self._notice.look(follower.status)

    def _has_failed_itself(self) -> bool:
        from scheduler.actions import get_task
        from scheduler.results import result_of
        from scheduler.running.job import FailureClass

        own = {FailureClass.PAYLOAD, FailureClass.TIMEOUT, FailureClass.LIMIT}
        with self._home.reading():
            return result_of(self._home, get_task(self._home, self._record.key)).failure_class in own

    def _cancel(self, reason: str) -> None:
        from scheduler.actions import TaskOverError, cancel

        self._is_cancelled = True
        try:
            cancel(self._home, self._key, self._record.key, reason=reason)
        except TaskOverError:  # it was faster
            return

    def _tell_end(self, found: Result, document: dict[str, Any], code: int) -> None:
        output = self._session.output
        output.result(document | {"exit": code}, [])
        if code != RunCode.OK and not output.as_json:
            shown = ("Failure" if document["failure"] else "Status", "Limits hit", "TAINTED")
            for line in result_lines(document):
                if line.startswith(shown):
                    output.note(line)
        if found.handed.missing:
            output.note(f"{len(found.handed.missing)} parts of its result are not in this home yet: `result` has them.")

    def _interrupt(self, follower: LogFollower) -> None:
        """Note the first Ctrl-C or SIGTERM, end the program on the second."""
        self._interrupts += 1
        if self._interrupts > 1:
            raise KeyboardInterrupt
        follower.watch.poke()
