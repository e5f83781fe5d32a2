"""Numbers of a home: the same as counting everything anew, at every instant, and cheap."""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from crdt.attempts import runs
from crdt.view import Status, view
from ledger.keys import SigningKey
from scheduler.actions import complete, fail, release, request_of, submit, take
from scheduler.measuring import Measurer, Measures, tally
from scheduler.metrics_text import Exposition
from scheduler.tags import WorkflowTag
from scheduler.task import P2PTask
from scheduler.working.policy_file import PolicyFile
from tests.scheduler.desk import Desk


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    """Give a home with a clock that the test sets."""
    with Desk(tmp_path / "desk") as found:
        yield found


def check(desk: Desk, found: Measures) -> None:
    """Compare measures with what looking at every task anew says."""
    home = desk.home
    with home.reading():
        records = list(home.tasks.standing(None))
        statuses = Counter(view(one, home.board.find_record, home.policy, desk.now).status for one in records)
        ended = Counter[str]()
        for record in records:
            ended += tally(record, desk.now)
    retries = ended.pop("retries", 0)
    assert found.tasks == {str(status): statuses[status] for status in Status}
    unsettled = [one for one in records if not one.completions and not one.cancels]
    assert found.claims_running == sum(runs(claim, desk.now) for one in unsettled for claim in one.claims)
    assert found.retries == retries
    assert Counter(found.claims_ended) == ended


def step(desk: Desk, key: SigningKey, chance: random.Random, number: int) -> None:
    """Do one thing that a submitter or a worker does, or let time pass."""
    what = chance.randrange(6)
    if what == 0:
        needs = []
        with desk.home.reading():
            known = list(desk.home.tasks.standing(None))
        if known and chance.random() < 0.5:
            needs = [chance.choice(known).key.hex()]
        desk.submit(key, f"t{number}", needs=needs)
    elif what == 1:
        desk.now += chance.choice([10, 5_000, 70_000])
    else:
        taken = take(desk.home, key, lease_ms=chance.choice([20_000, 60_000]))
        if taken is None:
            return
        task = taken.record.key
        if what == 2:
            complete(desk.home, key, task)
        elif what == 3:
            fail(desk.home, key, task)
        elif what == 4:
            release(desk.home, key, task)


@pytest.mark.parametrize("seed", range(6))
def test_measures_are_what_counting_anew_says(desk: Desk, seed: int) -> None:
    """However tasks change and time passes between two looks, a measurer says what a fresh count says."""
    chance = random.Random(seed)
    key = desk.peer("a")
    measurer = Measurer(desk.home)
    measurer.measure()
    desk.now += 1
    for number in range(80):
        step(desk, key, chance, number)
        if chance.random() < 0.6:
            check(desk, measurer.measure())
    check(desk, measurer.measure())
    fresh = Measurer(desk.home).measure()
    assert fresh.tasks == measurer.measure().tasks
    assert not fresh.claims_ended  # they ended before it began


def test_ages(desk: Desk) -> None:
    """A status is as old as its oldest task: since it was ready, since it is held, since it was submitted."""
    key = desk.peer("a")
    measurer = Measurer(desk.home)
    desk.submit(key, "first")
    desk.now += 1_000
    desk.submit(key, "waits", needs=["first"])
    desk.now += 3_000
    assert take(desk.home, key) is not None
    desk.now += 2_000
    ages = measurer.measure().oldest_ms
    assert ages == {"ready": 0, "held": 2_000, "waiting": 5_000, "blocked": 0}


def test_a_board_folded_anew_is_counted_once(desk: Desk) -> None:
    """A rebuild changes no number."""
    key = desk.peer("a")
    measurer = Measurer(desk.home)
    measurer.measure()
    desk.now += 1
    for number in range(5):
        desk.submit(key, f"t{number}")
    taken = take(desk.home, key)
    assert taken is not None
    complete(desk.home, key, taken.record.key)
    before = measurer.measure()
    desk.home.rebuild()
    after = measurer.measure()
    assert (after.tasks, after.claims_ended) == (before.tasks, before.claims_ended)


def test_a_large_home_is_measured_fast(tmp_path: Path) -> None:
    """After its first look a measurer of 20,000 open tasks takes well under a second."""
    with Desk(tmp_path / "large") as desk:
        key = desk.peer("a")
        submit(desk.home, key, [request_of(P2PTask(f"t{n}", "w", "n", [WorkflowTag.P2P_ONLY])) for n in range(20_000)])
        measurer = Measurer(desk.home)
        measurer.measure()
        desk.submit(key, "one-more")
        began = time.process_time()  # what it costs, whoever else is at the processor
        found = measurer.measure()
        assert time.process_time() - began < 0.5
        assert found.tasks["ready"] == 20_001


class Counters:
    """A worker's counters."""

    claimed, completed, released, lost, renewed = 7, 3, 1, 1, 9

    def __init__(self) -> None:
        self.failed_by_class = {"payload": 1, "timeout": 1, "made up by a program": 2}


def samples(text: bytes) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    """Return the samples of a Prometheus text, as the library's own parser reads it."""
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text.decode())
        for sample in family.samples
    }


def test_the_text_is_prometheus_own(desk: Desk) -> None:
    """The library's parser reads it all; counters end in _total, times are in seconds, labels take known values."""
    key = desk.peer("a")
    desk.submit(key, "t")
    desk.now += 1_500
    with desk.home.writing() as writing:
        writing.offer([b"no block", b"nor this"])
    counters = Counters()
    found = samples(Exposition(Measurer(desk.home).measure, {"ledger": "L", "peer": 'p"\n'}, counters).write())
    assert found["p2p_workflow_tasks", (("status", "ready"),)] == 1
    assert found["p2p_workflow_oldest_task_age_seconds", (("status", "ready"),)] == 1.5
    assert found["p2p_workflow_home_info", (("ledger", "L"), ("peer", 'p"\n'))] == 1
    refused = {labels: value for (name, labels), value in found.items() if name == "p2p_workflow_refused_blocks"}
    assert sum(refused.values()) == 2
    assert all(labels[0][1].startswith("A") for labels in refused)
    assert found["p2p_workflow_worker_claimed_total", ()] == 7
    failed = {labels[0][1]: v for (name, labels), v in found.items() if name == "p2p_workflow_worker_failed_total"}
    assert failed == {"payload": 1, "timeout": 1, "limit": 0, "infrastructure": 0, "other": 2}
    assert found["p2p_workflow_store_bytes", ()] > 0


def test_what_makes_a_worker_unready_can_be_its_policy(tmp_path: Path) -> None:
    """A policy file's trouble is what /readyz says of it: none where it can be used."""
    file = PolicyFile(tmp_path / "worker.toml")
    assert "worker policy init" in file.trouble
    file.path.write_text("", encoding="utf-8")
    assert not file.trouble
