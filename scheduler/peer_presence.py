"""That a daemon runs for a home: one at a time, and where it is reached, for the other processes of the home.

A lock on HOME/peer.lock ends with the process that holds it, however that ends; HOME/peer.json says the rest and is
believed only while the lock is held.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

LOCK_NAME: Final = "peer.lock"
PRESENCE_NAME: Final = "peer.json"


class DaemonRunsError(Exception):
    """A daemon runs for this home already."""

    advice = "one is enough: look at it with `peers`, or end it first"


@dataclass(frozen=True, slots=True)
class Presence:
    """A running daemon: its process, and the URLs at which others reach its exchange."""

    pid: int
    urls: tuple[str, ...]


@contextmanager
def only_daemon(folder: Path) -> Iterator[None]:
    """Be the only daemon of the home in `folder` within this block; raise DaemonRunsError where there is one."""
    descriptor = os.open(folder / LOCK_NAME, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise DaemonRunsError(f"a `peer run` is there for {folder} already") from None
        try:
            yield
        finally:
            (folder / PRESENCE_NAME).unlink(missing_ok=True)
    finally:
        os.close(descriptor)


def announce(folder: Path, presence: Presence) -> None:
    """Say where the daemon is reached; whole or not at all."""
    part = folder / f".{PRESENCE_NAME}"
    part.write_text(json.dumps({"pid": presence.pid, "urls": presence.urls}), encoding="utf-8")
    part.replace(folder / PRESENCE_NAME)


def find_presence(folder: Path) -> Presence | None:
    """Return the daemon that runs for a home, None where none does."""
    if not _is_locked(folder):
        return None
    with suppress(OSError, ValueError, KeyError, TypeError):
        fields = json.loads((folder / PRESENCE_NAME).read_text(encoding="utf-8"))
        return Presence(int(fields["pid"]), tuple(map(str, fields["urls"])))
    return Presence(0, ())  # it is just beginning, or ending


def _is_locked(folder: Path) -> bool:
    """Return whether a daemon holds the lock; makes no file."""
    try:
        descriptor = os.open(folder / LOCK_NAME, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False
