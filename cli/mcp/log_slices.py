"""A slice of a run's log, by bytes: from the ledger, or from the worker's own file while it runs in this home.

Both are the same stream (scheduler.run_log), so a reader goes on from one in the other.
"""

from __future__ import annotations

import codecs
import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from crdt.records import TaskRecord
    from ledger.cid import Cid
    from ledger.events import TaskKey
    from scheduler.home import Home


@dataclass(frozen=True, slots=True)
class LogSlice:
    """Bytes of a log. `is_over`: nothing comes after them, now or later."""

    task: TaskKey
    claim: Cid | None
    data: bytes
    is_over: bool
    has_file: bool

    def text(self) -> tuple[str, int]:
        """Return it as text, and how many bytes of it that is: a letter that is cut in two waits for its rest."""
        if self.is_over:
            return self.data.decode(errors="replace"), len(self.data)
        decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
        text = decoder.decode(self.data)
        return text, len(self.data) - len(decoder.getstate()[0])


def log_slice(home: Home, record: TaskRecord, claim: Cid | None, offset: int, limit: int) -> LogSlice:
    """Return a slice of the log of a task's claim (None: the one to show). Within a reading.

    Raises MissingError where the task has no such claim.
    """
    from cli.errors import MissingError
    from crdt.attempts import runs
    from crdt.view import FINAL, view
    from scheduler.results import find_claim, shown_claim
    from scheduler.run_log import log_path, missing_words, pieces_of

    now = home.now_ms()
    shown = shown_claim(record, now) if claim is None else find_claim(record, claim)
    if shown is None:
        if claim is not None:
            raise MissingError(f"{claim} is no claim on task {record.spec.task_id} that counts")
        status = view(record, home.board.find_record, home.policy, now).status
        return LogSlice(record.key, None, b"", status in FINAL, has_file=False)
    pieces = pieces_of(home, record, shown.cid)
    kept = b"".join(missing_words(piece) if piece.data is None else piece.data for piece in pieces)
    is_running = runs(shown, now) and not record.completions
    has_file, printed = (
        _from_file(log_path(home.folder, record.key, shown.cid), offset, limit) if is_running else (False, b"")
    )
    data = max(kept[offset : offset + limit], printed, key=len)
    is_over = not is_running and offset + len(data) >= len(kept)
    return LogSlice(record.key, shown.cid, data, is_over, has_file)


def _from_file(path: Path, offset: int, limit: int) -> tuple[bool, bytes]:
    """Return whether the worker's file is here, and what stands in it."""
    with suppress(OSError):
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            return True, os.pread(descriptor, limit, offset)
        finally:
            os.close(descriptor)
    return False, b""
