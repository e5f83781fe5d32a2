"""One SQLite file that several processes share: opening, transactions, and errors named by what the caller can do.

Implements: section Stores of the design: WAL, `synchronous=FULL`, one durable transaction before an answer, a schema
version, waiting instead of "database is locked". Leaves out: which tables there are; each layer brings its own.

Source: the SQLite documentation on WAL, on opening read-only media, and on result codes.
"""

from __future__ import annotations

import os
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final, Self
from urllib.parse import quote

BUSY_TIMEOUT_S: Final = 60.0
"""How long a process waits for another's transaction before it gives up."""
_WAL_RETRY_S: Final = 0.01
_TURN_RETRY_S: Final = 0.002
"""How soon whoever waits to write tries again, in s. SQLite itself would sleep longer each time, up to 0.1 s: beside
processes that write all the time it would hardly come at the right moment, and the lock would mostly lie idle."""
_CACHE_KIB: Final = 64 * 1024
"""Pages kept in memory, at most: rows found by hash lie all over the file, and 2 MiB, the default, hold few of them."""
_CHECKPOINT_PAGES: Final = 8_000
"""Pages (4 KiB) the WAL gathers before they are moved: a batch of 1,000 events writes more than 1,000, the default."""

Undo = Callable[[], None]
"""Forgets in memory what a rollback took back on disk."""


class StoreError(Exception):
    """The store cannot do what was asked. The message says what is wrong, in which file, and what to do."""


class StoreMissingError(StoreError):
    """There is no store in this file: create one, or name another file."""


class StoreFullError(StoreError):
    """The disk, or the quota, is full: make room and do it again. Nothing acknowledged is lost."""


class StoreReadOnlyError(StoreError):
    """The file cannot be written here: reading works, whatever appends does not."""


class StoreCorruptError(StoreError):
    """The file is damaged: move it away and take the ledger in again from a peer or an export."""


class StoreBusyError(StoreError):
    """Another process held the store for longer than the timeout: try again, or look for a process that hangs."""


class StoreVersionError(StoreError):
    """The file was written by another version of this program, or by another program."""


def open_database(
    path: Path,
    *,
    ddl: Sequence[str],
    version: int,
    create: bool = False,
    page_count_max: int | None = None,
) -> Database:
    """Return the database in the file `path`, with the tables of `ddl`.

    With `create` a missing or empty file becomes a database in one transaction, also where several processes do this at
    once. Where the file or its folder cannot be written, the database opens for reading only. `page_count_max` (pages
    of 4 KiB) bounds the file's growth, as a quota: beyond it writing raises StoreFullError.

    Raises StoreMissingError, StoreVersionError, StoreCorruptError, StoreReadOnlyError, StoreBusyError.
    """
    if not create and not path.exists():
        raise StoreMissingError(f"no store in {path}: create one first, or name another")
    with _named_errors(path):
        read_only = path.exists() and not _may_write(path)
        connection = _open_to_read(path) if read_only else _open_to_write(path, ddl, version, create=create)
        try:
            _check_version(connection, path, version)
            if page_count_max is not None:
                connection.execute(f"PRAGMA max_page_count = {page_count_max:d}")
        except BaseException:
            connection.close()
            raise
    return Database(connection, path, read_only=read_only)


