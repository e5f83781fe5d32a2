"""From how a run went to what the ledger is told: the result with its files as blobs, the report, the failure.

Implements: the result attachment `OUTPUTS_TYPE` (scheduler.running.outputs). Reads the files that a run hands over, so
it is called before the run's folder is removed. Leaves out logs (scheduler.working.spool).
"""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Final

from ledger.cid import Cid
from ledger.events import TaskKey
from ledger.operations import ERROR_BYTES_MAX, LABEL_BYTES_MAX, Attachment, Report
from scheduler.batch import Completed, Ending, Failed
from scheduler.running.files import EVENT_PARTS_MAX, FILE_BYTES_MAX, FileRef, FileRefError, split
from scheduler.running.job import FailureClass, Outcome
from scheduler.running.outputs import Outputs, OutputsError, write_outputs
from scheduler.running.payloads import OUTPUTS_TYPE
from scheduler.working.run import shorten

_LIMITS_MAX: Final = 16


class TooMuchError(Exception):
    """What a run hands over does not fit into one event; the words say what."""


def ending_of(task: TaskKey, claim: Cid, folder: Path, outcome: Outcome) -> Ending:
    """Return what to tell the ledger of a run whose files lie in `folder`."""
    report = report_of(outcome)
    if outcome.failure is not None:
        return Failed(task, claim, outcome.failure, shorten(outcome.error, ERROR_BYTES_MAX), report)
    try:
        output, blobs = _gather(folder, outcome)
    except (TooMuchError, OutputsError, FileRefError) as error:
        report = replace(report, limits=tuple(sorted({*report.limits, "result"})))
        return Failed(task, claim, FailureClass.LIMIT, shorten(f"its result cannot be kept: {error}", 4_096), report)
    except OSError as error:
        words = shorten(f"its result cannot be read: {error}", ERROR_BYTES_MAX)
        return Failed(task, claim, FailureClass.INFRASTRUCTURE, words, report)
    return Completed(task, claim, output, report, blobs=blobs)


def report_of(outcome: Outcome) -> Report:
    """Return the report of a run as an event holds it."""
    level = None if outcome.level is None else shorten(outcome.level, LABEL_BYTES_MAX)
    limits = tuple(sorted({shorten(limit, LABEL_BYTES_MAX) for limit in outcome.limits}))[:_LIMITS_MAX]
    exit_code = outcome.exit_code
    return Report(exit_code, None if outcome.duration_ms is None else max(0, outcome.duration_ms), level, limits)


def _gather(folder: Path, outcome: Outcome) -> tuple[Attachment | None, Mapping[Cid, bytes]]:
    if not outcome.outputs and not outcome.files:
        return None, {}
    blobs: dict[Cid, bytes] = {}
    files: dict[str, FileRef] = {}
    for path, place in sorted(outcome.files.items()):
        data, executable = _read(folder, place)
        files[path], parts = split(data, executable=executable)
        blobs |= zip(files[path].parts, parts, strict=True)
        if len(blobs) > EVENT_PARTS_MAX:
            raise TooMuchError(f"its files have more than {EVENT_PARTS_MAX} parts")
    data = write_outputs(Outputs(dict(outcome.outputs), files))
    return Attachment(OUTPUTS_TYPE, data=data), blobs


def _read(folder: Path, place: Path) -> tuple[bytes, bool]:
    """Return a file that a run hands over; a link that leads out of its folder is none."""
    if not place.resolve().is_relative_to(folder.resolve()):
        raise TooMuchError(f"{place.name} leads out of the work folder")
    descriptor = os.open(place, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    with open(descriptor, "rb") as file:  # noqa: PTH123  # the file that was opened, not the path again
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise TooMuchError(f"{place.name} is no regular file")
        if status.st_size > FILE_BYTES_MAX:
            raise TooMuchError(f"{place.name} has {status.st_size} bytes, at most {FILE_BYTES_MAX}")
        return file.read(FILE_BYTES_MAX + 1), bool(status.st_mode & stat.S_IXUSR)
