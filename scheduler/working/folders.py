"""Where runs work: HOME/work/, a folder for each worker process and in it one for each run; and who cleans up.

A worker process holds a lock on a file in its folder as long as it lives, however it dies. What lies in the folder of
one that is gone is removed by the next worker that begins.
"""

from __future__ import annotations

import fcntl
import logging
import os
import secrets
import shutil
import subprocess
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, Self

from ledger.cid import Cid
from ledger.events import TaskKey
from scheduler.run_log import WORK_FOLDER, log_path, run_name

_PREFIX: Final = "worker-"
_LOCK_NAME: Final = "lock"

_logger = logging.getLogger(__name__)


class WorkFolders:
    """The folders of one worker process, until it is closed."""

    def __init__(self, home: Path) -> None:
        self._home = home
        work = home / WORK_FOLDER
        work.mkdir(mode=0o700, parents=True, exist_ok=True)
        clean_up(home)
        self.path = work / f"{_PREFIX}{os.getpid()}-{secrets.token_hex(4)}"
        # Hidden until it is locked, or another worker that begins just now would take it for one of a dead process.
        hidden = work / f".{self.path.name}"
        hidden.mkdir(mode=0o700)
        self._lock = os.open(hidden / _LOCK_NAME, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        fcntl.flock(self._lock, fcntl.LOCK_EX)
        hidden.rename(self.path)

    def make(self, task: TaskKey, claim: Cid) -> Path:
        """Return an empty folder, private to the run of a claim."""
        folder = self.path / run_name(task, claim)
        folder.mkdir(mode=0o700)
        return folder

    def note(self, task: TaskKey, claim: Cid) -> Path:
        """Return where the log of a claim lies, noted so that it is removed if this process dies."""
        (self.path / f"{run_name(task, claim)}.log").touch(mode=0o600)
        return log_path(self._home, task, claim)

    def remove(self, task: TaskKey, claim: Cid) -> None:
        """Remove the folder of a run with all that is in it; what cannot be removed stays, and is told of."""
        remove_tree(self.path / run_name(task, claim))

    def close(self) -> None:
        """Remove everything and let go of the lock."""
        if self._lock >= 0:
            _remove_all(self._home, self.path)
            os.close(self._lock)
            self._lock = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def clean_up(home: Path) -> int:
    """Remove what worker processes that are gone have left in a home; return of how many."""
    removed = 0
    for folder in (home / WORK_FOLDER).glob(f"{_PREFIX}*"):
        try:
            lock = os.open(folder / _LOCK_NAME, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
        except FileNotFoundError:
            _remove_all(home, folder)  # it was removed but for the rest
            continue
        except OSError:
            continue
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            continue  # alive
        else:
            _remove_all(home, folder)
            removed += 1
        finally:
            os.close(lock)
    return removed


def _remove_all(home: Path, folder: Path) -> None:
    for marked in folder.glob("*.log"):
        (home / WORK_FOLDER / marked.name).unlink(missing_ok=True)
    remove_tree(folder)


def remove_tree(folder: Path) -> None:
    """Remove a folder, whatever rights a run has left on what is in it. Links in it are removed, never followed."""

    def again(function: Any, path: str, _: object) -> None:
        with suppress(OSError):
            Path(path).parent.chmod(0o700)
            if not Path(path).is_symlink():
                Path(path).chmod(0o700)
            function(path)

    with suppress(FileNotFoundError, RecursionError):
        shutil.rmtree(folder, onerror=again)
    if folder.exists():  # deeper than we can go, or with rights that only a program without our limits gets around
        subprocess.run(["rm", "-rf", "--", str(folder)], check=False, stderr=subprocess.DEVNULL)  # noqa: S603, S607  # our own folder
    if folder.exists():
        _logger.warning("the work folder %s could not be removed", folder)