class Database:
    """An open database file. Threads may share it: they take turns, transaction by transaction."""

    def __init__(self, connection: sqlite3.Connection, path: Path, *, read_only: bool) -> None:
        self._connection = connection
        self._turn = threading.RLock()
        self.path = path
        self.read_only = read_only
        self.turn = 0
        """Counts transactions and readings: what was read in an earlier turn may not be so any more."""

    @contextmanager
    def transaction(self, undo: Undo | None = None) -> Iterator[sqlite3.Connection]:
        """Write inside this block: all of it is durable when the block ends, and none of it where anything is raised.

        Waits for another process's transaction. Transactions do not nest. `undo` is called after a rollback, before
        another thread has its turn, to forget in memory what is gone. Raises StoreError as `open_database` does.
        """
        if self.read_only:
            raise StoreReadOnlyError(f"{self.path} is open for reading only: its folder cannot be written here")
        with self._turn, _named_errors(self.path):
            if self._connection.in_transaction:
                raise RuntimeError("a transaction is open already: take part in it")
            yield from self._run(_begin_to_write, undo)

    def is_free(self) -> bool:
        """Tell whether no other process writes at this moment; never waits for one.

        SQLite waits by sleeping, up to a tenth of a second at a time, and so gives way to whoever comes at the right
        moment. Who is told when others have written (scheduler.wake) comes at the right moment by asking this.
        """
        with self._turn, _named_errors(self.path):
            connection = self._connection
            if self.read_only or connection.in_transaction:
                return True
            connection.execute("PRAGMA busy_timeout = 0")
            try:
                connection.execute("BEGIN IMMEDIATE")
            except sqlite3.OperationalError as error:
                return _kind_of(error) is not StoreBusyError  # what else is wrong is told by who writes
            else:
                connection.execute("ROLLBACK")
                return True
            finally:
                connection.execute(f"PRAGMA busy_timeout = {1000 * BUSY_TIMEOUT_S:.0f}")

    @contextmanager
    def reading(self, undo: Undo | None = None) -> Iterator[sqlite3.Connection]:
        """Read inside this block one state of the store, whatever others write meanwhile.

        Inside a transaction it reads what that has written so far. `undo` is called where the reading is broken off.
        """
        with self._turn, _named_errors(self.path):
            if self._connection.in_transaction:
                yield self._connection
            else:
                yield from self._run(_begin_to_read, undo)

    @property
    def connection(self) -> sqlite3.Connection:
        """The connection, for those who take part in the transaction or reading their caller has opened."""
        if not self._connection.in_transaction:
            raise RuntimeError("open a transaction or a reading first")
        return self._connection

    def check(self) -> None:
        """Read the whole file and check its structure; raise StoreCorruptError where it is damaged."""
        with self.reading() as connection:
            found = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
        if found != "ok":
            raise self.damaged(found)

    def damaged(self, what: str) -> StoreCorruptError:
        """Return the error for a value in the file that nobody has written so; `what` says which."""
        return StoreCorruptError(f"{self.path}: {_ADVICE[StoreCorruptError]} ({what})")

    def _run(self, begin: Callable[[sqlite3.Connection], None], undo: Undo | None) -> Iterator[sqlite3.Connection]:
        connection = self._connection
        try:
            self.turn += 1
            begin(connection)
            yield connection
            connection.execute("COMMIT")
        except BaseException:  # Ctrl-C too leaves nothing half done
            try:
                if connection.in_transaction:  # SQLite ends the transaction itself where the disk is full
                    connection.execute("ROLLBACK")
            finally:
                if undo is not None:
                    undo()
            raise

    def close(self) -> None:
        """Close the file; what is not committed is gone."""
        with self._turn:
            self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


# ---- beginning


def _begin_to_read(connection: sqlite3.Connection) -> None:
    connection.execute("BEGIN DEFERRED")


def _begin_to_write(connection: sqlite3.Connection) -> None:
    """Begin as soon as no other process writes any more; raise SQLite's error after the timeout."""
    deadline = time.monotonic() + BUSY_TIMEOUT_S
    connection.execute("PRAGMA busy_timeout = 0")
    try:
        while True:
            try:
                connection.execute("BEGIN IMMEDIATE")
            except sqlite3.OperationalError as error:
                if _kind_of(error) is not StoreBusyError or time.monotonic() > deadline:
                    raise
            else:
                return
            time.sleep(_TURN_RETRY_S)
    finally:
        connection.execute(f"PRAGMA busy_timeout = {1000 * BUSY_TIMEOUT_S:.0f}")


# ---- opening


def _connect(path: Path, query: str) -> sqlite3.Connection:
    return sqlite3.connect(
        f"file:{quote(str(path.absolute()))}?{query}",
        uri=True,
        timeout=BUSY_TIMEOUT_S,
        isolation_level=None,  # transactions are begun and ended here, never by the sqlite3 module
        check_same_thread=False,  # Database makes threads take turns
    )


def _may_write(path: Path) -> bool:
    """Return whether the file and its folder, where the WAL files stand, can be written by this process."""
    return all(
        os.access(name, os.W_OK, effective_ids=os.access in os.supports_effective_ids) for name in (path, path.parent)
    )


def _open_to_write(path: Path, ddl: Sequence[str], version: int, *, create: bool) -> sqlite3.Connection:
    connection = _connect(path, "mode=rwc" if create else "mode=rw")
    try:
        _use_wal(connection)
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute(f"PRAGMA cache_size = -{_CACHE_KIB:d}")
        connection.execute(f"PRAGMA wal_autocheckpoint = {_CHECKPOINT_PAGES:d}")
        if create and _version(connection) == 0:
            _create(connection, path, ddl, version)
    except BaseException:
        connection.close()
        raise
    return connection


def _open_to_read(path: Path) -> sqlite3.Connection:
    """Open where nothing can be written: beside the writers' WAL files if they are there, else as an immutable file."""
    queries = ["mode=ro"]
    log = path.with_name(path.name + "-wal")
    if not log.exists() or log.stat().st_size == 0:  # else committed transactions stand in it, and would not be seen
        queries.append("mode=ro&immutable=1")
    failure: sqlite3.OperationalError | None = None
    for query in queries:
        connection = _connect(path, query)
        try:
            _version(connection)
        except sqlite3.OperationalError as error:
            connection.close()
            failure = error
        except BaseException:
            connection.close()
            raise
        else:
            return connection
    raise StoreReadOnlyError(
        f"{path} cannot be read where it is ({failure}): copy it with its -wal file to a folder that can be written"
    )


