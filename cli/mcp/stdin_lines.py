"""Lines of stdin as they come, read by a thread that nobody has to wait for when the server is to end.

The SDK's own reader cannot be left while it waits for a line. Here lines are bounded, too: a longer one is cut to
nothing, which is no JSON and answered so.
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from typing import Final

LINE_BYTES_MAX: Final = 4 * 1024 * 1024
_READ_BYTES: Final = 65_536


async def stdin_lines() -> AsyncIterator[str]:
    """Yield the lines of stdin until it ends."""
    loop = asyncio.get_running_loop()
    queue: asyncio.Queue[bytes | None] = asyncio.Queue(maxsize=1)

    def read_on() -> None:
        with suppress(RuntimeError, asyncio.CancelledError):  # the loop has ended, and with it who would read this
            for line in _lines():
                asyncio.run_coroutine_threadsafe(queue.put(line), loop).result()
            asyncio.run_coroutine_threadsafe(queue.put(None), loop).result()

    threading.Thread(target=read_on, name="mcp-stdin", daemon=True).start()
    while (line := await queue.get()) is not None:
        yield line.decode(errors="replace")


def _lines() -> Iterator[bytes]:
    kept, is_too_long = bytearray(), False
    while True:
        try:
            data = os.read(0, _READ_BYTES)
        except OSError:
            data = b""
        *whole, rest = data.split(b"\n")
        for piece in whole:
            line = kept + piece
            yield b"" if is_too_long or len(line) > LINE_BYTES_MAX else bytes(line) + b"\n"
            kept, is_too_long = bytearray(), False
        kept += rest
        if len(kept) > LINE_BYTES_MAX:
            kept, is_too_long = bytearray(), True
        if not data:
            if kept:
                yield bytes(kept)
            return
