"""What the strict check may know of the worker that is to run a job."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Situation:
    """What is at hand for a run.

    Args:
        read_source: gives the bytes of a file of the source by its path, None where it has none of that name; None
            itself: the task carries no source.
        has_program: whether a program can be run.
        secrets: names of the secrets that the run is granted, in capitals.
        sha: the commit it stands for, "" where nobody said.
    """

    read_source: Callable[[str], bytes | None] | None
    has_program: Callable[[str], bool]
    secrets: frozenset[str] = frozenset()
    sha: str = ""
