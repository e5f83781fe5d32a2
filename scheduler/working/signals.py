"""Signals to a worker: SIGTERM and Ctrl-C end it, the second one at once; SIGHUP has it read its policy anew."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from scheduler.signals import ended_by, heeding
from scheduler.working.worker import Worker


@contextmanager
def heeding_signals(worker: Worker) -> Iterator[None]:
    """Heed them inside this block; in a thread other than the main one, where that cannot be, do nothing."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    handlers = ended_by(worker.drain)
    if hasattr(signal, "SIGHUP"):
        handlers[signal.SIGHUP] = worker.reread
    with heeding(handlers):
        yield
