"""Answering exchanges over HTTP, for whoever reaches the port: on the line, or through a libp2p stream.

Implements: specs/exchange.md, rule X15, the server's side. A request is a POST to /p2pwf/v1/NAME whose body and answer
are those of ledger.answerer; who asks shows a session, or the answer to a challenge. Connections, bodies, threads and
stillness are bounded, so that a stranger costs little and a slow reader nobody else's turn. Leaves out what is answered
(ledger.answerer), who is let in (ledger.doorkeeper), and TLS: plain HTTP hides nothing from who sits on the line.
"""

from __future__ import annotations

import base64
import binascii
import json
import logging
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, suppress
from typing import TYPE_CHECKING, Any, BinaryIO, Final, Self

from ledger.answerer import OFFER_BYTES_MAX, Answerer, UnknownPathError
from ledger.challenge import ChallengeError, decode_proof, encode_challenge
from ledger.database import StoreError
from ledger.doorkeeper import Doorkeeper, NotAdmittedError
from ledger.replica import ExchangeError

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

_logger = logging.getLogger(__name__)

PATH: Final = "/p2pwf/v1/"
"""What stands in front of a request's name in a URL."""
SCHEME_SESSION: Final = "P2PWF-Session"
SCHEME_PROOF: Final = "P2PWF-Proof"
SESSION_HEADER: Final = "P2PWF-Session"
"""Header of an answer that opens a session: its token."""
THREADS: Final = 12
"""More than are kept waiting for a change of a task (scheduler.task_answers)."""
CONNECTIONS_MAX: Final = 200
STILL_S: Final = 60.0
"""How long a connection may neither take nor give a byte."""
_BODY_BYTES_MAX: Final = OFFER_BYTES_MAX + 64 * 1024
_HEADER_BYTES_MAX: Final = 16 * 1024
_CLOSE_S: Final = 5.0
_AHEAD_BYTES: Final = 1024 * 1024
"""How much of an answer is made before it is taken."""

Borrow = Callable[[], AbstractContextManager[Answerer]]
"""Gives an answerer to one thread, for one request."""


class ExchangeServer:
    """A server on `host` and `port`, running from `start` to `close`; also usable as a context manager.

    Args:
        borrow: gives an answerer for each request.
        doorkeeper: lets members in.
        public: whether everybody may read; who gives (offers) must be let in all the same.
        host, port: where it listens; port 0: any that is free, see `port`.
    """

    def __init__(
        self, borrow: Borrow, doorkeeper: Doorkeeper, *, public: bool = False, host: str = "127.0.0.1", port: int = 0
    ) -> None:
        import waitress  # noqa: PLC0415  # only who serves needs it

        logging.getLogger("waitress").setLevel(logging.ERROR)  # it warns of each request that has to wait for a thread
        self._app = ExchangeApp(borrow, doorkeeper, public=public)
        self._server: Any = waitress.create_server(
            self._app,
            host=host,
            port=port,
            threads=THREADS,
            connection_limit=CONNECTIONS_MAX,
            channel_timeout=int(STILL_S),
            cleanup_interval=5,
            max_request_body_size=_BODY_BYTES_MAX,
            max_request_header_size=_HEADER_BYTES_MAX,
            outbuf_high_watermark=_AHEAD_BYTES,
            ident=None,
            clear_untrusted_proxy_headers=True,
        )
        self.host = host
        self.port: int = int(self._server.effective_port)
        self._is_over = threading.Event()
        self._threads = (
            threading.Thread(target=self._serve, name="p2p-workflow-exchange", daemon=True),
            threading.Thread(target=self._watch, name="p2p-workflow-exchange-watch", daemon=True),
        )

    def start(self) -> None:
        """Begin to answer."""
        for thread in self._threads:
            thread.start()

    def close(self) -> None:
        """Answer nobody any more."""
        self._is_over.set()
        self._in_loop(self._hang_up)
        self._server.task_dispatcher.shutdown(timeout=_CLOSE_S)  # they wake the loop when they are through
        self._in_loop(self._server.close)
        for thread in self._threads:
            if thread.is_alive():
                thread.join(_CLOSE_S)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _in_loop(self, act: Callable[[], None]) -> None:
        """Have the server's own thread do something; it alone may touch sockets."""
        with suppress(OSError):  # it was awake, has done it already, and is gone
            self._server.trigger.pull_trigger(act)

    def _serve(self) -> None:
        try:
            self._server.run()
        except OSError:  # its sockets are closed under it
            if not self._is_over.is_set():
                raise

    def _hang_up(self) -> None:
        """Close all connections, so that no answer waits to be taken; in the server's own thread."""
        for channel in list(self._server.active_channels.values()):
            channel.handle_close()

    def _watch(self) -> None:
        """Close connections that stand still in the midst of an answer; waitress looks at idle ones only."""
        while not self._is_over.wait(STILL_S / 4):
            limit = time.time() - STILL_S  # waitress notes activity by this clock
            for channel in list(self._server.active_channels.values()):
                if channel.requests and channel.total_outbufs_len and channel.last_activity < limit:
                    self._in_loop(channel.handle_close)


