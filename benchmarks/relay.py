"""A TCP relay between two ends of a link: it delays what passes, counts it, and can be cut.

The kernel's own delay (netem) is not everywhere, so a link of so many milliseconds is made here: each piece of data is
handed on when its time has come, in order, however much is under way. As a thread within a process, or, where the
relay's work must not share an interpreter with what is measured, as a program:

    python -m benchmarks.relay HOST:PORT --delay-ms 25

prints its own port, relays until its standard input ends, and then prints what it counted as one JSON object.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import socket
import sys
import threading
from collections import deque
from collections.abc import Callable, Coroutine
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final, Self

sys.path.insert(0, str(Path(__file__).parents[1]))  # benchmarks are run from a checkout, as programs

_PIECE_BYTES: Final = 256 * 1024
_UNDER_WAY_BYTES_MAX: Final = 64 * 1024 * 1024
"""How much a direction carries at once before its sender has to wait; a link without a bandwidth of its own."""
_DEADLINE_S: Final = 10.0


@dataclass(slots=True)
class Counts:
    """What passed: connections, bytes each way, and turns.

    A turn begins where the client speaks after the server has spoken, or at first: with one request under way at a
    time, turns are round trips, however many pieces a request or an answer is cut into.
    """

    connections: int = 0
    bytes_up: int = 0
    bytes_down: int = 0
    turns: int = 0


class Relay:
    """Listen on a loopback port and relay each connection to `target`, `delay_ms` later each way.

    A context manager; its work is done in a thread of its own.

    Args:
        target: host and port of the server.
        delay_ms: how long each byte is under way, in one direction: half a round trip.
    """

    def __init__(self, target: tuple[str, int], delay_ms: float = 0.0) -> None:
        self.counts = Counts()
        self._target = target
        self._delay_s = delay_ms / 1000
        self._is_cut = False
        self._links: set[asyncio.StreamWriter] = set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="relay", daemon=True)
        self._thread.start()
        self._server = self._call(self._listen())
        self.port: int = self._server.sockets[0].getsockname()[1]

    def cut(self) -> None:
        """Break all connections and take no new ones, as a network does that is down."""
        self._call(self._cut(is_cut=True))

    def heal(self) -> None:
        """Take connections again."""
        self._call(self._cut(is_cut=False))

    def reset_counts(self) -> None:
        """Count from nothing."""
        self.counts = Counts()

    def close(self) -> None:
        """Break all connections and stop listening."""
        if self._thread.is_alive():
            self._call(self._end())
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(_DEADLINE_S)
            self._loop.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # ---- in the relay's own thread

    def _call(self, doing: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(doing, self._loop).result(_DEADLINE_S)

    async def _listen(self) -> asyncio.Server:
        return await asyncio.start_server(self._connect, "127.0.0.1", 0, limit=_PIECE_BYTES)

    async def _cut(self, *, is_cut: bool) -> None:
        self._is_cut = is_cut
        if is_cut:
            for writer in tuple(self._links):
                writer.transport.abort()

    async def _end(self) -> None:
        self._server.close()
        await self._cut(is_cut=True)
        rest = asyncio.all_tasks() - {asyncio.current_task()}  # each ends, since its ends are closed
        if rest:
            await asyncio.wait(rest, timeout=_DEADLINE_S / 2)

    async def _connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, away = None, None
        if not self._is_cut:
            with contextlib.suppress(OSError):
                there, away = await asyncio.open_connection(*self._target, limit=_PIECE_BYTES)
        if there is None or away is None or self._is_cut:  # it may have been cut meanwhile
            for end in (writer, away):
                if end is not None:
                    end.transport.abort()
                    await _closed(end)
            return
        self.counts.connections += 1
        ends = (writer, away)
        self._links.update(ends)
        for end in ends:
            end.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        is_up = False

        def count_up(size: int) -> None:
            nonlocal is_up
            self.counts.bytes_up += size
            self.counts.turns += not is_up
            is_up = True

        def count_down(size: int) -> None:
            nonlocal is_up
            self.counts.bytes_down += size
            is_up = False

        await asyncio.gather(self._carry(reader, away, count_up), self._carry(there, writer, count_down))
        self._links.difference_update(ends)
        for end in ends:
            end.close()
            await _closed(end)

    async def _carry(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, count: Callable[[int], None]
    ) -> None:
        """Hand on what comes, each piece when its time has come; at its end, end the other side's reading, too."""
        under_way: deque[tuple[float, bytes]] = deque()
        size = 0
        changed = asyncio.Condition()

        def has_room() -> bool:
            return size < _UNDER_WAY_BYTES_MAX

        async def take() -> None:
            nonlocal size
            is_open = True
            while is_open:
                data = b""
                with contextlib.suppress(ConnectionError):
                    data = await reader.read(_PIECE_BYTES)
                is_open = bool(data)
                if is_open:
                    count(len(data))
                async with changed:
                    under_way.append((self._loop.time() + self._delay_s, data))
                    size += len(data)
                    changed.notify_all()
                    await changed.wait_for(has_room)

        async def give() -> None:
            nonlocal size
            while True:
                async with changed:
                    await changed.wait_for(lambda: under_way)
                due, data = under_way.popleft()
                await asyncio.sleep(due - self._loop.time())
                if not data:
                    break
                writer.write(data)
                await writer.drain()
                async with changed:
                    size -= len(data)
                    changed.notify_all()
            if writer.can_write_eof():
                writer.write_eof()

        taking = asyncio.ensure_future(take())
        try:
            await give()
        except OSError:
            writer.transport.abort()
        finally:
            taking.cancel()


async def _closed(writer: asyncio.StreamWriter) -> None:
    """Return once the socket is closed, however it ended."""
    with contextlib.suppress(OSError):
        await writer.wait_closed()


def main() -> None:
    """Relay until standard input ends."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("target", metavar="HOST:PORT")
    parser.add_argument("--delay-ms", type=float, default=0.0)
    asked = parser.parse_args()
    host, _, port = asked.target.rpartition(":")
    with Relay((host, int(port)), asked.delay_ms) as relay:
        print(relay.port, flush=True)
        sys.stdin.read()
        print(json.dumps(asdict(relay.counts)), flush=True)


if __name__ == "__main__":
    main()
