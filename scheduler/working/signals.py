"""Signals to a worker: SIGTERM and Ctrl-C end it, the second one at once; SIGHUP has it read its policy anew."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from scheduler.working.worker import Worker


@contextmanager
def heeding_signals(worker: Worker) -> Iterator[None]:
    """Heed them inside this block; in a thread other than the main one, where that cannot be, do nothing."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    handlers = {number: lambda *_: worker.drain() for number in (signal.SIGTERM, signal.SIGINT)}
    kept = {number: signal.signal(number, handler) for number, handler in handlers.items()}
    if hasattr(signal, "SIGHUP"):
        kept[signal.SIGHUP] = signal.signal(signal.SIGHUP, lambda *_: worker.reread())
    try:
        yield
    finally:
        for number, before in kept.items():
            signal.signal(number, before)
