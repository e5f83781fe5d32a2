"""Waiting for a task without a replica: asking one peer after the other until what they show settles it.

A peer is asked to keep its answer back until something has changed, so nothing is asked in a hurry; one that does not
keep it back is asked at growing intervals. What they show is checked (scheduler.light.proof); what they withhold cannot
be seen, so an answer counts the same whoever gave it. Leaves out where carriers come from.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Final

from crdt.records import TaskRecord
from crdt.view import FINAL, Status, TaskView
from ledger.carrier import Carrier, MisbehaviourError, UnreachableError
from ledger.cid import Cid
from ledger.events import Genesis, TaskKey
from ledger.replica import ExchangeError
from ledger.task_asking import TaskAnswer, ask_task
from ledger.task_exchange import WAIT_MS_MAX, TaskQuestion
from scheduler.light.proof import TaskProof

GIVE_UP_S: Final = 120.0
"""How long nobody may answer, before waiting is given up."""
_PAUSE_S: Final = (0.5, 10.0)
_SOON_S: Final = 1.0
"""An answer within this time was not kept back."""

Open = Callable[[], AbstractContextManager[Carrier]]
"""Opens a carrier to one place."""
Seen = Callable[[TaskProof, TaskAnswer, Carrier], None]
"""Is told of each answer, while the one who gave it can be asked for more."""


class WaitedError(Exception):
    """The time to wait is over, and the task is not settled: it goes on, wait again."""

    advice = "the task goes on: the same command again waits for the same task"

    def __init__(self, task: TaskKey, status: str) -> None:
        super().__init__(f"task {task.hex()} is {status} when the time to wait is over")
        self.status = status


class LostContactError(ExchangeError):
    """Nobody who was asked about the task has answered for too long."""

    advice = "the task goes on: the same command again waits for the same task"


class Waiting:
    """Waits for one task.

    Args:
        ledger, genesis: whose.
        task: which.
        places: how each place is reached; tried in turn.
        now_ms: tells the time.
    """

    def __init__(
        self, ledger: Cid, genesis: Genesis, task: TaskKey, places: Sequence[Open], now_ms: Callable[[], int]
    ) -> None:
        self.proof = TaskProof(ledger, genesis, task)
        self._ledger = ledger
        self._genesis = genesis
        self._task = task
        self._places = list(places)
        self._now_ms = now_ms
        self._heads: tuple[Cid, ...] = ()
        self._answered = time.monotonic()

    def until_settled(self, timeout_s: float | None, seen: Seen = lambda *_: None) -> TaskView:
        """Return where the task stands once it is done, cancelled, dead, expired, or blocked by such a need.

        Raises WaitedError after `timeout_s`, LostContactError when nobody has answered for long, and what the last
        place said where all refuse.
        """
        until = None if timeout_s is None else time.monotonic() + timeout_s
        self._answered = time.monotonic()
        pause = _PAUSE_S[0]
        while True:
            faults: list[ExchangeError] = []
            for place in self._places:
                try:
                    with place() as carrier:
                        return self._with(carrier, until, seen)
                except ExchangeError as error:
                    self._heads = ()  # another place may not know them
                    faults.append(error)
            if faults and all(not isinstance(one, UnreachableError | MisbehaviourError) for one in faults):
                raise faults[0]
            if time.monotonic() - self._answered > GIVE_UP_S:
                raise LostContactError(f"nobody answers about the task any more: {faults[-1]}")
            pause = self._pause(pause, until)

    def _with(self, carrier: Carrier, until: float | None, seen: Seen) -> TaskView:
        """Ask one place again and again."""
        pause, wait_ms = _PAUSE_S[0], 0
        while True:
            began = time.monotonic()
            before = self._heads
            answer = ask_task(carrier, TaskQuestion(self._ledger, self._task, before, wait_ms))
            self._answered = time.monotonic()
            self._heads = answer.told.heads
            self.proof.take(answer)
            seen(self.proof, answer, carrier)
            found = self._view(carrier)
            if found is not None and (found.status in FINAL or found.status is Status.BLOCKED):
                return found
            if answer.told.heads != before:
                pause = _PAUSE_S[0]
            elif wait_ms and time.monotonic() - began < min(_SOON_S, wait_ms / 2000):
                pause = self._pause(pause, until)
            wait_ms = WAIT_MS_MAX
            if until is not None:
                left_ms = round((until - time.monotonic()) * 1000)
                if left_ms <= 0:
                    raise WaitedError(self._task, self._stands(found))
                wait_ms = min(wait_ms, left_ms)

    def _view(self, carrier: Carrier) -> TaskView | None:
        """Return where the task stands; its needs are asked about only where it is they that it waits for."""
        found = self.proof.view_alone(self._now_ms())
        record = self.proof.record
        if found is None or record is None or found.status in FINAL or found.status is Status.HELD:
            return found
        if not record.spec.needs:
            return found
        needs: dict[TaskKey, TaskRecord | None] = {}

        def find(need: TaskKey) -> TaskRecord | None:
            if need not in needs:
                proof = TaskProof(self._ledger, self._genesis, need)
                proof.take(ask_task(carrier, TaskQuestion(self._ledger, need)))
                needs[need] = proof.record
            return needs[need]

        return self.proof.view(find, self._now_ms())

    def _stands(self, found: TaskView | None) -> str:
        return "not known to the peer" if found is None else str(found.status)

    def _pause(self, pause: float, until: float | None) -> float:
        left = pause if until is None else min(pause, until - time.monotonic())
        if left <= 0:
            raise WaitedError(self._task, "not settled")
        time.sleep(left)  # between two questions that were answered at once, or not at all
        return min(2 * pause, _PAUSE_S[1])
