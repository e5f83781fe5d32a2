"""What a run printed: the pieces in the ledger, in causal order, and the worker's own file while it runs.

Implements: a claim's log is what its renewals carry, by height, then what its ending carries. In the worker's own home
the whole of it lies in a file beside (`log_path`), from the first byte on. Both are the same stream of bytes, so that
a reader goes from one to the other by how much it has read. Pieces whose blob has not come here are named as missing.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

from crdt.attempts import runs
from crdt.records import TaskRecord
from crdt.view import FINAL, Status, view
from ledger.blobs import BLOB_BYTES_MAX
from ledger.cid import Cid
from ledger.events import TaskKey
from ledger.operations import Attachment, Complete, Fail, Renew
from scheduler.endings import counting
from scheduler.home import Home
from scheduler.names import get_task
from scheduler.results import find_claim, shown_claim
from scheduler.wake import Watch

WORK_FOLDER: Final = "work"
PATIENCE_S: Final = 10.0
"""How long a follower waits for a piece whose event is here and whose blob is not: it comes right after, as a rule."""
LOOK_S: Final = 1.0
"""How often a follower looks though nobody woke it: blobs, and other machines' clocks, wake nobody."""
FILE_LOOK_S: Final = 0.1
"""How often it looks at the file of a worker in the same home."""
_READ_BYTES: Final = 262_144


def log_path(folder: Path, task: TaskKey, claim: Cid) -> Path:
    """Return where the worker of this home keeps the log of a claim while it runs, beside what it has sent of it.

    The task stands in the name, too: one event claims several, and all of them have its CID as their claim.
    """
    return folder / WORK_FOLDER / f"{run_name(task, claim)}.log"


def run_name(task: TaskKey, claim: Cid) -> str:
    """Return a name for the run of a claim that no other run has."""
    return f"{claim}-{task.hex()[:16]}"


@dataclass(frozen=True, slots=True)
class Piece:
    """One piece of a log; `data` None: its blob is not here. `size` is then what its author says, in bytes."""

    event: Cid
    size: int
    data: bytes | None
    blob: Cid | None


@dataclass(frozen=True, slots=True)
class Said:
    """What a follower has to say next: more of the log of a claim, or (`missing`) a piece of it that is not here."""

    claim: Cid
    data: bytes = b""
    missing: Piece | None = None


def pieces_of(home: Home, record: TaskRecord, claim: Cid) -> tuple[Piece, ...]:
    """Return the log of a claim as far as it is in the ledger, in causal order. Within a reading."""
    found: list[tuple[bool, int, Cid, Attachment]] = []
    for cid, event, op in counting(home, record):
        if isinstance(op, Renew | Complete | Fail) and op.claim == claim and op.log is not None:
            found.append((not isinstance(op, Renew), event.height, cid, op.log))
    found.sort(key=lambda entry: entry[:3])
    return tuple(_piece(home, cid, item) for _, _, cid, item in found)


def _piece(home: Home, event: Cid, item: Attachment) -> Piece:
    if item.blob is None:
        return Piece(event, len(item.data or b""), item.data or b"", None)
    data = home.intake.blobs.get_many((item.blob,)).get(item.blob)
    return Piece(event, min(item.size, BLOB_BYTES_MAX) if data is None else len(data), data, item.blob)


def read_log(
    home: Home, record: TaskRecord, claim: Cid | None = None, missing: Callable[[Piece], bytes] | None = None
) -> Iterator[bytes]:
    """Yield what the ledger has of a log, piece by piece.

    Args:
        home: where it is.
        record: the task.
        claim: which claim; None: scheduler.results.shown_claim.
        missing: is told each piece that is not here, and returns what stands in its place; None: words that say so.
    """
    with home.reading():
        shown = shown_claim(record, home.now_ms()) if claim is None else find_claim(record, claim)
        pieces = () if shown is None else pieces_of(home, record, shown.cid)
    for piece in pieces:
        yield (missing or missing_words)(piece) if piece.data is None else piece.data


def missing_words(piece: Piece) -> bytes:
    """Return what stands for a piece that is not here."""
    return f"[{piece.size} bytes of the log are not in this home yet: blob {piece.blob}]\n".encode()


