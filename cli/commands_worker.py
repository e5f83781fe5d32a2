"""`worker run`: does the tasks that its policy allows, until it is told to end."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.command import Command
from cli.commands_members import split_commas
from cli.commands_worker_policy import PolicyOption
from cli.errors import ForbiddenError, InputError
from cli.exit_codes import ExitCode
from cli.monitoring import LogFormatOption, LogLevelOption, MonitorOption, begin_logging, monitored, url_of
from cli.session import session_of
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
    once: Annotated[bool, typer.Option("--once", help="End when nothing is ready that it may run.")] = False,
    drain: Annotated[bool, typer.Option("--drain", help="End when nothing is left that it could ever take.")] = False,
    drain_limit: Annotated[str | None, typer.Option(metavar="TIME", help=help_of("worker.drain_limit"))] = None,
    lease: Annotated[
        str | None, typer.Option(metavar="TIME", help="How long a claim outlives this worker. [the ledger's lease]")
    ] = None,
    policy: PolicyOption = None,
    monitor: MonitorOption = None,
    log_format: LogFormatOption = None,
    log_level: LogLevelOption = None,
) -> None:
    """Do tasks in a sandbox, as the policy allows: claim, run, renew, complete or fail, until SIGTERM or Ctrl-C.

    SIGTERM: takes nothing new, and lets what runs end within --drain-limit; a second one gives back what runs at once.
    In the end it leaves, so that nobody waits for it.
    SIGHUP: reads the policy again, which happens by itself too once the file has changed. With --once and --drain it
    ends with 12 where a task has failed. Logs what it does to stderr, a line each; with --json to stdout, a JSON
    document each.
    """
    from scheduler.working.jobs import JobWork
    from scheduler.working.joining import join, leave
    from scheduler.working.policy_file import PolicyFile, current_policy, read_policy
    from scheduler.working.runners import opened_runners
    from scheduler.working.signals import heeding_signals
    from scheduler.working.worker import Options, Until, Worker

    session = session_of(context)
    if once and drain:
        raise InputError("--once and --drain: only one of them", "--once ends sooner")
    path = session.policy_path(policy)
    if not path.exists():
        with session.home():  # where there is none, that is to be said first
            pass
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
    logger = begin_logging(session, log_format, log_level, json_on_stdout=True)
    with session.first_use() as home, opened_runners() as runners:
        key = session.worker_key(home, said or ())
        name = session.peer_name(home)
        join(home, key, name, said, count)
        worker = Worker(home, key, lambda folders: JobWork(home, PolicyFile(path), runners, folders), options)
        watching = monitored(
            session,
            value("worker.monitor", monitor),
            pulse=worker.pulse,
            troubles=(worker.trouble, lambda: current_policy(path).trouble),
            counters=worker.counters,
            peer=name,
        )
        with watching as server, heeding_signals(worker):
            if server is not None:
                logger.info("monitored at %s", url_of(server.host, server.port), extra={"event": "monitor"})
            words = "working in %s as %s, %d at once"
            logger.info(words, home.folder, name, count, extra={"event": "ready"})
            counters = worker.run()
            leave(home, key)
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
