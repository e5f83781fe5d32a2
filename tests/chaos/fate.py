"""Places with workers, and what befalls them, all from one seed.

A place is a home with `worker run` processes, each with a key of its own. Workers are killed and started again, paused
beyond their leases and continued, daemons killed, and places cut off from each other, in an order, at instants and for
times that the seed gives.
"""

from __future__ import annotations

import random
import signal
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Protocol

from ledger.events import Policy, Role
from ledger.operations import Admit
from scheduler.place import wall_clock_ms
from tests.chaos.flow import policy_text
from tests.chaos.news import News, Span
from tests.support.kubo import wait_for
from tests.support.peers import Machine
from tests.support.policies import write_policy

POLICY: Final = Policy(lease_ms=4_000, skew_ms=1_000, grace_ms=2_000, timeout_ms=120_000)
"""Short leases, so that whoever is killed or paused loses them in the run."""
SLOTS: Final = 4
END_S: Final = 60.0
_BETWEEN_S: Final = (0.8, 2.6)
_PAUSE_S: Final = (POLICY.lease_ms / 1000 + 0.5, 2 * POLICY.lease_ms / 1000)
_TURN_S: Final = 1.0
_PARTED_S: Final = (2.0, 8.0)


class Paths(Protocol):
    """What brings events from place to place."""

    def part(self, here: Sequence[str], there: Sequence[str]) -> None:
        """Cut places off from others."""

    def is_parted(self, pair: frozenset[str]) -> bool:
        """Return whether nothing comes across between two any more: what was under way has come to its end."""

    def heal(self) -> None:
        """Let all meet again."""


@dataclass
class WorkerProcess:
    """One `worker run`, started again as often as it is killed."""

    machine: Machine
    name: str
    errors: Path
    process: subprocess.Popen[bytes] | None = None
    paused_until: float | None = None
    keeps_store_since: int | None = None
    """Since when, in ms since 1970, it stood still in the midst of writing, so that nobody else could write to its
    home; None where it did not in its last pause."""
    _begun_at: int = 0
    """How long `errors` was when it was started last."""

    def start(self) -> None:
        """Start it."""
        command = [sys.executable, "-m", "cli", "worker", "run", "--slots", str(SLOTS)]
        with self.errors.open("ab") as errors:
            self._begun_at = errors.tell()
            self.process = subprocess.Popen(
                command,
                env=self.machine.program.environment() | {"P2P_WORKFLOW_PEER": self.name},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=errors,
                cwd=Path(__file__).parents[2],
            )

    def kill(self) -> None:
        """End it as a power cut would."""
        assert self.process is not None
        assert self.process.poll() is None, f"{self.name} has ended by itself"
        self.end()
        self.paused_until = None

    def pause(self, length_s: float) -> None:
        """Stop it where it stands: its leases run on without it."""
        assert self.process is not None
        begin = wall_clock_ms()
        self.process.send_signal(signal.SIGSTOP)
        self.paused_until = time.monotonic() + length_s
        self.keeps_store_since = None if _can_write(self.machine.home.database.path) else begin

    def go_on(self) -> None:
        """Continue it where it is paused."""
        if self.process is not None and self.paused_until is not None:
            self.process.send_signal(signal.SIGCONT)
        self.paused_until = None

    @property
    def _is_at_work(self) -> bool:
        """Whether it heeds signals: Python still loading what it needs would end by the first one."""
        return b"working in" in self.errors.read_bytes()[self._begun_at :]

    def end(self) -> None:
        """End it whatever it does."""
        if self.process is not None:
            self.process.kill()
            self.process.wait(END_S)

    def close(self) -> int:
        """Have it drain and end; return its exit code."""
        process = self.process
        if process is None:
            return 0
        self.go_on()
        wait_for(f"{self.name} is at work", lambda: process.poll() is not None or self._is_at_work, deadline_s=END_S)
        if process.poll() is None:
            process.terminate()
        try:
            return process.wait(END_S)
        except subprocess.TimeoutExpired:
            self.end()
            return process.wait()


def _can_write(database: Path) -> bool:
    """Return whether a store can be written to within a while that no turn of a worker at work takes."""
    with closing(sqlite3.connect(database, timeout=_TURN_S, isolation_level=None)) as connection:
        try:
            connection.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError:
            return False
        connection.execute("ROLLBACK")
        return True


def hired(folder: Path, journal: Path, machines: Sequence[Machine], each: int) -> list[WorkerProcess]:
    """Return workers of machines, admitted by the first and allowed the tasks of `flow`; they are not started."""
    owner = machines[0]
    key = owner.home.members.owner_key()
    assert key is not None
    found: list[WorkerProcess] = []
    for machine in machines:
        write_policy(machine.folder, policy_text(journal))
        for number in range(each):
            name = f"{machine.name}-{number + 1}"
            actor = machine.home.keys.ensure(name).actor
            owner.home.append(key, (Admit(actor, (Role.WORKER.value,), name),))
            found.append(WorkerProcess(machine, name, folder / f"{name}.err"))
    return found


