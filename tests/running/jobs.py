"""Jobs for tests: a command, with inputs and blobs, as a worker would hand it over."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from ledger.cid import Cid
from ledger.events import TaskKey
from ledger.keys import ActorKey
from ledger.operations import Spec
from scheduler.running.command_runner import CommandRunner
from scheduler.running.files import FileRef, split
from scheduler.running.job import Input, Job, Outcome, Permit
from scheduler.running.payloads import Payload
from tests.running.support import Kept

LEDGER = Cid.of(b"ledger")
CLAIM = Cid.of(b"claim")
KEY = TaskKey(b"k" * 32)


@dataclass
class Blobs:
    """Blobs by CID."""

    kept: dict[Cid, bytes] = field(default_factory=dict)

    def file(self, data: bytes, *, executable: bool = False) -> FileRef:
        """Keep a file's parts and return its name."""
        ref, parts = split(data, executable=executable)
        self.kept |= dict(zip(ref.parts, parts, strict=True))
        return ref

    def __call__(self, cid: Cid) -> bytes:
        return self.kept[cid]


def job(
    folder: Path,
    payload: Payload,
    *,
    permit: Permit | None = None,
    inputs: tuple[Input, ...] = (),
    blobs: Blobs | None = None,
    timeout_ms: int | None = None,
) -> Job:
    """Return a job in a folder."""
    spec = Spec("task-1", "flow", "a task", (), timeout_ms=timeout_ms)
    submitter = ActorKey(b"s" * 32)
    return Job(LEDGER, KEY, CLAIM, 2, spec, submitter, payload, inputs, permit or Permit(), folder, blobs or Blobs())


def run(runner: CommandRunner, work: Job) -> tuple[Outcome, str]:
    """Run a job; return its outcome and its log."""
    live = Kept()
    with live.stop:
        return runner.run(work, live), live.text


def texts(files: Mapping[str, Path]) -> dict[str, str]:
    """Return what files hold."""
    return {path: place.read_text() for path, place in files.items()}
