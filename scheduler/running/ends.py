"""What every started run can do, at either level, and how its end is said."""

from __future__ import annotations

import os
import signal
from typing import Final, Protocol

KILL_S: Final = 30
"""How long we wait for killed processes to be gone, in s; longer only in the kernel, on a disk that does not answer."""


class UnendingError(OSError):
    """Processes of a run may be left: they do not end though killed, or whoever watched them is gone."""


class NoProgramError(OSError):
    """The program of a run could not be started: it is not there, or is no program."""


class Started(Protocol):
    """A run under way."""

    @property
    def ended(self) -> int:
        """A descriptor that becomes readable when its main process has ended."""

    def terminate(self) -> None:
        """Send SIGTERM to all of its processes."""

    def kill(self) -> None:
        """Kill all of its processes; return when none is left."""

    def finish(self) -> tuple[int, int | None]:
        """Return exit code and signal of the main process and give everything back, once `kill` has returned."""


def exit_of_status(status: int) -> tuple[int, int | None]:
    """Return exit code and signal of what `wait` says, a signal n as shells do: exit code 128 + n."""
    code = os.waitstatus_to_exitcode(status)
    return (code, None) if code >= 0 else (128 - code, -code)


def exit_of_code(code: int) -> tuple[int, int | None]:
    """Return exit code and signal of an exit code as shells have it."""
    number = code - 128
    return code, number if number in set(signal.Signals) else None
