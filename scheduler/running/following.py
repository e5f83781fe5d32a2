"""Follows one started run: its output to the log, masked; its end, its deadline and the signal to stop, all waited for.

One thread, one `poll` over all of them. Whatever ends the run (its main process, time, too much output, somebody's
stop), nothing of it is left when `follow` returns: SIGTERM to all and a grace first where it is still at work, then
the end of everything. A background process that keeps the output open ends with the rest, so nobody waits for it.

While the ledger takes the log more slowly than the run prints, `live.log` waits, and the deadline waits with it.
"""

from __future__ import annotations

import math
import os
import select
import time
from dataclasses import dataclass
from typing import Final

from scheduler.running.ends import Started
from scheduler.running.job import Limits, Live
from scheduler.running.limits import TAIL_BYTES
from scheduler.running.masking import Masker

_CHUNK: Final = 65_536


@dataclass(frozen=True, slots=True)
class Followed:
    """How it went: `limits` that we held ourselves, why it was stopped, and the end of what it printed."""

    duration_ms: int
    limits: tuple[str, ...]
    stopped: str | None
    tail: bytes


def follow(started: Started, output: int, live: Live, *, masker: Masker, limits: Limits, grace_ms: int) -> Followed:
    """Follow a run to its end. `output` is the reading end of what it prints to; it is read without waiting."""
    begun = time.monotonic()
    os.set_blocking(output, False)
    log = _Log(output, live, masker, limits.log_bytes)
    hit: list[str] = []
    stopped: str | None = None
    try:
        poller = select.poll()
        for descriptor in (output, live.stop, started.ended):
            poller.register(descriptor, select.POLLIN)
        until = None if limits.time_ms is None else begun + limits.time_ms / 1_000
        ending = False
        while True:
            ready = {descriptor for descriptor, _ in poller.poll(_wait_ms(until))}
            if started.ended in ready:
                break
            if output in ready:
                log.pump()
                if log.closed:  # by the run, which works on
                    poller.unregister(output)
            late = until is not None and time.monotonic() >= until
            if ending:
                if late:
                    break
                continue
            if live.stop.reason is not None:
                stopped = live.stop.reason
            elif log.full:
                hit.append("log")
            elif late:
                hit.append("time")
            else:
                continue
            ending = True
            poller.unregister(live.stop)  # it stays readable
            patience_ms = grace_ms if live.stop.patience_ms is None else min(grace_ms, live.stop.patience_ms)
            until = time.monotonic() + patience_ms / 1_000
            started.terminate()
    finally:
        started.kill()
    duration_ms = round((time.monotonic() - begun) * 1_000)
    while not log.closed and log.pump():
        pass
    if log.full and not hit and stopped is None:
        hit.append("log")
    log.finish()
    return Followed(duration_ms, tuple(hit), stopped, bytes(log.tail))


def _wait_ms(until: float | None) -> int | None:
    return None if until is None else max(0, math.ceil((until - time.monotonic()) * 1_000))


class _Log:
    """What the run prints, on its way to the log."""

    def __init__(self, output: int, live: Live, masker: Masker, bytes_max: int) -> None:
        self.tail = bytearray()
        self.closed = False
        self._output, self._live, self._masker = output, live, masker
        self._bytes_max = self._left = bytes_max
        self.full = False

    def pump(self) -> bool:
        """Carry on what there is, at most one piece; return False where there is nothing now or ever."""
        try:
            data = os.read(self._output, _CHUNK)
        except BlockingIOError:
            return False
        if not data:
            self.closed = True
            return False
        if self.full:
            return True  # read and forgotten, so that nobody hangs in a write
        self.tail = (self.tail + data)[-TAIL_BYTES:]
        shown = self._masker.feed(data[: self._left])
        self._left -= len(data)
        if shown:
            self._live.log(shown)
        if self._left < 0:
            self.full = True
            self._live.log(f"\n[it printed more than it may: {self._bytes_max} bytes; its log ends here]\n".encode())
        return True

    def finish(self) -> None:
        """Carry on what was held back, but not the beginning of a secret that the limit has cut."""
        rest = b"" if self.full else self._masker.finish()
        if rest:
            self._live.log(rest)
