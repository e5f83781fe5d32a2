"""A home as what is published of it: its log in order of arrival, and what the log is at.

`ledger.publishing` sends it to a node. Leaves out the sending, and when to send.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from ledger.cid import Cid
from ledger.database import Database
from ledger.gathering import Arrival, Published
from ledger.keys import SigningKey
from ledger.kubo import KuboClient
from ledger.network_tables import NETWORK_NAME, open_network
from ledger.outbox import Outbox
from ledger.publishing import Publisher
from ledger.store import intact
from scheduler.home import Home
from scheduler.replica import state_of

_ARRIVALS = """SELECT blocks.id, blocks.cid, blocks.block, nodes.in_log FROM blocks JOIN nodes ON nodes.cid = blocks.cid
    WHERE blocks.id >= ? ORDER BY blocks.id"""


def publisher_of(home: Home, network: Database, client: KuboClient, key: SigningKey) -> Publisher:
    """Return what keeps the copy of the home's log on the node of `client`; `key` signs the manifests."""
    return Publisher(published(home), network, client, key, home.now_ms)


def find_published_name(folder: Path) -> str | None:
    """Return the IPNS name under which the home in `folder` was last published; None where it never was."""
    if not (folder / NETWORK_NAME).exists():
        return None
    with open_network(folder) as network:
        name = Outbox(network).find("name")
    return None if name is None else name.decode()


def published(home: Home) -> Published:
    """Return the side of `home` that is published."""
    return Published(home.intake, home.reading, lambda first: arrivals(home, first), lambda: state_of(home))


def arrivals(home: Home, first: int) -> Iterator[Arrival]:
    """Yield the accepted events with an id of `first` or greater, ascending; within a reading of the home."""
    for id_, cid, block, in_log in home.database.connection.execute(_ARRIVALS, (first,)):
        yield Arrival(id_, Cid(cid), intact(home.database, cid, block), bool(in_log))
