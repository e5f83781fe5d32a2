"""A TCP socket on which a whole call has a deadline and a size, however the bytes come.

A timeout of the standard library is for one `recv`: a server that drips a byte now and then, in its headers or in its
body, holds a caller for ever, and no library above can bound that. Here each operation gets what is left of the call's
time, and received bytes are counted before anything reads them. Leaves out what is called.
"""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final, Self

_OVERHEAD_BYTES: Final = 64 * 1024  # status line, headers, framing
_ROUNDING_S: Final = 0.01
_FRAMING: Final = 16  # and a sixteenth of the body for the lengths of its chunks


class OverLimitError(OSError):
    """The other side sends more than this call takes."""


class Bounds:
    """What one call may cost: seconds from now, and bytes of its answer."""

    def __init__(self, seconds: float, bytes_max: int) -> None:
        self.seconds = seconds
        self.bytes_max = bytes_max
        self._deadline = time.monotonic() + seconds
        self._bytes_left = bytes_max + bytes_max // _FRAMING + _OVERHEAD_BYTES

    @property
    def is_late(self) -> bool:
        """Whether the time is over, as clocks round it: a socket that waited for all of it is."""
        return time.monotonic() >= self._deadline - _ROUNDING_S

    @property
    def is_over(self) -> bool:
        """Whether more bytes came than are taken."""
        return self._bytes_left < 0

    def seconds_left(self) -> float:
        """Return what is left of the time; raise TimeoutError where nothing is."""
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError(f"not through within {self.seconds:g} s")
        return left

    def count(self, received: int) -> None:
        """Count received bytes, or announced ones; raise OverLimitError where they are too many."""
        self._bytes_left -= received
        if self._bytes_left < 0:
            raise OverLimitError(f"more than {self.bytes_max:,} bytes")


_calling = threading.local()


def bounds_in_force() -> Bounds | None:
    """Return the bounds of the call that this thread is in, None outside of any."""
    return getattr(_calling, "bounds", None)


@contextmanager
def bounded(bounds: Bounds) -> Iterator[None]:
    """Put all that bounded sockets do in this thread under `bounds`."""
    before = bounds_in_force()
    _calling.bounds = bounds
    try:
        yield
    finally:
        _calling.bounds = before


class BoundedSocket(socket.socket):
    """A connected socket under the bounds of whoever calls in this thread; without any, like its parent."""

    @classmethod
    def take(cls, plain: socket.socket) -> Self:
        """Return the connection of `plain`, which is closed to its owner from now on."""
        timeout = plain.gettimeout()
        taken = cls(plain.family, plain.type, plain.proto, fileno=plain.detach())
        taken.settimeout(timeout)
        return taken

    def recv_into(self, buffer: Any, nbytes: int = 0, flags: int = 0) -> int:
        """Receive at most what is there, within what is left of the call."""
        bounds = self._prepare()
        received = super().recv_into(buffer, nbytes, flags)
        if bounds is not None:
            bounds.count(received)
        return received

    def recv(self, bufsize: int, flags: int = 0) -> bytes:
        """Receive at most what is there, within what is left of the call."""
        bounds = self._prepare()
        received = super().recv(bufsize, flags)
        if bounds is not None:
            bounds.count(len(received))
        return received

    def sendall(self, data: Any, flags: int = 0) -> None:
        """Send all, within what is left of the call."""
        self._prepare()
        super().sendall(data, flags)

    def _prepare(self) -> Bounds | None:
        bounds = bounds_in_force()
        if bounds is not None:
            self.settimeout(bounds.seconds_left())
        return bounds
