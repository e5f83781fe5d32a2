"""Our side of benchmarks/drain.py: `python -m benchmarks.drain_worker HOME NAME SLOTS` works until SIGTERM."""

from __future__ import annotations

import sys
import time

from scheduler.scheduler import P2PWorkflowScheduler
from scheduler.task import Payload
from scheduler.working.handlers import HandledTask


def echo(task: HandledTask) -> Payload | None:
    """Return its payload."""
    return task.payload


def stamp(_: HandledTask) -> Payload:
    """Return when it has begun."""
    return Payload("text/plain", str(time.time()).encode())


def main(home: str, name: str, slots: str) -> None:
    """Work."""
    with P2PWorkflowScheduler(name, home=home) as scheduler:
        print("ready", flush=True)
        scheduler.run_worker({"text/plain": echo, "text/x-stamp": stamp}, slots=int(slots))


if __name__ == "__main__":
    main(*sys.argv[1:])
