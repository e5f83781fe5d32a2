"""Tasks done by functions of a Python program: one for each media type of payloads, called in the worker's threads.

What runs is the program's own code, so there is no policy beyond what it registers: a task of another media type is
left to others. A function returns the result; what it raises is a failed attempt, its traceback the log.
"""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, TypeAlias

from crdt.records import TaskRecord
from ledger.blobs import BLOB_BYTES_MAX
from ledger.operations import ERROR_BYTES_MAX, Attachment, Report
from scheduler.batch import Completed, Ending, Failed
from scheduler.home import Home
from scheduler.queue import Acceptance
from scheduler.running.job import FailureClass, Live
from scheduler.taking import Taken
from scheduler.task import Payload
from scheduler.working.run import Act, Run, shorten

NO_PAYLOAD: Final = ""
"""Stands for the media type of a task without payload."""


@dataclass(frozen=True, slots=True, eq=False)
class HandledTask:
    """A task as the function that does it sees it; `claim` is the fencing token."""

    task_id: str
    workflow_id: str
    name: str
    tags: tuple[str, ...]
    payload: Payload | None
    task_key: str
    claim: str
    attempt: int
    live: Live

    @property
    def stopped(self) -> str | None:
        """Why the function should return soon: its result is wanted no more, or the worker ends. None: go on."""
        return self.live.stop.reason

    def log(self, text: str) -> None:
        """Add text to the task's log."""
        self.live.log(text.encode(errors="replace"))

    def progress(self, words: str) -> None:
        """Say how far it is; the next renewal of the claim carries the last words."""
        self.live.progress(words)


Handler: TypeAlias = Callable[[HandledTask], Payload | None]
Handlers: TypeAlias = Mapping[str, Handler]


class HandlerWork:
    """The functions of a program as a worker's work.

    Args:
        home: where the tasks are.
        handlers: by media type of the payload; `NO_PAYLOAD` for tasks without.
    """

    def __init__(self, home: Home, handlers: Handlers) -> None:
        self._home = home
        self._handlers = dict(handlers)

    def accepts(self, record: TaskRecord) -> Acceptance:
        """Tell whether there is a function for a task, and its payload is here."""
        payload = record.spec.payload
        if (NO_PAYLOAD if payload is None else payload.media_type) not in self._handlers:
            return Acceptance.NO
        if payload is not None and payload.blob is not None and not self._home.intake.blobs.has(payload.blob):
            return Acceptance.LATER
        return Acceptance.YES

    def prepare(self, taken: Taken) -> Act | str:
        """Return the call of the function."""
        spec = taken.record.spec
        payload = None if spec.payload is None else self._read(spec.payload)
        handler = self._handlers[NO_PAYLOAD if payload is None else payload.media_type]
        attempt = next(claim.attempt for claim in taken.record.claims if claim.cid == taken.claim)

        def act(run: Run) -> Ending:
            task = HandledTask(
                spec.task_id,
                spec.workflow_id,
                spec.name,
                spec.tags,
                payload,
                taken.record.key.hex(),
                str(taken.claim),
                attempt,
                run,
            )
            return _call(handler, task, run)

        return act

    def _read(self, item: Attachment) -> Payload:
        if item.blob is None:
            return Payload(item.media_type, item.data or b"")
        return Payload(item.media_type, self._home.intake.blobs.get_many((item.blob,))[item.blob])

    def permits(self, record: TaskRecord) -> bool:
        """Tell that what has begun may end: the functions are the policy."""
        return True

    def has_changed(self) -> bool:
        """Tell that nothing changes."""
        return False

    def reread(self) -> None:
        """Do nothing: what is registered stays."""

    def close(self) -> None:
        """Do nothing: it has opened nothing."""


def _call(handler: Handler, task: HandledTask, run: Run) -> Ending:
    begun = time.monotonic()
    try:
        result = handler(task)
    except Exception as error:  # noqa: BLE001  # whatever the program's function raises is the task's failure
        run.log(traceback.format_exc().encode(errors="replace"))
        words = shorten(f"{type(error).__name__}: {error}", ERROR_BYTES_MAX)
        return Failed(run.task, run.claim, FailureClass.PAYLOAD, words, _report(begun))
    if result is None:
        return Completed(run.task, run.claim, report=_report(begun))
    if len(result.data) > BLOB_BYTES_MAX:
        words = f"a result of {len(result.data)} bytes, at most {BLOB_BYTES_MAX}"
        return Failed(run.task, run.claim, FailureClass.LIMIT, words, _report(begun))
    return Completed(run.task, run.claim, Attachment(result.media_type, data=result.data), _report(begun))


def _report(begun: float) -> Report:
    return Report(duration_ms=round(1000 * (time.monotonic() - begun)))
