"""What tests of act share: one job of a workflow file run by the real act in the real bubblewrap, with its log."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ledger.cid import Cid
from ledger.events import TaskKey
from ledger.keys import ActorKey
from ledger.operations import Spec
from scheduler.running.files import split
from scheduler.running.job import FailureClass, Input, Job, Limits, Outcome, Permit
from scheduler.running.payloads import WorkflowJob
from scheduler.running.sandbox import Sandbox
from scheduler.workflows.act_runner import ActRunner
from tests.running.support import Kept

CLAIM = Cid.of_raw(b"a claim")
LEDGER = Cid.of_raw(b"a ledger")
PATH = ".github/workflows/ci.yml"


@dataclass(frozen=True)
class Ran:
    """One job: its outcome, and its log."""

    outcome: Outcome
    log: str
    folder: Path

    @property
    def failure(self) -> FailureClass | None:
        """Why it failed, None where it is done."""
        return self.outcome.failure

    @property
    def outputs(self) -> dict[str, str]:
        """The outputs it hands over."""
        return dict(self.outcome.outputs)


def tar_of(files: Mapping[str, str | bytes], *, executable: Sequence[str] = ()) -> bytes:
    """Return a gzipped tar of files."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz") as archive:
        for path, text in files.items():
            data = text.encode() if isinstance(text, str) else text
            member = tarfile.TarInfo(path)
            member.size, member.mode = len(data), 0o755 if path in executable else 0o644
            archive.addfile(member, io.BytesIO(data))
    return stream.getvalue()


def workflow(steps: str, *, job: str = "", top: str = "", event: str = "workflow_dispatch") -> str:
    """Return a file with one job `j`; `steps` is a YAML list, as it would stand at the margin."""
    lines = "".join(f"      {line}\n" if line else "\n" for line in steps.strip("\n").splitlines())
    keys = "".join(f"    {line}\n" for line in job.strip("\n").splitlines() if line)
    runs_on = "" if "runs-on" in job else "    runs-on: ubuntu-latest\n"
    return f"name: Demo\non: {event}\n{top}jobs:\n  j:\n{runs_on}{keys}    steps:\n{lines}"


class ActBench:
    """Runs jobs, each in a folder of its own."""

    def __init__(self, folder: Path, sandbox: Sandbox) -> None:
        self._folder = folder
        self.runner = ActRunner(sandbox)
        self._count = 0

    def run(
        self,
        text: str,
        *,
        job: str = "j",
        source: bytes | Mapping[str, str | bytes] | None = None,
        matrix: Mapping[str, Any] | None = None,
        inputs: Mapping[str, str] | None = None,
        needs: Mapping[str, tuple[str, ...]] | None = None,
        results: Sequence[Input] = (),
        permit: Permit | None = None,
        live: Kept | None = None,
        sha: str = "",
        ref: str = "refs/heads/main",
        event: str = "workflow_dispatch",
    ) -> Ran:
        """Run one job of a file, to its end."""
        self._count += 1
        folder = self._folder / f"job{self._count}"
        folder.mkdir()
        data = tar_of(source) if isinstance(source, Mapping) else source
        blobs: dict[Cid, bytes] = {}
        refs = []
        for content in (text.encode(), data):
            file, parts = split(content or b"")
            refs.append(file)
            blobs |= zip(file.parts, parts, strict=True)
        payload = WorkflowJob(
            file=refs[0],
            path=PATH,
            job=job,
            matrix=matrix or {},
            inputs=inputs or {},
            event=event,
            ref=ref,
            sha=sha,
            source=None if data is None else refs[1],
            needs=needs or {},
        )
        live = live or Kept()
        outcome = self.runner.run(
            Job(
                ledger=LEDGER,
                task=TaskKey(bytes(range(32))),
                claim=CLAIM,
                attempt=1,
                spec=Spec(task_id="t1", workflow_id="w1", name="a job", tags=(), requires=(), payload=None, needs=()),
                submitter=ActorKey(bytes(32)),
                payload=payload,
                inputs=tuple(results),
                permit=permit or Permit(limits=Limits(time_ms=60_000)),
                folder=folder,
                read_blob=blobs.__getitem__,
            ),
            live,
        )
        return Ran(outcome, live.text, folder)


def result(task: str, outputs: Mapping[str, str]) -> Input:
    """Return the result of a task as a job that needs it sees it; `task` is its key as hex."""
    return Input(TaskKey(bytes.fromhex(task)), task, outputs)
