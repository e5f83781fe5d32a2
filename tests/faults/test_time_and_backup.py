"""A clock that was set back, and a home that was restored from an old backup."""

from __future__ import annotations

import shutil
from pathlib import Path

from ledger.operations import Claim, Complete
from scheduler.home import Home
from tests.faults.audit import Promise, audit
from tests.faults.work import START_MS, Time, submit_of

HOUR_MS = 3_600_000


def test_a_clock_set_back_holds_what_is_ahead_and_loses_nothing(tmp_path: Path) -> None:
    """Law: what is ahead of a clock set back is held at the next opening, and returns when its time comes."""
    time = Time()
    with Home.found(tmp_path / "home", clock=time) as home:
        key = home.members.peer_key("peer")
        early = [home.append(key, [submit_of(home, key, f"early {i}")]) for i in range(3)]
        before = audit(home)
        time.now += HOUR_MS
        late = [home.append(key, [submit_of(home, key, f"late {i}")]) for i in range(3)]
        after = audit(home)
    promises = [Promise("event", str(event.cid)) for event in early]
    held = [Promise("held", str(event.cid)) for event in late]
    time.now = START_MS
    with Home.open(tmp_path / "home", clock=time) as home:
        assert audit(home, promises + held) == before
        between = home.append(key, [submit_of(home, key, "between")])  # work goes on meanwhile
        audit(home, [*promises, *held, Promise("event", str(between.cid))])
        time.now += HOUR_MS
        with home.writing():
            pass  # whoever writes takes in what is due
        again = audit(home, promises + [Promise("event", promise.name) for promise in held])
    assert again.log == after.log | {between.cid}
    assert again.tasks.keys() > after.tasks.keys()


def test_a_process_whose_clock_is_set_back_goes_on(tmp_path: Path) -> None:
    """Law: a home that stays open while the clock is set back can be written to at once, and loses nothing either."""
    time = Time()
    with Home.found(tmp_path / "home", clock=time) as home:
        key = home.members.peer_key("peer")
        time.now += HOUR_MS
        late = home.append(key, [submit_of(home, key, "late")])
        time.now = START_MS
        early = home.append(key, [submit_of(home, key, "early")])
        assert early.event.time == START_MS
        names = [record.spec.task_id for record in audit(home, [Promise("held", str(late.cid))]).tasks.values()]
        assert names == ["early"]
        time.now += HOUR_MS
        home.append(key, [])
        board = audit(home, [Promise("event", str(event.cid)) for event in (late, early)])
    assert sorted(record.spec.task_id for record in board.tasks.values()) == ["early", "late"]


def test_other_processes_notice_what_a_clock_set_back_took_from_the_board(tmp_path: Path) -> None:
    """Law: a home open elsewhere, and whoever follows its changes, learns of tasks whose events are held now."""
    time = Time()
    with Home.found(tmp_path / "home", clock=time) as home:
        key = home.members.peer_key("peer")
        time.now += HOUR_MS
        task = submit_of(home, key, "late")
        home.append(key, [task])
        with home.reading():
            seen, _ = home.tasks.changed_since(0)
            assert home.board.find_record(task.key) is not None
        time.now = START_MS
        Home.open(tmp_path / "home", clock=time).close()
        with home.reading():
            later, changed = home.tasks.changed_since(seen)
            assert later > seen
            assert task.key in changed
            assert home.board.find_record(task.key) is None
        audit(home)


def test_a_home_restored_from_a_backup_meets_the_others_again(tmp_path: Path) -> None:
    """Law: a home set back to an old copy, which then went another way, converges with the others once blocks meet."""
    time = Time()
    with Home.found(tmp_path / "one", clock=time) as one:
        key = one.members.peer_key("peer")
        task = submit_of(one, key, "shared")
        submitted = one.append(key, [task]).cid
    shutil.copytree(tmp_path / "one", tmp_path / "backup")
    with Home.open(tmp_path / "one", clock=time) as one:
        claimed = one.append(key, [Claim(task.key, (submitted,), 60_000)]).cid
        one.append(key, [Complete(task.key, (claimed,), claimed)])
        lost = blocks_of(one)
    shutil.rmtree(tmp_path / "one")
    (tmp_path / "backup").rename(tmp_path / "one")
    time.now += 1_000
    with (
        Home.open(tmp_path / "one", clock=time) as one,
        Home.enter(tmp_path / "two", genesis_of(one), clock=time) as two,
    ):
        with two.writing() as writing:  # another peer had everything
            writing.offer(lost)
        other = submit_of(one, key, "after the backup")
        for ops in ([Claim(task.key, (submitted,), 60_000)], [other]):
            one.append(key, ops)
        for source, target in ((one, two), (two, one), (one, two)):
            with target.writing() as writing:
                assert not writing.offer(reversed(blocks_of(source))).refused
        boards = [audit(home) for home in (one, two)]
    assert boards[0] == boards[1]
    assert len(boards[0].tasks[task.key].claims) == 2
    assert len(boards[0].tasks[task.key].completions) == 1


def blocks_of(home: Home) -> list[bytes]:
    """Return the blocks a home holds."""
    with home.reading():
        return [block for _, _, block in home.events.in_order_of_arrival()]


def genesis_of(home: Home) -> bytes:
    """Return the block that founds a home's ledger."""
    with home.reading():
        block = home.events.find_genesis()
    assert block is not None
    return block
