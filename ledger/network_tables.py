"""The tables of network.sqlite3: what a home remembers of the network. Disposable: without it, publish and dial anew.

Implements: section Stores and exchange of the design, what is published and resumed after a crash. Beside the ledger
and never in it: nothing here is needed to judge or to keep an event. Leaves out what the rows mean, which is said where
they are written (ledger.outbox for what is published).
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from ledger.database import Database, StoreCorruptError, StoreVersionError, open_database

NETWORK_NAME: Final = "network.sqlite3"
"""The file in a home's folder."""
NETWORK_SCHEMA_VERSION: Final = 1

_PUBLISHING: Final = (
    # outbox: small named values of who publishes: how far it has come, on which node, under which name.
    "CREATE TABLE outbox (key TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID",
    # packed: the events of the segments as they stand there, in order, so that the same bytes can be made again.
    "CREATE TABLE packed (position INTEGER PRIMARY KEY, cid BLOB NOT NULL UNIQUE)",
    # segments: the closed ones; each holds `events` events from position `first` on.
    """CREATE TABLE segments (
        number INTEGER PRIMARY KEY,
        cid BLOB NOT NULL,
        first INTEGER NOT NULL,
        events INTEGER NOT NULL,
        bytes INTEGER NOT NULL)""",
    # skipped: accepted events that were passed over, since they were not in the log.
    "CREATE TABLE skipped (cid BLOB PRIMARY KEY) WITHOUT ROWID",
    # awaited_blobs: blobs that published events link, and that are not here yet.
    "CREATE TABLE awaited_blobs (cid BLOB PRIMARY KEY) WITHOUT ROWID",
    # superseded: blocks on the node that no manifest names any more, or none names yet; since when, in ms.
    "CREATE TABLE superseded (cid BLOB PRIMARY KEY, since INTEGER NOT NULL) WITHOUT ROWID",
)

_PEERING: Final = (
    # endpoints: where a peer is or was reached (multiaddr with /p2p/ID, or URL), by whose word, and how it went.
    """CREATE TABLE endpoints (
        address TEXT PRIMARY KEY,
        is_given INTEGER NOT NULL,
        added INTEGER NOT NULL,
        wanted INTEGER NOT NULL,
        met INTEGER,
        failures INTEGER NOT NULL,
        fault TEXT,
        said BLOB) WITHOUT ROWID""",
    # peers: the last hint of each actor, when it came (ms), and whether its board is another than ours (H6).
    """CREATE TABLE peers (
        actor BLOB PRIMARY KEY,
        heard INTEGER NOT NULL,
        hint BLOB NOT NULL,
        differs INTEGER NOT NULL) WITHOUT ROWID""",
)

NETWORK_DDL: Final = (*_PUBLISHING, *_PEERING)


def open_network(folder: Path) -> Database:
    """Return the network database of the home in `folder`, made where it lacks.

    One that is damaged, or of another version of this program, is made anew: nothing is lost but work done before.
    Raises StoreError for what a new file does not mend: a full disk, a folder that cannot be written.
    """
    path = folder / NETWORK_NAME
    try:
        return _open(path)
    except (StoreCorruptError, StoreVersionError):
        for suffix in ("", "-wal", "-shm"):
            path.with_name(path.name + suffix).unlink(missing_ok=True)
        return _open(path)


def _open(path: Path) -> Database:
    return open_database(path, ddl=NETWORK_DDL, version=NETWORK_SCHEMA_VERSION, create=True)
