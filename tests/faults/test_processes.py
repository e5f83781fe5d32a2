"""Several processes on one home at once."""

from __future__ import annotations

from pathlib import Path

from scheduler.home import Home
from tests.faults.audit import Promise, audit
from tests.faults.programs import finish, start
from tests.faults.work import submit_of


def test_processes_that_write_at_once_lose_nothing(tmp_path: Path) -> None:
    """Law: all that four writing processes were told is there, none waits in vain, and a reader sees whole states."""
    folder = tmp_path / "home"
    with Home.found(folder) as home:
        key = home.members.peer_key("first")
        home.append(key, [submit_of(home, key, "first")])
    writers = [start("append", folder, f"peer {i}", 25) for i in range(4)]
    reader = start("watch", folder, 150)
    promises = [Promise(*line.split(" ", 1)) for writer in writers for line in finish(writer)]
    assert len(promises) == 100
    assert finish(reader)
    with Home.open(folder) as home:
        assert len(audit(home, promises).tasks) == 101


def test_processes_that_make_first_use_at_once_share_one_ledger(tmp_path: Path) -> None:
    """Law: of several first uses at once one founds the ledger, and all are at work in it, with one key for a name."""
    folder = tmp_path / "home"
    writers = [start("append", folder, peer, 3) for peer in ("same", "same", "same", "another")]
    promises = [Promise(*line.split(" ", 1)) for writer in writers for line in finish(writer)]
    with Home.open(folder) as home:
        board = audit(home, promises)
        assert set(home.keys.names()) == {"owner", "same", "another"}
    assert len(board.tasks) == 12
    assert len(board.active_workers) == 2