class ExchangeApp:
    """The WSGI application: one request, one answer."""

    def __init__(self, borrow: Borrow, doorkeeper: Doorkeeper, *, public: bool) -> None:
        self._borrow = borrow
        self._doorkeeper = doorkeeper
        self._public = public

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Answer one request."""
        path = str(environ.get("PATH_INFO", ""))
        if not path.startswith(PATH):
            return _say(start_response, "404 Not Found", "there is nothing here")
        if environ.get("REQUEST_METHOD") != "POST":
            return _say(start_response, "405 Method Not Allowed", "requests of an exchange are POST")
        name = path.removeprefix(PATH)
        headers: list[tuple[str, str]] = []
        try:
            token = self._let_in(environ, name)
        except NotAdmittedError as error:
            return _say(start_response, "403 Forbidden", str(error))
        except ChallengeError as error:
            block = encode_challenge(self._doorkeeper.challenge())
            headers = [("P2PWF-Reason", str(error)[:200])]
            return _send(start_response, "401 Unauthorized", "application/vnd.ipld.dag-cbor", block, headers)
        if token:
            headers.append((SESSION_HEADER, token))
        return self._answer(name, environ["wsgi.input"], start_response, headers)

    def _let_in(self, environ: WSGIEnvironment, name: str) -> str:
        """Return the token of a session that was opened now, "" where none was; raise where nobody is let in."""
        scheme, _, word = str(environ.get("HTTP_AUTHORIZATION", "")).partition(" ")
        if scheme == SCHEME_PROOF:
            try:
                block = base64.urlsafe_b64decode(word.encode("ascii"))
            except (ValueError, binascii.Error):
                raise ChallengeError("the answer is no base64url") from None
            return self._doorkeeper.open_session(decode_proof(block))
        if scheme == SCHEME_SESSION and self._doorkeeper.actor_of(word) is not None:
            return ""
        if self._public and name != "offer":
            return ""
        raise ChallengeError("members only: answer the challenge")

    def _answer(
        self, name: str, body: BinaryIO, start_response: StartResponse, headers: Sequence[tuple[str, str]]
    ) -> Iterable[bytes]:
        with ExitStack() as stack:
            try:
                pieces = stack.enter_context(self._borrow()).answer(name, body)
            except UnknownPathError as error:
                return _say(start_response, "404 Not Found", str(error))
            except ExchangeError as error:
                return _say(start_response, "400 Bad Request", str(error))
            except StoreError as error:
                _logger.warning("a request could not be answered: %s", error)
                return _say(start_response, "503 Service Unavailable", "the store is busy or broken: try again later")
            start_response("200 OK", [("Content-Type", "application/octet-stream"), *headers])
            return _Answer(pieces, stack.pop_all())


class _Answer:
    """An answer on its way; closing it gives the answerer back."""

    def __init__(self, pieces: Iterator[bytes], stack: ExitStack) -> None:
        self._pieces = pieces
        self._stack = stack

    def __iter__(self) -> Iterator[bytes]:
        return self._pieces

    def close(self) -> None:
        with self._stack:
            close = getattr(self._pieces, "close", None)
            if close is not None:
                close()


def _say(start_response: StartResponse, status: str, words: str) -> Iterable[bytes]:
    return _send(start_response, status, "application/json", json.dumps({"error": words}).encode(), ())


def _send(
    start_response: StartResponse, status: str, kind: str, body: bytes, headers: Iterable[tuple[str, str]]
) -> Iterable[bytes]:
    start_response(status, [("Content-Type", kind), ("Content-Length", str(len(body))), *headers])
    return (body,)


def headers_of(scheme: str, word: bytes | str) -> Mapping[str, str]:
    """Return the header by which a client shows `word`: a session's token, or a proof's bytes."""
    text = word if isinstance(word, str) else base64.urlsafe_b64encode(word).decode("ascii")
    return {"Authorization": f"{scheme} {text}"}
