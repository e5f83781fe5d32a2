"""A disk without room, and a home that may only be read."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from ledger.database import StoreFullError, StoreReadOnlyError
from scheduler.home import Home
from tests.faults.audit import Promise, audit, audit_folder
from tests.faults.programs import finish, start
from tests.faults.work import START_MS, Time, submit_of


@pytest.fixture
def folder() -> Iterator[Path]:
    """Return the folder of a home with a peer and tasks, where every user can look."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        folder = Path(name) / "home"
        with Home.found(folder, clock=Time()) as home:
            key = home.members.peer_key("peer")
            home.append(key, [submit_of(home, key, f"task {i}") for i in range(5)])
            home.state_root()
        yield folder


@pytest.mark.parametrize("bytes_max", [0, 40_000, 150_000, 400_000])
def test_a_full_disk_is_said_and_nothing_acknowledged_is_lost(folder: Path, bytes_max: int) -> None:
    """Law: without room, writing says so and reading goes on; once there is room, so does writing."""
    lines = [line.split(" ", 2) for line in finish(start("fill", folder, bytes_max))]
    (error,) = [line for line in lines if line[0] == "error"]
    assert error[1] == StoreFullError.__name__
    assert "make room" in error[2]
    promises = [Promise("event", line[1]) for line in lines if line[0] == "event"]
    assert promises
    audit_folder(folder, START_MS, promises)


def test_a_quota_is_a_full_disk(folder: Path) -> None:
    """Law: beyond its quota of pages the home says it is full, keeps what it has, and goes on when given more."""
    with Home.open(folder, clock=Time()) as home:
        key = home.members.peer_key("peer")
        before = audit(home)
        with home.reading():
            pages = home.database.connection.execute("PRAGMA page_count").fetchone()[0]
        home.database._connection.execute(f"PRAGMA max_page_count = {pages + 2}")
        count = 0
        with pytest.raises(StoreFullError, match="make room"):  # noqa: PT012  # until it is full
            while True:
                home.append(key, [submit_of(home, key, f"more {count} {i}") for i in range(10)])
                count += 1
        assert len(audit(home).tasks) == len(before.tasks) + 10 * count
        home.database._connection.execute(f"PRAGMA max_page_count = {pages * 10}")
        home.append(key, [submit_of(home, key, "there is room")])
        assert len(audit(home).tasks) == len(before.tasks) + 10 * count + 1


def test_a_home_that_may_only_be_read_is_read(folder: Path) -> None:
    """Law: without the right to write, everything can be read, and writing says what is missing."""
    with Home.open(folder, clock=Time()) as home:
        root = home.state_root()
    mode = folder.stat().st_mode
    (folder / "ledger.sqlite3").chmod(0o444)
    folder.chmod(0o555)
    try:
        lines = [line.split(" ", 2) for line in finish(start("read_as_nobody", folder))]
    finally:
        folder.chmod(mode)
    assert lines[0] == ["root", root.hex()]
    assert lines[1] == ["tasks", "5"]
    assert lines[2][:2] == ["error", StoreReadOnlyError.__name__]


def test_a_read_only_home_beside_a_writer_sees_what_is_committed(folder: Path) -> None:
    """Law: who may only read sees each transaction another user commits, once it is over."""
    folder.chmod(0o755)
    for file in folder.glob("ledger.sqlite3*"):
        file.chmod(0o644)
    with Home.open(folder, clock=Time()) as home:
        key = home.members.peer_key("peer")
        home.append(key, [submit_of(home, key, "one more")])
        root = home.state_root()
        lines = [line.split(" ", 2) for line in finish(start("read_as_nobody", folder))]
    if os.geteuid() == 0:
        assert lines[2][:2] == ["error", StoreReadOnlyError.__name__]
    assert lines[:2] == [["root", root.hex()], ["tasks", "6"]]
