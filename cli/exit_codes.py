"""How a program ends: the exit codes and what each means. Leaves out which error has which (cli.errors)."""

from __future__ import annotations

from enum import IntEnum
from typing import Final


class ExitCode(IntEnum):
    """How a program ends; each says what its caller can do. 130 and 141 are what shells say of Ctrl-C and SIGPIPE."""

    OK = 0
    DEFECT = 1
    USAGE = 2
    NOT_FOUND = 3
    REFUSED = 4
    NOT_ALLOWED = 5
    INVALID = 6
    STORAGE = 7
    BUSY = 8
    UNCONFIRMED = 9
    INSTALLATION = 10
    UNREACHABLE = 11
    FAILED = 12
    TIME_UP = 13
    INTERRUPTED = 130
    PIPE_CLOSED = 141


MEANINGS: Final[dict[ExitCode, str]] = {
    ExitCode.OK: "Done. What was acknowledged is on the disk.",
    ExitCode.DEFECT: "A defect of the program, with a traceback. Please report it.",
    ExitCode.USAGE: "The command line, or a file of tasks or operations, cannot be read. Nothing was done.",
    ExitCode.NOT_FOUND: "There is no such home, task, event, key or file; or the name fits several tasks.",
    ExitCode.REFUSED: "The board does not allow it now: somebody else holds the task, it is over, or a name is taken.",
    ExitCode.NOT_ALLOWED: "The key may not do this: it is no member, lacks the role, or is not the owner's.",
    ExitCode.INVALID: "Blocks or a file break a rule, which the message names. What was in order has been kept.",
    ExitCode.STORAGE: "The disk is full, cannot be written, or the store is damaged. Nothing acknowledged is lost.",
    ExitCode.BUSY: "Another process held the home for too long. Try again.",
    ExitCode.UNCONFIRMED: "The command asks before it acts, and nobody said yes. Nothing was done.",
    ExitCode.INSTALLATION: "Another distribution has our import name and is installed, too; or there is no Kubo.",
    ExitCode.UNREACHABLE: "A node, peer or gateway cannot be reached, or did not give all. What is local is as it was.",
    ExitCode.FAILED: "A task that was run has failed. Its attempt, with the reason, is in the ledger.",
    ExitCode.TIME_UP: "What was waited for has not happened in the time given. Nothing was changed by waiting.",
    ExitCode.INTERRUPTED: "Ctrl-C. What was acknowledged is kept, nothing is half done.",
    ExitCode.PIPE_CLOSED: "Whoever read the output stopped reading (shells show it as the signal SIGPIPE).",
}
