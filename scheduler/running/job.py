"""What a worker and whoever runs a task say to each other: a job, what is permitted, how it went.

The worker (scheduler.working) decides and speaks to the ledger; a runner starts processes and knows no ledger. Both
know these types alone. Times in ms unless a name says otherwise, sizes in bytes.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Final, Protocol, Self

from ledger.cid import Cid
from ledger.events import TaskKey
from ledger.keys import ActorKey
from ledger.operations import Attachment, Spec
from scheduler.readable import is_readable
from scheduler.running.files import FileRef
from scheduler.running.payloads import Payload

LOG_BYTES_MAX: Final = 16 * 1_048_576
"""What a run may print by default, in bytes."""
GRACE_MS: Final = 5_000
"""From SIGTERM to SIGKILL, for a run that is to end and has time."""
AT_ONCE_MS: Final = 200
"""The same where it is to end at once."""


class FailureClass(StrEnum):
    """Why an attempt failed, as it stands in the ledger (`fail`, field `class`)."""

    PAYLOAD = "payload"
    """The work itself says so: an exit code other than 0."""
    TIMEOUT = "timeout"
    """It ran longer than it may."""
    LIMIT = "limit"
    """It passed a limit: memory, output, processes, file size."""
    INFRASTRUCTURE = "infrastructure"
    """The worker could not run it, or could not keep its result."""


class Level(StrEnum):
    """How far a run is kept apart from its machine, least first. Recorded in the result's report, field `sandbox`."""

    PROCESS = "process"
    """A process group of its own, clean environment, private work folder, limits; it sees the whole machine."""
    BUBBLEWRAP = "bubblewrap"
    """Namespaces of its own beside: no network unless permitted, a read-only system, nobody else's processes."""

    @property
    def strength(self) -> int:
        """Where it stands among the levels, from 0."""
        return list(Level).index(self)


@dataclass(frozen=True, slots=True)
class Limits:
    """What one run may use; None: the machine is the limit."""

    time_ms: int | None = None
    memory_bytes: int | None = None
    processes: int | None = None
    file_bytes: int | None = None
    """The largest file it may write."""
    open_files: int | None = None
    log_bytes: int = LOG_BYTES_MAX
    result_bytes: int = 64 * 1_048_576
    """All files it hands over as its result."""


def grace_ms(time_ms: int | None) -> int:
    """Return how long after SIGTERM a run of at most `time_ms` is killed, in ms: 5 s, less for short ones.

    Whoever ends a run in time to tell of it before its claim ends reckons with it (scheduler.working.keeping).
    """
    return GRACE_MS if time_ms is None else min(GRACE_MS, time_ms // 10)


@dataclass(frozen=True, slots=True)
class Mount:
    """A folder of the worker's machine that a run sees, under the path `inside`."""

    outside: Path
    inside: str
    writable: bool = False


@dataclass(frozen=True, slots=True)
class Permit:
    """What the worker's policy lets one run do."""

    level: Level = Level.BUBBLEWRAP
    """The least level; one that is not to be had refuses, never falls back."""
    network: bool = False
    mounts: tuple[Mount, ...] = ()
    limits: Limits = Limits()
    env: Mapping[str, str] = field(default_factory=dict)
    """Variables that the policy adds."""
    secrets: Mapping[str, str] = field(default_factory=dict, repr=False)
    """Secrets granted to this run, by variable; masked in whatever it prints."""
    rule: str = ""
    """The name of the policy's rule that allows it, for people."""


@dataclass(frozen=True, slots=True)
class Input:
    """The result of one task that a job needs."""

    task: TaskKey
    task_id: str
    outputs: Mapping[str, str] = field(default_factory=dict)
    files: Mapping[str, FileRef] = field(default_factory=dict)
    output: Attachment | None = None
    """The result itself, whatever its media type: what an agent handed over by `complete --output`."""
    missing: tuple[Cid, ...] = ()
    """Blobs of it that are not in this home yet: the task is better left for later."""
    problem: str = ""
    """Why it cannot be used, such as malformed outputs: the run fails with these words."""


@dataclass(frozen=True, slots=True)
class Job:
    """One attempt at a task, under a claim.

    `folder` is private to it, empty, and removed by the worker afterwards. `read_blob` gives the bytes of a blob that
    payload or inputs name; LookupError for one that is not in this home.
    """

    ledger: Cid
    task: TaskKey
    claim: Cid
    attempt: int
    spec: Spec
    submitter: ActorKey
    payload: Payload
    inputs: tuple[Input, ...]
    permit: Permit
    folder: Path
    read_blob: Callable[[Cid], bytes]


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a run went. `failure` None: it is done.

    `files` are those to keep as its result: by path, where they lie in the job's folder.
    """

    failure: FailureClass | None = None
    error: str = ""
    exit_code: int | None = None
    duration_ms: int | None = None
    level: str | None = None
    limits: tuple[str, ...] = ()
    """Limits that it hit, by the names of `Limits`' fields without their units: time, memory, log, result, …"""
    outputs: Mapping[str, str] = field(default_factory=dict)
    files: Mapping[str, Path] = field(default_factory=dict)


class StopSignal:
    """Tells a run to end, from any thread: why, once. Can be waited for together with pipes (`fileno`)."""

    def __init__(self) -> None:
        self._reader, self._writer = os.pipe()
        os.set_inheritable(self._reader, False)
        self._turn = threading.Lock()
        self._reason: str | None = None
        self._patience_ms: int | None = None

    @property
    def reason(self) -> str | None:
        """Why the run is to end, None while it is not."""
        return self._reason

    @property
    def patience_ms(self) -> int | None:
        """How long it may take to end at most, where that is less than the grace that runs have as a rule."""
        return self._patience_ms

    def set(self, reason: str, *, patience_ms: int | None = None) -> None:
        """Have the run end; the first reason stays."""
        with self._turn:
            if self._reason is None:
                self._patience_ms = patience_ms
                self._reason = reason
                if self._writer >= 0:
                    os.write(self._writer, b"\0")

    def wait(self, timeout_s: float | None = None) -> bool:
        """Wait until it is set; return whether it is."""
        return is_readable(self._reader, timeout_s) or self._reason is not None

    def fileno(self) -> int:
        """Return what becomes readable, and stays so, once it is set."""
        return self._reader

    def close(self) -> None:
        """Give its pipe back."""
        with self._turn:
            for descriptor in (self._reader, self._writer):
                if descriptor >= 0:
                    os.close(descriptor)
            self._reader = self._writer = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Live(Protocol):
    """What a run can say while it runs; from any of its threads."""

    @property
    def stop(self) -> StopSignal:
        """Set when the run is to end: superseded, cancelled, drained."""

    def log(self, data: bytes) -> None:
        """Keep what the run printed, secrets masked. Waits where more stands unsent than may be."""

    def progress(self, words: str) -> None:
        """Say in words how far it is; the next renewal carries the last of them."""


class Runner(Protocol):
    """Runs jobs of one kind of payload. One runner serves all slots, each in a thread of its own."""

    def run(self, job: Job, live: Live) -> Outcome:
        """Run a job to its end, or until `live.stop`; nothing of it runs on when this returns.

        Never raises for what a job does. What it raises all the same is an infrastructure failure of that job alone.
        """
