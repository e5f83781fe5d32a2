"""What a program does on signals instead of what they do by themselves."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager


@contextmanager
def heeding(handlers: Mapping[int, Callable[[], object]]) -> Iterator[None]:
    """Call what stands for a signal when it comes, inside this block; in the main thread only."""
    kept = {number: signal.signal(number, lambda number, _: handlers[number]()) for number in handlers}
    try:
        yield
    finally:
        for number, before in kept.items():
            signal.signal(number, before)


def ended_by(stop: Callable[[], object]) -> dict[int, Callable[[], object]]:
    """Return the handlers that call `stop` where the program is asked to end: on SIGTERM and on Ctrl-C."""
    return {signal.SIGTERM: stop, signal.SIGINT: stop}
