"""The worker: what it takes it does, settles together, keeps alive, and gives back when it is told to end."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from crdt.records import TaskRecord
from ledger.cid import Cid
from ledger.database import StoreFullError
from ledger.keys import SigningKey
from ledger.operations import Complete, Fail, Renew, Revoke
from scheduler import batch
from scheduler.actions import cancel, complete
from scheduler.endings import endings
from scheduler.home import Home
from scheduler.membership import NotAMemberError
from scheduler.run_log import read_log
from scheduler.running.payloads import Command
from scheduler.task import Payload
from scheduler.working import draining, worker
from scheduler.working.handlers import HandledTask
from scheduler.working.pace import Pace
from scheduler.working.worker import Until
from tests.working.shop import QUICK, TEXT, Shop


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    """Give a home with a key that works and submits."""
    with Shop(tmp_path / "home") as found:
        yield found


class Gate:
    """A handler that waits until the test lets it go on, or its task is stopped."""

    def __init__(self) -> None:
        self.begun: list[str] = []
        self.stopped: dict[str, str] = {}
        self._open = threading.Event()

    def __call__(self, task: HandledTask) -> None:
        self.begun.append(task.task_id)
        while not self._open.is_set():
            if task.live.stop.wait(0.01):
                self.stopped[task.task_id] = task.stopped or ""
                raise RuntimeError("stopped")

    def open(self) -> None:
        """Let all go on."""
        self._open.set()


def op_of(shop: Shop, record: TaskRecord) -> Complete | Fail:
    """Return what ended the only claim of a task."""
    with shop.home.reading():
        (ending,) = endings(shop.home, shop.record(record.key))
    assert isinstance(ending.op, Complete | Fail)
    return ending.op


# ---- doing


def test_every_task_is_done_once_with_its_result_in_few_events(shop: Shop) -> None:
    """Two hundred short tasks are claimed and completed by a worker of four slots, many in one event."""
    tasks = [shop.submit(f"t{i}", b"%d" % i) for i in range(200)]
    seen: list[str] = []

    def double(task: HandledTask) -> Payload:
        assert task.payload is not None
        seen.append(task.task_id)
        return Payload(TEXT, b"%d" % (2 * int(task.payload.data)))

    before = shop.events()
    with shop.handling(double, slots=4, until=Until.DRAINED) as at:
        counters = at.wait()
    assert sorted(seen) == sorted(f"t{i}" for i in range(200))
    assert (counters.claimed, counters.completed, counters.failed, counters.lost) == (200, 200, 0, 0)
    assert shop.events() - before < 40
    for number, task in enumerate(tasks):
        op = op_of(shop, shop.record(task))
        assert isinstance(op, Complete)
        assert op.output is not None
        assert op.output.data == b"%d" % (2 * number)


def test_a_function_that_raises_is_a_failed_attempt(shop: Shop) -> None:
    """Its words are the error, its traceback the log, and its class is payload; the worker goes on."""
    task, good = shop.submit("bad"), shop.submit("good")

    def fail(task: HandledTask) -> None:
        if task.task_id == "bad":
            raise ValueError("no such thing")

    with shop.handling(fail, until=Until.ONCE) as at:
        counters = at.wait()
    assert counters.failed_by_class == {"payload": 1}
    assert shop.status(good) == "done"
    op = op_of(shop, shop.record(task))
    assert isinstance(op, Fail)
    assert (op.failure_class, op.error) == ("payload", "ValueError: no such thing")
    assert op.log is not None
    assert b"Traceback" in (op.log.data or b"")


def test_what_nobody_registered_is_left_to_others(shop: Shop) -> None:
    """A task of another media type is not claimed."""
    without, other = shop.submit("without", None), shop.submit("other", Command(argv=("true",)))
    with shop.handling(lambda _: None, until=Until.DRAINED) as at:
        assert at.wait().claimed == 1
    assert (shop.status(without), shop.record(other).claims) == ("done", ())


def test_an_idle_worker_begins_at_once_what_another_process_submits(shop: Shop) -> None:
    """It is woken by the submit: the task begins long before the next look."""
    with shop.handling(gate := Gate(), until=Until.TOLD):
        gate.open()
        for number in range(5):
            task = shop.submit(f"t{number}")
            shop.until_status(task, "done")
            record = shop.record(task)
            assert record.completions[0].time - record.submitted_at < 1_000 * worker.LOOK_S / 2


def test_while_others_write_little_things_are_told_together(shop: Shop) -> None:
    """Tasks that are submitted one by one: the worker is silent now and then, and tells several at once."""
    count = 150
    with shop.handling(lambda _: None, slots=64):
        before, began = shop.events(), time.monotonic()
        tasks = [shop.submit(f"t{number}") for number in range(count)]
        for task in tasks:
            shop.until_status(task, "done")
        took_s = time.monotonic() - began
    told = shop.events() - before - count
    assert told <= 10 + 1.5 * took_s / worker.TOGETHER_S
    assert told < count / 2


def test_once_leaves_what_becomes_ready_later(shop: Shop) -> None:
    """ONCE ends though a task waits for its time; DRAINED waits for it."""
    later = shop.submit("later", not_before=shop.home.now_ms() + 1_500)
    with shop.handling(lambda _: None, until=Until.ONCE) as at:
        at.wait()
    assert shop.status(later) == "waiting"
    with shop.handling(lambda _: None, until=Until.DRAINED) as at:
        at.wait()
    assert shop.status(later) == "done"


def test_a_chain_is_done_in_order_by_one_run(shop: Shop) -> None:
    """What a completion makes ready is taken in the same transaction; ONCE does the whole chain."""
    tasks = [shop.submit("t0")]
    for number in range(1, 5):
        tasks.append(shop.submit(f"t{number}", needs=(tasks[-1],)))
    with shop.handling(lambda _: None, slots=2, until=Until.ONCE) as at:
        assert at.wait().completed == 5
    assert [shop.status(task) for task in tasks] == ["done"] * 5


# ---- keeping alive


def test_claims_are_renewed_together_with_the_log(shop: Shop) -> None:
    """Claims of a short lease run on while their tasks do, all renewed in one event; their logs arrive in pieces."""
    tasks = [shop.submit(f"t{i}") for i in range(3)]
    gate = Gate()

    def talk(task: HandledTask) -> None:
        task.log(f"begun {task.task_id}: é\n")
        task.progress("half")
        gate(task)
        task.log("ended\n")

    with shop.handling(talk, slots=3, lease_ms=800, until=Until.DRAINED) as at:
        shop.until(lambda: all(shop.record(t).claims and _renewals(shop, t) >= 2 for t in tasks))
        assert [shop.status(task) for task in tasks] == ["held"] * 3
        gate.open()
        assert at.wait().completed == 3
    events = {cid for task in tasks for cid in _renewal_events(shop, task)}
    assert len(events) < sum(_renewals(shop, task) for task in tasks)
    for number, task in enumerate(tasks):
        logged = b"".join(read_log(shop.home, shop.record(task)))
        assert logged.decode() == f"begun t{number}: é\nended\n"
        assert len(shop.record(task).claims) == 1


def _renewal_events(shop: Shop, task: bytes) -> list[Cid]:
    found = []
    with shop.home.reading():
        for cid in shop.home.board.store.verdicts(task):  # type: ignore[arg-type]  # a task key
            _, op = shop.home.board.task_graph.entry(cid, task)  # type: ignore[arg-type]  # a task key
            if isinstance(op, Renew):
                found.append(cid)
    return found


def _renewals(shop: Shop, task: bytes) -> int:
    return len(_renewal_events(shop, task))


def test_what_prints_much_waits_until_it_is_sent(shop: Shop) -> None:
    """Five MiB of output pass in pieces of at most one, in order; the function is made to wait for them."""
    task = shop.submit("t")
    data = bytes(range(256)) * 4096 * 5

    def shout(task: HandledTask) -> None:
        for start in range(0, len(data), 100_000):
            task.live.log(data[start : start + 100_000])

    with shop.handling(shout, until=Until.DRAINED) as at:
        assert at.wait().completed == 1
    assert b"".join(read_log(shop.home, shop.record(task))) == data
    assert _renewals(shop, task) >= 4


def test_a_task_that_was_cancelled_is_stopped(shop: Shop) -> None:
    """The function is told why; nothing is written for the claim, and the worker goes on with the next."""
    task, gate = shop.submit("t"), Gate()
    with shop.handling(gate) as at:
        shop.until(lambda: gate.begun)
        cancel(shop.home, shop.key, task)
        shop.until(lambda: gate.stopped)
        assert gate.stopped == {"t": "the task was cancelled"}
        gate.open()
        after = shop.submit("after")
        shop.until_status(after, "done")
        assert (at.counters.lost, at.counters.failed) == (1, 0)
    assert shop.status(task) == "cancelled"


def test_a_task_that_another_completes_is_stopped(shop: Shop) -> None:
    """Two claims of one lease: where the other's completion comes first, ours stops and is lost without a word."""
    task, gate = shop.submit("t"), Gate()
    with shop.handling(gate, lease_ms=60_000) as at:
        shop.until(lambda: gate.begun)
        complete(shop.home, shop.key, task)  # by hand, under the same claim
        shop.until(lambda: gate.stopped)
        shop.until(lambda: at.counters.lost == 1)
    assert len(shop.record(task).completions) == 1


