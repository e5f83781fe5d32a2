"""Payloads run under a policy: whether a task may be run here, what it needs at hand, and the run itself.

Implements: default deny, checked before the claim and again before the run (scheduler.working.judging). What lacks a
blob waits for it. Leaves out processes and sandboxes: runners, one for each kind of payload (scheduler.running.job).
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Final

from crdt.records import TaskRecord
from ledger.blobs import SqliteBlocks
from ledger.cid import Cid
from ledger.database import Database
from ledger.events import TaskKey
from ledger.operations import ERROR_BYTES_MAX
from scheduler.acting import inputs
from scheduler.batch import Ending, Failed
from scheduler.home import Home
from scheduler.place import open_store
from scheduler.queue import Acceptance
from scheduler.results import inputs_of
from scheduler.running.job import FailureClass, Job, Permit, Runner
from scheduler.running.payloads import Payload
from scheduler.taking import Taken
from scheduler.working.folders import WorkFolders
from scheduler.working.judging import Judgement, is_for_workers, judge_task, lacking
from scheduler.working.outcome import ending_of
from scheduler.working.policy import WorkerPolicy
from scheduler.working.policy_file import PolicyFile
from scheduler.working.run import Act, Run, shorten
from scheduler.working.secrets import SecretError, grant

_logger = logging.getLogger(__name__)

_KNOWN_MAX: Final = 50_000
_TOLD_MAX: Final = 10
"""Of so many tasks that it may not run a worker says so, until the policy changes."""

Runners = Mapping[type[Payload], Runner]


class BlobReader:
    """Blobs of a home, for the threads of slots: on a connection of their own, so that no write makes them wait."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._database: Database | None = None
        self._turn = threading.Lock()

    def read(self, cid: Cid) -> bytes:
        """Return a blob; LookupError for one that is not here."""
        with self._turn:
            if self._database is None:
                self._database = open_store(self._folder, create=False)
            with self._database.reading():
                found = SqliteBlocks(self._database).get_many((cid,))
        if cid not in found:
            raise LookupError(f"the blob {cid} is not in this home")
        return found[cid]

    def close(self) -> None:
        """Close the connection."""
        with self._turn:
            if self._database is not None:
                self._database.close()
                self._database = None


class JobWork:
    """Payloads as a worker's work.

    Args:
        home: where the tasks are.
        policy: what may be run, as its file says at the moment.
        runners: what runs each kind of payload; a kind without one is left to others.
        folders: where runs work.
    """

    def __init__(self, home: Home, policy: PolicyFile, runners: Runners, folders: WorkFolders) -> None:
        self._home = home
        self._policy = policy
        self._runners = runners
        self._folders = folders
        self._blobs = BlobReader(home.folder)
        self._changes = self._count_changes()
        self._known: dict[TaskKey, Acceptance] = {}
        self._told = 0

    # ---- before the claim

    def accepts(self, record: TaskRecord) -> Acceptance:
        """Tell whether the policy allows a task, and all it needs is here."""
        known = self._known.get(record.key)
        if known is None:
            known = self._judge(record)
            if known is not Acceptance.LATER:
                if len(self._known) >= _KNOWN_MAX:
                    self._known.clear()
                self._known[record.key] = known
        return known

    def _judge(self, record: TaskRecord) -> Acceptance:
        judgement = judge_task(self._home, self._policy.current(), record)
        if judgement.waits:
            return Acceptance.LATER
        if not judgement.allowed or judgement.payload is None or type(judgement.payload) not in self._runners:
            self._tell(record, judgement)
            return Acceptance.NO
        needed = inputs_of(self._home, record, inputs(self._home.board, record)) if record.spec.needs else ()
        return Acceptance.LATER if any(lacking(self._home, judgement.payload, needed)) else Acceptance.YES

    def _tell(self, record: TaskRecord, judgement: Judgement) -> None:
        """Say of the first tasks that are left to others why: who keeps the policy may have meant otherwise."""
        if is_for_workers(record.spec) and self._told < _TOLD_MAX:
            self._told += 1
            why = "; ".join(judgement.reasons) or "nothing here runs its kind of payload"
            _logger.info(
                "left to others: task %s (%s)",
                record.spec.task_id,
                why,
                extra={"event": "denied", "task": record.key.hex()},
            )
            if self._told == _TOLD_MAX:
                _logger.info("more are left to others; `tasks` and `explain TASK` tell which and why")

    def permits(self, record: TaskRecord) -> bool:
        """Tell whether the policy still allows a task that runs, and its submitter is not revoked."""
        return judge_task(self._home, self._policy.current(), record).allowed

    def has_changed(self) -> bool:
        """Tell whether the policy says something else than before, or somebody was admitted or revoked."""
        before, self._changes = self._changes, self._count_changes()
        if before == self._changes:
            return False
        self._known.clear()
        self._told = 0
        return True

    def _count_changes(self) -> tuple[int, int]:
        self._policy.current()
        return self._policy.changes, self._home.board.store.state.roster.changes

    def reread(self) -> None:
        """Do nothing: the file is looked at each time."""

    # ---- the run

    def prepare(self, taken: Taken) -> Act | str:
        """Return the run of a task that was claimed; words where the policy, read again, allows it no more."""
        record = taken.record
        claim = next(claim for claim in record.claims if claim.cid == taken.claim)
        policy = self._policy.current()
        judgement = judge_task(self._home, policy, record)
        payload, permit = judgement.payload, judgement.permit
        if payload is None or permit is None:
            return f"this worker may not run it any more: {'; '.join(judgement.reasons)}"
        runner = self._runners.get(type(payload))
        if runner is None:
            return "this worker runs no payload of its kind"
        needed = inputs_of(self._home, record, claim.inputs) if record.spec.needs else ()
        if any(lacking(self._home, payload, needed)):
            return "a file that it needs is not in this home"
        job = Job(
            ledger=self._home.ledger,
            task=record.key,
            claim=taken.claim,
            attempt=claim.attempt,
            spec=record.spec,
            submitter=record.submitter,
            payload=payload,
            inputs=needed,
            permit=permit,
            folder=self._folders.path,
            read_blob=self._blobs.read,
        )
        return lambda run: self._run(run, job, runner, policy)

    def _run(self, run: Run, job: Job, runner: Runner, policy: WorkerPolicy) -> Ending:
        problem = next((one.problem for one in job.inputs if one.problem), None)
        if problem is not None:
            words = shorten(f"an input cannot be used: {problem}", ERROR_BYTES_MAX)
            return Failed(job.task, job.claim, FailureClass.PAYLOAD, words)
        try:
            permit: Permit = grant(job.permit, job.payload.secrets, policy.secrets)
        except SecretError as error:
            return Failed(job.task, job.claim, FailureClass.INFRASTRUCTURE, shorten(str(error), ERROR_BYTES_MAX))
        folder = self._folders.make(job.task, job.claim)
        try:
            outcome = runner.run(replace(job, permit=permit, folder=folder), run)
            return ending_of(job.task, job.claim, folder, outcome)
        finally:
            self._folders.remove(job.task, job.claim)

    def close(self) -> None:
        """Close what it has opened."""
        self._blobs.close()