@dataclass
class Fate:
    """What befalls a town for a while: one blow after the other, from a seed.

    Args:
        seed: what gives everything.
        workers: whom it befalls; they run.
        places: names of what can be cut off.
        paths: what cuts them off.
        news: is told of cuts, and of pauses that keep a store.
        others: further blows by name, each called with the generator, returning what it did in words.
    """

    seed: int
    workers: Sequence[WorkerProcess]
    places: Sequence[str]
    paths: Paths
    news: News
    others: dict[str, Callable[[random.Random], str]] = field(default_factory=dict)
    told: list[str] = field(default_factory=list)
    blows: Counter[str] = field(default_factory=Counter)
    instants: list[int] = field(default_factory=list)
    """When blows fell, in ms since 1970."""
    _parted_until: float | None = None
    _cut_since: dict[frozenset[str], int | None] = field(default_factory=dict)
    """For each two that are cut off from each other: since when; None while something is under way."""

    @property
    def kinds(self) -> tuple[str, ...]:
        """The kinds of blows."""
        return ("kill", "pause", "part", *self.others)

    def strike(self, goes_on: Callable[[], bool]) -> None:
        """Strike as long as `goes_on`; at the end all is mended."""
        chance = random.Random(self.seed)
        began = time.monotonic()
        blows = self._order(chance)
        next_at = began + chance.uniform(*_BETWEEN_S)
        while goes_on():
            time.sleep(0.05)
            words = self._mend(time.monotonic())
            if time.monotonic() >= next_at:
                next_at = time.monotonic() + chance.uniform(*_BETWEEN_S)
                blow = next(blows)
                said = self._strike(blow, chance)
                if said:
                    self.blows[blow] += 1
                    self.instants.append(wall_clock_ms())
                    words.append(said)
            self.told += [f"{time.monotonic() - began:6.1f} s  {word}" for word in words]
        self._mend(float("inf"))

    def _order(self, chance: random.Random) -> Iterator[str]:
        """Yield the kinds of blows: shuffled, but none comes late or seldom, whatever the seed."""
        while True:
            hand = ["kill"] * 4 + ["pause"] * 3 + ["part"] * 2 + list(self.others)
            chance.shuffle(hand)
            yield from hand

    def _strike(self, blow: str, chance: random.Random) -> str:
        """Return what was done, "" for nothing."""
        worker, pause_s, parted_s = chance.choice(self.workers), chance.uniform(*_PAUSE_S), chance.uniform(*_PARTED_S)
        places = chance.sample(self.places, len(self.places))
        cut = chance.randint(1, len(places) - 1)
        if blow == "kill":
            if worker.paused_until is not None:
                self._note_pause(worker)
            worker.kill()
            worker.start()
            return f"{worker.name} killed and started again"
        if blow == "pause" and worker.paused_until is None:
            worker.pause(pause_s)
            return f"{worker.name} paused for {pause_s:.1f} s{', writing' if worker.keeps_store_since else ''}"
        if blow == "part" and self._parted_until is None:
            self._cut_since = {frozenset((one, other)): None for one in places[:cut] for other in places[cut:]}
            self.paths.part(places[:cut], places[cut:])
            self._parted_until = time.monotonic() + parted_s
            return f"{places[:cut]} cut off from {places[cut:]} for {parted_s:.1f} s"
        return self.others[blow](chance) if blow in self.others else ""

    def _mend(self, now: float) -> list[str]:
        words = []
        for pair, since in self._cut_since.items():
            if since is None and self.paths.is_parted(pair):
                self._cut_since[pair] = wall_clock_ms()
        if self._parted_until is not None and now >= self._parted_until:
            cuts = [(pair, since) for pair, since in self._cut_since.items() if since is not None]
            self.news.cuts += [Span(pair, since, wall_clock_ms()) for pair, since in cuts]
            self.paths.heal()
            self._parted_until = None
            self._cut_since = {}
            words.append("all can meet again")
        for worker in self.workers:
            if worker.paused_until is not None and now >= worker.paused_until:
                worker.go_on()
                self._note_pause(worker)
                words.append(f"{worker.name} goes on")
        return words

    def _note_pause(self, worker: WorkerProcess) -> None:
        """Note that a worker's pause is over."""
        if worker.keeps_store_since is not None:
            place = frozenset((worker.machine.name,))
            self.news.holds.append(Span(place, worker.keeps_store_since, wall_clock_ms()))
