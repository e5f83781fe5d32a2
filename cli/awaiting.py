"""Waiting for a task that was just submitted, with a home or without one; its log is printed as it comes.

What it ends with is what `run` ends with: the command's own exit code, or a number for what no command says (RunCode).
Who stops waiting leaves the task as it is.
"""

from __future__ import annotations

import shlex
import time
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from cli.command import ArgvCommand, spellings
from cli.errors import CliError
from cli.exit_codes import ExitCode
from cli.log_text import LogPrinter
from cli.result_text import result_document
from cli.run_codes import run_code
from cli.session import Session
from cli.times import parse_duration

if TYPE_CHECKING:
    from cli.light import Light
    from crdt.view import Status
    from ledger.carrier import Carrier
    from ledger.cid import Cid
    from ledger.events import TaskKey
    from ledger.operations import Attachment
    from ledger.task_asking import TaskAnswer
    from scheduler.home import Home
    from scheduler.light.proof import TaskProof

WAIT_OPTION: Final = "--wait"
_EVER: Final = "ever"
_NOTICE_S: Final = 3.0
"""After so long without a worker it is said who there is, in seconds."""


class TimeUpError(CliError):
    """The time to wait is over, and the task is not: it goes on."""

    exit_code = ExitCode.TIME_UP

    def __init__(self, name: str, status: str) -> None:
        self.status = status
        super().__init__(
            f"task {name} is {status} when the time to wait is over",
            "the task goes on: the same command again waits for the same task",
        )


class Waited(NamedTuple):
    """How a task came out, as JSON, and the code to end with."""

    result: dict[str, Any]
    code: int


class UntakenNotice:
    """Says once who could run a task that nobody has taken for a while, or one that it needs.

    Args:
        session: whose notes it is among.
        home: where the task is.
        task: which one.
        ctrl_c: what Ctrl-C does to the task.
    """

    def __init__(self, session: Session, home: Home, task: TaskKey, ctrl_c: str) -> None:
        self._session = session
        self._home = home
        self._task = task
        self._ctrl_c = ctrl_c
        self._due = time.monotonic() + _NOTICE_S
        self._is_said = False

    def look(self, status: Status | None) -> None:
        """Say it if it is time to, by the task's status."""
        from crdt.view import Status

        is_open = status in {Status.READY, Status.WAITING}
        if is_open and not self._is_said and time.monotonic() >= self._due:
            self._is_said = self._say()

    def _say(self) -> bool:
        """Say it, and return True, where nobody is at work for the task."""
        from cli.people import name_of
        from scheduler.awaiting import untaken, who_may_run

        with self._home.reading():
            record = untaken(self._home, self._task)
            if record is None:
                return False
            names = [name_of(self._home, worker.actor) for worker in who_may_run(self._home, record)]
        it = "the task" if record.key == self._task else f"{record.spec.task_id}, which it needs,"
        labels = f" with the labels {', '.join(record.spec.requires)}" if record.spec.requires else ""
        if names:
            words = f"Nobody has taken {it} yet; at work{labels}: {', '.join(names)}. Their policies decide."
        else:
            words = f"Nobody at work{labels} was heard of lately: {it} waits for a `p2p-workflow worker run`."
        explain = shlex.join(("explain", record.spec.task_id))
        self._session.output.note(f"{words} `{explain}` says more; {self._ctrl_c}.")
        return True


class WaitingArgvCommand(ArgvCommand):
    """A command with a command line after `--`, and `--wait[=TIME]`: by itself it waits as long as it takes."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Read `args`, in which `--wait` may have no value."""
        return super().parse_args(ctx, with_wait(args, spellings(self.params)[1]))


def with_wait(args: list[str], with_value: Iterable[str]) -> list[str]:
    """Return a command line in which `--wait` has a value, also where it stands last or before another option.

    Args:
        args: its words.
        with_value: the options that take one value: the word after one is its value, whatever it looks like.
    """
    one = frozenset(with_value) - {WAIT_OPTION}
    done: list[str] = []
    rest = list(args)
    while rest:
        word = rest.pop(0)
        if word == "--":
            return [*done, word, *rest]
        if word == WAIT_OPTION and (not rest or rest[0].startswith("-")):
            word = f"{WAIT_OPTION}={_EVER}"
        done.append(word)
        if word in one and rest:
            done.append(rest.pop(0))
    return done


