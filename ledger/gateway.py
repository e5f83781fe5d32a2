"""One trustless HTTP gateway: blocks and CARs by CID, names by their records; whatever it says is checked or bounded.

Implements: specs/audit.md, section Fetching. Every block is compared with its CID, every answer has a deadline and a
size, redirects are not followed (they lead to servers nobody named), encodings are not unpacked. Sockets are read
through a meter (ledger.gateway_transport). Leaves out what to ask for (ledger.gateway_walk).

Source: Trustless Gateway and Path Gateway specifications, specs.ipfs.tech/http-gateways.
"""

from __future__ import annotations

import io
import re
import threading
from collections import Counter
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final, cast
from urllib.parse import quote, urlsplit

from ledger.car import CAR_BLOCK_BYTES_MAX, CarError, read_car
from ledger.cid import Cid

if TYPE_CHECKING:
    from typing import BinaryIO

    from urllib3.connectionpool import HTTPConnectionPool

STRIKES_MAX: Final = 4
"""Answers one after the other that do not come, after which a gateway is given up."""
LIES_MAX: Final = 32
"""Answers in all that are not what was asked for, after which a gateway is given up."""
RECORD_BYTES_MAX: Final = 10_240
"""Largest IPNS record, in bytes, by its specification."""
_CHUNK_BYTES: Final = 65_536


class GatewayUrlError(ValueError):
    """The text is no address of a gateway: http or https, a host, perhaps a port and a path; nothing else."""


class Failure(StrEnum):
    """Why a gateway did not give what it was asked for."""

    UNREACHABLE = "unreachable"
    REFUSED = "refused"
    REDIRECTED = "redirected"
    SLOW = "too slow"
    ABSENT = "not there"
    WRONG_BYTES = "wrong bytes"
    TOO_LARGE = "too large"
    BROKEN_OFF = "broken off"
    MALFORMED = "malformed"
    UNASKED = "blocks nobody asked for"
    GIVEN_UP = "given up"


LIES: Final = frozenset((Failure.WRONG_BYTES, Failure.TOO_LARGE, Failure.BROKEN_OFF, Failure.MALFORMED))
_STRIKES: Final = frozenset((Failure.UNREACHABLE, Failure.REFUSED, Failure.REDIRECTED, Failure.SLOW))


