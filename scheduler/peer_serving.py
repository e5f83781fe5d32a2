"""The exchange server of a daemon: what a home's server answers, and hints beside it.

Implements: specs/hints.md, hints over an exchange's carrier. Leaves out who is let in (ledger.doorkeeper) and what else
is answered (ledger.answerer).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from ledger.answerer import Answerer
from ledger.doorkeeper import Doorkeeper
from ledger.exchange_server import ExchangeServer
from ledger.hints import HINT_BYTES_MAX
from ledger.keys import ActorKey, SigningKey
from scheduler.linking import HINT_PATH
from scheduler.place import Clock
from scheduler.replica import replica_of
from scheduler.serving import HomePool

Swap = Callable[[bytes], bytes]
"""Hears a hint and returns ours; either may be empty."""


class HintingAnswerer(Answerer):
    """An answerer that takes and gives a hint, too."""

    swap: Swap

    def answer(self, path: str, body: BinaryIO) -> Iterator[bytes]:
        """Return the answer to a request, as Answerer does."""
        if path != HINT_PATH:
            return super().answer(path, body)
        return iter((self.swap(body.read(HINT_BYTES_MAX + 1)),))


class PeerServer:
    """A server of the home in `folder`, from `start` to `close`; arguments as those of scheduler.serving.HomeServer."""

    def __init__(
        self, folder: Path, key: SigningKey, swap: Swap, *, host: str, port: int, public: bool, clock: Clock
    ) -> None:
        self._homes = HomePool(folder, clock)
        self._swap = swap
        with self._homes.borrow() as home:
            ledger = home.ledger
        self.doorkeeper = Doorkeeper(ledger, key.actor, self._admits, clock, ())
        self._server = ExchangeServer(self._borrow, self.doorkeeper, public=public, host=host, port=port)
        self.port = self._server.port

    def start(self) -> None:
        """Begin to answer."""
        self._server.start()

    def close(self) -> None:
        """Answer nobody any more."""
        self._server.close()
        self._homes.close()

    @contextmanager
    def _borrow(self) -> Iterator[Answerer]:
        with self._homes.borrow() as home:
            answerer = HintingAnswerer(replica_of(home), home.now_ms)
            answerer.swap = self._swap
            yield answerer

    def _admits(self, actor: ActorKey) -> bool:
        """Whether a key may read and give: a member's, and anybody's where admission is open."""
        with self._homes.borrow() as home, home.reading():
            return home.members.grant_for(actor) is not None
