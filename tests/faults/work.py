"""The work that is broken off: a home is written to in every way it can be, by seed, and what it promised is told.

Each promise goes out only after the call that makes it durable has returned.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Final

from ledger.cid import Cid
from ledger.events import task_key
from ledger.keys import SigningKey
from ledger.operation_writing import write_spec
from ledger.operations import Claim, Complete, Operation, Spec, Submit
from scheduler.home import Home
from tests.faults.audit import Promise

START_MS: Final = 1_700_000_000_000
STEPS: Final = 14

Promised = Callable[[Promise], None]


@dataclass(slots=True)
class Time:
    """A clock that the work sets."""

    now: int = START_MS

    def __call__(self) -> int:
        return self.now


@dataclass(frozen=True, slots=True)
class Stock:
    """What is made once for all seeds: a home to copy, and blocks of another peer to import, some ahead of time."""

    home: Path
    blocks: tuple[bytes, ...]


def submit_of(home: Home, key: SigningKey, name: str) -> Submit:
    """Return the operation that asks for a task called `name`."""
    fields = write_spec(spec := Spec(name, "faults", name, ("p2p-only",)))
    return Submit(task_key(home.ledger, key.actor, fields), spec, 5, home.now_ms(), fields)


def make_stock(folder: Path) -> Stock:
    """Make a home with a peer and a few tasks, and a second one that goes on from there."""
    time = Time()
    first = folder / "stock"
    with Home.found(first, clock=time) as home:
        peer = home.members.peer_key("peer")
        second_peer = home.members.peer_key("other")
        home.append(peer, [submit_of(home, peer, f"stock {i}") for i in range(3)])
        home.state_root()
        genesis = home.genesis.encode()
        with home.reading():
            before = [block for _, _, block in home.events.in_order_of_arrival()]
    with Home.enter(folder / "second", genesis, clock=time) as second:
        with second.writing() as writing:
            writing.offer(before)
        for i in range(12):
            time.now += 4_000  # the skew allowed is 10 s, so the later half is ahead of the first home's clock
            second.append(second_peer, [submit_of(second, second_peer, f"foreign {i}")])
        with second.reading():
            after = [block for _, _, block in second.events.in_order_of_arrival()]
    return Stock(first, tuple(after[len(before) :]))


@dataclass(slots=True)
class Worker:
    """A process at work on a home."""

    folder: Path
    random: Random
    foreign: list[bytes]
    promised: Promised
    name: str = "peer"
    time: Time = field(default_factory=Time)
    step_ms: int = 2_500

    def run(self) -> None:
        """Open the home, or found it at first use, and write to it for a while."""
        home, _ = Home.open_or_found(self.folder, clock=self.time)
        with home:
            key = home.members.peer_key(self.name)
            self.promised(Promise("key", self.name))
            self.random.shuffle(self.foreign)
            for step in range(STEPS):
                self.time.now += self.step_ms
                self.random.choice(
                    (
                        self.submit,
                        self.submit,
                        self.life,
                        self.life,
                        self.together,
                        self.take_in,
                        self.take_in,
                        self.rest,
                    )
                )(home, key, f"{self.name} {step}")

    def append(self, home: Home, key: SigningKey, operations: list[Operation]) -> Cid:
        """Append one event in a transaction of its own."""
        cid = home.append(key, operations).cid
        self.promised(Promise("event", str(cid)))
        return cid

    def submit(self, home: Home, key: SigningKey, name: str) -> None:
        """Submit a batch in one event."""
        count = self.random.randint(1, 6)
        self.append(home, key, [submit_of(home, key, f"{name} {i}") for i in range(count)])

    def life(self, home: Home, key: SigningKey, name: str) -> None:
        """Submit, claim and complete a task, each in a transaction."""
        submit = submit_of(home, key, name)
        submitted = self.append(home, key, [submit])
        claimed = self.append(home, key, [Claim(submit.key, (submitted,), 60_000)])
        self.append(home, key, [Complete(submit.key, (claimed,), claimed)])

    def together(self, home: Home, key: SigningKey, name: str) -> None:
        """Write several events and a blob in one transaction."""
        submit = submit_of(home, key, name)
        with home.writing() as writing:
            submitted = writing.append(key, [submit]).cid
            blob = writing.add_blob(self.random.randbytes(20_000))
            claimed = writing.append(key, [Claim(submit.key, (submitted,), 60_000)]).cid
        for kind, cid in (("event", submitted), ("event", claimed), ("blob", blob)):
            self.promised(Promise(kind, str(cid)))

    def take_in(self, home: Home, key: SigningKey, name: str) -> None:
        """Import blocks in any order: some wait for others, some are held until their time."""
        count = self.random.randint(1, 5)
        some, self.foreign = self.foreign[:count], self.foreign[count:]
        with home.writing() as writing:
            report = writing.offer(some)
        assert not report.refused
        for kind, cids in (("event", report.accepted), ("held", report.held)):
            for cid in cids:
                self.promised(Promise(kind, str(cid)))

    def rest(self, home: Home, key: SigningKey, name: str) -> None:
        """Write what is no event: hashes of the board, the whole board anew, a new peer and its key."""
        match self.random.randrange(4):
            case 0:
                home.state_root()
            case 1:
                home.rebuild()
            case 2:
                home.members.peer_key(name)
                self.promised(Promise("key", name))
            case _:
                home.keys.generate(name)
                self.promised(Promise("key", name))
