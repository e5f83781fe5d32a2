"""`next --payload`: the file is opened before the task is taken, and takes its place once the payload is in it."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from cli.attachments import bytes_of
from cli.exit_codes import ExitCode
from cli.file_faults import find_file_fault

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from scheduler.actions import Taken
    from scheduler.home import Home


class _NothingToWriteError(Exception):
    """There is no task, or no payload here: the file stays as it was."""


def take_into(
    home: Home, file: Path, take: Callable[[], Taken | None]
) -> tuple[Taken | None, tuple[str, ExitCode] | None]:
    """Take a task and write its payload to `file`; return the task, and words and an exit code where none is written.

    A path that takes no file costs no claim: the error comes before. What fails after the claim is no reason to keep
    silent about what was claimed.
    """
    from ledger.car_sync import replaced_file

    taken = None
    try:
        with suppress(_NothingToWriteError), replaced_file(file) as stream:
            taken = take()
            payload = None if taken is None else _payload(home, taken)
            if payload is None:
                raise _NothingToWriteError
            stream.write(payload)
            stream.flush()
            return taken, None
    except OSError as error:
        if taken is None:
            raise
        fault = find_file_fault(error)
        reason, code = (str(error), ExitCode.STORAGE) if fault is None else (fault.words, fault.code)
        place = f"{file}: " if error.filename is None else ""
        return taken, (f"The task is yours, and its payload could not be written: {place}{reason}", code)
    if taken is None:
        return None, None
    return taken, (f"The task has no payload here: {file} is not written.", ExitCode.OK)


def _payload(home: Home, taken: Taken) -> bytes | None:
    item = taken.record.spec.payload
    if item is None:
        return None
    with home.reading():
        return bytes_of(home, item)
