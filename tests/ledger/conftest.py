"""What every test of the ledger leaves behind: nothing open."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.ledger.world import OPEN_HOMES


@pytest.fixture(autouse=True)
def _close_homes() -> Iterator[None]:
    yield
    while OPEN_HOMES:
        OPEN_HOMES.pop().database.close()
