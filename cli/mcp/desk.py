"""Where calls meet the home: SQLite off the event loop, writers one after the other, readers beside them.

Every write goes through one home and its queue, in the order in which the calls came, so that no call is held up by
more than the transactions before its own. Each reading opens the home anew (half a millisecond) and sees one state of
it; a long one (verify) has its own few threads. What waits holds no thread: it is woken when the home changes.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final, TypeVar

import anyio
import anyio.to_thread

from cli.errors import CliError
from cli.exit_codes import ExitCode
from cli.session import Session
from scheduler.home import Home
from scheduler.peers import KnownPeers
from scheduler.queue import TaskQueue
from scheduler.wake import Watch

if TYPE_CHECKING:
    from ledger.events import Role
    from ledger.keys import SigningKey

READERS: Final = 4
LONG_READERS: Final = 2
LOOK_S: Final = 1.0
"""How often a waiting call looks though nobody woke it: clocks, and blobs that come later, wake nobody."""

T = TypeVar("T")


class StoppingError(CliError):
    """The server is being stopped: what a call was waiting for it will not see here."""

    exit_code = ExitCode.REFUSED


class Turn:
    """What a call that writes has for itself while it is its turn: the home, the peer's key, queue and peers."""

    def __init__(self, session: Session, home: Home) -> None:
        self._session = session
        self.home = home
        self.name = session.peer_name(home)
        self.me: SigningKey = session.find_key(home) or home.keys.ensure(self.name)
        self.queue = TaskQueue(home, self.me.actor)
        self.peers = KnownPeers(home, self.me.actor, ())

    def key(self, role: Role) -> SigningKey:
        """Return the key to act with in `role`; admitted and joined at first use, where the owner's key is at hand."""
        return self._session.key(self.home, role)

    def worker(self) -> SigningKey:
        """Return the key to work with, at work."""
        return self._session.worker_key(self.home)


class Desk:
    """The home of a running server. Made and closed in one thread, used by calls on one event loop."""

    def __init__(self, session: Session) -> None:
        self.session = session
        home, self.founded = Home.open_or_found(session.folder)
        self.folder = home.folder
        self.ledger = home.ledger
        self._home = home
        try:
            self._turn = Turn(session, home)
        except BaseException:
            home.close()
            raise
        self.me = self._turn.me.actor
        self.name = self._turn.name
        self._writers = anyio.CapacityLimiter(1)
        self._readers = anyio.CapacityLimiter(READERS)
        self._long_readers = anyio.CapacityLimiter(LONG_READERS)
        self._change = anyio.Event()
        self.is_stopping = False

    def close(self) -> None:
        """Close the home, after the last call."""
        self._home.close()

    # ---- calls

    async def write(self, act: Callable[[Turn], T]) -> T:
        """Return what `act` comes to, once it is durable. What has begun is ended, whatever becomes of the call."""
        return await anyio.to_thread.run_sync(act, self._turn, limiter=self._writers)

    async def read(self, look: Callable[[Home], T]) -> T:
        """Return what `look` sees in one state of the home."""

        def looking() -> T:
            with Home.open(self.folder) as home, home.reading():
                return look(home)

        return await anyio.to_thread.run_sync(looking, limiter=self._readers)

    async def read_long(self, look: Callable[[Home], T]) -> T:
        """Return what `look` sees; it opens its readings itself, may take long, and is not to keep others waiting."""

        def looking() -> T:
            with Home.open(self.folder) as home:
                return look(home)

        return await anyio.to_thread.run_sync(looking, limiter=self._long_readers)

    # ---- waiting

    async def pause(self, at_most_s: float) -> None:
        """Wait until the home changes, or for so long; raise StoppingError where the server ends."""
        if not self.is_stopping:
            with anyio.move_on_after(max(0.0, at_most_s)):
                await self._change.wait()
        self.check_not_stopping()

    def check_not_stopping(self) -> None:
        """Raise StoppingError where the server ends."""
        if self.is_stopping:
            raise StoppingError("the server is being stopped", "call again when it is back: nothing was lost")

    def stop(self) -> None:
        """Have all calls that wait end. Called on the event loop."""
        self.is_stopping = True
        self._changed()

    def _changed(self) -> None:
        self._change.set()
        self._change = anyio.Event()

    @asynccontextmanager
    async def watching(self) -> AsyncIterator[None]:
        """Have those who wait woken inside this block."""
        loop, watch, ending = asyncio.get_running_loop(), Watch(self.folder), threading.Event()

        def watch_on() -> None:
            while not ending.is_set():
                if watch.wait(60.0) and not ending.is_set():
                    loop.call_soon_threadsafe(self._changed)

        thread = threading.Thread(target=watch_on, name="mcp-watch", daemon=True)
        thread.start()
        try:
            yield
        finally:
            ending.set()
            watch.poke()
            thread.join(timeout=5.0)
            watch.close()
