"""What the tasks of benchmarks/recovery.py write down, and what follows from it: which were cut off, and when redone.

A line for each beginning and each end: `begin NUMBER PROCESS TIME`, all in one file, each by a single write.
"""

from __future__ import annotations

import os
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path


def write_down(journal: str, number: int, seconds: float) -> int:
    """Take so long; write down when it begins and when it ends."""
    _note(journal, "begin", number)
    time.sleep(seconds)
    _note(journal, "end", number)
    return number


def _note(journal: str, what: str, number: int) -> None:
    file = os.open(journal, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        os.write(file, f"{what} {number} {os.getpid()} {time.time()}\n".encode())
    finally:
        os.close(file)


@dataclass(frozen=True, slots=True)
class Recovery:
    """What became of tasks after a worker was killed.

    `rerun_s`: for each task that was begun and cut off, seconds from the kill until it began again, where it did.
    """

    cut_off: int
    rerun_s: tuple[float, ...]
    lost: int
    run_twice: int


@dataclass(frozen=True, slots=True)
class Journal:
    """The notes of one side: (number, process, seconds since 1970), in order of writing."""

    begun: list[tuple[int, int, float]]
    ended: list[tuple[int, int, float]]

    @classmethod
    def read(cls, file: Path) -> Journal:
        """Read what was written so far."""
        notes = [line.split() for line in file.read_text().splitlines()] if file.exists() else []
        begun, ended = (
            [(int(number), int(process), float(at)) for what, number, process, at in notes if what == wanted]
            for wanted in ("begin", "end")
        )
        return cls(begun, ended)

    def done(self) -> set[int]:
        """Return the tasks that have ended at least once."""
        return {number for number, _, _ in self.ended}

    def judge(self, tasks: int, killed_at: float) -> Recovery:
        """Tell what became of `tasks` tasks, numbered from 0, when a worker was killed at `killed_at`."""
        ends = {(number, process) for number, process, _ in self.ended}
        cut = {number for number, process, at in self.begun if at <= killed_at and (number, process) not in ends}
        again: dict[int, float] = {}
        for number, _, at in self.begun:
            if number in cut and at > killed_at:
                again[number] = min(at, again.get(number, at))
        twice = Counter(number for number, _, _ in self.ended)
        return Recovery(
            len(cut),
            tuple(sorted(at - killed_at for at in again.values())),
            tasks - len(self.done()),
            sum(times > 1 for times in twice.values()),
        )
