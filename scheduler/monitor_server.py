"""/metrics, /healthz and /readyz over HTTP, beside a worker or `peer run`: for Prometheus and for supervisors.

Health: the process lives, and its loop has come round lately. Readiness: the store can be read, and whatever else the
process names (a worker: its policy can be used, it takes tasks). Plain HTTP without a password, so on loopback unless
somebody chooses otherwise; numbers only, no names of tasks. Leaves out the numbers (scheduler.measuring).
"""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self

from ledger.database import StoreError
from scheduler.home import Home
from scheduler.measuring import Measurer, Measures
from scheduler.metrics_text import Counters, Exposition
from scheduler.place import HomeError
from scheduler.pulse import Pulse

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

_logger = logging.getLogger(__name__)

_THREADS: Final = 2
_CONNECTIONS_MAX: Final = 32
_CLOSE_S: Final = 2.0
_TURN_S: Final = 0.5

Trouble = Callable[[], str]
"""Says why the process is not ready, "" where it is."""


class MonitorServer:
    """Serves a home's numbers from `start` to `close`; also usable as a context manager.

    Raises MissingExtraError where the library for /metrics is not installed, OSError where it cannot listen.

    Args:
        folder: the home, which is opened once more.
        host, port: where it listens; port 0: any that is free, see `port`.
        pulse: of the process' loop; None: that the process answers is enough.
        troubles: what else it takes to be ready.
        counters: of the worker in this process.
        peer: the name of the key it acts as.
    """

    def __init__(
        self,
        folder: Path,
        host: str,
        port: int,
        *,
        pulse: Pulse | None = None,
        troubles: Sequence[Trouble] = (),
        counters: Counters | None = None,
        peer: str = "",
    ) -> None:
        import waitress  # noqa: PLC0415  # only who serves needs it

        logging.getLogger("waitress").setLevel(logging.ERROR)  # as ledger.exchange_server
        self._home = Home.open(folder)
        self._measurer = Measurer(self._home)
        self._turn = threading.Lock()
        self._pulse = pulse
        self._troubles = tuple(troubles)
        try:
            info = {"ledger": str(self._home.ledger), "peer": peer}
            self._exposition = Exposition(self._measure, info, counters)
            self._server: Any = waitress.create_server(
                self,
                host=host,
                port=port,
                threads=_THREADS,
                connection_limit=_CONNECTIONS_MAX,
                channel_timeout=10,
                cleanup_interval=5,
                max_request_body_size=1_024,
                max_request_header_size=16_384,
                ident=None,
                clear_untrusted_proxy_headers=True,
            )
        except BaseException:
            self._home.close()
            raise
        self.host = host
        self.port: int = int(self._server.effective_port)
        self._is_over = False
        self._threads = tuple(
            threading.Thread(target=target, name=f"p2p-workflow-monitor{suffix}", daemon=True)
            for target, suffix in ((self._serve, ""), (self._prime, "-first"))
        )

    def start(self) -> None:
        """Begin to answer; the first look, which reads every open task, is taken beside."""
        for thread in self._threads:
            thread.start()

    def close(self) -> None:
        """Answer nobody any more."""
        self._is_over = True
        self._in_loop(self._hang_up)
        self._server.task_dispatcher.shutdown(timeout=_CLOSE_S)
        self._in_loop(self._server.close)
        for thread in self._threads:
            if thread.is_alive():
                thread.join(_CLOSE_S)
        with self._turn:
            self._home.close()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # ---- answering

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Answer one request."""
        path, method = str(environ.get("PATH_INFO", "")), environ.get("REQUEST_METHOD")
        if path not in {"/metrics", "/healthz", "/readyz"}:
            return _say(start_response, "404 Not Found", {"error": "there are /metrics, /healthz and /readyz"})
        if method not in {"GET", "HEAD"}:
            return _say(start_response, "405 Method Not Allowed", {"error": "these are for GET"})
        if path == "/healthz":
            trouble = "" if self._pulse is None else self._pulse.trouble()
            return _verdict(start_response, [trouble] if trouble else [])
        if path == "/readyz":
            return _verdict(start_response, self._not_ready())
        try:
            text = self._exposition.write()
        except (StoreError, HomeError, OSError) as error:
            _logger.warning("the home could not be measured: %s", error, extra={"event": "measure"})
            return _say(start_response, "503 Service Unavailable", {"error": str(error)})
        return _send(start_response, "200 OK", self._exposition.content_type, text)

    def _measure(self) -> Measures:
        with self._turn:
            return self._measurer.measure()

    def _not_ready(self) -> list[str]:
        troubles = [trouble() for trouble in self._troubles]
        if self._pulse is not None:
            troubles.append(self._pulse.trouble())
        if self._turn.acquire(timeout=_TURN_S):  # else somebody measures: the store is being read
            try:
                with self._home.reading():
                    pass
            except (StoreError, HomeError) as error:
                troubles.append(str(error))
            finally:
                self._turn.release()
        return [words for words in troubles if words]

    # ---- the server

    def _prime(self) -> None:
        with suppress(StoreError, HomeError, OSError):  # the first scrape tells
            self._measure()

    def _serve(self) -> None:
        try:
            self._server.run()
        except OSError:  # its sockets are closed under it
            if not self._is_over:
                raise

    def _in_loop(self, act: Callable[[], None]) -> None:
        with suppress(OSError):  # it has ended already
            self._server.trigger.pull_trigger(act)

    def _hang_up(self) -> None:
        for channel in list(self._server.active_channels.values()):
            channel.handle_close()


def _verdict(start_response: StartResponse, troubles: list[str]) -> Iterable[bytes]:
    if troubles:
        return _say(start_response, "503 Service Unavailable", {"status": "trouble", "reasons": troubles})
    return _say(start_response, "200 OK", {"status": "ok"})


def _say(start_response: StartResponse, status: str, document: dict[str, Any]) -> Iterable[bytes]:
    return _send(start_response, status, "application/json", json.dumps(document).encode() + b"\n")


def _send(start_response: StartResponse, status: str, media_type: str, data: bytes) -> Iterable[bytes]:
    headers = [("Content-Type", media_type), ("Content-Length", str(len(data))), ("Cache-Control", "no-store")]
    start_response(status, headers)
    return (data,)
