"""Exchanges over a link of 50 ms: round trips, bytes, and time against a local replay.

Implements: the exchange figures of benchmarks/README.md. Server, link and client are processes of their own, since one
interpreter is one core; what passes is counted by the link, not by the parties.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Final

from benchmarks.chain import Chain
from ledger.exchange import pull, sync_with
from ledger.exchange_client import HttpCarrier
from ledger.keys import SigningKey
from scheduler.home import Home
from scheduler.replay import Replay
from scheduler.replica import replica_of

ROUND_TRIP_MS: Final = 50
EVENTS_WANTED: Final = 100_000
"""Length of the ledger for which the figures are wanted."""
DELTA_EVENTS: Final = 10
APART_EVENTS: Final = 1_000
_BATCH: Final = 1_000
_ROOT: Final = Path(__file__).parents[1]

Say = Callable[[str], None]


@dataclass(slots=True)
class Passed:
    """What one exchange took: seconds, and what passed the link meanwhile."""

    seconds: float = 0.0
    round_trips: int = 0
    bytes: int = 0


def measure(folder: Path, events: int, say: Say) -> dict[str, float]:
    """Return the figures of a ledger of `events` events; `say` is told what is being done."""
    say(f"making a ledger of {events:,} events")
    chain = Chain()
    chain.grow(events - len(chain.blocks))
    say("replaying it in memory")
    replay_s = _replay(chain)
    say("taking it in, for the side that has it")
    with Home.enter(folder / "has", chain.genesis.encode()) as home:
        _offer(home, chain.blocks)
        home.keys.add("server", chain.keys[1])
        root = home.state_root()
    say("cold: fetching all of it over the link")
    cold, there = _passing(folder / "has", folder / "cold", chain)
    _require(there == root, "the cold peer comes to another state root")
    shutil.rmtree(folder / "cold" / "keys", ignore_errors=True)
    say(f"delta of {DELTA_EVENTS}, and {APART_EVENTS:,} on either side")
    before = len(chain.blocks)
    chain.grow(DELTA_EVENTS)
    with Home.open(folder / "has") as home:
        _offer(home, chain.blocks[before:])
    delta, _ = _passing(folder / "has", folder / "cold", chain)
    missing = _part(folder, chain)
    apart, there = _passing(folder / "has", folder / "cold", chain, both_ways=True)
    with Home.open(folder / "has") as home:
        _require(home.state_root() == there, "the two sides do not agree")
    return {
        "cold_sync_over_local_replay": cold.seconds / replay_s,
        "cold_round_trips": cold.round_trips,
        "delta_round_trips": delta.round_trips,
        "delta_bytes": delta.bytes,
        "apart_round_trips": apart.round_trips,
        "apart_bytes_over_missing_events": apart.bytes / missing,
        "events": events,
        "cold_s": cold.seconds,
        "replay_s": replay_s,
        "delta_s": delta.seconds,
        "apart_s": apart.seconds,
    }


def _replay(chain: Chain) -> float:
    start = time.perf_counter()
    replay = Replay(chain.genesis.encode())
    for block in chain.blocks:
        replay.add(block)
    replay.board.state_root()
    return time.perf_counter() - start


def _part(folder: Path, chain: Chain) -> int:
    """Give either side events that the other does not know, both on the same one; return the bytes of them all."""
    base, height, start = chain.head, chain.height, len(chain.blocks)
    chain.grow(APART_EVENTS, chain.keys[:1])
    middle = len(chain.blocks)
    chain.head, chain.height = base, height
    chain.grow(APART_EVENTS, chain.keys[2:])
    for name, blocks in (("has", chain.blocks[start:middle]), ("cold", chain.blocks[middle:])):
        with Home.open(folder / name) as home:
            _offer(home, blocks)
    return sum(map(len, chain.blocks[start:]))


def _passing(server: Path, client: Path, chain: Chain, *, both_ways: bool = False) -> tuple[Passed, bytes]:
    """Fetch what `client` lacks of `server` over the link, a home of its own included; return that, and its root."""
    with ExitStack() as stack:
        port = stack.enter_context(_process("benchmarks.exchange", str(server)))
        link = stack.enter_context(
            _process("benchmarks.relay", f"127.0.0.1:{port[0]}", f"--delay-ms={ROUND_TRIP_MS / 2}")
        )
        passed = Passed()
        start = time.perf_counter()
        known = (client / "ledger.sqlite3").exists()
        with (
            Home.open(client) if known else Home.enter(client, chain.genesis.encode()) as home,
            HttpCarrier(f"http://127.0.0.1:{link[0]}", home.ledger, chain.keys[0]) as carrier,
        ):
            (sync_with if both_ways else pull)(replica_of(home), carrier, home.now_ms)
            root = home.state_root()
        passed.seconds = time.perf_counter() - start
    counted = json.loads(link[1])
    passed.round_trips, passed.bytes = counted["turns"], counted["bytes_up"] + counted["bytes_down"]
    return passed, root


@contextmanager
def _process(module: str, *arguments: str) -> Iterator[list[str]]:
    """Run a module as a program for the block; yield what it prints first, and when it is over what it prints last."""
    command = [sys.executable, "-m", module, *arguments]
    environment = os.environ | {"PYTHONPATH": str(_ROOT)}
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment, cwd=_ROOT
    ) as process:
        assert process.stdout is not None  # noqa: S101  # as it was started
        found = [process.stdout.readline().strip()]
        yield found
        rest, _ = process.communicate()
        found.append(rest.strip())
    _require(process.returncode == 0, f"{module} ended with {process.returncode}")


def _offer(home: Home, blocks: Sequence[bytes]) -> None:
    turn = iter(blocks)
    while some := list(islice(turn, _BATCH)):
        with home.writing() as writing:
            report = writing.offer(some)
        _require(len(report.accepted) == len(some), "not all events were accepted")


def _require(holds: bool, words: str) -> None:
    """End the benchmark where it would measure something else than it says."""
    if not holds:
        raise SystemExit(f"benchmark: {words}")


def main() -> None:
    """Serve the home that is named until standard input ends; print the port."""
    from scheduler.serving import HomeServer  # noqa: PLC0415  # the other processes need no server

    folder = Path(sys.argv[1])
    with Home.open(folder) as home:
        key: SigningKey = home.keys.load("server")
    with HomeServer(folder, key) as server:
        print(server.port, flush=True)
        sys.stdin.read()


if __name__ == "__main__":
    main()