class GatewayError(Exception):
    """The gateway did not give it; ask another one. `failure` says why."""

    def __init__(self, failure: Failure, words: str) -> None:
        super().__init__(f"{failure}: {words}" if words else str(failure))
        self.failure = failure


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a gateway is waited for, in seconds, and how fast a stream must come, in bytes a second."""

    connect_s: float = 5.0
    idle_s: float = 15.0
    answer_s: float = 30.0
    """For one block or one record."""
    stream_s: float = 300.0
    """For one CAR."""
    rate: int = 16_384
    window_s: float = 10.0


class Gateway:
    """One gateway and how it has behaved; safe for use from several threads.

    Args:
        url: its address, such as https://gateway.example or http://127.0.0.1:8080.
        patience: how long it is waited for.
        parallel: connections that are kept open.

    Raises:
        GatewayUrlError: no such address.

    """

    def __init__(self, url: str, patience: Patience = Patience(), *, parallel: int = 8) -> None:
        # Now, and not by several threads at the same time: they would get it half loaded.
        import urllib3  # noqa: F401, PLC0415  # takes 100 ms

        self.url = url.rstrip("/")
        self.patience = patience
        self.bytes = 0
        """What it has sent, headers included."""
        self.requests = 0
        self.failures: Counter[Failure] = Counter()
        self.words: dict[Failure, str] = {}
        """Of each kind of failure the first, in words."""
        self._scheme, self._host, self._port, self._path = _parse(self.url)
        self._parallel = parallel
        self._pool: HTTPConnectionPool | None = None
        self._lock = threading.Lock()
        self._strikes = 0

    @property
    def is_given_up(self) -> bool:
        """Whether it is asked no more: it does not answer, or lies too often."""
        return self._strikes >= STRIKES_MAX or sum(self.failures[kind] for kind in LIES) >= LIES_MAX

    def close(self) -> None:
        """Close its connections."""
        if self._pool is not None:
            self._pool.close()

    # ---- what can be asked for

    def block(self, cid: Cid, bytes_max: int = CAR_BLOCK_BYTES_MAX) -> bytes:
        """Return the block of a CID, checked against it; raise GatewayError."""
        with self._told():
            path = f"/ipfs/{cid}?format=raw"
            data = self._whole(path, "application/vnd.ipld.raw", bytes_max)
            if not cid.names(data):
                raise GatewayError(Failure.WRONG_BYTES, f"what it gave for {cid} hashes to another CID")
            return data

    def car(self, root: Cid, bytes_max: int) -> Generator[tuple[Cid, bytes], None, None]:
        """Yield the blocks of a CAR of all that `root` reaches, each checked against its CID, as they come.

        Raises GatewayError after the last whole block, where it ends early or holds what hashes to no CID of its.
        """
        with self._told():
            path = f"/ipfs/{root}?format=car&dag-scope=all"
            with self._body(path, "application/vnd.ipld.car", bytes_max, stream=True) as body:
                try:
                    reader = read_car(cast("BinaryIO", io.BufferedReader(body, _CHUNK_BYTES)))
                    yield from reader
                except CarError as error:
                    raise GatewayError(Failure.BROKEN_OFF, str(error)) from error
            if reader.bad_count:
                raise GatewayError(Failure.WRONG_BYTES, f"{reader.bad_count} blocks of the CAR of {root}")

    def ipns_record(self, name: str) -> bytes:
        """Return the signed record of an IPNS name, unchecked (ledger.ipns does that); raise GatewayError."""
        with self._told():
            path = f"/ipns/{quote(name, safe='')}?format=ipns-record"
            return self._whole(path, "application/vnd.ipfs.ipns-record", RECORD_BYTES_MAX)

    def ipns_block(self, name: str, bytes_max: int) -> bytes:
        """Return the block a name leads to by the gateway's word alone; raise GatewayError."""
        with self._told():
            return self._whole(f"/ipns/{quote(name, safe='')}?format=raw", "application/vnd.ipld.raw", bytes_max)

    def note(self, failure: Failure, words: str) -> None:
        """Hold something against it that shows only beyond one answer."""
        with self._lock:
            self.failures[failure] += 1
            self.words.setdefault(failure, words)

    # ---- asking

    @contextmanager
    def _told(self) -> Iterator[None]:
        """Count how an answer ended."""
        if self.is_given_up:
            raise GatewayError(Failure.GIVEN_UP, "")
        try:
            yield
        except GatewayError as error:
            self.note(error.failure, str(error))
            with self._lock:
                self._strikes = self._strikes + 1 if error.failure in _STRIKES else 0
            raise
        with self._lock:
            self._strikes = 0

    def _whole(self, path: str, accept: str, bytes_max: int) -> bytes:
        pieces: list[bytes] = []
        size = 0
        with self._body(path, accept, bytes_max) as body:
            while piece := body.read(_CHUNK_BYTES):
                pieces.append(piece)
                size += len(piece)
                if size > bytes_max:
                    raise GatewayError(Failure.TOO_LARGE, f"more than {bytes_max} bytes")
        return b"".join(pieces)

    @contextmanager
    def _body(self, path: str, accept: str, bytes_max: int, *, stream: bool = False) -> Iterator[_Body]:
        from urllib3.exceptions import HTTPError, IncompleteRead, NewConnectionError  # noqa: PLC0415  # takes long

        from ledger.gateway_transport import Meter, MeterError, measure  # noqa: PLC0415  # as above

        patience = self.patience
        meter = Meter(patience.answer_s, idle_s=patience.idle_s)
        measure(meter)
        response: Any = None
        body: _Body | None = None
        try:
            response = self._pool_of().urlopen(
                "GET",
                self._path + path,
                headers={"Accept": accept, "Accept-Encoding": "identity", "User-Agent": "p2p-workflow"},
                redirect=False,
                preload_content=False,
                decode_content=False,
                assert_same_host=False,
            )
            _check_head(response, bytes_max)
            if stream:
                meter.admit(patience.stream_s, bytes_max, rate=patience.rate, window_s=patience.window_s)
            else:
                meter.admit(patience.answer_s, bytes_max)
            body = _Body(response)
            yield body
        except MeterError as error:
            raise GatewayError(Failure.SLOW if error.slow else Failure.TOO_LARGE, str(error)) from None
        except NewConnectionError as error:
            raise GatewayError(Failure.UNREACHABLE, _reason(error)) from None
        except IncompleteRead as error:
            raise GatewayError(Failure.BROKEN_OFF, str(error)) from None
        except (HTTPError, OSError) as error:
            kind = Failure.UNREACHABLE if response is None else Failure.BROKEN_OFF
            raise GatewayError(kind, _reason(error)) from None
        finally:
            with self._lock:
                self.bytes += meter.bytes
                self.requests += 1
            if response is not None:
                if body is None or not body.is_at_end:
                    response.close()  # what is left of it is not waited for
                response.release_conn()

    def _pool_of(self) -> HTTPConnectionPool:
        from ledger.gateway_transport import open_pool  # noqa: PLC0415  # takes long

        with self._lock:
            if self._pool is None:
                size, connect_s = self._parallel, self.patience.connect_s
                self._pool = open_pool(self._scheme, self._host, self._port, connect_s=connect_s, size=size)
            return self._pool


