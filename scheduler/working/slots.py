"""The slots of a worker: threads that run what they are given, one run after the other, and tell when one has ended."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from queue import SimpleQueue
from typing import Final

from scheduler.working.run import Run

ALWAYS: Final = 1 << 30


class Slots:
    """`count` threads, begun as needed.

    Args:
        count: how many runs at once.
        ring: wakes the worker, from any thread.
    """

    def __init__(self, count: int, ring: Callable[[], None]) -> None:
        self.count = count
        self._ring = ring
        self._threads = 0
        self._given: SimpleQueue[Run | None] = SimpleQueue()
        self._finished: deque[Run] = deque()
        self._turn = threading.Lock()
        self.open = 0
        """Runs given that have not ended."""
        self.ring_at = ALWAYS
        """The worker is woken when a run ends and at most so many are open: who gathers need not be woken by each."""

    def give(self, run: Run) -> None:
        """Have a run performed as soon as a slot is free."""
        with self._turn:
            self.open += 1
            wanted = min(self.count, self.open)
        while self._threads < wanted:
            self._threads += 1
            threading.Thread(target=self._work, name=f"p2p-workflow-slot-{self._threads}", daemon=True).start()
        self._given.put(run)

    def withdraw(self) -> None:
        """Count off a run that was dropped, or is waited for no more."""
        with self._turn:
            self.open -= 1

    def take_finished(self) -> list[Run]:
        """Return the runs that have ended since the last call."""
        found: list[Run] = []
        while self._finished:
            found.append(self._finished.popleft())
        return found

    @property
    def has_finished(self) -> bool:
        """Whether `take_finished` would return any."""
        return bool(self._finished)

    def close(self) -> None:
        """Let the threads end; those that are at work are left alone."""
        for _ in range(self._threads):
            self._given.put(None)

    def _work(self) -> None:
        while (run := self._given.get()) is not None:
            if not run.perform():
                continue
            self._finished.append(run)
            with self._turn:
                self.open -= 1
                rings = self.open <= self.ring_at
            if rings:
                self._ring()
