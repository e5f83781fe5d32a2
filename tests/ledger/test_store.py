"""Damage of stored events, as the store tells it (ledger.store)."""

from __future__ import annotations

from pathlib import Path

import pytest

from ledger.cid import Cid
from ledger.database import StoreCorruptError, open_database
from ledger.store import EventStore
from ledger.tables import LEDGER_DDL, LEDGER_SCHEMA_VERSION


def test_damage_is_told_by_the_name_that_people_see(tmp_path: Path) -> None:
    """A block that has changed is named by its text, `bafy…`, as everywhere else; a CID that has, is damage too."""
    cid = Cid.of(b"block")
    with open_database(tmp_path / "store", ddl=LEDGER_DDL, version=LEDGER_SCHEMA_VERSION, create=True) as database:
        store = EventStore(database)
        sql = "INSERT INTO blocks (cid, height, time, actor, grant, block) VALUES (?, 1, 0, x'', x'', ?)"
        with database.transaction() as connection:
            connection.execute(sql, (cid, b"other"))
        with database.reading():
            with pytest.raises(StoreCorruptError, match=f"the block of {cid} has changed"):
                store.find_block(cid)
            with pytest.raises(StoreCorruptError, match=f"{cid} has changed"):
                list(store.in_order_of_arrival())
        with database.transaction() as connection:
            connection.execute("UPDATE blocks SET cid = x'00'")
        with database.reading(), pytest.raises(StoreCorruptError, match="has changed"):
            list(store.in_order_of_arrival())
