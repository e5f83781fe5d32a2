"""A home that answers exchanges over HTTP: its members are let in, each request has a connection to the store.

Leaves out the server (ledger.exchange_server) and what is answered (ledger.answerer).
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final, Self

from ledger.answerer import Answerer
from ledger.doorkeeper import Doorkeeper
from ledger.exchange_server import ExchangeServer
from ledger.keys import ActorKey, SigningKey
from scheduler.home import Home
from scheduler.place import Clock, wall_clock_ms
from scheduler.replica import replica_of
from scheduler.task_answers import WaitingRoom

HOMES_KEPT: Final = 4
"""Open homes that wait for the next request; each has a cache of its own."""


class HomePool:
    """Open homes of one folder, lent to one thread each; made as they are wanted, a few of them kept."""

    def __init__(self, folder: Path, clock: Clock = wall_clock_ms) -> None:
        self._folder = folder
        self._clock = clock
        self._free: queue.SimpleQueue[Home] = queue.SimpleQueue()
        self._count = 0
        self._is_closed = False
        self._turn = threading.Lock()

    @contextmanager
    def borrow(self) -> Iterator[Home]:
        """Lend a home for the block. One in which something went wrong is not lent again."""
        try:
            home = self._free.get_nowait()
        except queue.Empty:
            home = Home.open(self._folder, clock=self._clock)
        try:
            yield home
        except BaseException:
            home.close()
            raise
        with self._turn:
            if not self._is_closed and self._free.qsize() < HOMES_KEPT:
                self._free.put(home)
                return
        home.close()

    def close(self) -> None:
        """Close what is not lent; what is lent is closed when it comes back."""
        with self._turn:
            self._is_closed = True
        with suppress(queue.Empty):
            while True:
                self._free.get_nowait().close()


class HomeServer:
    """An exchange server of the home in `folder`, from `start` to `close`.

    Args:
        folder: the home.
        key: the key it goes by.
        host, port: where it listens; port 0: any free one.
        public: whether everybody may read.
        audiences: peer ids that it is dialled by, beside its key.
        clock: tells the time, ms.
        step: is told after each request that brought events how many.
    """

    def __init__(
        self,
        folder: Path,
        key: SigningKey,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        public: bool = False,
        audiences: Iterable[str] = (),
        clock: Clock = wall_clock_ms,
        step: Callable[[int], None] = lambda more: None,
    ) -> None:
        self._homes = HomePool(folder, clock)
        self._step = step
        self._room = WaitingRoom()
        with self._homes.borrow() as home:
            ledger = home.ledger
        self.doorkeeper = Doorkeeper(ledger, key.actor, self._admits, clock, audiences)
        self._server = ExchangeServer(self._borrow, self.doorkeeper, public=public, host=host, port=port)
        self.port = self._server.port

    def start(self) -> None:
        """Begin to answer."""
        self._server.start()

    def close(self) -> None:
        """Answer nobody any more."""
        self._room.close()
        self._server.close()
        self._homes.close()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @contextmanager
    def _borrow(self) -> Iterator[Answerer]:
        with self._homes.borrow() as home:
            yield Answerer(replica_of(home, self._step, room=self._room), home.now_ms)

    def _admits(self, actor: ActorKey) -> bool:
        """Whether a key may read and give: a member's, and anybody's where admission is open."""
        with self._homes.borrow() as home, home.reading():
            return home.members.grant_for(actor) is not None
