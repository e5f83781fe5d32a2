"""The queue of a peer over a real home: what is next, from when, and that nothing is lost or given out of order."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ledger.cid import Cid
from ledger.events import Policy
from ledger.keys import SigningKey
from ledger.operations import Attachment, Spec
from scheduler.actions import SubmitRequest, bump, cancel, complete, fail, release, requeue, submit, take
from scheduler.queue import TaskQueue
from tests.scheduler.desk import START_MS, Desk

POLICY = Policy()


def test_ready_tasks_come_by_due_then_key(desk: Desk) -> None:
    """S1, S5: of tasks ready at once the higher priority is first, ties by task key."""
    me = desk.peer("me")
    records = [desk.submit(me, f"t{i}", priority=p) for i, p in enumerate((3, 9, 5, 9, 1))]
    queue = TaskQueue(desk.home, me.actor)
    expected = sorted(records, key=lambda record: (-record.priority, record.key))
    given_out = [desk.take_id(me, queue) for _ in range(6)]
    assert given_out == [*(record.spec.task_id for record in expected), None]


def test_a_low_priority_ages(desk: Desk) -> None:
    """S1: a task of priority 1 comes before one of 10 that became ready nine levels later."""
    me = desk.peer("me")
    desk.submit(me, "old", priority=1)
    desk.now += 9 * POLICY.aging_ms + 1
    desk.submit(me, "new", priority=10)
    assert desk.take_id(me) == "old"


def test_looking_takes_nothing(desk: Desk) -> None:
    """Asking for the next task any number of times gives the same one, and loses none."""
    me = desk.peer("me")
    desk.submit(me, "a")
    queue = TaskQueue(desk.home, me.actor)
    assert [desk.next_id(queue) for _ in range(3)] == ["a", "a", "a"]
    assert queue.size() == len(queue) == 1


def test_a_farther_peer_waits_a_grace(desk: Desk) -> None:
    """S4: the peer of rank 1 may take a task one grace after that of rank 0, and its queue says when to look."""
    peers = [desk.peer("a"), desk.peer("b")]
    desk.submit(peers[0], "t")
    queues = [TaskQueue(desk.home, key.actor) for key in peers]
    first = [desk.next_id(queue) for queue in queues]
    assert sorted(map(str, first)) == ["None", "t"]
    later = queues[first.index(None)]
    assert (later.wakes_at(), later.size()) == (START_MS + POLICY.grace_ms, 1)
    assert later.awaits_turn()
    desk.now += POLICY.grace_ms - 1
    assert desk.next_id(later) is None
    desk.now += 1
    assert desk.next_id(later) == "t"
    assert later.wakes_at() == 0
    assert not later.awaits_turn()


def test_ranks_shift_with_who_is_heard(desk: Desk) -> None:
    """S3: what is a silent peer's to take is ours at once; when it speaks again, its tasks wait for it a grace."""
    a, b = desk.peer("a"), desk.peer("b")
    desk.now += 2 * POLICY.lease_ms + 1
    for i in range(8):
        desk.submit(a, f"t{i}")
    queue = TaskQueue(desk.home, a.actor)
    desk.next_id(queue)
    ranks = {record.key: queue.crew.rank_of(a.actor, record) for record in map(desk.record, queue.keys())}
    assert set(ranks.values()) == {0}
    desk.heard(b)
    desk.next_id(queue)
    nearest = [key for key in ranks if queue.crew.rank_of(a.actor, desk.record(key)) == 0]
    taken = [desk.take_id(a, queue) for _ in range(len(nearest) + 1)]
    assert taken[-1] is None
    assert set(taken[:-1]) == {desk.record(key).spec.task_id for key in nearest}
    desk.now += POLICY.grace_ms
    assert len([desk.take_id(a, queue) for _ in range(8 - len(nearest))]) == 8 - len(nearest)


def test_yesterdays_worker_keeps_nothing(desk: Desk) -> None:
    """S3: a worker that was here yesterday makes nobody wait today."""
    desk.peer("yesterday")
    desk.now += 86_400_000
    me = desk.peer("today")
    for i in range(8):
        desk.submit(me, f"t{i}")
    assert all(desk.take_id(me) is not None for _ in range(8))


HOUR_MS = 3_600_000


def test_what_arrives_late_waits_a_grace_from_its_arrival(desk: Desk, tmp_path: Path) -> None:
    """S2, S4: a task submitted long ago waits a full grace for the peer of rank 0 from when a home first sees it."""
    a, b = desk.peer("a"), desk.peer("b")
    with Desk(tmp_path / "late", source=desk) as late:
        desk.submit(a, "t")
        late.now += HOUR_MS
        late.carry(desk)
        assert_a_grace_from_now(late, a, b)


