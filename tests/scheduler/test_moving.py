"""A ledger that moves on: what was done in the one before is not done again, and the board knows nothing of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import pytest

from crdt.records import TaskRecord
from ledger.acceptance import verify_genesis
from ledger.car_io import export_car
from ledger.events import PARENTS_MAX, Role, TaskKey, task_key
from ledger.keys import SigningKey
from ledger.operation_writing import write_spec
from ledger.operations import Attachment, Spec, Submit
from ledger.signing import draft_event
from scheduler.acting import INLINE_BYTES_MAX
from scheduler.actions import SubmitRequest, TaskNotFoundError, complete, submit
from scheduler.home import Home
from scheduler.moving import MovingError, previous_at_heads, previous_named, replay_home
from scheduler.replay import replay_car
from scheduler.replica import replica_of
from scheduler.scheduler import P2PWorkflowScheduler
from scheduler.tags import WorkflowTag
from scheduler.task import P2PTask
from tests.scheduler.desk import Desk


def spec(task_id: str, **fields: object) -> Spec:
    """Return a spec with these fields."""
    return replace(Spec(task_id, "w", "n", ("p2p-only",)), **fields)  # type: ignore[arg-type]  # fields of Spec


def do(desk: Desk, key: SigningKey, *requests: SubmitRequest) -> list[TaskRecord]:
    """Submit tasks and complete them."""
    records = [one.record for one in submit(desk.home, key, requests)]
    for record in records:
        complete(desk.home, key, record.key)
    return records


def move(desk: Desk, folder: Path, *keys: SigningKey) -> Home:
    """Found a ledger that goes on from the desk's, where these keys work as well."""
    home = Home.found(folder, previous=previous_at_heads(replay_home(desk.home)), clock=lambda: desk.now)
    for number, key in enumerate(keys):
        home.keys.ensure(f"k{number}", key)
        home.members.peer_key(f"k{number}")
    return home


def count(home: Home) -> int:
    """Return how many events a home has."""
    with home.reading():
        return home.events.count()


def test_what_was_done_before_is_not_submitted_again(desk: Desk, tmp_path: Path) -> None:
    """The same request by the same key makes no event and no blob; what was open, or another asks for, does."""
    me, other = desk.peer("me"), desk.peer("other")
    large = SubmitRequest(spec("large", payload=Attachment("text/plain", data=b"x" * (INLINE_BYTES_MAX + 1))))
    small, opened = SubmitRequest(spec("small")), SubmitRequest(spec("open"))
    do(desk, me, small, large)
    submit(desk.home, me, opened)
    with move(desk, tmp_path / "new", me, other) as home:
        before = count(home)
        again = submit(home, me, [small, large])
        assert [(one.created, one.is_earlier, one.event) for one in again] == [(False, True, None)] * 2
        with home.reading():
            assert home.board.find_record(again[0].key) is None
            assert home.database.connection.execute("SELECT count(*) FROM blobs").fetchone() == (0,)
        assert count(home) == before
        assert all(one.created for one in submit(home, me, opened) + submit(home, other, small))


def test_it_is_remembered_by_the_key_that_the_same_spec_has_here(desk: Desk, tmp_path: Path) -> None:
    """Unknown fields of the old spec are hashed as well, so that an older program remembers what a newer one asked."""
    me = desk.peer("me")
    fields = write_spec(spec("t")) | {"colour": "blue"}
    there = task_key(desk.home.ledger, me.actor, fields)
    desk.home.append(me, (Submit(there, spec("t"), 5, desk.now, fields),), Role.SUBMITTER)
    complete(desk.home, me, there)
    with move(desk, tmp_path / "new", me) as home, home.reading():
        here = task_key(home.ledger, me.actor, fields)
        assert here in home.earlier
        assert (home.earlier.find_old_key(here), home.earlier.find_old_key(there)) == (there, there)
        assert task_key(home.ledger, me.actor, write_spec(spec("t"))) not in home.earlier


def test_a_need_done_before_is_met(desk: Desk, tmp_path: Path) -> None:
    """A pipeline is sent again as a whole: what is done stays done, and the rest does not wait for it for ever."""
    me = desk.peer("me")
    build, test = SubmitRequest(spec("build")), SubmitRequest(spec("test"), needs=("build",))
    there = do(desk, me, build, test)[0].key
    with move(desk, tmp_path / "new", me) as home:
        ship = SubmitRequest(spec("ship"), needs=("test", there.hex()))
        sent = submit(home, me, [build, test, ship])
        assert [one.created for one in sent] == [False, False, True]
        assert sent[2].record.spec.needs == ()
        assert submit(home, me, ship)[0].event == sent[2].event
        again = submit(home, me, [test, SubmitRequest(spec("tell"), needs=("ship", "build"))])
        assert again[0].is_earlier
        assert again[1].record.spec.needs == (sent[2].key,)
        with pytest.raises(TaskNotFoundError):
            submit(home, me, SubmitRequest(spec("lost"), needs=("nothing",)))