class _Body(io.RawIOBase):
    """The body of an answer as a raw stream."""

    def __init__(self, response: Any) -> None:
        self._response = response
        self.is_at_end = False

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data: bytes = self._response.read(min(len(buffer), _CHUNK_BYTES))
        buffer[: len(data)] = data
        self.is_at_end = not data
        return len(data)


def _parse(url: str) -> tuple[str, str, int | None, str]:
    """Return scheme, host, port and path of a gateway's address."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise GatewayUrlError(f"{url}: {error}") from None
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise GatewayUrlError(f"{url}: write the address of a gateway as http://HOST:PORT or https://HOST")
    if parts.username or parts.password or parts.query or parts.fragment:
        raise GatewayUrlError(f"{url}: a gateway's address has no user, password, query or fragment")
    return parts.scheme, parts.hostname, port, parts.path.rstrip("/")


def _check_head(response: Any, bytes_max: int) -> None:
    """Raise what status and headers alone say: not here, elsewhere, packed, or too large."""
    status = int(response.status)
    if 300 <= status < 400:
        where = re.sub(r"[^ -~]", "?", str(response.headers.get("Location", "")))[:200]
        raise GatewayError(Failure.REDIRECTED, f"status {status} to {where or 'nowhere'}; not followed")
    if status in (404, 410, 504):
        raise GatewayError(Failure.ABSENT, f"status {status}")
    if status != 200:
        raise GatewayError(Failure.REFUSED, f"status {status}")
    if response.headers.get("Content-Encoding", "identity").lower() != "identity":
        raise GatewayError(Failure.MALFORMED, "the answer is packed, though that was not asked for")
    length = response.headers.get("Content-Length", "")
    if length.isdecimal() and int(length) > bytes_max:
        raise GatewayError(Failure.TOO_LARGE, f"{int(length)} bytes, at most {bytes_max}")


def _reason(error: Exception) -> str:
    text = re.sub(r"<[^>]*>:? ?|HTTPS?ConnectionPool\([^)]*\):? ?", "", str(error))
    return re.sub(r"[^ -~]", "?", text)[:300] or type(error).__name__
