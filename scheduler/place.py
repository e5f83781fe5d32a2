"""Whether a ledger is in a folder, its database file, the errors about either.

Leaves out where the folder is (scheduler.folders) and what a home does once it is open (scheduler.home).
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from ledger.cid import Cid
from ledger.database import Database, StoreMissingError, open_database
from ledger.store import EventStore
from ledger.tables import LEDGER_DDL, LEDGER_SCHEMA_VERSION
from scheduler.board_rows import DDL

DATABASE_NAME: Final = "ledger.sqlite3"
OWNER_KEY_NAME: Final = "owner"
Clock = Callable[[], int]


class HomeError(Exception):
    """The home cannot do what was asked; the message says what is wrong, where, and what to do."""


class HomeNotFoundError(HomeError):
    """There is no ledger in this folder."""


class HomeExistsError(HomeError):
    """There is a ledger in this folder already: one home is one ledger."""


def wall_clock_ms() -> int:
    """Return the time in ms since 1970."""
    return time.time_ns() // 1_000_000


def open_store(folder: Path, *, create: bool) -> Database:
    """Return the database of the home in `folder`, with the tables of ledger and board. Raises StoreError."""
    ddl = (*LEDGER_DDL, *DDL)
    return open_database(folder / DATABASE_NAME, ddl=ddl, version=LEDGER_SCHEMA_VERSION, create=create)


def holds_ledger(folder: Path) -> bool:
    """Return whether there is a ledger; what a first use left when it was broken off is none."""
    try:
        with open_store(folder, create=False) as database, database.reading():
            return is_founded(database)
    except StoreMissingError:
        return False


def is_founded(database: Database) -> bool:
    """Return whether a ledger was founded in a store; raise StoreCorruptError where it would go by another name now."""
    store = EventStore(database)
    genesis = store.find_genesis()
    if genesis is not None and store.find_value("ledger") != Cid.of(genesis):
        raise database.damaged("the genesis block has changed")
    if genesis is None and store.count():  # to found a ledger over them would mix two
        raise database.damaged("the genesis block is gone, but its events are there")
    return genesis is not None


def exists(folder: Path) -> HomeExistsError:
    """Return the error that says what is in `folder`."""
    return HomeExistsError(f"{folder} holds a ledger already: one home is one ledger")


def missing(folder: Path) -> HomeNotFoundError:
    """Return the error that says what to do about a folder without a ledger."""
    advice = "found one with `p2p-workflow init`, or take a peer's with `p2p-workflow init --from …`"
    return HomeNotFoundError(f"no ledger in {folder}: {advice}")