def test_submit_task_says_false_of_what_was_done_before(home_folder: Path, tmp_path: Path) -> None:
    """The guide's class answers as for any request that was sent before."""
    task = P2PTask("t", "w", "name of t", [WorkflowTag.P2P_ONLY])
    with P2PWorkflowScheduler("my-peer", home=tmp_path / "old") as before:
        assert before.submit_task(task)
        assert before.mark_task_complete("t")
    with Home.open(tmp_path / "old") as old:
        key = old.keys.find("my-peer")
        with Home.found(home_folder, previous=previous_at_heads(replay_home(old))) as new:
            new.keys.ensure("my-peer", key)
    with P2PWorkflowScheduler("my-peer") as peer:
        task.task_key = None
        assert peer.submit_task(task) is False
        assert (task.assigned_peer, len(peer.pending_tasks)) == (None, 0)
        assert task.task_key is not None


def test_every_home_of_the_new_ledger_remembers_the_same(desk: Desk, tmp_path: Path) -> None:
    """What was done in the old one after the move is not remembered, by a home or by a CAR that has grown since."""
    me = desk.peer("me")
    do(desk, me, SubmitRequest(spec("a")))
    with move(desk, tmp_path / "new", me) as home:
        do(desk, me, SubmitRequest(spec("b")))
        car = BytesIO()
        export_car(replica_of(desk.home), car)
        car.seek(0)
        block = home.genesis.encode()
        for name, replay in (("home", replay_home(desk.home)), ("car", replay_car(car)[0])):
            previous = previous_named(replay, verify_genesis(block)[1])
            with Home.enter(tmp_path / name, block, previous=previous, clock=lambda: desk.now) as entered:
                assert remembered(entered) == remembered(home)
                assert len(remembered(entered)) == 1
        home.rebuild()
        assert len(remembered(home)) == 1


def remembered(home: Home) -> Sequence[tuple[TaskKey, TaskKey]]:
    """Return what a home remembers."""
    with home.reading():
        return home.database.connection.execute("SELECT key, old FROM earlier ORDER BY key").fetchall()


def test_the_board_is_the_same_with_and_without(desk: Desk, tmp_path: Path) -> None:
    """What a home remembers is policy: a home that remembers nothing derives the same board from the same events."""
    me = desk.peer("me")
    do(desk, me, SubmitRequest(spec("a")))
    with move(desk, tmp_path / "new", me) as home:
        submit(home, me, [SubmitRequest(spec("a")), SubmitRequest(spec("b"), needs=("a",))])
        with Home.enter(tmp_path / "bare", home.genesis.encode(), clock=lambda: desk.now) as bare:
            with home.reading():
                blocks = [block for _, _, block in home.events.in_order_of_arrival()]
            with bare.writing() as writing:
                writing.offer(blocks)
            assert bare.state_root() == home.state_root()
            with bare.writing() as writing:
                writing.home.keys.ensure("k0", me)
            assert submit(bare, me, SubmitRequest(spec("a")))[0].created  # and a home that remembers takes it as it is
            with bare.reading():
                new = [block for _, _, block in bare.events.in_order_of_arrival()][-1:]
        with home.writing() as writing:
            writing.offer(new)
        assert not submit(home, me, SubmitRequest(spec("a")))[0].is_earlier


def test_a_ledger_that_the_genesis_does_not_name_is_refused(desk: Desk, tmp_path: Path) -> None:
    """Another ledger, an older copy, and a ledger that goes on from none are no ground to remember anything."""
    me = desk.peer("me")
    older = replay_home(desk.home)
    do(desk, me, SubmitRequest(spec("a")))
    with move(desk, tmp_path / "new", me) as home, Desk(tmp_path / "foreign") as foreign:
        do(foreign, foreign.peer("me"), SubmitRequest(spec("a")))
        for replay in (older, replay_home(foreign.home), replay_home(home)):
            with pytest.raises(MovingError, match="no such event"):
                previous_named(replay, home.genesis)
        with pytest.raises(MovingError, match="goes on from no other"):
            previous_named(replay_home(desk.home), desk.home.genesis)


def test_a_genesis_names_at_least_one_head_and_at_most_64(desk: Desk) -> None:
    """An empty ledger is none to go on from; of one with more heads the error says how they are merged."""
    with pytest.raises(MovingError, match="no events"):
        previous_at_heads(replay_home(desk.home))
    owner = desk.home.members.owner_key()
    assert owner is not None
    add_heads(desk, owner, PARENTS_MAX)
    assert len(previous_at_heads(replay_home(desk.home)).heads) == PARENTS_MAX
    add_heads(desk, owner, PARENTS_MAX + 1)
    with pytest.raises(MovingError, match="65 heads"):
        previous_at_heads(replay_home(desk.home))
    desk.home.append(owner, ())
    assert len(previous_at_heads(replay_home(desk.home)).heads) <= PARENTS_MAX


def add_heads(desk: Desk, owner: SigningKey, number: int) -> None:
    """Let the ledger have so many heads: witnesses that have seen nothing of each other."""
    ledger = desk.home.ledger
    with desk.home.writing() as writing:
        writing.offer(
            draft_event(
                owner,
                ledger=ledger,
                grant=ledger,
                parents=(ledger,),
                operations=(),
                find=desk.home.intake.find,
                now_ms=desk.now + at,
            )
            for at in range(number)
        )