class LogFollower:
    """Follow the log of a task, claim after claim, until the task is over; or the log of one claim until that is.

    It begins with the whole log of the claim that `shown_claim` says, and goes on with those made later. Its owner
    calls `new`, then `wait`, until `is_over`. A context manager.

    Args:
        home: where to look.
        task: whose log.
        claim: follow this one alone.
        patience_s: how long to wait for a piece whose event is here and whose blob is not.
    """

    def __init__(self, home: Home, task: TaskKey, claim: Cid | None = None, *, patience_s: float = PATIENCE_S) -> None:
        self.watch = Watch(home.folder)
        self.status = Status.WAITING
        """Where the task stood at the last look."""
        self.is_over = False
        """Whether all has been said that there will be."""
        self._home = home
        self._task = task
        self._only = claim
        self._patience_s = patience_s
        self._sources: dict[Cid, _Source] = {}
        self._known: set[Cid] | None = None
        self._is_running = False
        self._looked = 0.0
        self._woken = True

    def new(self) -> Iterator[Said]:
        """Yield what there is to say that was not said before."""
        if self._woken or time.monotonic() >= self._looked + LOOK_S:
            self._woken = False
            self._looked = time.monotonic()
            yield from self._look()
        else:
            for source in self._sources.values():
                yield from source.from_file()

    def wait(self) -> None:
        """Wait until there may be more to say; `watch.poke` ends it."""
        has_file = any(source.has_file for source in self._sources.values())
        if not has_file and self._is_running:
            has_file = (self._home.folder / WORK_FOLDER).is_dir()  # the worker may make it any moment
        self._woken = self.watch.wait(FILE_LOOK_S if has_file else LOOK_S)

    def _look(self) -> Iterator[Said]:
        home = self._home
        with home.reading():
            record, now = get_task(home, self._task), home.now_ms()
            self.status = view(record, home.board.find_record, home.policy, now).status
            for claim in self._new_claims(record, now):
                self._sources[claim] = _Source(home.folder, self._task, claim, self._patience_s)
            pieces = {claim: pieces_of(home, record, claim) for claim in self._sources}
        running = {claim.cid for claim in record.claims if not record.completions and runs(claim, now)}
        self._is_running = bool(running)
        has_ended = self.status in FINAL or self.status is Status.BLOCKED
        if self._only is not None:
            has_ended = self._only not in running
        for claim, found in pieces.items():
            source = self._sources[claim]
            yield from source.from_file()
            yield from source.from_pieces(found)
            if claim not in running and not source.awaits:
                source.close()  # it stays among the sources: a renewal may come late, and revive the claim
        self.is_over = has_ended and not any(source.awaits for source in self._sources.values())

    def _new_claims(self, record: TaskRecord, now: int) -> list[Cid]:
        """Return the claims to follow from now on: at first that to show, later each that was not there before."""
        if self._only is not None:
            found = find_claim(record, self._only)
            return [] if found is None or found.cid in self._sources else [found.cid]
        if self._known is None:
            shown = shown_claim(record, now)
            fresh = [] if shown is None else [shown]
            self._known = set()
        else:
            fresh = [claim for claim in record.claims if claim.cid not in self._known]
        self._known |= {claim.cid for claim in record.claims}
        return [claim.cid for claim in sorted(fresh, key=lambda claim: (claim.attempt, claim.time, claim.cid))]

    def close(self) -> None:
        """Let go of files and of the watch."""
        for source in self._sources.values():
            source.close()
        self.watch.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class _Source:
    """The log of one claim: how much of it was said, and where more comes from."""

    def __init__(self, folder: Path, task: TaskKey, claim: Cid, patience_s: float) -> None:
        self._patience_s = patience_s
        self._path = log_path(folder, task, claim)
        self._claim = claim
        self._sent = 0
        self._descriptor: int | None = None
        self._waits_since: dict[Cid, float] = {}
        self._named: dict[Cid, int] = {}
        self.awaits = False
        """Whether a piece is missing that may still come."""

    @property
    def has_file(self) -> bool:
        return self._descriptor is not None

    def from_file(self) -> Iterator[Said]:
        """Yield what the worker of this home has written; the file is held open, since the worker removes it."""
        if self._descriptor is None:
            with suppress(OSError):
                self._descriptor = os.open(self._path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        while self._descriptor is not None:
            try:
                data = os.pread(self._descriptor, _READ_BYTES, self._sent)
            except OSError:  # no file one can read: the ledger will have it
                self.close()
                return
            if not data:
                return
            self._sent += len(data)
            yield Said(self._claim, data)

    def from_pieces(self, pieces: tuple[Piece, ...]) -> Iterator[Said]:
        """Yield what the ledger has beyond what was said; a piece that does not come in time is named as missing."""
        self.awaits = False
        start = 0
        for piece in pieces:
            # What stood for a missing piece stays as long as it was said to be, so that what follows keeps its place.
            end = start + self._named.get(piece.event, piece.size)
            if end > self._sent:
                sent, self._sent = self._sent, end
                if piece.data is not None:
                    yield Said(self._claim, piece.data[max(0, sent - start) :])
                elif self._is_worth_waiting(piece):
                    self._sent = sent
                    self.awaits = True
                    return
                else:
                    self._named[piece.event] = piece.size
                    yield Said(self._claim, missing=piece)
            start = end

    def _is_worth_waiting(self, piece: Piece) -> bool:
        now = time.monotonic()
        return now < self._waits_since.setdefault(piece.event, now) + self._patience_s

    def close(self) -> None:
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            os.close(descriptor)


def follow_log(
    home: Home, record: TaskRecord, claim: Cid | None = None, *, patience_s: float = PATIENCE_S
) -> Iterator[Said]:
    """Yield a log as it comes, until the task (or the one claim) is over. Waits for changes of the home."""
    with LogFollower(home, record.key, claim, patience_s=patience_s) as follower:
        while True:
            yield from follower.new()
            if follower.is_over:
                return
            follower.wait()
