"""The database file: creation, transactions, several processes, and what breaks: full, read-only, damaged, foreign."""

from __future__ import annotations

import sqlite3
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from ledger.database import (
    Database,
    StoreCorruptError,
    StoreFullError,
    StoreMissingError,
    StoreReadOnlyError,
    StoreVersionError,
    open_database,
)
from ledger.tables import LEDGER_DDL, LEDGER_SCHEMA_VERSION
from tests.ledger.programs import finish, start
from tests.ledger.world import Home, World

DDL = ("CREATE TABLE t (n INTEGER PRIMARY KEY, data BLOB)",)


def open_(path: Path, *, create: bool = False, version: int = 1, page_count_max: int | None = None) -> Database:
    """Open a database with one table."""
    return open_database(path, ddl=DDL, version=version, create=create, page_count_max=page_count_max)


def numbers(database: Database) -> list[int]:
    """Return the rows of the table."""
    with database.reading() as connection:
        return [n for (n,) in connection.execute("SELECT n FROM t ORDER BY n")]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Return the name of a file that is not there."""
    return tmp_path / "store file?#%.db"  # characters that mean something in a URI


@pytest.fixture
def database(path: Path) -> Iterator[Database]:
    """Return a new database."""
    with open_(path, create=True) as database:
        yield database


def test_what_is_committed_stays(database: Database, path: Path) -> None:
    """What a transaction wrote is there for whoever opens the file next; the file is in WAL mode and syncs fully."""
    with database.transaction() as connection:
        connection.execute("INSERT INTO t (n) VALUES (1)")
        assert connection.execute("PRAGMA synchronous").fetchone() == (2,)
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    with open_(path) as again:
        assert numbers(again) == [1]
        again.check()


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit])
def test_whatever_is_raised_nothing_stays(database: Database, error: type[BaseException]) -> None:
    """A transaction that raises, Ctrl-C included, leaves nothing and does not keep the next one from going on."""

    def break_off() -> None:
        with database.transaction() as connection:
            connection.execute("INSERT INTO t (n) VALUES (1)")
            raise error

    with pytest.raises(error):
        break_off()
    assert numbers(database) == []
    with database.transaction() as connection:
        connection.execute("INSERT INTO t (n) VALUES (2)")
    assert numbers(database) == [2]


def test_a_reading_sees_one_state(database: Database, path: Path) -> None:
    """Within one reading nothing changes, whatever others commit; a reading in a transaction sees what that wrote."""
    with open_(path) as other:
        with database.reading() as connection:
            assert connection.execute("SELECT count(*) FROM t").fetchone() == (0,)
            with other.transaction() as writing:
                writing.execute("INSERT INTO t (n) VALUES (1)")
                assert numbers(other) == [1]
            assert connection.execute("SELECT count(*) FROM t").fetchone() == (0,)
        assert numbers(database) == [1]


def test_transactions_do_not_nest(database: Database) -> None:
    """A transaction in a transaction is a mistake of the caller, and so is taking part where none is open."""
    with database.transaction(), pytest.raises(RuntimeError, match="open already"), database.transaction():
        pass
    with pytest.raises(RuntimeError, match="open a transaction"):
        database.connection.execute("SELECT 1")


def test_threads_take_turns(database: Database) -> None:
    """Threads that share a database write one after the other and lose nothing."""

    def write(n: int) -> None:
        with database.transaction() as connection:
            connection.execute("INSERT INTO t (n) VALUES (?)", (n,))

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(write, range(200)))
    assert numbers(database) == list(range(200))


def test_missing_empty_and_foreign_files(path: Path) -> None:
    """Without `create` no file is made; an empty file is no store; another program's database is not touched."""
    with pytest.raises(StoreMissingError):
        open_(path)
    assert not path.exists()
    path.touch()
    with pytest.raises(StoreMissingError, match="creation was broken off"):
        open_(path)
    open_(path, create=True).close()
    foreign = path.with_name("foreign.db")
    with sqlite3.connect(foreign) as connection:
        connection.execute("CREATE TABLE theirs (n)")
    connection.close()
    with pytest.raises(StoreVersionError, match="another program"):
        open_(foreign, create=True)


def test_other_versions(path: Path) -> None:
    """A file of a newer or an older schema is refused with both numbers, and left as it is."""
    open_(path, create=True, version=2).close()
    before = path.read_bytes()
    for version in (1, 3):
        with pytest.raises(StoreVersionError, match="schema 2"):
            open_(path, version=version)
    assert path.read_bytes() == before


