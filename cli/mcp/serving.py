"""Running the server: over HTTP on one socket, or over stdio; ended by SIGTERM or Ctrl-C, at once and cleanly.

Over HTTP no session is kept: each request stands for itself, so a server that was started again answers as before.
"""

from __future__ import annotations

import asyncio
import logging
import signal
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING, Any, Final

import anyio
import uvicorn
from mcp.server.transport_security import TransportSecuritySettings
from uvicorn.protocols.http.h11_impl import H11Protocol, RequestResponseCycle

from cli.mcp.gate import guarded

if TYPE_CHECKING:
    from collections.abc import Iterable

    from cli.mcp.desk import Desk
    from cli.mcp.door import Door
    from cli.mcp.server import SchedulerServer

PATH: Final = "/mcp"
BODY_BYTES_MAX: Final = 4 * 1024 * 1024
CONNECTIONS_MAX: Final = 512
_HEADERS_S: Final = 10.0
"""How long a connection may take until the headers of its next request are there."""
_IDLE_S: Final = 60
_ENDING_S: Final = 2
_HEADER_BYTES_MAX: Final = 32_768


class _PatientProtocol(H11Protocol):
    """HTTP/1.1, where a connection that begins a request and does not go on is closed."""

    _deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        super().connection_made(transport)
        self._await_headers()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self._is_between() and self._deadline is None:
            self._await_headers()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
        super().connection_lost(exc)

    def _await_headers(self) -> None:
        self._deadline = self.loop.call_later(_HEADERS_S, self._on_deadline)

    def _on_deadline(self) -> None:
        self._deadline = None
        if self._is_between() and self.timeout_keep_alive_task is None and not self.transport.is_closing():
            self.transport.close()

    def _is_between(self) -> bool:
        """Tell whether no request is being answered."""
        cycle: RequestResponseCycle | None = self.cycle  # uvicorn types it as always there
        return cycle is None or cycle.response_complete


class _Uvicorn(uvicorn.Server):
    """uvicorn that says when it has started, and without its signal handlers: they would end the process by the signal.

    Args:
        config: uvicorn's.
        ready: called once requests are answered.
    """

    def __init__(self, config: uvicorn.Config, ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._ready = ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            self._ready()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def serve_http(
    server: SchedulerServer,
    desk: Desk,
    listening: socket.socket,
    door: Door,
    pages: Iterable[str],
    ready: Callable[[], None],
) -> None:
    """Serve on a socket that listens, until SIGTERM or Ctrl-C; `ready` is called once requests are answered."""
    app = server.streamable_http_app(
        streamable_http_path=PATH,
        stateless_http=True,
        max_request_body_size=BODY_BYTES_MAX,
        transport_security=TransportSecuritySettings(enable_dns_rebinding_protection=False),  # the door is stricter
    )
    config = uvicorn.Config(
        guarded(app, door, pages),
        http=_PatientProtocol,
        ws="none",
        loop="asyncio",
        lifespan="on",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        limit_concurrency=CONNECTIONS_MAX,
        timeout_keep_alive=_IDLE_S,
        timeout_graceful_shutdown=_ENDING_S,
        h11_max_incomplete_event_size=_HEADER_BYTES_MAX,
    )
    running = _Uvicorn(config, ready)

    async def run() -> None:
        def stop() -> None:
            desk.stop()
            running.should_exit = True

        async with desk.watching(), _ended_by_signals(stop):
            await running.serve(sockets=[listening])

    anyio.run(run)


def serve_stdio(server: SchedulerServer, desk: Desk, ready: Callable[[], None]) -> None:
    """Serve the one client on stdin and stdout, until it closes them, or SIGTERM or Ctrl-C."""

    async def run() -> None:
        async with desk.watching(), anyio.create_task_group() as group:

            def stop() -> None:
                desk.stop()
                group.cancel_scope.cancel()

            async with _ended_by_signals(stop):
                ready()
                await server.serve_stdio()

    anyio.run(run)


@asynccontextmanager
async def _ended_by_signals(stop: Callable[[], None]) -> AsyncIterator[None]:
    loop = asyncio.get_running_loop()
    signals = (signal.SIGTERM, signal.SIGINT)
    for number in signals:
        loop.add_signal_handler(number, stop)
    try:
        yield
    finally:
        for number in signals:
            loop.remove_signal_handler(number)


def quieten_libraries() -> None:
    """Have the libraries say what is wrong, and nothing of each request, where more than that is not asked for."""
    if not logging.getLogger().isEnabledFor(logging.DEBUG):
        for name in ("mcp", "uvicorn", "asyncio"):
            logging.getLogger(name).setLevel(logging.WARNING)


def listen(host: str, port: int) -> socket.socket:
    """Return a socket that listens; raise OSError where it cannot."""
    family, kind, protocol, _, address = socket.getaddrinfo(
        host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )[0]
    listening = socket.socket(family, kind, protocol)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(address)
        listening.listen(CONNECTIONS_MAX)
        listening.setblocking(False)
    except BaseException:
        listening.close()
        raise
    return listening


def port_of(listening: socket.socket) -> int:
    """Return the port of a socket that listens."""
    address: Any = listening.getsockname()
    return int(address[1])
