"""One run of chaos, from its first task to its verdict."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from crdt.view import FINAL, Status, view
from scheduler.home import Home
from tests.chaos.fate import Fate, WorkerProcess, hired
from tests.chaos.flow import Flow, never_done
from tests.chaos.judging import Verdict, judge
from tests.chaos.towns import Town

EACH: Final = 2
"""Workers in each home."""
CALM: Final = 20
"""Fate strikes until one in so many tasks is left."""
OVER: Final = FINAL | {Status.BLOCKED}
_LOOK_S: Final = 0.5


@dataclass(frozen=True, slots=True)
class Chaos:
    """What a run was, and what came of it."""

    tasks: int
    fate: Fate
    verdict: Verdict
    seconds: float
    codes: tuple[int, ...]
    """Exit codes of the workers that were told to end."""
    errors: str
    """What workers wrote to stderr."""
    flow: Flow

    def told(self) -> str:
        """Return it in words, the fate blow by blow."""
        rate = f"{self.tasks} tasks in {self.seconds:.0f} s"
        submitted, called_off = map(len, map(self._meanwhile, (self.flow.submitted, self.flow.called_off.values())))
        late = f"{submitted} submitted, {called_off} called off"
        said = [f"seed {self.fate.seed}: {rate}; blows: {dict(self.fate.blows)}; meanwhile {late}", self.verdict.told()]
        return "\n".join([*said, *self.verdict.faults[:20], *self.fate.told, self.errors[-4_000:]])

    def check(self) -> None:
        """Assert all that must be true after chaos, and that it was chaos."""
        told, verdict = self.told(), self.verdict
        assert not verdict.faults, told
        assert sum(verdict.tasks.values()) == self.tasks, told
        assert "Traceback" not in self.errors, told
        assert not any(self.codes), f"workers ended with {self.codes}\n{told}"
        assert all(self.fate.blows[blow] >= 2 for blow in self.fate.kinds), f"too little befell them\n{told}"
        assert verdict.cut_off >= 2, f"no kill hit a task that ran\n{told}"
        assert verdict.late >= 1, f"no pause cost a lease\n{told}"
        assert verdict.parted >= 1, f"no cut parted places that wrote meanwhile\n{told}"
        assert len(self._meanwhile(self.flow.submitted)) >= self.tasks // 3, f"too little came meanwhile\n{told}"
        assert self._meanwhile(self.flow.called_off.values()), f"nothing was called off meanwhile\n{told}"
        assert verdict.tasks["cancelled"], f"nothing was called off in time\n{told}"

    def _meanwhile(self, instants: Iterable[int]) -> list[int]:
        """Return those of instants that lie between the first blow and the last."""
        struck = self.fate.instants
        return [instant for instant in instants if struck and struck[0] < instant < struck[-1]]


def run_chaos(folder: Path, town: Town, *, seed: int, tasks: int, deadline_s: float) -> Chaos:
    """Have `tasks` tasks done in a town while fate strikes; fail where they are not over by the deadline."""
    journal = folder / "journal"
    journal.mkdir()
    first = town.machines[0]
    workers = hired(folder, journal, town.machines, EACH)
    flow = Flow(town.machines, tasks)
    town.start()
    fate = Fate(seed, workers, [machine.name for machine in town.machines], town, town.news, town.others)
    began = time.monotonic()

    def goes_on() -> bool:
        return not flow.has_failed and time.monotonic() < began + deadline_s

    try:
        for worker in workers:
            worker.start()
        flow.start()
        fate.strike(lambda: goes_on() and _left(first.home, tasks) > tasks // CALM)
        while goes_on() and not all(_is_over(one.home, tasks) for one in town.machines):
            time.sleep(_LOOK_S)
        seconds = time.monotonic() - began
        codes = tuple(worker.close() for worker in workers)
        flow.close()
    finally:
        for worker in workers:
            worker.end()
        flow.close(at_once=True)
    town.agree()
    verdict = judge(first.home, journal, flow.keys, town.news, flow.called_off)
    return Chaos(tasks, fate, verdict, seconds, codes, _said(workers), flow)


def _said(workers: list[WorkerProcess]) -> str:
    return "\n".join(worker.errors.read_text(encoding="utf-8") for worker in workers)


def _left(home: Home, tasks: int) -> int:
    """Return how many tasks are still to be done, without looking at each."""
    with home.reading():
        counts = home.tasks.counts()
        return tasks - counts.get("done", 0) - counts.get("over", 0) - never_done(tasks)


def _is_over(home: Home, tasks: int) -> bool:
    """Return whether every task of a home is over."""
    if _left(home, tasks) > 0:
        return False
    with home.reading():
        now = home.now_ms()
        return all(
            view(record, home.board.find_record, home.policy, now).status in OVER for record in home.tasks.open_tasks()
        )
