"""What this program runs payloads with: a runner for each kind it can run here."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from scheduler.running.command_runner import CommandRunner
from scheduler.running.payloads import Command
from scheduler.working.jobs import Runners


@contextmanager
def opened_runners(state_folder: Path) -> Iterator[Runners]:
    """Give the runners by kind of payload inside this block; `state_folder` is where they keep what outlives a run."""
    commands = CommandRunner(state_folder)
    try:
        yield {Command: commands}
    finally:
        commands.close()
