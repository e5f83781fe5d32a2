"""The dramatiq side of the benchmarks, as its workers load it: Redis at BENCH_PORT, results kept."""

from __future__ import annotations

import os

import dramatiq
from dramatiq.brokers.redis import RedisBroker
from dramatiq.results import Results
from dramatiq.results.backends import RedisBackend

from benchmarks.journal import write_down

_PORT = int(os.environ["BENCH_PORT"])

broker = RedisBroker(host="127.0.0.1", port=_PORT)  # type: ignore[no-untyped-call]  # parts of it have no types
_results = Results(backend=RedisBackend(host="127.0.0.1", port=_PORT), store_results=True)  # type: ignore[no-untyped-call]  # as above
broker.add_middleware(_results)
dramatiq.set_broker(broker)


@dramatiq.actor
def echo(text: str) -> str:
    """Return its argument."""
    return text


@dramatiq.actor
def work(journal: str, number: int, seconds: float) -> int:
    """Take so long, and write down when it begins and ends."""
    return write_down(journal, number, seconds)
