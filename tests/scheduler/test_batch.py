"""Batches: what several slots have ready is settled in one event, nothing is lost, and no ending hinders another."""

from __future__ import annotations

import pytest

from crdt.records import TaskRecord
from crdt.view import Status, view
from ledger.cid import Cid
from ledger.events import BLOBS_MAX
from ledger.keys import SigningKey
from ledger.operations import Attachment, Backoff, Report, Revoke
from scheduler import acting
from scheduler import batch as batch_module
from scheduler.acting import INLINE_BYTES_MAX
from scheduler.action_errors import WithoutEffectError
from scheduler.actions import cancel, complete, take
from scheduler.batch import Batch, Completed, Ending, Failed, Released, Renewed, settle_and_take
from scheduler.membership import NotAMemberError
from scheduler.queue import LATER_MS, Acceptance, TaskQueue
from scheduler.taking import Taken
from tests.scheduler.desk import START_MS, Desk

LEASE_MS = 60_000


@pytest.fixture
def me(desk: Desk) -> SigningKey:
    """Give a peer that has joined."""
    return desk.peer("me")


def run(desk: Desk, key: SigningKey, *endings: Ending, most: int = 0, queue: TaskQueue | None = None) -> Batch:
    """Settle and take as a worker does."""
    return settle_and_take(desk.home, key, endings, most=most, lease_ms=LEASE_MS, queue=queue)


def events(desk: Desk) -> int:
    """Return how many events the home has."""
    with desk.home.reading():
        return desk.home.events.count()


def status(desk: Desk, record: TaskRecord) -> Status:
    """Return where a task stands now."""
    with desk.home.reading():
        found = desk.home.board.find_record(record.key)
        assert found is not None
        return view(found, desk.home.board.find_record, desk.home.policy, desk.now).status


def given(desk: Desk, key: SigningKey, count: int) -> list[Taken]:
    """Submit `count` tasks and take them in one batch."""
    for number in range(count):
        desk.submit(key, f"given {count} {number}")
    found = run(desk, key, most=count).taken
    assert len(found) == count
    return found


def done(taken: Taken) -> Completed:
    """Return that a task was done under its claim."""
    return Completed(taken.record.key, taken.claim)


def test_all_that_is_ready_is_one_event(desk: Desk, me: SigningKey) -> None:
    """Completions, a failure, a release, a renewal and the next claims stand in one event."""
    held = given(desk, me, 5)
    desk.submit(me, "next", max_attempts=2)
    before = events(desk)
    endings: list[Ending] = [done(held[0]), done(held[1])]
    endings.append(Failed(held[2].record.key, held[2].claim, "payload", "exit 1", Report(exit_code=1)))
    endings.append(Released(held[3].record.key, held[3].claim, "drained"))
    desk.now += 1_000
    endings.append(Renewed(held[4].record.key, held[4].claim, "half", Attachment("text/plain", data=b"so far")))
    found = run(desk, me, *endings, most=3)
    assert events(desk) == before + 1
    assert set(found.settled.values()) == {found.taken[0].claim}
    assert [taken.record.spec.task_id for taken in found.taken] == ["next"]  # what was given back goes to others first
    assert found.until == {held[4].record.key: desk.now + LEASE_MS}
    assert [status(desk, taken.record) for taken in held] == ["done", "done", "waiting", "ready", "held"]


def test_what_only_a_completion_makes_ready_is_taken_in_the_same_transaction(desk: Desk, me: SigningKey) -> None:
    """A dependent is claimed by a second event that cites the completion; what was ready before stands in the first."""
    need = desk.submit(me, "need", priority=10)
    desk.submit(me, "last", needs=["need"], priority=10)
    (first,) = run(desk, me, most=1).taken
    desk.submit(me, "beside")
    before = events(desk)
    found = run(desk, me, done(first), most=2)
    assert events(desk) == before + 2
    assert [taken.record.spec.task_id for taken in found.taken] == ["beside", "last"]
    assert desk.record(found.taken[1].record.key).claims[0].inputs == (found.settled[need.key],)


