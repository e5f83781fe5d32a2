"""Files whose author decides what happens here (a policy, a configuration): taken only where nobody else can write.

The open file is judged, not its name. Leaves out what stands in them.
"""

from __future__ import annotations

import os
import stat
import tempfile
from pathlib import Path
from typing import Final

FILE_BYTES_MAX: Final = 1_048_576


class OwnedFileError(Exception):
    """The file cannot be taken; the message says why."""

    def __init__(self, words: str, advice: str = "") -> None:
        super().__init__(words)
        self.advice = advice


class OthersWriteError(OwnedFileError):
    """Somebody else could have written the file."""


def read_owned(path: Path) -> str:
    """Return the text of a regular file that only its owner, this user or root, can write.

    Raises OwnedFileError where it is something else, FileNotFoundError where there is none.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise OwnedFileError(f"{path}: {error.strerror or error}") from None
    try:
        _check(path, os.fstat(descriptor))
        data = b""
        while len(data) <= FILE_BYTES_MAX and (more := os.read(descriptor, FILE_BYTES_MAX + 1)):
            data += more
    finally:
        os.close(descriptor)
    if len(data) > FILE_BYTES_MAX:
        raise OwnedFileError(f"{path}: more than {FILE_BYTES_MAX} bytes")
    try:
        return data.decode()
    except UnicodeDecodeError:
        raise OwnedFileError(f"{path}: no UTF-8 text") from None


def write_new(path: Path, text: str) -> None:
    """Write a file that nobody else can read, whole or not at all; raise FileExistsError rather than replace one."""
    descriptor, unfinished = tempfile.mkstemp(dir=path.parent, prefix=".unfinished-")
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.link(unfinished, path)
    finally:
        Path(unfinished).unlink()


def _check(path: Path, status: os.stat_result) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise OwnedFileError(f"{path}: no regular file")
    if status.st_uid not in {0, os.geteuid()}:
        raise OthersWriteError(f"{path} belongs to another user, who can change it", f"make it yours: '{path}'")
    if status.st_mode & 0o022:
        raise OthersWriteError(f"others may write {path} (mode {status.st_mode & 0o777:o})", f"chmod go-w '{path}'")
