"""`worker run`: does the tasks that its policy allows, until it is told to end."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.command import Command
from cli.commands_members import split_commas
from cli.commands_worker_policy import PolicyOption
from cli.errors import ForbiddenError, InputError
from cli.exit_codes import ExitCode
from cli.output import printable, render_time
from cli.session import Session, session_of
from cli.settings_table import help_of
from cli.times import parse_duration

if TYPE_CHECKING:
    from scheduler.working.counters import WorkerCounters


def register(group: typer.Typer) -> None:
    """Add the command to the group `worker`."""
    group.command("run", cls=Command)(run)


def run(
    context: typer.Context,
    slots: Annotated[int | None, typer.Option(metavar="N", min=1, max=1024, help=help_of("worker.slots"))] = None,
    labels: Annotated[list[str] | None, typer.Option(metavar="LABEL...", help=help_of("worker.labels"))] = None,
    once: Annotated[bool, typer.Option("--once", help="End when nothing is left that is ready for it now.")] = False,
    drain: Annotated[bool, typer.Option("--drain", help="End when nothing is left that it could ever take.")] = False,
    drain_limit: Annotated[str | None, typer.Option(metavar="TIME", help=help_of("worker.drain_limit"))] = None,
    lease: Annotated[
        str | None, typer.Option(metavar="TIME", help="How long a claim outlives this worker. [the ledger's lease]")
    ] = None,
    policy: PolicyOption = None,
) -> None:
    """Do tasks in a sandbox, as the policy allows: claim, run, renew, complete or fail, until SIGTERM or Ctrl-C.

    SIGTERM: takes nothing new, and lets what runs end within --drain-limit; a second one gives back what runs at once.
    SIGHUP: reads the policy again, which happens by itself too once the file has changed. With --once and --drain it
    ends with 12 where a task has failed.
    """
    from scheduler.working.jobs import JobWork
    from scheduler.working.joining import join
    from scheduler.working.policy_file import PolicyFile, read_policy
    from scheduler.working.runners import opened_runners
    from scheduler.working.signals import heeding_signals
    from scheduler.working.worker import Options, Until, Worker

    session = session_of(context)
    if once and drain:
        raise InputError("--once and --drain: only one of them", "--once ends sooner")
    path = session.policy_path(policy)
    if not path.exists():
        raise ForbiddenError(
            f"there is no policy in {path}: without one this worker runs nothing",
            "`p2p-workflow worker policy init` writes one to begin with; read it before you start the worker",
        )
    read_policy(path)  # a broken one is told now; later versions that are broken allow nothing
    value = session.configuration.value
    count = int(value("worker.slots", slots))
    said = tuple(value("worker.labels", split_commas(labels))) or None
    options = Options(
        slots=count,
        lease_ms=None if lease is None else parse_duration(lease),
        until=Until.ONCE if once else Until.DRAINED if drain else Until.TOLD,
        drain_limit_s=value("worker.drain_limit", drain_limit) / 1000,
    )
    with session.first_use() as home, _logging_to(session), opened_runners(home.folder) as runners:
        key = session.worker_key(home, said or ())
        join(home, key, session.peer_name(home), said, count)
        worker = Worker(home, key, lambda folders: JobWork(home, PolicyFile(path), runners, folders), options)
        with heeding_signals(worker):
            logging.getLogger(__name__).info(
                "working in %s as %s, %d at once", home.folder, session.peer_name(home), count, extra={"event": "ready"}
            )
            counters = worker.run()
    session.output.result(*_told(counters))
    if options.until is not Until.TOLD and counters.failed:
        raise typer.Exit(ExitCode.FAILED)


def _told(counters: WorkerCounters) -> tuple[dict[str, Any], list[str]]:
    document = {
        "event": "ended",
        "claimed": counters.claimed,
        "completed": counters.completed,
        "failed": dict(sorted(counters.failed_by_class.items())),
        "released": counters.released,
        "lost": counters.lost,
    }
    failed = ", ".join(f"{count} {name}" for name, count in sorted(counters.failed_by_class.items()))
    line = f"Completed {counters.completed}, failed {counters.failed}{f' ({failed})' if failed else ''}"
    return document, [f"{line}, given back {counters.released}, lost {counters.lost}"]


@contextmanager
def _logging_to(session: Session) -> Iterator[None]:
    """Say on stderr, a line each, what the worker logs; with --json on stdout, a document each."""
    handler = _Lines(as_json=session.settings.json)
    logger = logging.getLogger()
    before = logger.level
    logger.setLevel(logging.INFO)
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(before)


class _Lines(logging.Handler):
    def __init__(self, *, as_json: bool) -> None:
        super().__init__()
        self._as_json = as_json

    def emit(self, record: logging.LogRecord) -> None:
        now_ms = round(record.created * 1000)
        words = record.getMessage()
        try:
            if self._as_json:
                fields = {name: getattr(record, name) for name in ("task", "task_id", "claim") if hasattr(record, name)}
                event = getattr(record, "event", record.levelname.lower())
                document = {"event": event, "message": words, "time": now_ms} | fields
                sys.stdout.write(json.dumps(document, ensure_ascii=False) + "\n")
                sys.stdout.flush()
            else:
                sys.stderr.write(f"{render_time(now_ms)} {printable(words)}\n")
                sys.stderr.flush()
        except OSError:  # who read the words has gone, or the disk is full: the work goes on
            return