def test_what_means_nothing_any_more_hinders_nobody(desk: Desk, me: SigningKey) -> None:
    """Cancelled, done by another, lapsed and taken over, released: each is lost with words, the rest stands."""
    held = given(desk, me, 5)
    other = desk.peer("other")
    cancel(desk.home, me, held[0].record.key)
    run(desk, me, Released(held[2].record.key, held[2].claim))
    desk.now += LEASE_MS + 2 * desk.home.policy.grace_ms
    desk.heard(other)
    complete(desk.home, other, held[1].record.key)
    stolen = settle_and_take(desk.home, other, (), most=3, lease_ms=LEASE_MS).taken
    assert {taken.record.key for taken in stolen} == {taken.record.key for taken in held[2:]}
    run(
        desk,
        other,
        *(Released(taken.record.key, taken.claim) for taken in stolen if taken.record.key != held[3].record.key),
    )
    stranger = Cid.of(b"no claim")
    endings = [done(taken) for taken in held] + [Completed(desk.submit(me, "never taken").key, stranger)]
    found = run(desk, me, *endings)
    words = [found.lost.get(ending.task, "") for ending in endings]
    assert words == [
        "the task was cancelled",
        "the task was done by other",
        "its claim was released",
        "its lease had ended, and other holds it now",
        "",
        "its claim does not count any more",
    ]
    assert list(found.settled) == [held[4].record.key]  # its lease had ended, and nobody had taken it
    assert status(desk, held[4].record) == "done"


def test_settling_twice_changes_nothing(desk: Desk, me: SigningKey) -> None:
    """A batch whose answer was not heard can be sent again: a completion under the same claim is settled already."""
    (held,) = given(desk, me, 1)
    first = run(desk, me, done(held))
    before = events(desk)
    assert run(desk, me, done(held)).settled == first.settled
    assert events(desk) == before


def test_a_peer_that_is_no_worker_any_more_loses_all(desk: Desk, me: SigningKey) -> None:
    """After a revocation each ending is reported as lost; with nothing to settle the peer is told who it is not."""
    held = given(desk, me, 2)
    owner = desk.home.members.owner_key()
    assert owner is not None
    with desk.home.reading():
        grant = desk.home.members.grant_for(me.actor)
    desk.home.append(owner, [Revoke(grant, me.actor, ())])
    found = run(desk, me, *map(done, held), most=2)
    assert (set(found.lost), found.settled, found.taken) == ({taken.record.key for taken in held}, {}, [])
    with pytest.raises(NotAMemberError):
        run(desk, me, most=1)


def test_many_large_endings_are_as_few_events_as_hold_them(desk: Desk, me: SigningKey) -> None:
    """Inline outputs and logs of 40 tasks, 4 KiB each, pass no limit; 300 blobs stand in two events, and are here."""
    held = given(desk, me, 40)
    before = events(desk)
    big = Attachment("text/plain", data=b"x" * INLINE_BYTES_MAX)
    found = run(desk, me, *(Completed(t.record.key, t.claim, big, Report(exit_code=0), big) for t in held))
    assert len(found.settled) == 40
    assert 5 <= events(desk) - before <= 8
    many = given(desk, me, 3)
    before = events(desk)
    parts = [{Cid.of_raw(data): data for data in (b"%d %d" % (n, i) for i in range(100))} for n in range(3)]
    found = run(desk, me, *(Completed(t.record.key, t.claim, blobs=p) for t, p in zip(many, parts, strict=True)))
    assert events(desk) - before == 2
    with desk.home.reading():
        for taken, some in zip(many, parts, strict=True):
            linked = desk.home.read_event(found.settled[taken.record.key]).blobs
            assert set(some) <= set(linked)
            assert len(linked) <= BLOBS_MAX
            assert desk.home.intake.blobs.get_many(tuple(some)) == some


def test_an_ending_that_no_event_can_hold_is_refused_alone(desk: Desk, me: SigningKey) -> None:
    """An output larger than a blob may be is refused with words, its claim stands, and the others are settled."""
    held = given(desk, me, 3)
    large = Completed(held[1].record.key, held[1].claim, Attachment("text/plain", data=bytes(1_048_577)))
    found = run(desk, me, done(held[0]), large, done(held[2]))
    assert set(found.settled) == {held[0].record.key, held[2].record.key}
    assert "too large" in found.refused[held[1].record.key]
    assert status(desk, held[1].record) == "held"
    too_long = Failed(held[1].record.key, held[1].claim, "payload", "x" * 70_000)
    assert set(run(desk, me, too_long).refused) == {held[1].record.key}


