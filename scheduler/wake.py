"""Waking: who writes to a home tells the processes that watch it, at once and at no cost to itself.

Each watcher has a FIFO in HOME/wake/; a writer puts a byte into each. A FIFO whose reader died is removed by the next
writer; one that is full has woken its reader already. Nobody waits for anybody, nothing is durable: what counts is in
the store, and a watcher that misses a byte looks there by itself now and then.
"""

from __future__ import annotations

import errno
import os
import secrets
import stat
import time
from contextlib import suppress
from pathlib import Path
from typing import Final, Self

from scheduler.readable import is_readable

FOLDER_NAME: Final = "wake"
_SUFFIX: Final = ".fifo"
_DRAIN_BYTES: Final = 65_536
_WATCHERS_MAX: Final = 64
"""FIFOs that a writer serves, so that nothing in the folder can slow it down."""


def wake(folder: Path) -> None:
    """Wake all that watch the home in `folder`; never blocks, never raises for what it finds there."""
    try:
        with os.scandir(folder / FOLDER_NAME) as entries:
            names = [entry.path for entry, _ in zip(entries, range(2 * _WATCHERS_MAX), strict=False)]
    except OSError:  # nobody has ever watched, or the folder is not ours to read: they will look by themselves
        return
    for name in [name for name in names if name.endswith(_SUFFIX)][:_WATCHERS_MAX]:
        with suppress(OSError):
            _wake_one(name)


def _wake_one(name: str) -> None:
    try:
        descriptor = os.open(name, os.O_WRONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError as error:
        if error.errno == errno.ENXIO:  # nobody reads it: a watcher that was killed
            Path(name).unlink(missing_ok=True)
        return
    try:
        if stat.S_ISFIFO(os.fstat(descriptor).st_mode):
            os.write(descriptor, b"\0")
    finally:
        os.close(descriptor)


class Watch:
    """One watcher of a home, until it is closed. Where the folder cannot be written it just never wakes."""

    def __init__(self, folder: Path) -> None:
        self._path: Path | None = None
        self._descriptor: int | None = None
        place = folder / FOLDER_NAME
        with suppress(OSError):
            place.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._make(place)

    def _make(self, place: Path) -> None:
        """Make a FIFO that has a reader from the first moment it can be seen, or a writer would remove it."""
        name = f"{os.getpid()}-{secrets.token_hex(8)}"
        hidden, path = place / f".{name}", place / f"{name}{_SUFFIX}"
        os.mkfifo(hidden, 0o600)
        try:
            # For writing too: so it never comes to an end when the last writer closes it.
            self._descriptor = os.open(hidden, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
            hidden.rename(path)
        except BaseException:
            hidden.unlink(missing_ok=True)
            self.close()
            raise
        self._path = path

    def wait(self, timeout_s: float) -> bool:
        """Wait until somebody wakes this watcher, at most `timeout_s`; return whether somebody did."""
        if self._descriptor is None:
            time.sleep(max(0.0, timeout_s))
            return False
        ready = is_readable(self._descriptor, timeout_s)
        if ready:
            with suppress(BlockingIOError):
                while len(os.read(self._descriptor, _DRAIN_BYTES)) == _DRAIN_BYTES:
                    pass
        return ready

    def poke(self) -> None:
        """Wake this watcher from another thread of its own process, or from a signal handler."""
        if self._descriptor is not None:
            with suppress(OSError):
                os.write(self._descriptor, b"\0")

    def close(self) -> None:
        """Stop watching; the FIFO is removed."""
        path, self._path = self._path, None
        descriptor, self._descriptor = self._descriptor, None
        if path is not None:
            path.unlink(missing_ok=True)
        if descriptor is not None:
            os.close(descriptor)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