def _use_wal(connection: sqlite3.Connection) -> None:
    """Switch the file to write-ahead logging. SQLite does not wait for other processes in this one statement."""
    deadline = time.monotonic() + BUSY_TIMEOUT_S
    while True:
        try:
            if connection.execute("PRAGMA journal_mode = WAL").fetchone()[0] == "wal":
                return
        except sqlite3.OperationalError as error:
            if _kind_of(error) is not StoreBusyError or time.monotonic() > deadline:
                raise
        if time.monotonic() > deadline:
            raise StoreError("this file system cannot hold a store: it has no shared memory for write-ahead logs")
        time.sleep(_WAL_RETRY_S)


def _create(connection: sqlite3.Connection, path: Path, ddl: Sequence[str], version: int) -> None:
    connection.execute("BEGIN IMMEDIATE")
    try:
        if _version(connection) == 0:  # nobody was faster
            if connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
                raise StoreVersionError(f"{path} is a database of another program: name another file")
            for statement in ddl:
                connection.execute(statement)
            connection.execute(f"PRAGMA user_version = {version:d}")
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def _version(connection: sqlite3.Connection) -> int:
    found: int = connection.execute("PRAGMA user_version").fetchone()[0]
    return found


def _check_version(connection: sqlite3.Connection, path: Path, version: int) -> None:
    found = _version(connection)
    if found == 0:
        raise StoreMissingError(f"{path} is no store, or its creation was broken off: create it again")
    if found > version:
        raise StoreVersionError(f"{path} has schema {found}, this program knows {version}: use the newer program")
    if found < version:
        raise StoreVersionError(
            f"{path} has schema {found}, this program needs {version}: export it with the older one"
        )


# ---- errors

_ADVICE: Final[dict[type[StoreError], str]] = {
    StoreFullError: "no room to write: make room on the disk and do it again",
    StoreReadOnlyError: "cannot be written: look at the rights of the file and its folder",
    StoreCorruptError: "is damaged: move it away and take the ledger in again from a peer or an export",
    StoreBusyError: f"another process kept it locked for {BUSY_TIMEOUT_S:.0f} s: try again, or look what hangs",
    StoreError: "could not be read or written: look at the disk",
}
_KINDS: Final[dict[int, type[StoreError]]] = {
    sqlite3.SQLITE_FULL: StoreFullError,
    sqlite3.SQLITE_READONLY: StoreReadOnlyError,
    sqlite3.SQLITE_CANTOPEN: StoreReadOnlyError,
    sqlite3.SQLITE_PERM: StoreReadOnlyError,
    sqlite3.SQLITE_AUTH: StoreReadOnlyError,
    sqlite3.SQLITE_CORRUPT: StoreCorruptError,
    sqlite3.SQLITE_NOTADB: StoreCorruptError,
    sqlite3.SQLITE_BUSY: StoreBusyError,
    sqlite3.SQLITE_LOCKED: StoreBusyError,
    sqlite3.SQLITE_IOERR: StoreError,
}
_SIGNS_OF_DAMAGE: Final = ("no such ", "Could not decode to UTF-8", "unrecognized token", "malformed")
"""What else is said of a file whose schema or text has changed: our statements name nothing that was not created."""
_IO_WRITE_CODES: Final = frozenset((sqlite3.SQLITE_IOERR_WRITE, sqlite3.SQLITE_IOERR_TRUNCATE))


def _kind_of(error: sqlite3.Error) -> type[StoreError] | None:
    """Return the StoreError for what SQLite reports; None for a defect of ours (a wrong statement or constraint)."""
    code = getattr(error, "sqlite_errorcode", None)  # not there where the module itself raises
    if code is None or code == sqlite3.SQLITE_ERROR:
        return StoreCorruptError if str(error).startswith(_SIGNS_OF_DAMAGE) else None
    if code in _IO_WRITE_CODES:  # a limit on file size, or a disk that takes no more
        return StoreFullError
    return _KINDS.get(code & 0xFF)


@contextmanager
def _named_errors(path: Path) -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        kind = _kind_of(error)
        if kind is None:
            raise
        words = str(error).partition(" with text")[0]  # what follows is the text itself
        raise kind(f"{path}: {_ADVICE[kind]} ({words})") from error
    except UnicodeDecodeError as error:  # the module stumbles over SQLite's message where that quotes an altered schema
        if not error.object.startswith(b"malformed database schema"):
            raise
        raise StoreCorruptError(f"{path}: {_ADVICE[StoreCorruptError]} (malformed database schema)") from error