def test_a_timeout_is_a_failure_told_in_time(shop: Shop) -> None:
    """A task that runs longer than its timeout is stopped a moment before, and fails as timed out."""
    task, gate = shop.submit("t", timeout_ms=2_000), Gate()
    with shop.handling(gate) as at:
        shop.until(lambda: at.counters.failed)
        assert at.counters.failed_by_class == {"timeout": 1}
    claim = shop.record(task).claims[0]
    assert claim.time < claim.failed_at < claim.time + 2_000


def test_tasks_ahead_of_the_slots_are_given_back_where_one_takes_long(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Short tasks are claimed ahead; what then waits behind a long one is released, and done by others or later."""
    monkeypatch.setattr(worker, "STALE_S", 0.2)
    tasks = [shop.submit(f"t{i}") for i in range(100)]
    gate, begun = Gate(), []

    def now_and_then(task: HandledTask) -> None:
        begun.append(task.task_id)
        if len(begun) == 30:
            gate(task)

    with shop.handling(now_and_then, slots=1, until=Until.DRAINED) as at:
        shop.until(lambda: at.counters.released)
        held = [task for task in tasks if shop.status(task) == "held"]
        shop.until(lambda: sum(shop.status(task) == "held" for task in tasks) == 1)
        assert held
        gate.open()
        assert at.wait().completed == 100
    assert all(shop.status(task) == "done" for task in tasks)
    assert all(claim.released or not claim.failed_at for task in tasks for claim in shop.record(task).claims)


# ---- ending


def test_draining_takes_nothing_new_and_lets_tasks_end(shop: Shop) -> None:
    """Told to end, a worker finishes what runs; what it has not begun stays open."""
    gate = Gate()
    first = shop.submit("first", b"")
    with shop.handling(gate) as at:
        shop.until(lambda: gate.begun)
        second = shop.submit("second")
        at.worker.drain()
        gate.open()
        assert at.wait().completed == 1
    assert (shop.status(first), shop.status(second)) == ("done", "ready")
    assert shop.record(second).claims == ()


def test_after_the_limit_what_runs_is_stopped_and_given_back(shop: Shop) -> None:
    """A task that outlasts the limit is stopped; its claim is released, and the attempt does not count."""
    task, gate = shop.submit("t"), Gate()
    with shop.handling(gate, drain_limit_s=0.1) as at:
        shop.until(lambda: gate.begun)
        at.worker.drain()
        counters = at.wait()
    assert (counters.released, counters.failed, gate.stopped) == (1, 0, {"t": "the worker was told to end"})
    assert (shop.status(task), shop.record(task).claims[0].released) == ("ready", True)


def test_told_twice_it_gives_back_at_once(shop: Shop) -> None:
    """The second time no limit is waited for."""
    task, gate = shop.submit("t"), Gate()
    with shop.handling(gate, drain_limit_s=3_600.0) as at:
        shop.until(lambda: gate.begun)
        at.worker.drain()
        at.worker.drain()
        assert at.wait().released == 1
    assert shop.status(task) == "ready"


def test_what_does_not_stop_is_waited_for_only_so_long(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """A function that ignores that it was stopped keeps its claim for a moment; then it is given back all the same."""
    monkeypatch.setattr(draining, "ABANDON_S", 0.1)
    task, begun, released = shop.submit("t"), threading.Event(), threading.Event()

    def deaf(_: HandledTask) -> None:
        begun.set()
        released.wait()

    with shop.handling(deaf) as at:
        assert begun.wait(30)
        at.worker.drain()
        at.worker.drain()
        assert at.wait().released == 1
        released.set()
    assert shop.status(task) == "ready"


def test_a_revoked_worker_ends(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """Once its key is no worker any more, what it runs is stopped and it says so."""
    monkeypatch.setattr(worker, "LOOK_S", 0.1)
    gate = Gate()
    shop.submit("t")
    with shop.handling(gate, slots=2) as at:
        shop.until(lambda: gate.begun)
        owner = shop.home.members.owner_key()
        assert owner is not None
        with shop.home.reading():
            grant = shop.home.members.grant_for(shop.key.actor)
        shop.home.append(owner, [Revoke(grant, shop.key.actor, ())])
        shop.until(lambda: gate.stopped)
        at.wait()
        assert isinstance(at.failure, NotAMemberError)
        at.failure = None


# ---- trouble


def test_what_has_ended_is_kept_until_the_store_takes_it(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """A full disk: what is finished waits in memory, is settled later, and the worker goes on."""
    monkeypatch.setattr(worker, "AGAIN_S", 0.05)
    tasks, gate, full = [shop.submit(f"t{i}") for i in range(4)], Gate(), threading.Event()
    settle, tries = batch.settle_and_take, []

    def may_be_full(*arguments: object, **named: object) -> object:
        tries.append(0)
        if full.is_set():
            raise StoreFullError("no room")
        return settle(*arguments, **named)  # type: ignore[arg-type]  # handed on as they came

    monkeypatch.setattr(batch, "settle_and_take", may_be_full)
    with shop.handling(gate, slots=2, until=Until.DRAINED) as at:
        shop.until(lambda: len(gate.begun) == 2)
        full.set()
        before = len(tries)
        gate.open()
        shop.until(lambda: len(tries) > before + 2)
        assert at.counters.completed == 0
        full.clear()
        assert at.wait().completed == 4
    assert all(shop.status(task) == "done" for task in tasks)
    assert all(len(shop.record(task).claims) == 1 for task in tasks)


def test_two_workers_of_one_home_do_each_task_once(shop: Shop) -> None:
    """With one key or with two, no task is claimed twice and all are done."""
    other: SigningKey = shop.home.members.peer_key("other")
    done: list[str] = []
    for round_, key in enumerate((shop.key, other)):
        tasks = [shop.submit(f"round {round_} {i}") for i in range(60)]
        with (
            shop.handling(lambda task: done.append(task.task_id), slots=2, until=Until.DRAINED) as first,
            shop.handling(lambda task: done.append(task.task_id), key, slots=2, until=Until.DRAINED) as second,
        ):
            first.wait()
            second.wait()
        assert [len(shop.record(task).claims) for task in tasks if not shop.record(task).claims[0].released] == [1] * 60
        assert all(shop.status(task) == "done" for task in tasks)
    assert len(done) == len(set(done)) == 120


def test_a_machine_that_fails_again_and_again_pauses() -> None:
    """Two failures are free; from the third on in a row the pause doubles, and one run that works ends it."""
    pace = Pace(1)
    pauses = []
    for _ in range(5):
        pace.ran(0.1, 100.0, machine_failed=True)
        pauses.append(max(0.0, pace.paused_until - 100.0))
    assert pauses == [0, 0, 5, 10, 20]
    for _ in range(20):
        pace.ran(0.1, 100.0, machine_failed=True)
    assert pace.paused_until == 700
    pace.ran(0.1, 100.0)
    assert pace.paused_until == 0


def test_only_short_tasks_are_claimed_ahead() -> None:
    """As many as the slots begin in a tenth of a second, at most 120; none before that is known, none of long ones."""
    pace = Pace(8)
    assert pace.ahead(0.0) == 0
    for _ in range(10):
        pace.ran(0.01, 0.0)
    assert pace.ahead(0.0) == 80
    pace.waited_too_long(1.0)
    assert pace.ahead(2.0) == 0
    long = Pace(8)
    for _ in range(10):
        long.ran(1.0, 0.0)
    assert long.ahead(0.0) == 0


def test_a_worker_of_another_home_is_superseded_by_the_nearer_claim(tmp_path: Path) -> None:
    """Two homes apart claim the same task; once they meet the farther one's run is stopped and given back."""
    with Shop(tmp_path / "a", QUICK) as shop:
        other = shop.home.members.peer_key("other")
        tasks = [shop.submit(f"t{i}") for i in range(6)]
        with Home.enter(tmp_path / "b", shop.home.genesis.encode()) as far:
            _carry(shop.home, far)
            taken = batch.settle_and_take(far, other, (), most=6, lease_ms=60_000).taken
            gate = Gate()
            with shop.handling(gate, slots=6, lease_ms=60_000) as at:
                shop.until(lambda: len(gate.begun) == 6)
                _carry(far, shop.home)
                nearer = {
                    shop.record(task).spec.task_id
                    for task in tasks
                    if min(shop.record(task).claims, key=lambda c: (c.distance, c.cid)).actor == other.actor
                }
                shop.until(lambda: set(gate.stopped) == nearer)
                assert all("superseded by the claim of other" in words for words in gate.stopped.values())
                gate.open()
                shop.until(lambda: at.counters.completed == 6 - len(nearer))
            assert len(taken) == 6
        for task in tasks:
            record = shop.record(task)
            mine = next(claim for claim in record.claims if claim.actor == shop.key.actor)
            assert mine.released == (record.spec.task_id in nearer)
            assert bool(record.completions) == (record.spec.task_id not in nearer)


def _carry(source: Home, target: Home) -> None:
    with source.reading():
        blocks = [block for _, _, block in source.events.in_order_of_arrival()]
    with target.writing() as writing:
        writing.offer(blocks)