def test_what_a_late_completion_frees_waits_a_grace_from_its_arrival(desk: Desk, tmp_path: Path) -> None:
    """S2: so does a task known for long, whose need was done long ago elsewhere: this home sees it ready only now."""
    a, b = desk.peer("a"), desk.peer("b")
    need = desk.submit(a, "need")
    desk.submit(a, "t", needs=["need"])
    with Desk(tmp_path / "late", source=desk) as late:
        desk.now += 1_000
        complete(desk.home, a, need.key)
        late.now += HOUR_MS
        late.carry(desk)
        assert_a_grace_from_now(late, a, b)


def assert_a_grace_from_now(desk: Desk, *peers: SigningKey) -> None:
    """Of two peers heard of now, one is given the task "t" at once, the other one grace later and no sooner."""
    for key in peers:
        desk.heard(key)
    queues = [TaskQueue(desk.home, key.actor) for key in peers]
    first = [desk.next_id(queue) for queue in queues]
    assert sorted(map(str, first)) == ["None", "t"]
    later = queues[first.index(None)]
    assert later.wakes_at() == desk.now + POLICY.grace_ms
    desk.now += POLICY.grace_ms - 1
    assert desk.next_id(later) is None
    desk.now += 1
    assert desk.next_id(later) == "t"


def test_each_peer_begins_with_what_it_is_nearest_to(desk: Desk) -> None:
    """S1: of tasks that wait long enough for everybody a peer takes its own first; another priority outweighs that."""
    peers = [desk.peer("a"), desk.peer("b")]
    tasks = [desk.submit(peers[0], f"t{number}", priority=5) for number in range(32)]
    lesser = desk.submit(peers[0], "lesser", priority=4)
    desk.now += 60_000
    for peer in peers:
        desk.heard(peer)
    for peer in peers:
        queue = TaskQueue(desk.home, peer.actor)
        with desk.home.reading():
            order = [record.key for record in queue.next_tasks(desk.now, 33)]
        rank = {task.key: queue.crew.rank_of(peer.actor, task) for task in tasks}
        assert set(rank.values()) == {0, 1}
        assert order == [*sorted(rank, key=lambda key: (rank[key], key)), lesser.key]


def test_due_counts_from_arrival(desk: Desk, tmp_path: Path) -> None:
    """S1, S2: what arrives a whole level of aging later gains nothing over the level below by an old date."""
    a = desk.peer("a")
    desk.submit(a, "here", priority=5)
    with Desk(tmp_path / "late", source=desk) as late:
        desk.submit(a, "old", priority=6)
        late.now += POLICY.aging_ms + 1
        late.carry(desk)
        late.heard(a)
        queue = TaskQueue(late.home, a.actor)
        assert [late.take_id(a, queue) for _ in range(3)] == ["here", "old", None]


def test_not_before(desk: Desk) -> None:
    """S2: a task is not taken before its not_before, and is at that instant."""
    me = desk.peer("me")
    desk.submit(me, "t", not_before=(START_MS + 5_000) / 1000)
    queue = TaskQueue(desk.home, me.actor)
    assert desk.next_id(queue) is None
    assert queue.wakes_at() == START_MS + 5_000
    desk.now += 5_000
    assert desk.next_id(queue) == "t"


def test_an_expired_task_is_nobodys(desk: Desk) -> None:
    """F1c: a task that was ready and expired while it waited is not given."""
    me = desk.peer("me")
    desk.submit(me, "t", expires_at=(START_MS + 5_000) / 1000)
    queue = TaskQueue(desk.home, me.actor)
    assert desk.next_id(queue) == "t"
    desk.now += 5_000
    assert (desk.next_id(queue), queue.size()) == (None, 0)


def test_needs(desk: Desk) -> None:
    """S2: a task waits for what it needs, in no heap, and is fed again when the last of it is done."""
    me = desk.peer("me")
    first, second = desk.submit(me, "first"), desk.submit(me, "second")
    desk.submit(me, "last", priority=10, needs=["first", "second"])
    queue = TaskQueue(desk.home, me.actor)
    assert {desk.next_id(queue)} <= {"first", "second"}
    assert queue.size() == 2
    desk.now += 1_000
    complete(desk.home, me, first.key)
    assert desk.next_id(queue) == "second"
    desk.now += 1_000
    complete(desk.home, me, second.key)
    assert desk.next_id(queue) == "last"


