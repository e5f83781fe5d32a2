"""The tables a ledger is stored in, as one page of SQL.

Implements: the embedded store of section Stores. A row of `blocks` is an accepted event; ids are in order of arrival,
so a row stands after all it links. Leaves out: the board's tables, which the layer above adds to the same file.
"""

from __future__ import annotations

from typing import Final

LEDGER_DDL: Final = (
    # meta: 'genesis' is the genesis block; other layers keep small values of their own here.
    "CREATE TABLE meta (key TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID",
    """CREATE TABLE blocks (
        id INTEGER PRIMARY KEY,
        cid BLOB NOT NULL UNIQUE,
        height INTEGER NOT NULL,
        time INTEGER NOT NULL,
        actor BLOB NOT NULL,
        grant BLOB NOT NULL,
        block BLOB NOT NULL)""",
    "CREATE INDEX blocks_in_linear_order ON blocks (height, cid)",
    "CREATE INDEX blocks_by_time ON blocks (time)",  # which ones are ahead of a clock that was set back
    # actors: keys with an accepted event, whom the waiting room trusts with more than a stranger's share.
    "CREATE TABLE actors (actor BLOB PRIMARY KEY) WITHOUT ROWID",
    # blobs: a row for each raw block that an accepted event links; data is NULL until the blob itself has come.
    "CREATE TABLE blobs (cid BLOB PRIMARY KEY, data BLOB)",
    """CREATE TABLE waiting (
        id INTEGER PRIMARY KEY,
        cid BLOB NOT NULL UNIQUE,
        actor BLOB NOT NULL,
        known INTEGER NOT NULL,
        bytes INTEGER NOT NULL,
        received INTEGER NOT NULL,
        block BLOB NOT NULL)""",
    "CREATE INDEX waiting_by_actor ON waiting (actor, id, bytes)",
    "CREATE INDEX waiting_by_age ON waiting (known, id)",
    "CREATE TABLE waiting_links (missing BLOB, waiting INTEGER, PRIMARY KEY (missing, waiting)) WITHOUT ROWID",
    "CREATE INDEX waiting_links_of ON waiting_links (waiting)",
    "CREATE TABLE held (cid BLOB PRIMARY KEY, time INTEGER NOT NULL, block BLOB NOT NULL)",
    "CREATE INDEX held_by_time ON held (time)",
    """CREATE TABLE refused (
        id INTEGER PRIMARY KEY,
        cid BLOB NOT NULL UNIQUE,
        rule TEXT NOT NULL,
        words TEXT NOT NULL,
        at INTEGER NOT NULL)""",
)
LEDGER_SCHEMA_VERSION: Final = 1
