"""A loop of get_next_task and mark_task_complete against huey's, which also keeps its tasks in SQLite.

Implements: the second ratio of benchmarks/README.md. Both write to the same disk, both sync before they answer, both
find their tasks submitted beforehand, take them one at a time and keep each result.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from huey import SqliteHuey  # type: ignore[import-untyped]  # it ships no types

from scheduler.home import Home
from scheduler.scheduler import P2PWorkflowScheduler
from scheduler.tags import WorkflowTag
from scheduler.task import P2PTask, Payload


@dataclass(frozen=True, slots=True)
class LoopRound:
    """Seconds for the same number of tasks."""

    ours_s: float
    huey_s: float


class Ours:
    """A home with one peer."""

    def __init__(self, folder: Path, tasks: int) -> None:
        Home.found(folder).close()
        self._scheduler = P2PWorkflowScheduler("bench", home=folder)
        for i in range(tasks):
            tags = [WorkflowTag.P2P_ONLY]
            task = P2PTask(f"task {i}", "bench", "echo", tags, payload=Payload("text/plain", str(i).encode()))
            if not self._scheduler.submit_task(task):
                raise RuntimeError("the task was not submitted")

    def run(self, tasks: int) -> float:
        """Take and complete `tasks` tasks; return the seconds it took."""
        start = time.perf_counter()
        for _ in range(tasks):
            task = self._scheduler.get_next_task()
            if task is None or task.payload is None:
                raise RuntimeError("no task was given")
            if not self._scheduler.mark_task_complete(task.task_id, output=task.payload):
                raise RuntimeError("the task was not completed")
        return time.perf_counter() - start

    def close(self) -> None:
        """Close the home."""
        self._scheduler.close()


class Huey:
    """A SqliteHuey with synchronous=FULL, its results stored."""

    def __init__(self, folder: Path, tasks: int) -> None:
        folder.mkdir()
        self._huey = SqliteHuey("bench", filename=str(folder / "huey.db"), fsync=True, results=True, utc=True)
        echo: Any = self._huey.task()(_echo)
        for i in range(tasks):
            echo(str(i))

    def run(self, tasks: int) -> float:
        """Take and execute `tasks` tasks; return the seconds it took."""
        start = time.perf_counter()
        for _ in range(tasks):
            task = self._huey.dequeue()
            if task is None or self._huey.execute(task) is None:
                raise RuntimeError("no task was given")
        return time.perf_counter() - start

    def close(self) -> None:
        """Close the database."""
        self._huey.storage.close()


def _echo(text: str) -> str:
    return text


def measure(folder: Path, rounds: int, tasks: int) -> list[LoopRound]:
    """Run both by turns, `tasks` tasks at a time."""
    ours, huey = Ours(folder / "ours", rounds * tasks), Huey(folder / "huey", rounds * tasks)
    try:
        found: list[LoopRound] = []
        for i in range(rounds):
            if i % 2:  # who comes second may find the disk busy
                huey_s, ours_s = huey.run(tasks), ours.run(tasks)
            else:
                ours_s, huey_s = ours.run(tasks), huey.run(tasks)
            found.append(LoopRound(ours_s, huey_s))
        return found
    finally:
        ours.close()
        huey.close()
