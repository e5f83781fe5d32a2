"""`mcp start`: agents use this home through the Model Context Protocol."""

from __future__ import annotations

import sys
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.command import Command, Group
from cli.errors import CliError, InputError, InstallationError
from cli.exit_codes import ExitCode
from cli.monitoring import LogFormatOption, LogLevelOption, begin_logging
from cli.session import Session, session_of
from cli.settings_table import help_of

if TYPE_CHECKING:
    import logging

    from cli.mcp.desk import Desk


class AddressError(CliError):
    """The address to serve at cannot be had."""

    exit_code = ExitCode.REFUSED


def register(app: typer.Typer) -> None:
    """Add the command, in its group."""
    group = typer.Typer(cls=Group, help="Serve agents: the Model Context Protocol.", rich_markup_mode=None)
    group.command("start", cls=Command)(start)
    app.add_typer(group, name="mcp")


def start(
    context: typer.Context,
    host: Annotated[str | None, typer.Option(metavar="ADDRESS", help=help_of("mcp.host"))] = None,
    port: Annotated[int | None, typer.Option(metavar="N", min=0, max=65_535, help="Which port; 0: any. [9000]")] = None,
    stdio: Annotated[bool, typer.Option("--stdio", help="Serve the one client on stdin and stdout instead.")] = False,
    token_file: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Ask for the bearer token in it; a new one where there is none."),
    ] = None,
    allow_origin: Annotated[
        list[str] | None, typer.Option(metavar="ORIGIN", help="Let web pages of it in, such as https://tools.example.")
    ] = None,
    log_format: LogFormatOption = None,
    log_level: LogLevelOption = None,
) -> None:
    """Serve MCP clients at http://HOST:PORT/mcp, or on stdio, until SIGTERM or Ctrl-C.

    Logs where it listens to stderr; with --json the URL is printed on stdout, too. All clients act with this home's key
    (--peer); what each takes is told apart by its claim. Beyond this machine it serves only with a token. Needs the
    extra `mcp`.
    """
    if find_spec("mcp") is None:
        raise InstallationError(
            "the MCP server needs the extra `mcp`, which is not installed",
            "pip install 'p2p-workflow-scheduler[mcp]'",
        )
    session = session_of(context)
    logger = begin_logging(session, log_format, log_level)
    origins = [_origin(text) for text in allow_origin or ()]
    if stdio:
        if token_file is not None or origins:
            raise InputError(
                "--stdio has no use for a token or origins: its client is who started it", "leave them out"
            )
        _start_stdio(session, logger)
        return
    value = session.configuration.value
    file = value("mcp.token_file", token_file)
    place = value("mcp.host", host), value("mcp.port") if port is None else port
    _start_http(session, logger, place, None if file is None else Path(file), origins)


def _start_stdio(session: Session, logger: logging.Logger) -> None:
    from cli.mcp.desk import Desk
    from cli.mcp.server import SchedulerServer
    from cli.mcp.serving import quieten_libraries, serve_stdio

    quieten_libraries()
    desk = Desk(session)
    try:
        _note_first_use(session, desk)
        words = f"MCP on stdio for ledger {desk.ledger} as {desk.name}"
        serve_stdio(SchedulerServer(desk), desk, lambda: logger.info(words, extra={"event": "ready"}))
    finally:
        desk.close()


def _start_http(
    session: Session, logger: logging.Logger, place: tuple[str, int], token_file: Path | None, origins: list[str]
) -> None:
    from cli.mcp.desk import Desk
    from cli.mcp.door import door_of, is_loopback
    from cli.mcp.server import SchedulerServer
    from cli.mcp.serving import PATH, listen, port_of, quieten_libraries, serve_http
    from cli.mcp.token_file import TOKEN_VARIABLE, find_token

    host, port = place
    token, is_new = find_token(token_file)
    if token is None and not is_loopback(host):
        raise InputError(
            f"at {host} others than this machine reach the server, and it asks for no token",
            f"give --token-file FILE, or set {TOKEN_VARIABLE}; or leave --host out",
        )
    if is_new:
        session.output.note(f"Made a token in {token_file}: clients send it as `Authorization: Bearer TOKEN`.")
    quieten_libraries()
    try:
        listening = listen(host, port)
    except (OSError, UnicodeError) as error:
        words = getattr(error, "strerror", None) or error
        raise AddressError(f"cannot listen at {host} port {port}: {words}", "name another --port, or --host") from None
    with listening:
        desk = Desk(session)
        try:
            _note_first_use(session, desk)
            there = port_of(listening)
            url = f"http://{f'[{host}]' if ':' in host else host}:{there}{PATH}"
            guard = "a bearer token is asked for" if token else "no token is asked for"

            def ready() -> None:
                words = f"MCP at {url} for ledger {desk.ledger} as {desk.name}; {guard}"
                logger.info(words, extra={"event": "ready", "url": url})
                if session.settings.json:
                    session.output.result({"url": url, "ledger": str(desk.ledger), "token": token is not None}, ())
                    sys.stdout.flush()

            serve_http(SchedulerServer(desk), desk, listening, door_of(host, there, token, origins), origins, ready)
        finally:
            desk.close()


def _note_first_use(session: Session, desk: Desk) -> None:
    from cli.session import FIRST_USE

    if desk.founded:
        session.output.note(FIRST_USE.format(folder=desk.folder))


def _origin(text: str) -> str:
    """Return an origin as browsers write it; InputError for what is none."""
    from urllib.parse import urlsplit

    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        parts, port = urlsplit(""), None
    if (
        parts.scheme not in {"http", "https"}
        or not parts.hostname
        or parts.path.strip("/")
        or parts.query
        or parts.username
    ):
        raise InputError(f"--allow-origin {text!r} is no origin", "as in --allow-origin https://tools.example")
    name = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    return f"{parts.scheme}://{name}" + (f":{port}" if port is not None else "")