def test_a_need_that_is_dead_can_come_back(desk: Desk) -> None:
    """A task blocked by a dead need is fed again once that was queued again and done."""
    me = desk.peer("me")
    need = desk.submit(me, "need", max_attempts=1)
    desk.submit(me, "blocked", needs=["need"])
    queue = TaskQueue(desk.home, me.actor)
    assert desk.take_id(me, queue) == "need"
    fail(desk.home, me, need.key)
    assert (desk.next_id(queue), queue.size()) == (None, 0)
    desk.now += 600_000
    requeue(desk.home, me, need.key)
    complete(desk.home, me, need.key)
    assert desk.next_id(queue) == "blocked"


def test_a_cancelled_need_blocks(desk: Desk) -> None:
    """A task whose need was cancelled is nobody's to take."""
    me = desk.peer("me")
    need = desk.submit(me, "need")
    cancel(desk.home, me, need.key)
    desk.submit(me, "waits", needs=[need.key.hex()])
    queue = TaskQueue(desk.home, me.actor)
    assert (desk.next_id(queue), queue.size()) == (None, 0)


def test_a_held_task_comes_back_when_its_lease_ends(desk: Desk) -> None:
    """S2: a lease that ran out makes the task ready at its end, without backoff, at every peer's queue."""
    a, b = desk.peer("a"), desk.peer("b")
    desk.submit(a, "t")
    desk.now += 2 * POLICY.grace_ms
    queue = TaskQueue(desk.home, b.actor)
    taken = take(desk.home, a, lease_ms=10_000)
    assert taken is not None
    assert (desk.next_id(queue), queue.size(), queue.held()) == (None, 0, {taken.record.key: a.actor})
    assert queue.wakes_at() == taken.until
    desk.now = taken.until + POLICY.grace_ms
    assert desk.next_id(queue) == "t"
    assert queue.held() == {}


def turn_of(desk: Desk, queue: TaskQueue) -> int:
    """Return the instant from which the only task of a home is this peer's to take."""
    if desk.next_id(queue) is not None:
        return desk.now
    wakes_at = queue.wakes_at()
    assert wakes_at is not None
    return wakes_at