def test_quota(path: Path) -> None:
    """Where a quota is reached writing raises StoreFullError, what was acknowledged stays, and reading goes on."""
    written: list[int] = []

    def write(database: Database) -> None:
        with database.transaction() as connection:
            connection.execute("INSERT INTO t (n, data) VALUES (?, ?)", (len(written), bytes(5_000)))
        written.append(len(written))

    with open_(path, create=True, page_count_max=30) as database:
        with pytest.raises(StoreFullError, match="make room"):  # noqa: PT012  # raised by the one that does not fit
            while True:
                write(database)
        assert numbers(database) == written
        assert len(written) > 3
    with open_(path, page_count_max=1000) as database:
        write(database)


def test_a_file_that_may_grow_no_more(tmp_path: Path) -> None:
    """Where the system lets no file grow, the error says so, and all that was acknowledged is there."""
    path = tmp_path / "db"
    open_database(path, ddl=LEDGER_DDL, version=LEDGER_SCHEMA_VERSION, create=True).close()
    done, error = finish(start("fill", path, 300_000)).split()
    assert error == StoreFullError.__name__
    with open_database(path, ddl=LEDGER_DDL, version=LEDGER_SCHEMA_VERSION) as database:
        with database.reading() as connection:
            assert connection.execute("SELECT count(*) FROM meta").fetchone() == (int(done),)
        assert int(done) > 3
        database.check()


@pytest.mark.parametrize("damage", ["header", "pages", "cut", "text"])
def test_damaged_files(path: Path, damage: str) -> None:
    """A damaged file is called so, with what to do, and no foreign exception comes out."""
    with open_(path, create=True) as database, database.transaction() as connection:
        connection.executemany("INSERT INTO t VALUES (?, ?)", ((n, bytes([n]) * 3000) for n in range(100)))
    data = bytearray(path.read_bytes())
    match damage:
        case "header":
            data[:16] = bytes(16)
        case "pages":
            for at in range(4096, len(data), 4096):
                data[at : at + 100] = b"\xa5" * 100
        case "cut":
            del data[8192:]
        case _:
            data = bytearray(b"this is no database, but a letter. " * 200)
    path.write_bytes(data)
    with pytest.raises(StoreCorruptError, match="is damaged: move it away"), open_(path) as database:
        database.check()


def test_read_only_folder_and_file() -> None:
    """Where neither file nor folder can be written, reading works and writing says why not; WAL files there or not."""
    with tempfile.TemporaryDirectory() as name:  # not tmp_path: others may not enter that one
        folder = Path(name)
        world = World()
        world.chain(3)
        home = Home(folder / "db", world)
        home.offer(world.blocks)
        for keep_wal in (True, False):
            if not keep_wal:
                home.database.close()  # the last one out folds the WAL into the file
                assert not (folder / "db-wal").exists()
            for file in folder.iterdir():
                file.chmod(0o444)
            folder.chmod(0o555)
            try:
                assert finish(start("read_as_nobody", folder / "db")).split() == ["3", StoreReadOnlyError.__name__]
            finally:
                folder.chmod(0o755)


def test_read_only_with_a_wal_left_behind() -> None:
    """A store whose WAL cannot be opened is not read without it: what is committed there would be missing."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        world = World()
        world.chain(3)
        home = Home(folder / "db", world)
        home.offer(world.blocks)
        copy = folder / "copy"
        copy.mkdir()
        for file in ("db", "db-wal"):
            (copy / file).write_bytes((folder / file).read_bytes())
            (copy / file).chmod(0o444)
        home.database.close()
        folder.chmod(0o755)
        copy.chmod(0o555)
        try:
            process = start("read_as_nobody", copy / "db")
            _, err = process.communicate(timeout=60)
            assert process.returncode != 0
            assert "copy it with its -wal file" in err
        finally:
            copy.chmod(0o755)


def test_processes_that_create_at_once(tmp_path: Path) -> None:
    """Several processes that make first use of one store at once all get the same one, and each finds it whole."""
    for round_ in range(3):
        path = tmp_path / f"db{round_}"
        said = [finish(process) for process in [start("create", path, word) for word in "abcd"]]
        assert len(set(said)) == 1


def test_processes_that_append_at_once(tmp_path: Path) -> None:
    """Several processes append to one store at once: none is told that it is locked, none's event is lost."""
    path = tmp_path / "db"
    world = World()
    home = Home(path, world)
    each = 60
    said = [cid for process in [start("append", path, each) for _ in range(4)] for cid in finish(process).split()]
    assert len(set(said)) == 4 * each
    accepted = home.accepted()
    assert {str(cid) for cid in accepted} == set(said)
    with home.database.reading():
        heights = [height for height, _ in home.intake.events.in_linear_order()]
    assert heights == list(range(1, 4 * each + 1))  # one chain: each saw all that was committed before