def test_one_ending_of_no_effect_does_not_take_back_the_others(
    desk: Desk, me: SigningKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where an event is taken back for one operation of no effect, the endings are settled one by one."""
    held = given(desk, me, 3)
    write = acting.write

    def unless_second(*arguments: object) -> object:
        if any(op.task == held[1].record.key for op in arguments[2]):  # type: ignore[attr-defined]  # a list of operations
            raise WithoutEffectError("no effect")
        return write(*arguments)  # type: ignore[arg-type]  # handed on as they came

    monkeypatch.setattr(batch_module, "write", unless_second)
    found = run(desk, me, *map(done, held))
    assert set(found.settled) == {held[0].record.key, held[2].record.key}
    assert found.lost == {held[1].record.key: "no effect"}


def test_two_endings_of_one_task_are_a_defect(desk: Desk, me: SigningKey) -> None:
    """Of two operations on one task in an event only the first has effect, so they are not taken."""
    (held,) = given(desk, me, 1)
    with pytest.raises(ValueError, match="two endings"):
        run(desk, me, done(held), Released(held.record.key, held.claim))


def test_a_renewal_of_what_is_lost_says_why(desk: Desk, me: SigningKey) -> None:
    """Cancelled, or past its timeout: the claim is not renewed, and the batch says so."""
    held = given(desk, me, 1)
    desk.submit(me, "short", timeout_seconds=10.0)
    held += run(desk, me, most=1).taken
    cancel(desk.home, me, held[0].record.key)
    desk.now += 11_000
    found = run(desk, me, *(Renewed(taken.record.key, taken.claim) for taken in held))
    assert list(found.lost.values()) == ["the task was cancelled", "its timeout has passed"]


def test_idle_batches_write_nothing(desk: Desk, me: SigningKey) -> None:
    """Where nothing is ready and no heartbeat is due, no transaction is begun."""
    queue = TaskQueue(desk.home, me.actor)
    run(desk, me, most=4, queue=queue)
    before = desk.home.database.turn
    assert run(desk, me, most=0, queue=queue) == Batch()
    assert desk.home.database.turn == before


def test_several_are_taken_in_the_order_of_the_queue(desk: Desk, me: SigningKey) -> None:
    """Tasks of one batch come as one after the other would, and looking leaves all of them in the queue."""
    records = [desk.submit(me, f"t{i}", priority=1 + (7 * i) % 10) for i in range(20)]
    queue = TaskQueue(desk.home, me.actor)
    with desk.home.reading():
        seen = [record.key for record in queue.next_tasks(desk.now, 7)]
        assert queue.size() == 20
        assert [record.key for record in queue.next_tasks(desk.now, 100)][:7] == seen
    expected = sorted(records, key=lambda record: (-record.priority, record.key))
    taken = [one for most in (7, 3, 20) for one in run(desk, me, most=most, queue=queue).taken]
    assert [one.record.key for one in taken] == [record.key for record in expected]


# ---- what a peer accepts


def test_what_a_peer_does_not_accept_it_leaves_aside(desk: Desk, me: SigningKey) -> None:
    """NO: the task is in no heap; once the queue forgets, as after a new policy, it is asked anew."""
    desk.submit(me, "yes")
    desk.submit(me, "no", priority=10)
    allowed = {"yes"}
    queue = TaskQueue(
        desk.home, me.actor, lambda task: Acceptance.YES if task.spec.task_id in allowed else Acceptance.NO
    )
    assert [taken.record.spec.task_id for taken in run(desk, me, most=5, queue=queue).taken] == ["yes"]
    assert queue.wakes_at() == START_MS + LEASE_MS  # when the claim may have ended; not for the other
    allowed.add("no")
    queue.forget()
    assert [taken.record.spec.task_id for taken in run(desk, me, most=5, queue=queue).taken] == ["no"]


def test_what_lacks_something_is_looked_at_again(desk: Desk, me: SigningKey) -> None:
    """LATER: the task is delayed, and asked about again soon, though the board has not changed."""
    desk.submit(me, "t")
    here: list[bool] = []
    queue = TaskQueue(desk.home, me.actor, lambda _: Acceptance.YES if here else Acceptance.LATER)
    assert run(desk, me, most=5, queue=queue).taken == []
    assert queue.wakes_at() == START_MS + LATER_MS
    here.append(True)
    desk.now += LATER_MS
    assert len(run(desk, me, most=5, queue=queue).taken) == 1


def test_tasks_that_wait_on_others_are_not_asked_about(desk: Desk, me: SigningKey) -> None:
    """Whether a peer would take a task is asked once it is ready, not while it waits or is held."""
    desk.submit(me, "need")
    desk.submit(me, "waits", needs=["need"])
    asked: list[str] = []

    def accepts(task: TaskRecord) -> Acceptance:
        asked.append(task.spec.task_id)
        return Acceptance.YES

    queue = TaskQueue(desk.home, me.actor, accepts)
    (held,) = run(desk, me, most=5, queue=queue).taken
    assert set(asked) == {"need"}
    (last,) = run(desk, me, done(held), most=5, queue=queue).taken
    assert last.record.spec.task_id == "waits"


def test_failures_wait_for_their_backoff(desk: Desk, me: SigningKey) -> None:
    """A failed attempt is nobody's until its backoff has passed; then it is taken again."""
    held = given(desk, me, 1)
    assert run(desk, me, Failed(held[0].record.key, held[0].claim, "payload"), most=1).taken == []
    assert take(desk.home, me) is None
    desk.now += Backoff().max_ms
    assert take(desk.home, me) is not None