def test_a_task_of_a_dead_worker_waits_two_graces_however_many_peers_are_nearer(desk: Desk) -> None:
    """S4: whoever is ever so far begins it within two graces after the lease; what nobody lost waits for each."""
    peers = [desk.peer(f"p{n}") for n in range(8)]
    desk.submit(peers[0], "t")
    queues = [TaskQueue(desk.home, peer.actor) for peer in peers]
    turns = sorted((turn_of(desk, queue), n) for n, queue in enumerate(queues))
    assert [turn for turn, _ in turns] == [START_MS + rank * POLICY.grace_ms for rank in range(8)]
    taken = take(desk.home, peers[turns[0][1]], lease_ms=10_000)
    assert taken is not None
    desk.now = taken.until
    late = sorted((turn_of(desk, queue), n) for n, queue in enumerate(queues))
    assert [n for _, n in late] == [n for _, n in turns]
    assert [turn - desk.now for turn, _ in late[:3]] == [0, POLICY.grace_ms, POLICY.grace_ms * 3 // 2]
    assert late[-1][0] <= desk.now + 2 * POLICY.grace_ms


def test_only_a_ready_task_awaits_a_turn(desk: Desk) -> None:
    """Neither one that begins later, nor one that a nearer peer has taken."""
    peers = [desk.peer("a"), desk.peer("b")]
    desk.submit(peers[0], "later", not_before=(START_MS + 60_000) / 1000)
    queues = {key: TaskQueue(desk.home, key.actor) for key in peers}
    for queue in queues.values():
        desk.next_id(queue)
    assert not any(queue.awaits_turn() for queue in queues.values())
    desk.submit(peers[0], "t")
    near = next(key for key, queue in queues.items() if desk.next_id(queue) == "t")
    (far,) = (queue for key, queue in queues.items() if key is not near)
    assert desk.next_id(far) is None
    assert far.awaits_turn()
    assert desk.take_id(near) == "t"
    assert desk.next_id(far) is None
    assert not far.awaits_turn()


def test_a_failure_waits_out_its_backoff(desk: Desk) -> None:
    """S2: after a failure the task is ready again when its backoff has passed, not before."""
    me = desk.peer("me")
    record = desk.submit(me, "t")
    queue = TaskQueue(desk.home, me.actor)
    assert desk.take_id(me, queue) == "t"
    fail(desk.home, me, record.key)
    assert desk.next_id(queue) is None
    wakes_at = queue.wakes_at()
    assert wakes_at is not None
    assert START_MS + 3_750 <= wakes_at <= START_MS + 5_000
    desk.now = wakes_at
    assert desk.next_id(queue) == "t"


def test_a_release_gives_back_at_once(desk: Desk) -> None:
    """S2: a released task is ready again at once."""
    me = desk.peer("me")
    record = desk.submit(me, "t")
    queue = TaskQueue(desk.home, me.actor)
    assert desk.take_id(me, queue) == "t"
    release(desk.home, me, record.key)
    assert desk.take_id(me, queue) == "t"


def test_a_raised_priority_comes_first(desk: Desk) -> None:
    """S5: raising a priority is one decrease-key, lowering it puts the task back; both change what is next."""
    me = desk.peer("me")
    low = desk.submit(me, "low", priority=2)
    desk.submit(me, "high", priority=8)
    queue = TaskQueue(desk.home, me.actor)
    assert desk.next_id(queue) == "high"
    bump(desk.home, me, low.key, 9)
    assert desk.next_id(queue) == "low"
    bump(desk.home, me, low.key, 1)
    assert desk.next_id(queue) == "high"
    assert queue.size() == 2


def test_a_done_or_cancelled_task_leaves(desk: Desk) -> None:
    """What another process settles leaves this queue at its next look."""
    me = desk.peer("me")
    done, cancelled = desk.submit(me, "done"), desk.submit(me, "cancelled")
    queue = TaskQueue(desk.home, me.actor)
    desk.next_id(queue)
    assert queue.size() == 2
    complete(desk.home, me, done.key)
    cancel(desk.home, me, cancelled.key)
    assert (desk.next_id(queue), queue.size(), queue.wakes_at()) == (None, 0, None)


def test_labels_keep_out(desk: Desk) -> None:
    """S6: a peer without the labels takes nothing of its own accord, however long it waits."""
    plain = desk.peer("plain")
    desk.submit(plain, "t", requires=["gpu"])
    queue = TaskQueue(desk.home, plain.actor)
    desk.now += 86_400_000
    assert (desk.next_id(queue), queue.size()) == (None, 0)
    able = desk.peer("able", ("gpu",))
    assert desk.take_id(able) == "t"


def test_a_task_without_its_payload_is_left_to_others(desk: Desk) -> None:
    """A peer whose home lacks a task's payload does not take it, and looks again a lease later."""
    me = desk.peer("me")
    blob = Cid.of_raw(b"payload")
    spec = Spec("t", "w", "n", ("p2p-only",), payload=Attachment("text/plain", blob=blob, size=7))
    submit(desk.home, me, SubmitRequest(spec))
    queue = TaskQueue(desk.home, me.actor)
    assert (desk.next_id(queue), queue.wakes_at()) == (None, START_MS + POLICY.lease_ms)
    with desk.home.writing() as writing:
        assert writing.add_blob(b"payload") == blob
    desk.now += POLICY.lease_ms
    assert desk.take_id(me, queue) == "t"


def test_a_rollback_loses_nothing(desk: Desk) -> None:
    """A claim whose transaction failed leaves the task to be taken."""
    me = desk.peer("me")
    record = desk.submit(me, "t")
    queue = TaskQueue(desk.home, me.actor)
    assert desk.next_id(queue) == "t"

    class PowerCutError(Exception):
        pass

    def cut() -> None:
        raise PowerCutError

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(desk.home, "_flush_beats", cut)
        with pytest.raises(PowerCutError):
            take(desk.home, me, queue=queue)
    assert desk.record(record.key).claims == ()
    assert desk.take_id(me, queue) == "t"


@settings(max_examples=25, deadline=None)
@given(
    st.lists(st.tuples(st.integers(1, 10), st.integers(0, 3_000_000)), min_size=2, max_size=7),
    st.lists(st.integers(0, 10_000_000), max_size=4),
)
def test_order_does_not_depend_on_when_one_asks(tasks: list[tuple[int, int]], looks: list[int]) -> None:
    """S1: however often and whenever the queue was asked before, what is ready comes out in the order of (due, key)."""
    with tempfile.TemporaryDirectory() as folder, Desk(Path(folder)) as desk:
        me = desk.peer("me")
        asked, fresh_due = TaskQueue(desk.home, me.actor), []
        for i, (priority, wait_ms) in enumerate(tasks):
            record = desk.submit(me, f"t{i}", priority=priority, not_before=(START_MS + wait_ms) / 1000)
            ready_at = START_MS + wait_ms
            fresh_due.append((ready_at + (10 - priority) * POLICY.aging_ms, record.key, record.spec.task_id))
        for look in sorted(looks):
            desk.now = START_MS + look
            desk.next_id(asked)
        desk.now = max(desk.now, START_MS + 3_000_000)
        expected = [task_id for _, _, task_id in sorted(fresh_due)]
        assert [desk.take_id(me, asked) for _ in tasks] == expected
