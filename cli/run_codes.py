"""How `run` ends: the command's own exit code, and numbers for what no command says of itself.

122 to 125 are what `timeout`, `env` and container tools use for words about the run rather than from it. A command can
end with such a number as well: `run --json` and `result` tell them apart.
"""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from scheduler.results import Result


class RunCode(IntEnum):
    """What `run` ends with where the command did not say."""

    OK = 0
    FAILED = 1
    """The command failed, and nobody said with which exit code."""
    LIMIT = 122
    TIME_UP = 124
    NOT_RUN = 125
    """It was not run to an end: no attempt is left, it expired, others cancelled it, or a need is dead."""
    INTERRUPTED = 130


_CODES_MAX: Final = 255
_SIGNALS: Final = 128


def run_code(result: Result, *, interrupted: bool = False) -> int:
    """Return the exit code that says how a task came out; `interrupted`: by Ctrl-C or SIGTERM of who waits."""
    from crdt.view import Status
    from scheduler.running.job import FailureClass

    if result.status is Status.DONE:
        return _own(result.exit_code or 0)
    if interrupted and result.status is Status.CANCELLED:
        return RunCode.INTERRUPTED
    match result.failure_class:
        case FailureClass.PAYLOAD:
            return _own(result.exit_code or RunCode.FAILED)
        case FailureClass.TIMEOUT:
            return RunCode.TIME_UP
        case FailureClass.LIMIT:
            code = result.exit_code or 0
            return _own(code) if code > 0 else RunCode.LIMIT
        case _:
            return RunCode.NOT_RUN


def _own(code: int) -> int:
    """Return a process's exit code as a shell tells it: of one that a signal ended 128 and its number."""
    if code < 0:
        code = _SIGNALS - code
    return code if code <= _CODES_MAX else RunCode.FAILED