def seconds_of(wait: str) -> float | None:
    """Return how long an option says to wait, in seconds; None: as long as it takes."""
    return None if wait == _EVER else parse_duration(wait) / 1000


def wait_for(session: Session, light: Light | None, task: TaskKey, name: str, timeout_s: float | None) -> Waited:
    """Wait until a task is over; return how it came out. Raises TimeUpError where the time is over before.

    `name` is what people call the task.
    """
    printer = LogPrinter.to_stderr() if session.output.as_json else LogPrinter.to_stdout()
    try:
        if light is not None:
            return _wait_light(session, light, task, name, timeout_s, printer)
        with session.home() as home:
            return _wait_here(session, home, task, name, timeout_s, printer)
    finally:
        printer.end()


def _wait_here(
    session: Session, home: Home, task: TaskKey, name: str, timeout_s: float | None, printer: LogPrinter
) -> Waited:
    from scheduler.actions import get_task
    from scheduler.results import result_of
    from scheduler.run_log import LogFollower

    deadline = None if timeout_s is None else time.monotonic() + timeout_s
    notice = UntakenNotice(session, home, task, "Ctrl-C leaves it as it is")
    with LogFollower(home, task) as follower:
        while True:
            for said in follower.new():
                if said.missing is not None:
                    session.output.note(f"{said.missing.size:,} bytes of the log have not come here yet")
                printer.write(said.data)
            if follower.is_over:
                break
            if deadline is not None and time.monotonic() >= deadline:
                raise TimeUpError(name, str(follower.status))
            notice.look(follower.status)
            follower.wait()
    with home.reading():
        found = result_of(home, get_task(home, task))
        return Waited(result_document(home, found), run_code(found))


def _wait_light(
    session: Session, light: Light, task: TaskKey, name: str, timeout_s: float | None, printer: LogPrinter
) -> Waited:
    from scheduler.light.result import light_result
    from scheduler.light.waiting import WaitedError, Waiting
    from scheduler.place import wall_clock_ms

    watching = _Watching(session, printer)
    waiting = Waiting(light.token.ledger, light.token.genesis, task, light.places(), wall_clock_ms)
    try:
        view = waiting.until_settled(timeout_s, watching.see)
    except WaitedError as error:
        raise TimeUpError(name, error.status) from None
    found = light_result(waiting.proof, view.status, watching.blobs, wall_clock_ms())
    assert found is not None  # noqa: S101  # a task that nobody knows is not settled
    return Waited(result_document(None, found), run_code(found))


class _Watching:
    """What is taken from answers about one task: its log, printed once in order, and the blobs of its result."""

    def __init__(self, session: Session, printer: LogPrinter) -> None:
        self.blobs: dict[Cid, bytes] = {}
        self._session = session
        self._printer = printer
        self._said: set[Cid] = set()

    def see(self, proof: TaskProof, answer: TaskAnswer, carrier: Carrier) -> None:
        """Print what is new of the logs, and fetch what did not come with the answer."""
        from ledger.task_asking import fetch_blobs
        from scheduler.light.result import lacking, log_pieces

        self.blobs |= answer.blobs
        record = proof.record
        if record is None:
            return
        claims = sorted(record.claims, key=lambda claim: (claim.attempt, claim.time, claim.cid))
        new = [(event, item) for claim in claims for event, item in log_pieces(proof, claim.cid)]
        new = [(event, item) for event, item in new if event not in self._said]
        blobs = {item.blob for _, item in new if item.blob is not None} | set(lacking(proof, self.blobs))
        if absent := blobs - self.blobs.keys():
            self.blobs |= fetch_blobs(carrier, answer.told.ledger, absent)
        for event, item in new:
            self._said.add(event)
            self._say(item)

    def _say(self, item: Attachment) -> None:
        data = item.data if item.blob is None else self.blobs.pop(item.blob, None)
        if data is None:
            self._session.output.note(f"{item.size:,} bytes of the log are not at that peer")
        else:
            self._printer.write(data)
