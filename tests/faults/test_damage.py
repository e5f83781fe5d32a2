"""Files that were altered behind the store's back: a clear error or the right answer, never a wrong one."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from random import Random

import pytest

from crdt.records import Snapshot
from ledger.database import StoreCorruptError, StoreError
from ledger.operations import Claim, Complete
from scheduler.home import Home
from scheduler.place import DATABASE_NAME, HomeNotFoundError
from tests.faults.audit import audit
from tests.faults.work import Time, submit_of
from tests.support.worlds import signing_key


@dataclass(frozen=True, slots=True)
class Sample:
    """A home of a few dozen events and its board."""

    folder: Path
    board: Snapshot


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Sample:
    """Return the home whose copies are damaged."""
    folder = tmp_path_factory.mktemp("sample") / "home"
    with pytest.MonkeyPatch.context() as patch:  # the same file always, so that a seed means the same damage
        patch.setattr("secrets.token_bytes", bytes)
        home = Home.found(folder, owner_key=signing_key("olga"), clock=Time())
    with home:
        home.keys.add("peer", signing_key("peer"))
        key = home.members.peer_key("peer")
        for i in range(20):
            submit = submit_of(home, key, f"task {i}")
            submitted = home.append(key, [submit]).cid
            claimed = home.append(key, [Claim(submit.key, (submitted,), 60_000)]).cid
            if i % 2:
                home.append(key, [Complete(submit.key, (claimed,), claimed)])
        return Sample(folder, audit(home))


def copy(sample: Sample, folder: Path) -> Path:
    """Return the database file of a copy in `folder`."""
    shutil.copytree(sample.folder, folder)
    assert [path.name for path in folder.iterdir() if path.is_file()] == [DATABASE_NAME]
    return folder / DATABASE_NAME


def read_all(folder: Path) -> Snapshot:
    """Return the board as a reader finds it, with each event read from its block."""
    with Home.open(folder, clock=Time()) as home, home.reading():
        board = home.board.snapshot()
        for cid in board.log:
            home.board.store.event(cid)
        return board


@pytest.mark.parametrize("seed", range(120))
def test_flipped_bytes_are_found_or_do_no_harm(sample: Sample, seed: int, tmp_path: Path) -> None:
    """Law: of a file with altered bytes a reader gets the board or a StoreError that advises; an audit finds the rest.

    Blocks, tasks and what the board knows of them are checked whenever they are read; rows of the graph and of the
    indices have no checksum, and only `verify` compares them with the blocks.
    """
    random = Random(seed)
    file = copy(sample, tmp_path / "home")
    data = bytearray(file.read_bytes())
    for _ in range(random.choice((1, 1, 4, 30))):
        data[random.randrange(len(data))] ^= 1 << random.randrange(8)
    file.write_bytes(data)
    try:
        board = read_all(file.parent)
    except (StoreError, HomeNotFoundError):
        return
    if board != sample.board:
        with Home.open(file.parent, clock=Time()) as home, pytest.raises((StoreError, AssertionError)):
            audit(home)


@pytest.mark.parametrize("kind", ["garbage", "cut", "header", "text"])
def test_a_file_that_is_no_store_is_refused_with_advice(sample: Sample, kind: str, tmp_path: Path) -> None:
    """Law: garbage, or a file cut short, is damage: said, with what to do, and never written over by a first use."""
    file = copy(sample, tmp_path / "home")
    data = file.read_bytes()
    spoiled = {
        "garbage": Random(1).randbytes(len(data)),
        "cut": data[: len(data) // 3],
        "header": b"not a database, truly" + data[21:],
        "text": b"hello\n" * 1000,
    }[kind]
    file.write_bytes(spoiled)
    with pytest.raises(StoreCorruptError, match="move it away"):
        read_all(file.parent)
    with (
        pytest.raises(StoreCorruptError, match="move it away"),
        Home.open_or_found(file.parent, clock=Time())[0] as home,
    ):
        audit(home)
    assert file.read_bytes()[:16] == spoiled[:16]


@pytest.mark.parametrize("table", ["nodes", "verdicts", "tasks", "branches", "board", "ignored"])
def test_a_board_that_was_lost_is_rebuilt_from_the_blocks(sample: Sample, table: str, tmp_path: Path) -> None:
    """Law: whatever part of the board is lost or false, a rebuild restores it from the blocks."""
    folder = copy(sample, tmp_path / "home").parent
    with Home.open(folder, clock=Time()) as home:
        with home.database.transaction() as connection:
            connection.execute(f"DELETE FROM {table}")  # noqa: S608  # the names above
            if table == "board":
                connection.execute("INSERT INTO board VALUES (0, x'00', 3, x'00')")
        home.rebuild()
        assert audit(home) == sample.board


def test_a_block_that_was_altered_is_never_believed(sample: Sample, tmp_path: Path) -> None:
    """Law: a stored block is checked against its CID whenever it is read; so is a blob, and the genesis."""
    folder = copy(sample, tmp_path / "home").parent
    with Home.open(folder, clock=Time()) as home:
        with home.writing() as writing:
            blob = writing.add_blob(b"a payload")
        with home.database.transaction() as connection:
            connection.execute("UPDATE blocks SET block = CAST(replace(block, 'task 7', 'task 8') AS BLOB)")
            connection.execute("UPDATE blobs SET data = x'00'")
        with pytest.raises(StoreCorruptError, match="changed"), home.reading():
            list(home.intake.accepted())
        with pytest.raises(StoreCorruptError, match="have changed"), home.reading():
            home.intake.blobs.get_many([blob])
        with home.database.transaction() as connection:
            connection.execute(
                "UPDATE meta SET value = CAST(replace(value, 'default', 'another') AS BLOB) WHERE key = 'genesis'"
            )
    with pytest.raises(StoreCorruptError, match="genesis"):
        Home.open(folder, clock=Time())


def test_no_ledger_is_founded_over_the_events_of_another(sample: Sample, tmp_path: Path) -> None:
    """A store whose genesis is gone is damaged, not empty: first use must not mix a new ledger with the old events."""
    file = copy(sample, tmp_path / "copy")
    with closing(sqlite3.connect(file)) as connection, connection:
        connection.execute("DELETE FROM meta")
    for use in (Home.open, Home.open_or_found, Home.found):
        with pytest.raises(StoreCorruptError, match="genesis block is gone"):
            use(file.parent)
