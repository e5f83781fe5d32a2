"""Files in the ledger: bytes of any size as raw blobs of at most 1 MiB, named by a small JSON object.

What stands in a payload or an output is `{"size": n, "parts": [CID, …], "executable": true}`. The event that carries it
links every part in its envelope's `blobs`, so that whoever has the event gets them; which is why their number is
bounded. Pure. Leaves out keeping the parts (scheduler.writing) and reading them (ledger.blobs).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from ledger.blobs import BLOB_BYTES_MAX
from ledger.cid import Cid, CidError

EVENT_PARTS_MAX: Final = 200
"""Parts that one event carries at most: below `ledger.events.BLOBS_MAX`, with room for what operations name."""
FILE_BYTES_MAX: Final = EVENT_PARTS_MAX * BLOB_BYTES_MAX
PATH_BYTES_MAX: Final = 1_024

_NAME: Final = re.compile(r"[^/\0]+")


class FileRefError(ValueError):
    """What stands where a file is named is no file, or a path that leaves its folder; the message says what."""


@dataclass(frozen=True, slots=True)
class FileRef:
    """A file by its parts, in order; `size` in bytes."""

    size: int
    parts: tuple[Cid, ...]
    executable: bool = False

    def to_json(self) -> dict[str, Any]:
        """Return it as it stands in payloads and outputs."""
        fields: dict[str, Any] = {"size": self.size, "parts": [str(part) for part in self.parts]}
        return fields | ({"executable": True} if self.executable else {})

    @classmethod
    def from_json(cls, fields: Any) -> FileRef:
        """Return what `to_json` has written; raise FileRefError for anything else."""
        if not isinstance(fields, Mapping) or fields.keys() - {"size", "parts", "executable"}:
            raise FileRefError('a file is wanted: {"size": …, "parts": […]}')
        size, parts, executable = fields.get("size"), fields.get("parts"), fields.get("executable", False)
        if type(size) is not int or not 0 <= size <= FILE_BYTES_MAX:
            raise FileRefError(f"size: a number of bytes up to {FILE_BYTES_MAX} is wanted")
        if type(executable) is not bool or not isinstance(parts, list):
            raise FileRefError("parts: a list of CIDs is wanted; executable: true or false")
        if len(parts) != -(-size // BLOB_BYTES_MAX):
            raise FileRefError(f"a file of {size} bytes has {-(-size // BLOB_BYTES_MAX)} parts, not {len(parts)}")
        try:
            return cls(size, tuple(Cid.parse(part) for part in parts), executable)
        except (CidError, TypeError, AttributeError) as error:
            raise FileRefError(f"parts: {error}") from None


def split(data: bytes, *, executable: bool = False) -> tuple[FileRef, list[bytes]]:
    """Return bytes as a file, and its parts in order; raise FileRefError where they are more than a file may have."""
    if len(data) > FILE_BYTES_MAX:
        raise FileRefError(f"{len(data)} bytes are more than a file may have: {FILE_BYTES_MAX}")
    parts = [data[start : start + BLOB_BYTES_MAX] for start in range(0, len(data), BLOB_BYTES_MAX)]
    return FileRef(len(data), tuple(map(Cid.of_raw, parts)), executable), parts


def parts_of(files: Iterable[FileRef]) -> tuple[Cid, ...]:
    """Return the parts of files, each once: what an event that names them links."""
    return tuple(dict.fromkeys(part for file in files for part in file.parts))


def check_path(path: Any) -> str:
    """Return a path of a file within a folder; raise FileRefError for one that is absolute, or leads out of it."""
    if type(path) is not str or not 0 < len(path.encode(errors="replace")) <= PATH_BYTES_MAX:
        raise FileRefError(f"a path of at most {PATH_BYTES_MAX} bytes is wanted, not {path!r}")
    steps = path.split("/")
    if any(step in {"", ".", ".."} or not _NAME.fullmatch(step) for step in steps):
        raise FileRefError(f"{path!r} is no plain path below a folder, such as src/main.py")
    return path
