"""What commands that run for long have in common: `--monitor`, `--log-format` and `--log-level`."""

from __future__ import annotations

import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from cli.configuration import parse_place
from cli.errors import InputError
from cli.logs import start_logging
from cli.session import Session
from cli.settings_table import help_of

if TYPE_CHECKING:
    import logging

    from scheduler.metrics_text import Counters
    from scheduler.monitor_server import MonitorServer, Trouble
    from scheduler.pulse import Pulse

MonitorOption = Annotated[
    str | None,
    typer.Option("--monitor", metavar="HOST:PORT", help="Serve /metrics, /healthz and /readyz here; port 0: any."),
]
LogFormatOption = Annotated[str | None, typer.Option("--log-format", metavar="text|json", help=help_of("log.format"))]
LogLevelOption = Annotated[str | None, typer.Option("--log-level", metavar="LEVEL", help=help_of("log.level"))]


def begin_logging(
    session: Session, log_format: str | None, log_level: str | None, *, json_on_stdout: bool = False
) -> logging.Logger:
    """Log to stderr as the flags say, else as configured; return the logger for what the command says itself.

    With `json_on_stdout` the log is the command's result under --json: it goes to stdout then, as JSON.
    """
    value = session.configuration.value
    on_stdout = json_on_stdout and session.settings.json
    form = value("log.format", log_format)
    return start_logging("json" if on_stdout else form, value("log.level", log_level), on_stdout=on_stdout)


@contextmanager
def monitored(
    session: Session,
    place: str | None,
    *,
    pulse: Pulse | None = None,
    troubles: Sequence[Trouble] = (),
    counters: Counters | None = None,
    peer: str = "",
) -> Iterator[MonitorServer | None]:
    """Serve the home's numbers at HOST:PORT inside this block; without a place do nothing.

    Raises InputError where nothing can be served there, MissingExtraError where the library is not installed.
    """
    if place is None:
        yield None
        return
    from scheduler.monitor_server import MonitorServer

    host, port = parse_place(place)
    check_free(place, (host, port))
    server = MonitorServer(session.folder, host, port, pulse=pulse, troubles=troubles, counters=counters, peer=peer)
    with server:
        yield server


def check_free(text: str, place: tuple[str, int]) -> None:
    """Raise InputError where nobody can listen at a place; `text` is how it was written."""
    try:
        socket.create_server(place, family=socket.AF_INET6 if ":" in place[0] else socket.AF_INET).close()
    except OSError as error:
        raise InputError(f"cannot listen at {text}: {error.strerror or error}", "name another port") from None


def url_of(host: str, port: int) -> str:
    """Return the URL of a server of ours."""
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
