"""The huey side of the benchmarks, as its consumers load it: SQLite in BENCH_FILE, fsync, results kept."""

from __future__ import annotations

import os
import time

from huey import SqliteHuey  # type: ignore[import-untyped]  # it ships no types

from benchmarks.journal import write_down

app = SqliteHuey("bench", filename=os.environ["BENCH_FILE"], fsync=True, results=True, utc=True)


@app.task()  # type: ignore[untyped-decorator]  # it ships no types
def echo(text: str) -> str:
    """Return its argument."""
    return text


@app.task()  # type: ignore[untyped-decorator]  # it ships no types
def stamp(_: str) -> float:
    """Return when it has begun."""
    return time.time()


@app.task()  # type: ignore[untyped-decorator]  # it ships no types
def work(journal: str, number: int, seconds: float) -> int:
    """Take so long, and write down when it begins and ends."""
    return write_down(journal, number, seconds)
