"""Cold replay against raw signature verification: how much all that is not cryptography costs.

Implements: the first ratio of benchmarks/README.md.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from ledger.acceptance import signed_part, unsafe_signed
from ledger.cid import Cid
from ledger.events import task_key
from ledger.keys import SigningKey
from ledger.operation_writing import write_spec
from ledger.operations import Claim, Complete, Operation, Spec, Submit
from scheduler.home import Home
from scheduler.replay import Replay

IMPORT_BATCH: Final = 1_000
"""Blocks taken in with one transaction, as `import` and `sync` do."""
_PEERS: Final = 3
_SIDE_BY_SIDE: Final = 60
"""Tasks that are open at once."""


@dataclass(frozen=True, slots=True)
class Load:
    """A ledger as blocks, each after all it links."""

    genesis: bytes
    blocks: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class ReplayRound:
    """Seconds for the same events: only their signatures, replayed in memory, imported into a new home."""

    raw_s: float
    replay_s: float
    import_s: float


def make_load(events: int) -> Load:
    """Return a ledger of about `events` events: tasks that three peers submit, claim and complete, an event each."""
    with tempfile.TemporaryDirectory() as name, Home.found(Path(name) / "home") as home:
        keys = [home.members.peer_key(f"peer {i}") for i in range(_PEERS)]
        for start in range(0, events // 3, _SIDE_BY_SIDE):
            numbers = range(start, min(start + _SIDE_BY_SIDE, events // 3))
            _live(home, [(keys[number % _PEERS], number) for number in numbers])
        with home.reading():
            return Load(home.genesis.encode(), tuple(block for _, _, block in home.events.in_order_of_arrival()))


def _live(home: Home, authors: Iterable[tuple[SigningKey, int]]) -> None:
    """Take tasks side by side through their lives."""
    submits = [(key, _submit(home, key, number)) for key, number in authors]
    with home.writing() as writing:

        def say(key: SigningKey, operation: Operation) -> None:
            writing.append(key, [operation])

        def heads(submit: Submit) -> tuple[Cid, ...]:
            record = home.board.find_record(submit.key)
            assert record is not None  # noqa: S101  # submitted above
            return record.heads

        for key, submit in submits:
            say(key, submit)
        for key, submit in submits:
            say(key, Claim(submit.key, heads(submit), 600_000))
        for key, submit in submits:
            (claim,) = heads(submit)
            say(key, Complete(submit.key, (claim,), claim))


def _submit(home: Home, key: SigningKey, number: int) -> Submit:
    fields = write_spec(spec := Spec(f"task {number}", "benchmark", f"task {number}", ("p2p-only",)))
    return Submit(task_key(home.ledger, key.actor, fields), spec, 1 + number % 10, home.now_ms(), fields)


def measure(load: Load) -> ReplayRound:
    """Do each of the three once."""
    return ReplayRound(_raw(load.blocks), _replay(load), _import(load))


def _raw(blocks: Sequence[bytes]) -> float:
    """Verify signatures: keys and messages are made ready before, nothing is decoded, no rule is looked at."""
    signed = [unsafe_signed(block).event for block in blocks]
    keys = {event.actor: Ed25519PublicKey.from_public_bytes(event.actor) for event in signed}
    work = [
        (keys[event.actor], event.sig, signed_part(block, event.sig))
        for event, block in zip(signed, blocks, strict=True)
    ]
    start = time.perf_counter()
    for key, signature, message in work:
        key.verify(signature, message)
    return time.perf_counter() - start


def _replay(load: Load) -> float:
    """Replay as `replay` and `verify` do: every hash, signature and rule, folded in memory, with the state root."""
    start = time.perf_counter()
    replay = Replay(load.genesis)
    for block in load.blocks:
        replay.add(block)
    replay.board.state_root()
    return time.perf_counter() - start


def _import(load: Load) -> float:
    """Import as `import` and `sync` do: the same, and all of it durable in a new home, ready to be worked on."""
    with tempfile.TemporaryDirectory() as name:
        start = time.perf_counter()
        with Home.enter(Path(name) / "home", load.genesis) as home:
            for first in range(0, len(load.blocks), IMPORT_BATCH):
                with home.writing() as writing:
                    report = writing.offer(load.blocks[first : first + IMPORT_BATCH])
                assert not report.refused  # noqa: S101  # else less was measured than is said
                assert not report.waiting  # noqa: S101  # as above
            home.state_root()
        return time.perf_counter() - start
