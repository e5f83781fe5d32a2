"""Workers as processes: killed, paused, told to end, each with real commands; nothing is lost and nothing runs on."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from ledger.events import TaskKey
from ledger.keys import ActorKey, did_key
from ledger.operation_codec import read_operations
from ledger.operations import Backoff, Leave
from scheduler.actions import cancel
from scheduler.running.job import GRACE_MS
from scheduler.running.payloads import Command
from tests.working.shop import QUICK, Shop

ROOT = Path(__file__).resolve().parents[2]
LEASE_S = QUICK.lease_ms / 1000


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    """Give a home whose policy allows this test's commands to run without namespaces."""
    with Shop(tmp_path / "home") as found:
        found.allow('sandbox = "process"\n')
        yield found


@contextmanager
def worker(shop: Shop, name: str, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """Run a worker of the home under a key of its own, until the block ends."""
    shop.home.members.peer_key(name)
    environ = {key: value for key, value in os.environ.items() if not key.startswith("P2P_WORKFLOW_")}
    command = [sys.executable, "-m", "cli", "worker", "run", "--home", str(shop.folder), "--peer", name, *arguments]
    process = subprocess.Popen(command, cwd=ROOT, env=environ, text=True, stderr=subprocess.PIPE)
    assert process.stderr is not None
    try:
        for line in process.stderr:
            if "working in" in line:
                break
        yield process
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
        process.stderr.close()


def first_waits(folder: Path) -> Command:
    """Return a command that notes its process in `folder`, and the first time waits for ever."""
    note = folder / "runs"
    return Command(argv=("sh", "-c", f"echo $$ >> {note}; [ $(wc -l < {note}) -gt 1 ] || exec sleep 300"))


def runs(folder: Path) -> list[int]:
    """Return the processes noted so far."""
    note = folder / "runs"
    return [int(line) for line in note.read_text().split()] if note.exists() else []


def is_gone(pid: int) -> bool:
    """Tell whether a process has ended; one that nobody has waited for has, too."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "Z"
    except OSError:
        return True


def active(shop: Shop) -> frozenset[ActorKey]:
    """Return who is at work."""
    with shop.home.reading():
        return shop.home.board.active_workers()


def holder(shop: Shop, task: TaskKey) -> str:
    """Return the name of the peer whose claim is the last of a task."""
    with shop.home.reading():
        names = shop.home.members.names()
    last = max(shop.record(task).claims, key=lambda claim: claim.attempt)
    return names.get(last.actor, did_key(last.actor))


def test_a_killed_worker_s_task_is_another_s_within_a_lease_and_five_seconds(shop: Shop, tmp_path: Path) -> None:
    """Kill −9 in mid-task: the other worker has done it in time, and what the dead one ran or left is gone."""
    with worker(shop, "a") as a, worker(shop, "b") as b:
        task = shop.submit("t", first_waits(tmp_path))
        shop.until(lambda: runs(tmp_path))
        dead, alive = (a, b) if holder(shop, task) == "a" else (b, a)
        dead.kill()
        killed = time.monotonic()
        shop.until_status(task, "done")
        assert time.monotonic() - killed <= LEASE_S + 5
        shop.until(lambda: is_gone(runs(tmp_path)[0]))
        assert alive.poll() is None
    record = shop.record(task)
    assert (len(record.completions), record.completions[0].claim) == (
        1,
        max(record.claims, key=lambda c: c.attempt).cid,
    )
    with worker(shop, "c") as c:
        c.terminate()
        c.wait(30)
    assert list((shop.folder / "work").iterdir()) == []


def test_told_to_end_it_finishes_what_runs_and_takes_nothing(shop: Shop, tmp_path: Path) -> None:
    """SIGTERM: the task that runs is completed, the next one stays open, and the process ends with 0."""
    go, begun = tmp_path / "go", tmp_path / "begun"
    waits = f"touch {begun}; while [ ! -e {go} ]; do sleep 0.05; done"
    first = shop.submit("first", Command(argv=("sh", "-c", waits)))
    with worker(shop, "a") as a:
        shop.until(begun.exists)
        a.send_signal(signal.SIGTERM)
        second = shop.submit("second", Command(argv=("true",)))
        go.touch()
        assert a.wait(30) == 0
    assert (shop.status(first), shop.status(second), shop.record(second).claims) == ("done", "ready", ())


def test_told_to_end_it_leaves_and_who_works_with_its_key_joins_again(shop: Shop) -> None:
    """Nobody waits for a worker that has ended; one of the same key that runs on is at work, whoever has left."""
    with worker(shop, "a") as a, worker(shop, "a") as twin:
        actor = shop.home.keys.load("a").actor
        a.terminate()
        assert a.wait(30) == 0
        shop.until_status(shop.submit("t", Command(argv=("true",))), "done")
        assert actor in active(shop)
        twin.terminate()
        assert twin.wait(30) == 0
    assert actor not in active(shop)
    with shop.home.reading():
        events = [shop.home.read_event(cid) for _, cid, _ in shop.home.events.in_order_of_arrival()]
    assert [type(op) for event in events for op in read_operations(event)].count(Leave) == 2


def test_told_twice_it_stops_what_runs_and_gives_it_back(shop: Shop, tmp_path: Path) -> None:
    """The second SIGTERM ends the process group at once; the claim is released, and the attempt does not count."""
    note = tmp_path / "runs"
    task = shop.submit("t", Command(argv=("sh", "-c", f"trap '' TERM; echo $$ > {note}; while :; do sleep 0.1; done")))
    with worker(shop, "a", "--drain-limit", "1h") as a:
        shop.until(lambda: runs(tmp_path))
        a.send_signal(signal.SIGTERM)
        a.send_signal(signal.SIGINT)
        told = time.monotonic()
        assert a.wait(30) == 0
        assert time.monotonic() - told < 0.8 * GRACE_MS / 1000  # the run ignores SIGTERM, and has no such grace
    assert is_gone(runs(tmp_path)[0])
    assert [claim.released for claim in shop.record(task).claims] == [True]
    assert shop.status(task) == "ready"


def test_a_cancelled_task_s_processes_end(shop: Shop, tmp_path: Path) -> None:
    """Cancelled while it runs: the process group is ended, and the worker goes on with the next task."""
    task = shop.submit("t", first_waits(tmp_path))
    with worker(shop, "a") as a:
        shop.until(lambda: runs(tmp_path))
        cancel(shop.home, shop.key, task)
        shop.until(lambda: is_gone(runs(tmp_path)[0]))
        after = shop.submit("after", Command(argv=("true",)))
        shop.until_status(after, "done")
        assert a.poll() is None
    assert shop.status(task) == "cancelled"


def test_a_worker_paused_beyond_its_lease_loses_or_wins_by_the_rules(shop: Shop, tmp_path: Path) -> None:
    """SIGSTOP until another has done its task: continued, its own completion comes too late, and it works on."""
    with worker(shop, "a") as a, worker(shop, "b") as b:
        task = shop.submit("t", first_waits(tmp_path))
        shop.until(lambda: runs(tmp_path))
        paused = a if holder(shop, task) == "a" else b
        paused.send_signal(signal.SIGSTOP)
        os.kill(runs(tmp_path)[0], signal.SIGTERM)  # its own run ends while it is paused: as a failure, told too late
        shop.until_status(task, "done")
        paused.send_signal(signal.SIGCONT)
        tasks = [shop.submit(f"after {i}", Command(argv=("true",))) for i in range(8)]
        for one in tasks:
            shop.until_status(one, "done")
        paused.send_signal(signal.SIGTERM)
        assert paused.wait(30) == 0
    record = shop.record(task)
    assert len(record.completions) == 1
    assert not any(claim.failed_at for claim in record.claims)


def test_two_workers_share_the_tasks(shop: Shop, tmp_path: Path) -> None:
    """Each command runs once, whichever of two processes takes it, under one key or two."""
    for names in (("a", "b"), ("a", "a")):
        note = tmp_path / "-".join(names)
        tasks = [shop.submit(f"{names} {i}", Command(argv=("sh", "-c", f"echo {i} >> {note}"))) for i in range(12)]
        options = ("--slots", "2", "--drain")
        with worker(shop, names[0], *options) as first, worker(shop, names[1], *options) as second:
            assert (first.wait(60), second.wait(60)) == (0, 0)
        assert sorted(map(int, note.read_text().split())) == list(range(12))
        assert all(shop.status(task) == "done" for task in tasks)


@pytest.mark.parametrize("says_so", ["task", "ledger"])
def test_a_run_that_will_not_end_in_time_is_over_before_the_next_attempt(tmp_path: Path, says_so: str) -> None:
    """A command that ignores SIGTERM is killed, and its failure told, before its claim ends: attempts never overlap."""
    stubborn = Command(argv=("sh", "-c", "trap '' TERM; while :; do sleep 0.1; done"))
    policy, asked = (replace(QUICK, timeout_ms=3_000), None) if says_so == "ledger" else (QUICK, 3_000)
    with Shop(tmp_path / "home", policy) as shop:
        shop.allow('sandbox = "process"\n')
        backoff = Backoff(base_ms=100, max_ms=100)
        task = shop.submit("t", stubborn, timeout_ms=asked, max_attempts=2, backoff=backoff)
        with worker(shop, "one"), worker(shop, "two"):
            shop.until_status(task, "dead")
        first, second = sorted(shop.record(task).claims, key=lambda claim: claim.attempt)
    assert 0 < first.failed_at <= first.time + 3_000
    assert first.failed_at <= second.time
    assert 0 < second.failed_at <= second.time + 3_000
