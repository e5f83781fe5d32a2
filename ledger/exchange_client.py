"""Asking over HTTP: a carrier for exchanges, to a URL on the line or to a port that leads through libp2p.

Implements: specs/exchange.md, rule X15, the client's side. It answers a challenge when it is asked to, which costs a
round trip once for each session. Deadlines and a least rate bound what a server can cost; redirects are not followed.
Leaves out what is asked (ledger.pulling, ledger.pushing).
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, BinaryIO, Final, Self
from urllib.parse import urlsplit

from ledger.carrier import MisbehaviourError, Traffic, UnreachableError, stream_of
from ledger.challenge import ChallengeError, answer_challenge, decode_challenge, encode_proof
from ledger.cid import Cid
from ledger.exchange_server import PATH, SCHEME_PROOF, SCHEME_SESSION, SESSION_HEADER, headers_of
from ledger.keys import SigningKey
from ledger.replica import ExchangeError

if TYPE_CHECKING:
    from urllib3.response import BaseHTTPResponse

CONNECT_S: Final = 10.0
SILENCE_S: Final = 30.0
"""How long the other side may say nothing."""
RATE_AFTER_S: Final = 30.0
RATE_BYTES_MIN: Final = 1_024
"""Least bytes a second, on the average, of an answer that takes longer than that."""
_PIECE_BYTES: Final = 64 * 1024
_WORDS_BYTES_MAX: Final = 4_096


class NotServedError(ExchangeError):
    """The other side serves members only, and does not know this key as one: have an owner admit it, or wait."""


class HttpCarrier:
    """Carries requests to one server, one at a time; a context manager.

    Args:
        url: `http://HOST:PORT`, or https.
        ledger: whose challenges are answered.
        key: who asks; None asks only where everybody may.
        audience: the peer id that was dialled, where the URL leads through libp2p.
    """

    def __init__(self, url: str, ledger: Cid, key: SigningKey | None, *, audience: str | None = None) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
            raise ValueError(f"{url} is no URL of the form http://HOST:PORT")
        import urllib3  # noqa: PLC0415  # takes 100 ms, and most commands ask nobody

        self.url = url.rstrip("/")
        self.traffic = Traffic()
        self._ledger = ledger
        self._key = key
        self._audience = audience
        self._session: str | None = None
        self._pool = urllib3.PoolManager(num_pools=1, maxsize=2, retries=False)

    def close(self) -> None:
        """Close the connections."""
        self._pool.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @contextmanager
    def ask(self, path: str, body: bytes) -> Iterator[BinaryIO]:
        """Send a request and give the stream of its answer, as `Carrier.ask` says; NotServedError for a stranger."""
        response = self._ask(path, body)
        try:
            yield stream_of(self._pieces(response), self.traffic)
        finally:
            # Read to its end the connection is kept; broken off it is closed, and the other side notices.
            response.release_conn() if response.closed else response.close()

    def _ask(self, path: str, body: bytes) -> BaseHTTPResponse:
        headers = {} if self._session is None else dict(headers_of(SCHEME_SESSION, self._session))
        response = self._post(path, body, headers)
        if response.status == 401:
            self._session = None
            proof = self._proof(response)
            response = self._post(path, body, dict(headers_of(SCHEME_PROOF, proof)))
            if response.status == 401:
                reason = response.headers.get("P2PWF-Reason", "it says no reason")
                response.close()
                raise NotServedError(f"{self.url} does not take this key's answer to its challenge: {reason[:200]}")
        if SESSION_HEADER in response.headers:
            self._session = response.headers[SESSION_HEADER]
        if response.status != 200:
            words = self._words(response)
            raise (NotServedError if response.status == 403 else ExchangeError)(f"{self.url}: {words}")
        return response

    def _post(self, path: str, body: bytes, headers: dict[str, str]) -> BaseHTTPResponse:
        """Send a request; once more where the connection that was kept is gone by now."""
        from urllib3.exceptions import HTTPError, ProtocolError  # noqa: PLC0415  # as above

        for is_last in (False, True):
            self.traffic.round_trips += 1
            self.traffic.bytes_sent += len(body)
            try:
                return self._pool.request(
                    "POST",
                    f"{self.url}{PATH}{path}",
                    body=body,
                    headers={"Content-Type": "application/octet-stream", "Accept-Encoding": "identity", **headers},
                    redirect=False,
                    preload_content=False,
                    decode_content=False,
                    timeout=_timeout(),
                )
            except ProtocolError as error:
                if is_last:
                    raise UnreachableError(f"{self.url} broke off: {error}") from None
            except HTTPError as error:
                raise UnreachableError(f"{self.url} cannot be reached: {error}") from None
        raise AssertionError("unreachable")

    def _proof(self, response: BaseHTTPResponse) -> bytes:
        block = self._read(response)
        try:
            challenge = decode_challenge(block)
        except ChallengeError as error:
            raise MisbehaviourError(f"{self.url} asks for a key by something that is none: {error}") from None
        if challenge.ledger != self._ledger:
            raise ExchangeError(f"{self.url} has ledger {challenge.ledger}, not {self._ledger}")
        if self._key is None:
            raise NotServedError(f"{self.url} serves members only: a key is needed")
        return encode_proof(answer_challenge(self._key, challenge, self._audience))

    def _words(self, response: BaseHTTPResponse) -> str:
        if response.status in (301, 302, 303, 307, 308):
            response.close()
            return "it redirects elsewhere, and redirects are not followed"
        try:
            words = json.loads(self._read(response))["error"]
        except (ValueError, KeyError, TypeError):
            return f"it answers with status {response.status}, and is perhaps no peer"
        return str(words)[:_WORDS_BYTES_MAX]

    def _read(self, response: BaseHTTPResponse) -> bytes:
        found = bytearray()
        for piece in self._pieces(response):
            found += piece
            if len(found) > _WORDS_BYTES_MAX:
                response.close()
                raise MisbehaviourError(f"{self.url} says too much")
        response.release_conn()
        return bytes(found)

    def _pieces(self, response: BaseHTTPResponse) -> Iterator[bytes]:
        from urllib3.exceptions import HTTPError  # noqa: PLC0415  # as above

        began, count = time.monotonic(), 0
        try:
            while piece := response.read1(_PIECE_BYTES):
                count += len(piece)
                yield piece
                took = time.monotonic() - began
                if took > RATE_AFTER_S and count < took * RATE_BYTES_MIN:
                    response.close()
                    raise UnreachableError(f"{self.url} is too slow: {count:,} bytes in {took:.0f} s")
        except (HTTPError, OSError) as error:
            raise UnreachableError(f"{self.url} broke off its answer: {error}") from None


def _timeout() -> Any:
    from urllib3 import Timeout  # noqa: PLC0415  # as above

    return Timeout(connect=CONNECT_S, read=SILENCE_S)
