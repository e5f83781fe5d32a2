"""The log of one run on its way into the ledger: what is not sent yet, when the next piece is due, and backpressure.

Implements: pieces of at most 1 MiB that renewals and endings carry, in order. The whole log lies in HOME/work/CLAIM.log
too while the run lasts, so that whoever follows it in the same home need not wait for a piece.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO, Final

from ledger.operations import Attachment

PIECE_BYTES_MAX: Final = 1_048_576
URGENT_BYTES: Final = 524_288
"""So much unsent is sent at once."""
FIRST_S: Final = 2.0
"""The first piece is due so long after its first byte; each later one twice as long, up to half a lease."""
TEXT_TYPE: Final = "text/plain; charset=utf-8"
BYTES_TYPE: Final = "application/octet-stream"
_CHUNK_BYTES: Final = 65_536

_logger = logging.getLogger(__name__)


class Spool:
    """What one run has printed. Written to by its threads, emptied by the worker's.

    Args:
        path: the file that holds all of it.
        ring: wakes the worker, from any thread.
        clock: monotonic, in s.
        interval_max_s: the longest between two pieces.
    """

    def __init__(self, path: Path, ring: Callable[[], None], clock: Callable[[], float], interval_max_s: float) -> None:
        self._path = path
        self._ring = ring
        self._clock = clock
        self._interval_max_s = interval_max_s
        self._interval_s = min(FIRST_S, interval_max_s)
        self._file: BinaryIO | None = None
        self._keeps_file = True
        self._unsent = bytearray()
        self._since = 0.0
        self._open = True
        self._turn = threading.Condition()

    def write(self, data: bytes) -> None:
        """Keep what was printed; waits while more is unsent than a piece may hold."""
        for start in range(0, len(data), _CHUNK_BYTES):
            self._write(data[start : start + _CHUNK_BYTES])

    def _write(self, data: bytes) -> None:
        with self._turn:
            while self._open and len(self._unsent) + len(data) > PIECE_BYTES_MAX:
                self._turn.wait()
            if len(self._unsent) + len(data) > PIECE_BYTES_MAX:
                return  # the run is being ended, and nobody sends any more
            self._keep(data)
            was_empty = not self._unsent
            is_urgent = len(self._unsent) < URGENT_BYTES <= len(self._unsent) + len(data)
            if was_empty:
                self._since = self._clock()
            self._unsent += data
        if was_empty or is_urgent:
            self._ring()

    def _keep(self, data: bytes) -> None:
        if not self._keeps_file:
            return
        try:
            if self._file is None:
                self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
                self._file = self._path.open("ab", buffering=0)
            self._file.write(data)
        except OSError as error:  # a full disk: the ledger gets it all the same
            self._keeps_file = False
            _logger.warning("the log %s cannot be kept: %s", self._path, error)

    def let_go(self) -> None:
        """Never wait any more: the run is to end, and what it prints beyond a piece is dropped."""
        with self._turn:
            self._open = False
            self._turn.notify_all()

    @property
    def due_at(self) -> float | None:
        """When the next piece is due, by the clock; None while there is nothing to send."""
        with self._turn:
            if not self._unsent:
                return None
            return self._since if len(self._unsent) >= URGENT_BYTES else self._since + self._interval_s

    def piece(self, *, is_last: bool = False) -> bytes:
        """Return what is to be sent next, up to a piece; it stays until `sent`."""
        with self._turn:
            data = bytes(self._unsent)
        return data if is_last else data[: len(data) - _cut_short(data)] or data

    def sent(self, size: int) -> None:
        """Forget the first `size` bytes: they are in the ledger."""
        with self._turn:
            del self._unsent[:size]
            self._since = self._clock()
            self._interval_s = min(2 * self._interval_s, self._interval_max_s)
            self._turn.notify_all()

    def close(self) -> None:
        """Remove the file: all of it is in the ledger, or nobody wants it."""
        self.let_go()
        with self._turn:
            if self._file is not None:
                self._file.close()
                self._path.unlink(missing_ok=True)
            self._file, self._keeps_file = None, False


def attachment_of(piece: bytes) -> Attachment | None:
    """Return a piece of a log as an ending carries it, None for an empty one."""
    if not piece:
        return None
    try:
        piece.decode()
    except UnicodeDecodeError:
        return Attachment(BYTES_TYPE, data=piece)
    return Attachment(TEXT_TYPE, data=piece)


def _cut_short(data: bytes) -> int:
    """Return how many bytes at the end are the beginning of a UTF-8 character whose rest is still to come."""
    for back in range(1, min(4, len(data)) + 1):
        byte = data[-back]
        if byte < 0x80:
            return 0
        if byte >= 0xC0:
            wanted = 2 if byte < 0xE0 else 3 if byte < 0xF0 else 4
            return back if back < wanted else 0
    return 0
