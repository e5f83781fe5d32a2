"""HTTP as a distrustful client reads it: each byte from the wire is counted and timed, headers and all.

Library timeouts bound each read from a socket, so that a server that sends a byte now and then is waited for without
end, and so is one that sends headers without end. Here a `Meter` stands between the socket and whoever parses: it ends
an answer at its deadline, at its size, or where it comes too slowly. Leaves out what is asked for (ledger.gateway).
"""

from __future__ import annotations

import io
import socket
import threading
import time
from typing import Any, Final

from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.util import Timeout

HEADER_BYTES_MAX: Final = 65_536
"""What an answer may have in bytes beside its body: status line, headers, the framing of chunks."""


class MeterError(Exception):
    """An answer was ended by its meter: too slow (`slow`), else too large."""

    def __init__(self, words: str, *, slow: bool) -> None:
        super().__init__(words)
        self.slow = slow


class Meter:
    """The bounds of one answer: of its head at first, status and headers; then, after `admit`, of its body.

    Args:
        seconds: until the head must be there, at HEADER_BYTES_MAX or less.
        idle_s: how long nothing may come.

    """

    def __init__(self, seconds: float, *, idle_s: float) -> None:
        self._idle_s = idle_s
        self.bytes = 0
        """What has come so far."""
        self.admit(seconds, 0)

    def admit(self, seconds: float, bytes_max: int, *, rate: int = 0, window_s: float = 10.0) -> None:
        """Let a body come: until `seconds` from now, of `bytes_max` and an eighth for its framing.

        Over each `window_s` at least `rate` bytes a second must come.
        """
        now = time.monotonic()
        self._seconds = seconds
        self._deadline = now + seconds
        self._left = bytes_max + max(HEADER_BYTES_MAX, bytes_max // 8)
        self._rate, self._window_s = rate, window_s
        self._window_end, self._in_window = now + window_s, 0

    def wait_s(self) -> float:
        """Return how long the next read may wait, in seconds; raise MeterError where there is no time left."""
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise MeterError(f"not all there after {self._seconds:g} s", slow=True)
        return min(self._idle_s, left)

    def count(self, more: int) -> None:
        """Note what came; raise MeterError where it is too much, or too little for the time it took."""
        self.bytes += more
        self._left -= more
        if self._left < 0:
            raise MeterError(f"more than {self.bytes - 1} bytes and no end", slow=False)
        self._in_window += more
        now = time.monotonic()
        if now >= self._window_end:
            if self._in_window < self._rate * self._window_s:
                raise MeterError(f"less than {self._rate} bytes a second", slow=True)
            self._window_end, self._in_window = now + self._window_s, 0


_asking = threading.local()


def measure(meter: Meter) -> None:
    """Let `meter` bound the next answer that this thread asks for."""
    _asking.meter = meter


class _MeteredRaw(io.RawIOBase):
    """What a socket gives, metered."""

    def __init__(self, sock: socket.socket, meter: Meter) -> None:
        self._sock = sock
        self._raw: Any = sock.makefile("rb", buffering=0)  # keeps the socket open while it is read
        self._meter = meter

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        self._sock.settimeout(self._meter.wait_s())
        try:
            count = self._raw.readinto(buffer)
        except TimeoutError:
            self._meter.wait_s()  # says so where it was the deadline
            raise MeterError("nothing came for too long", slow=True) from None
        self._meter.count(count or 0)
        return count or 0

    def close(self) -> None:
        self._raw.close()
        super().close()


class _MeteredSocket:
    """A socket whose answers are read through the meter of the asking thread."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock

    def makefile(self, *_: Any, **__: Any) -> io.BufferedReader:
        return io.BufferedReader(_MeteredRaw(self._sock, _asking.meter))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._sock, name)


class _Connection(HTTPConnection):
    def connect(self) -> None:
        super().connect()
        self.sock: Any = _MeteredSocket(self.sock)


class _SecureConnection(HTTPSConnection):
    def connect(self) -> None:
        super().connect()
        self.sock: Any = _MeteredSocket(self.sock)


class _Pool(HTTPConnectionPool):
    ConnectionCls = _Connection


class _SecurePool(HTTPSConnectionPool):
    ConnectionCls = _SecureConnection


def open_pool(scheme: str, host: str, port: int | None, *, connect_s: float, size: int) -> HTTPConnectionPool:
    """Return a pool of connections to one server; certificates are verified where the scheme is https."""
    timeout = Timeout(connect=connect_s, read=connect_s)
    pool = _SecurePool if scheme == "https" else _Pool
    return pool(host, port, timeout=timeout, maxsize=size, retries=False)
