"""Files of this machine become files of the ledger: a file or a whole folder, for a payload to put into a work folder.

Leaves out the payload that names them, and keeping their parts (scheduler.submitting).
"""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Self

from ledger.cid import Cid
from scheduler.running.files import FileRef, FileRefError, check_path, split
from scheduler.running.payloads import WORDS_MAX
from scheduler.workflows.source import not_ignored

FILES_MAX: Final = WORDS_MAX
"""Files that one payload names."""
GATHERED_BYTES_MAX: Final = 256 * 1_048_576
"""All files of one payload together, in bytes: they pass through memory, and are kept by every peer for ever."""


class GatheringError(ValueError):
    """A file cannot be put into a task; the message names it and says why."""


@dataclass(slots=True)
class Gathered:
    """Files by their path in the work folder, and the bytes of their parts; `ignored`: how many git had left out."""

    files: dict[str, FileRef] = field(default_factory=dict)
    blobs: dict[Cid, bytes] = field(default_factory=dict)
    ignored: int = 0

    def add(self, inside: str, data: bytes, *, executable: bool = False) -> Self:
        """Add one file; raise GatheringError where it cannot be one, or is one too many."""
        try:
            path = check_path(inside)
            file, parts = split(data, executable=executable)
        except FileRefError as error:
            raise GatheringError(str(error)) from None
        if self.files.get(path, file) != file:
            raise GatheringError(f"{path} is put twice, with different contents")
        self.files[path] = file
        self.blobs |= zip(map(Cid.of_raw, parts), parts, strict=True)
        if len(self.files) > FILES_MAX:
            raise GatheringError(f"more than {FILES_MAX} files: put one archive, and have the command unpack it")
        if sum(one.size for one in self.files.values()) > GATHERED_BYTES_MAX:
            raise GatheringError(f"more than {GATHERED_BYTES_MAX:,} bytes of files; put an address in place of them")
        return self

    def put(self, path: Path, inside: str | None = None) -> Self:
        """Add a file as it is, or the files below a folder: never `.git`, and in a git work tree none that git ignores.

        Args:
            path: where it is here.
            inside: where it is in the work folder; None: under its own name, which of `.` is none: what is in it.

        A link to a file stands for the file; a link to a folder, and what is no file, raises GatheringError, as do
        paths that clash and a folder of which git ignores all. Raises OSError where a file cannot be read, SourceError
        where git cannot say what it ignores.
        """
        place = path.name if inside is None else inside.rstrip("/")
        if not path.is_dir():
            return self._put_file(path, place)
        prefix = "" if place in {"", "."} else f"{place}/"
        names, ignored = not_ignored(path)
        if ignored and not names:
            raise GatheringError(f"git ignores every file in {path}: put them by their own paths")
        self.ignored += ignored
        for name in names:
            if (file := path / name).is_dir():
                raise GatheringError(f"{file} is a link to a folder: put that folder by its own path")
            self._put_file(file, prefix + name)
        return self

    def _put_file(self, path: Path, inside: str) -> Self:
        # Without waiting for whoever would write to a pipe.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(descriptor, "rb") as stream:
            mode = os.fstat(stream.fileno())
            if not stat.S_ISREG(mode.st_mode):
                raise GatheringError(f"{path} is no file")
            if mode.st_size > GATHERED_BYTES_MAX:
                raise GatheringError(f"{path} has {mode.st_size:,} bytes; put an address in place of it")
            return self.add(inside, stream.read(), executable=bool(mode.st_mode & stat.S_IXUSR))


def gather(files: Mapping[str, bytes | str | Path]) -> Gathered:
    """Return files by their path in the work folder: bytes as they are, a text or Path as a file or folder here."""
    gathered = Gathered()
    for inside, source in files.items():
        if isinstance(source, bytes):
            gathered.add(inside, source)
        else:
            gathered.put(Path(source), inside)
    return gathered
