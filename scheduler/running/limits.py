"""The limits of one run: what the kernel is told, and which of them a run has hit.

Held how: time and log by us, the files of the result when they are collected; memory (address space), the largest file
and open files by the kernel for each process (RLIMIT_AS, RLIMIT_FSIZE, RLIMIT_NOFILE); processes by RLIMIT_NPROC, which
counts a user's processes and does not bind root. In bubblewrap the run is a user of its own, or has a count of its own,
so there the number is exact, threads counted. Without, it is what the user has already and so many more; root has no
such limit there, so a run that is to have one is refused.

A run of n processes can so use n times its memory limit: the two are to be chosen together. The kernel does not say
that one of its limits was hit; a run that fails and says so itself in its last lines is taken at its word.
"""

from __future__ import annotations

import os
import re
import resource
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from scheduler.running.job import Limits

TAIL_BYTES: Final = 4_096
LINES: Final = 5
"""How much of the end of what a run printed is looked at: so many bytes, and of these so many lines."""

_SIGNALS: Final[dict[int, str]] = {signal.SIGXFSZ: "file"}
_LAST_WORDS: Final[dict[str, re.Pattern[bytes]]] = {
    "memory": re.compile(rb"MemoryError|Cannot allocate memory|bad_alloc|[Oo]ut of memory|memory exhausted"),
    "processes": re.compile(
        rb"fork: .*Resource temporarily|Cannot fork|BlockingIOError: \[Errno 11\]|can't start new thread"
    ),
    "file": re.compile(rb"File too large|File size limit exceeded"),
    "open_files": re.compile(rb"Too many open files"),
}


def kernel_limits(limits: Limits, processes: int | None) -> tuple[tuple[int, int], ...]:
    """Return the kernel's limits (resource, value) for a run; `processes` is what it may come to, None: not bounded."""
    found = [(resource.RLIMIT_CORE, 0)]
    for kind, value in (
        (resource.RLIMIT_AS, limits.memory_bytes),
        (resource.RLIMIT_FSIZE, limits.file_bytes),
        (resource.RLIMIT_NOFILE, limits.open_files),
        (resource.RLIMIT_NPROC, processes),
    ):
        if value is not None:
            found.append((kind, value))
    return tuple(found)


def within_hard_limit(value: int, hard: int) -> tuple[int, int]:
    """Return soft and hard limit to set: never above what the process has."""
    bounded = value if hard == resource.RLIM_INFINITY else min(value, hard)
    return bounded, bounded


def limits_hit(limits: Limits, exit_code: int | None, ended_by: int | None, tail: bytes) -> Iterator[str]:
    """Yield the names of limits that a failed run has hit, by the signal that ended it and by its last words."""
    if not exit_code:
        return
    bounds = {
        "memory": limits.memory_bytes,
        "processes": limits.processes,
        "file": limits.file_bytes,
        "open_files": limits.open_files,
    }
    last = b"\n".join(tail.splitlines()[-LINES:])
    for name, words in _LAST_WORDS.items():
        said = _SIGNALS.get(ended_by or 0) == name or words.search(last)
        if bounds[name] is not None and said:
            yield name


def count_tasks_of(user: int, proc: Callable[[], Iterator[Path]] = lambda: Path("/proc").iterdir()) -> int:
    """Return how many processes and threads a user has now."""
    count = 0
    for folder in proc():
        if folder.name.isdigit():
            try:
                if folder.stat().st_uid == user:
                    count += len(os.listdir(folder / "task"))  # noqa: PTH208 - names are enough, and many
            except OSError:
                continue  # it has ended meanwhile
    return count
