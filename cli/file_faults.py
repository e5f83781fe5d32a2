"""What the system says of files and disks, in words for people; an error that it says of neither is none of these.

A full disk is told where it is met, in a write, which knows no file name; so an error is judged by its number alone.
"""

from __future__ import annotations

import errno
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cli.exit_codes import ExitCode


@dataclass(frozen=True, slots=True)
class FileFault:
    """What is wrong with a file or its disk. `kind` is a stable word for programs."""

    kind: str
    words: str
    advice: str
    code: ExitCode


_ROOM: Final = "make room on the disk and do it again, or name another place"
_RIGHTS: Final = "look at the rights of the file and its folder, or name another place"
_FAULTS: Final[dict[int, FileFault]] = {
    errno.ENOSPC: FileFault("disk_full", "no room left on the disk", _ROOM, ExitCode.STORAGE),
    errno.EDQUOT: FileFault("disk_full", "the quota of the disk is used up", _ROOM, ExitCode.STORAGE),
    errno.EFBIG: FileFault("disk_full", "the file would be larger than it may be", _ROOM, ExitCode.STORAGE),
    errno.EIO: FileFault("disk", "the disk could not be read or written", "look at the disk", ExitCode.STORAGE),
    errno.EROFS: FileFault("read_only", "the disk can be read only", "name a place that takes files", ExitCode.STORAGE),
    errno.EACCES: FileFault("permission", "the system does not allow it", _RIGHTS, ExitCode.STORAGE),
    errno.EPERM: FileFault("permission", "the system does not allow it", _RIGHTS, ExitCode.STORAGE),
    errno.ENOENT: FileFault("file_not_found", "no such file or folder", "look at the path", ExitCode.NOT_FOUND),
    errno.ENOTDIR: FileFault(
        "not_a_directory", "a file is where a folder is wanted", "name another path", ExitCode.NOT_FOUND
    ),
    errno.EISDIR: FileFault("is_a_directory", "a folder is where a file is wanted", "name a file", ExitCode.NOT_FOUND),
    errno.EEXIST: FileFault(
        "file_exists", "something of this name is there already", "name another path", ExitCode.USAGE
    ),
    errno.ENAMETOOLONG: FileFault("name_too_long", "the name is too long for a file", "shorten it", ExitCode.USAGE),
}
_TEMPORARY: Final = re.compile(r"\.(?:unfinished-.*|(?P<name>.+)\.[0-9a-f]{16}\.tmp)")
"""Names under which a file is written before it is whole; nobody asked for them, so they are not told."""


def find_file_fault(error: OSError) -> FileFault | None:
    """Return what is wrong with a file or its disk; None for an error that is about neither."""
    fault = _FAULTS.get(error.errno or 0)
    if error.filename is None:
        return fault
    name = _asked_for(os.fsdecode(error.filename)) if isinstance(error.filename, str | bytes) else str(error.filename)
    if fault is None:
        words = error.strerror or type(error).__name__
        return FileFault("file", f"{name}: {words}", "look at the file and its disk", ExitCode.STORAGE)
    return FileFault(fault.kind, f"{name}: {fault.words}", fault.advice, fault.code)


def _asked_for(name: str) -> str:
    """Return the path somebody asked for, where `name` is that of the unfinished file in its place."""
    path = Path(name)
    unfinished = _TEMPORARY.fullmatch(path.name)
    if unfinished is None:
        return name
    return str(path.with_name(unfinished["name"]) if unfinished["name"] else path.parent)
