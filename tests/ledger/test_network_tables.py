"""The network database: disposable, so that whatever is wrong with it is mended by a new one."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from ledger.network_tables import NETWORK_NAME, open_network


def test_it_keeps_what_is_written(tmp_path: Path) -> None:
    """What one opening wrote the next one reads."""
    with open_network(tmp_path) as network, network.transaction() as connection:
        connection.execute("INSERT INTO outbox VALUES ('peer', x'01')")
    with open_network(tmp_path) as network, network.reading() as connection:
        assert connection.execute("SELECT value FROM outbox").fetchall() == [(b"\x01",)]


@pytest.mark.parametrize("damage", ["garbage", "newer"])
def test_a_file_that_cannot_be_used_is_made_anew(tmp_path: Path, damage: str) -> None:
    """Damaged, or of a newer program: an empty one takes its place."""
    open_network(tmp_path).close()
    path = tmp_path / NETWORK_NAME
    if damage == "garbage":
        path.write_bytes(b"no database at all" * 100)
    else:
        connection = sqlite3.connect(path)
        connection.execute("PRAGMA user_version = 99")
        connection.close()
    with open_network(tmp_path) as network, network.reading() as connection:
        assert connection.execute("SELECT count(*) FROM packed").fetchone() == (0,)
