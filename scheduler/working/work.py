"""What a worker asks of whoever knows the work: would it take a task, and what is to be done for one it has taken.

Two know: `scheduler.working.jobs` runs payloads in processes under a policy, `scheduler.working.handlers` calls the
functions of a Python program.
"""

from __future__ import annotations

from typing import Protocol

from crdt.records import TaskRecord
from scheduler.queue import Acceptance
from scheduler.taking import Taken
from scheduler.working.run import Act


class Work(Protocol):
    """Called by the worker's thread alone."""

    def accepts(self, record: TaskRecord) -> Acceptance:
        """Tell whether a ready task would be taken; cheap, within a reading or writing of the home."""

    def prepare(self, taken: Taken) -> Act | str:
        """Return what does the work of a claim; words where it is not to be done after all. Within a reading."""

    def permits(self, record: TaskRecord) -> bool:
        """Tell whether a task that runs may run on, after `has_changed`. Within a reading of the home."""

    def has_changed(self) -> bool:
        """Tell whether `accepts` may answer otherwise than before, as after a new policy; asked often."""

    def reread(self) -> None:
        """Look anew at whatever decides, at the next `has_changed`."""

    def close(self) -> None:
        """Let go of whatever it has opened; runs may still be about to end."""
