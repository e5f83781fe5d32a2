"""What carries requests to the other side of an exchange, and what it carried.

Implements: the carriers of specs/exchange.md, X15, as one small protocol, and the simplest of them: a function call to
an answerer in this process. Leaves out HTTP (ledger.exchange_client), which carries over libp2p streams as well.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import BinaryIO, Final, Protocol, cast

from ledger.answerer import Answerer
from ledger.exchange_codec import FRAME, MESSAGE_BYTES_MAX
from ledger.replica import ExchangeError

_BUFFER_BYTES: Final = 64 * 1024


class UnreachableError(ExchangeError):
    """The other side cannot be reached, is too slow, or broke off: what came is kept, try again later."""


class MisbehaviourError(ExchangeError):
    """What the other side sends makes no sense, or costs more than it brings: what was in order is kept; ask others."""


@dataclass(slots=True)
class Traffic:
    """What a carrier carried so far: round trips, with those for a challenge, and bytes of bodies each way."""

    round_trips: int = 0
    bytes_sent: int = 0
    bytes_received: int = 0

    def since(self, before: Traffic) -> Traffic:
        """Return what was carried after `before`."""
        return Traffic(
            self.round_trips - before.round_trips,
            self.bytes_sent - before.bytes_sent,
            self.bytes_received - before.bytes_received,
        )

    def copy(self) -> Traffic:
        """Return what it is now."""
        return Traffic(self.round_trips, self.bytes_sent, self.bytes_received)


class Carrier(Protocol):
    """Carries requests to one answerer, one at a time."""

    traffic: Traffic

    def ask(self, path: str, body: bytes) -> AbstractContextManager[BinaryIO]:
        """Send the request `path` ("delta", …) and give the stream of its answer.

        Raises, and lets the stream raise: UnreachableError, or ExchangeError for what the other side refuses.
        """


class CallCarrier:
    """Carries by function calls to an answerer in this process."""

    def __init__(self, answerer: Answerer) -> None:
        self._answerer = answerer
        self.traffic = Traffic()

    @contextmanager
    def ask(self, path: str, body: bytes) -> Iterator[BinaryIO]:
        """Give the answer as a stream."""
        self.traffic.round_trips += 1
        self.traffic.bytes_sent += len(body)
        with stream_of(self._answerer.answer(path, io.BytesIO(body)), self.traffic) as stream:
            yield stream


class _Pieces(io.RawIOBase):
    """A stream of what an iterator yields."""

    def __init__(self, pieces: Iterator[bytes], traffic: Traffic) -> None:
        self._pieces = pieces
        self._traffic = traffic
        self._left = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]  # what BufferedReader passes
        while not self._left:
            piece = next(self._pieces, None)
            if piece is None:
                return 0
            self._traffic.bytes_received += len(piece)
            self._left = memoryview(piece)
        some = self._left[: len(buffer)]
        buffer[: len(some)] = some
        self._left = self._left[len(some) :]
        return len(some)


def stream_of(pieces: Iterator[bytes], traffic: Traffic) -> BinaryIO:
    """Return a stream of what `pieces` yields, adding its bytes to `traffic` as they come."""
    return cast("BinaryIO", io.BufferedReader(_Pieces(pieces, traffic), _BUFFER_BYTES))


def read_message(stream: BinaryIO) -> bytes:
    """Return the message an answer begins with. Raises UnreachableError where it breaks off, MisbehaviourError."""
    (length,) = FRAME.unpack(read_exactly(stream, FRAME.size))
    if length > MESSAGE_BYTES_MAX:
        raise MisbehaviourError(f"an answer announces a message of {length:,} bytes")
    return read_exactly(stream, length)


def read_exactly(stream: BinaryIO, length: int) -> bytes:
    """Return the next `length` bytes; raise UnreachableError where there are fewer."""
    pieces = []
    missing = length
    while missing:
        piece = stream.read(min(missing, _BUFFER_BYTES))
        if not piece:
            raise UnreachableError(f"the answer breaks off {missing} bytes too early")
        pieces.append(piece)
        missing -= len(piece)
    return b"".join(pieces)
