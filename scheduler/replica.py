"""A home as one side of an exchange: blocks that come by it pass through the home's transactions, board and all.

Implements: which events an exchange sends: those of the log (R6), never what lies beyond a fence and is linked by
nothing that counts. Leaves out the exchange itself (ledger.exchange).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from crdt.state_root import REDUCER_VERSION
from ledger.cid import Cid
from ledger.replica import LOWEST, Replica, State
from ledger.store import Bound, Item
from scheduler.board_codec import split_cids
from scheduler.home import Home
from scheduler.task_answers import HomeTasks, WaitingRoom

_WITHIN: Final = {
    False: "(b.height, b.cid) >= (?, ?)",
    True: "(b.height, b.cid) >= (?, ?) AND (b.height, b.cid) < (?, ?)",
}
_LOG: Final = "blocks AS b JOIN nodes AS n ON n.cid = b.cid AND n.in_log"


def replica_of(
    home: Home, step: Callable[[int], None] = lambda more: None, *, room: WaitingRoom | None = None
) -> Replica:
    """Return the home as one side of an exchange; `step` is told how many events each transaction has brought.

    `room` is where askers about a task wait; None: nobody waits.
    """

    @contextmanager
    def writing() -> Iterator[None]:
        with home.writing():
            before = sum(home.board.vector.values())
            yield
            more = sum(home.board.vector.values()) - before
        step(more)

    tasks = HomeTasks(home, room or WaitingRoom(0))
    return Replica(
        home.intake, lambda: home.board.heads, home.reading, writing, HomeLog(home), lambda: state_of(home), tasks
    )


def state_of(home: Home) -> State:
    """Return what a home is at: heads, and state root of the same instant. Not to be called within a reading."""
    home.state_root()  # what has to be hashed anew is kept, where the home can be written
    with home.reading():
        events = sum(home.board.vector.values())
        return State(home.ledger, home.board.heads, events, REDUCER_VERSION, home.board.state_root())


class HomeLog:
    """The log of a home: what is accepted, and what the board has taken into the log where some of that has not."""

    def __init__(self, home: Home) -> None:
        self._home = home

    def items(
        self, low: Bound, high: Bound | None, *, most: int | None = None, arrived: int | None = None
    ) -> Iterator[Item]:
        """Yield what `Log.items` says."""
        if self._is_all():
            return self._home.events.between(low, high, most=most, arrived=arrived)
        return self._items(low, high, most, arrived)

    def count(self, low: Bound, high: Bound | None) -> int:
        """Return how many these are."""
        if (low, high) == (LOWEST, None):
            return sum(self._home.board.vector.values())
        if self._is_all():
            return self._home.events.count_between(low, high)
        sql = f"SELECT count(*) FROM {_LOG} WHERE {_WITHIN[high is not None]}"  # noqa: S608  # only constants
        found: int = self._home.database.connection.execute(sql, (*low, *(high or ()))).fetchone()[0]
        return found

    def latest(self, most: int) -> list[Item]:
        """Return the last events."""
        if self._is_all():
            return self._home.events.latest(most)
        sql = f"SELECT b.height, b.cid FROM {_LOG} ORDER BY b.height DESC, b.cid DESC LIMIT ?"  # noqa: S608  # as above
        rows = self._home.database.connection.execute(sql, (most,)).fetchall()
        return [(height, Cid(cid)) for height, cid in reversed(rows)]

    def links(self, cid: Cid) -> tuple[int, tuple[Cid, ...]] | None:
        """Return height and links of an accepted event, which the board keeps beside it."""
        sql = "SELECT height, links FROM nodes WHERE cid = ?"
        row = self._home.database.connection.execute(sql, (cid,)).fetchone()
        return None if row is None else (row[0], split_cids(row[1]))

    def _is_all(self) -> bool:
        """Return whether every accepted event counts, so that the log need not be told from them."""
        return not self._home.board.store.state.voided

    def _items(self, low: Bound, high: Bound | None, most: int | None, arrived: int | None) -> Iterator[Item]:
        where, values = _WITHIN[high is not None], (*low, *(high or ()))
        if arrived is not None:
            where, values = f"{where} AND b.id <= ?", (*values, arrived)
        sql = f"SELECT b.height, b.cid FROM {_LOG} WHERE {where} ORDER BY b.height, b.cid LIMIT ?"  # noqa: S608  # as above
        for height, cid in self._home.database.connection.execute(sql, (*values, -1 if most is None else most)):
            yield height, Cid(cid)
