"""Whether another process writes is told without waiting for it."""

from __future__ import annotations

from pathlib import Path

from ledger.database import BUSY_TIMEOUT_S, open_database


def test_a_store_is_free_while_nobody_else_writes(tmp_path: Path) -> None:
    """It is told at once, while another connection writes and after; and writing still waits as long as before."""
    path = tmp_path / "store"
    open_database(path, ddl=("CREATE TABLE t (x)",), version=1, create=True).close()
    with open_database(path, ddl=(), version=1) as first, open_database(path, ddl=(), version=1) as second:
        assert second.is_free()
        with first.transaction():
            assert not second.is_free()
            assert first.is_free()  # its own transaction
        assert second.is_free()
        with second.transaction() as connection:
            assert connection.execute("PRAGMA busy_timeout").fetchone()[0] == 1000 * BUSY_TIMEOUT_S
