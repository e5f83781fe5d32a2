"""Two processes with eight slots each do tasks that do nothing, against huey on SQLite and dramatiq on Redis.

Implements: three figures of benchmarks/README.md. All sides keep each result, sync before they answer, and have their
workers up and idle before the first task is submitted; they take turns, with their files on one disk. Ours is
`P2PWorkflowScheduler.run_worker` in each process, under keys of their own.
"""

from __future__ import annotations

import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

from benchmarks.neighbours import dramatiq_workers, huey_consumers, running, wait_for
from ledger.events import Role
from ledger.operations import Attachment, Leave, Spec
from scheduler.actions import SubmitRequest, submit
from scheduler.home import Home
from scheduler.results import result_of

PROCESSES: Final = 2
SLOTS: Final = 8
_AT_ONCE: Final = 1_000
"""Tasks submitted in one transaction, as `submit --file` does it."""
_IDLE_S: Final = 0.7
"""Between two tasks of the figure of latency: every consumer is idle."""


@dataclass(frozen=True, slots=True)
class Drains:
    """Seconds from the first submit to the last result, for the same number of tasks, one entry a round.

    `ours_single_s`: submitted one by one, as a program without a batch does it.
    """

    ours_s: list[float]
    ours_single_s: list[float]
    huey_s: list[float]
    dramatiq_s: list[float]


@dataclass(frozen=True, slots=True)
class Starts:
    """Milliseconds from the call that submits a task to the first line of it, in idle workers."""

    ours_ms: list[float]
    huey_ms: list[float]


def measure(folder: Path, tasks: int, rounds: int, say: Callable[[str], None]) -> Drains:
    """Run all sides by turns, `tasks` tasks at a time."""
    found = Drains([], [], [], [])
    for number in range(rounds):
        say(f"round {number + 1} of {rounds}: {tasks} tasks each")
        sides: list[tuple[list[float], Callable[[Path, int], float]]] = [
            (found.ours_s, drain_ours),
            (found.huey_s, drain_huey),
            (found.dramatiq_s, drain_dramatiq),
            (found.ours_single_s, lambda place, count: drain_ours(place, count, single=True)),
        ]
        for side, (times, drain) in enumerate(sides if number % 2 == 0 else reversed(sides)):
            place = folder / f"{number} {side}"
            place.mkdir()
            times.append(drain(place, tasks))
            shutil.rmtree(place)
    return found


def measure_starts(folder: Path, samples: int) -> Starts:
    """Submit tasks to idle workers, one at a time, by turns at both sides."""
    for name in ("ours", "huey"):
        (folder / name).mkdir()
    found = Starts([], [])
    with _ours(folder / "ours") as (home, key), huey_consumers(folder / "huey", PROCESSES, SLOTS) as (app, _):
        for number in range(samples):
            time.sleep(_IDLE_S)
            begun = time.time()
            (submitted,) = submit(home, key, _request(number, "text/x-stamp"))
            result = wait_for(partial(_output, home, submitted.key))
            found.ours_ms.append(1e3 * (float(result) - begun))
            begun = time.time()
            handle = app.stamp(str(number))
            found.huey_ms.append(1e3 * (float(handle.get(blocking=True, timeout=60, max_delay=0.1)) - begun))
    return found


def percentile(values: list[float], part: float) -> float:
    """Return the value below which `part` of them lie."""
    return sorted(values)[min(len(values) - 1, int(part * len(values)))]


# ---- ours


def drain_ours(folder: Path, tasks: int, *, single: bool = False) -> float:
    """Return the seconds that our workers take."""
    with _ours(folder) as (home, key):
        begun = time.perf_counter()
        requests = [_request(number, "text/plain") for number in range(tasks)]
        step = 1 if single else _AT_ONCE
        for start in range(0, tasks, step):
            submit(home, key, requests[start : start + step])
        wait_for(lambda: _done(home) == tasks)
        return time.perf_counter() - begun


@contextmanager
def _ours(folder: Path) -> Iterator[tuple[Home, Any]]:
    place = folder / "home"
    with ExitStack() as stack:
        home = stack.enter_context(Home.found(place))
        key = home.members.peer_key("submitter", ("submits",))
        for number in range(PROCESSES):
            command = [sys.executable, "-m", "benchmarks.drain_worker", str(place), f"worker {number}", str(SLOTS)]
            process = stack.enter_context(running(command, {}, stdout=subprocess.PIPE))
            assert process.stdout is not None  # noqa: S101  # a pipe was asked for
            process.stdout.readline()
        _leave(home, key)
        time.sleep(1.0)
        yield home, key


def _leave(home: Home, key: Any) -> None:
    """Have the submitter work no more: nobody waits for it."""
    home.append(key, (Leave(),), Role.WORKER)


def _request(number: int, media_type: str) -> SubmitRequest:
    payload = Attachment(media_type, data=str(number).encode())
    return SubmitRequest(Spec(f"task {number}", "bench", "echo", ("p2p-only",), payload=payload))


def _done(home: Home) -> int:
    with home.database.reading() as connection:
        return int(connection.execute("SELECT count(*) FROM tasks WHERE standing = 'done'").fetchone()[0])


def _output(home: Home, task: Any) -> str | None:
    with home.reading():
        record = home.board.find_record(task)
        if record is None or not record.completions:
            return None
        output = result_of(home, record).handed.output
        return None if output is None else (output.data or b"").decode()


# ---- the neighbours


def drain_huey(folder: Path, tasks: int) -> float:
    """Return the seconds that huey takes."""
    with huey_consumers(folder, PROCESSES, SLOTS) as (app, _):
        begun = time.perf_counter()
        for number in range(tasks):
            app.echo(str(number))
        wait_for(lambda: app.app.result_count() >= tasks)
        return time.perf_counter() - begun


def drain_dramatiq(folder: Path, tasks: int) -> float:
    """Return the seconds that dramatiq takes, on a Redis that syncs its log before each answer."""
    with dramatiq_workers(folder, 1, PROCESSES, SLOTS) as (app, _):
        results = app.broker.client
        before = _results(results)
        begun = time.perf_counter()
        for number in range(tasks):
            app.echo.send(str(number))
        wait_for(lambda: _results(results) - before == tasks)
        return time.perf_counter() - begun


def _results(client: Any) -> int:
    """Return how many results there are: each is a key of its own, and all other keys are few and stay."""
    return sum(int(fields["keys"]) for fields in client.info("keyspace").values())


def main() -> None:
    """Try one side, for whoever makes it faster: `python -m benchmarks.drain SIDE TASKS`."""
    side, tasks = sys.argv[1], int(sys.argv[2])
    with tempfile.TemporaryDirectory() as name:
        if side == "starts":
            found = measure_starts(Path(name), tasks)
            print(statistics.median(found.ours_ms), percentile(found.ours_ms, 0.95))
            print(statistics.median(found.huey_ms), percentile(found.huey_ms, 0.95))
        else:
            drain = {"ours": drain_ours, "huey": drain_huey, "dramatiq": drain_dramatiq}[side]
            print(drain(Path(name), tasks))


if __name__ == "__main__":
    main()
