"""A process that outlives its starter: started detached, known to live by a lock that only its end frees.

The lock is a `flock` on a file that the process inherits open. So no stale pid or lock file can be mistaken for a
living process, nor a stranger who was given the pid anew: whoever can take the lock knows that the process is gone,
however it ended. Leaves out what the program is (ledger.kubo_node).
"""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Final

TICK_S: Final = 0.02
"""How often a condition is looked at that nothing tells us of, in seconds."""
_PROBE_S: Final = 0.3  # longer than somebody else's look at the lock takes it


class DetachedProcess:
    """The one process that belongs to a folder.

    Args:
        folder: keeps `NAME.alive` (the lock, and in it the pid) and `NAME.log` (what it says, since its last start).
        name: what the files are called.
    """

    def __init__(self, folder: Path, name: str) -> None:
        self.log = folder / f"{name}.log"
        self._lock = folder / f"{name}.alive"

    def is_alive(self) -> bool:
        """Return whether the process lives."""
        try:
            with self._lock.open("rb") as file:
                return not _try_lock(file)
        except FileNotFoundError:
            return False

    @property
    def pid(self) -> int | None:
        """The pid of the living process; None where there is none."""
        if not self.is_alive():
            return None
        with suppress(ValueError, FileNotFoundError):
            return int(self._lock.read_text())
        return None

    def start(self, command: Sequence[str], environment: Mapping[str, str]) -> None:
        """Start the process, out of reach of the starter's end. One that lives already stays the only one."""
        with self._lock.open("ab") as lock, _private(self.log) as log:
            if not wait_until(lambda: _try_lock(lock), _PROBE_S):
                return
            lock.truncate(0)
            # The shell tells the pid and ends at once: the process has no parent that would have to wait for it.
            started = subprocess.run(  # noqa: S603 — the words are ours, and no shell reads them as a line
                ["/bin/sh", "-c", '"$@" >&2 & echo $!', "sh", *command],
                env=dict(environment),
                cwd=self.log.parent,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                pass_fds=(lock.fileno(),),
                start_new_session=True,
                check=True,
            )
            lock.write(started.stdout)

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the process, if it lives."""
        pid = self.pid
        if pid is not None:
            with suppress(ProcessLookupError):
                os.kill(pid, number)

    def wait_for_end(self, timeout_s: float) -> bool:
        """Return whether the process ends within `timeout_s`."""
        return wait_until(lambda: not self.is_alive(), timeout_s)

    def last_words(self) -> str:
        """Return the last line the process said, at most 400 characters; '' for none."""
        with suppress(OSError):
            lines = self.log.read_text(encoding="utf-8", errors="replace").split("\n")
            return next((line.strip()[:400] for line in reversed(lines) if line.strip()), "")
        return ""


def wait_until(condition: Callable[[], bool], timeout_s: float) -> bool:
    """Return whether `condition()` comes true within `timeout_s`."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(TICK_S)
    return True


@contextmanager
def only_one(path: Path, timeout_s: float) -> Iterator[None]:
    """Let one process at a time through, by a lock on `path`; raise TimeoutError where it stays taken."""
    with path.open("ab") as file:
        if not wait_until(lambda: _try_lock(file), timeout_s):
            raise TimeoutError(f"another process holds {path} for more than {timeout_s:.0f} s")
        yield


def _try_lock(file: IO[bytes]) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _private(path: Path) -> IO[bytes]:
    """Return an empty file that nobody else can read."""
    return open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb")  # noqa: PTH123 — with its mode
