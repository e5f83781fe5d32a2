"""How a task came out: what ended the claim that counts, what it handed over, and what of that is here.

Implements: `result`, from the board and the operations behind it (specs/tasks.md, D1 and D7). What other peers wrote is
read with bounds: outputs that are not what they should be are said to be malformed, and never an error here.
Leaves out the log (scheduler.run_log) and how a result is shown.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from crdt.records import ClaimRecord, TaskRecord
from crdt.view import Status, TaskView, holder_of, view
from ledger.cid import Cid
from ledger.events import TaskKey
from ledger.keys import ActorKey
from ledger.operations import Attachment, Complete, Fail, Release, Renew, Report
from scheduler.endings import Ending, counting, endings, voided_of
from scheduler.home import Home
from scheduler.running.files import FileRef, parts_of
from scheduler.running.job import Input
from scheduler.running.outputs import Outputs, OutputsError, read_outputs
from scheduler.running.payloads import OUTPUTS_TYPE

_NO_REPORT: Final = Report()


@dataclass(frozen=True, slots=True)
class Handed:
    """What one completion handed over, as far as it is here.

    `output` is the attachment itself, whatever its media type; `malformed` says why outputs could not be read.
    """

    output: Attachment | None = None
    outputs: Mapping[str, str] = field(default_factory=dict)
    files: Mapping[str, FileRef] = field(default_factory=dict)
    malformed: str = ""
    missing: tuple[Cid, ...] = ()
    """Blobs of the output and of its files that are not in this home yet."""


@dataclass(frozen=True, slots=True)
class Result:
    """How a task came out under one claim, or where it stands under it.

    `claim` is None for a task nobody has claimed, `event` for a claim that nothing has ended; `event` is then the event
    whose author says what stands here. Times in ms since 1970.
    """

    task: TaskRecord
    status: Status
    claim: ClaimRecord | None = None
    event: Cid | None = None
    at: int | None = None
    is_result: bool = False
    """Whether this is the task's result: not a failed attempt, nor a completion that another one supersedes."""
    stable: bool = False
    report: Report = _NO_REPORT
    failure_class: str | None = None
    error: str = ""
    released: bool = False
    progress: str | None = None
    """The last words of the claim's renewals."""
    handed: Handed = Handed()
    superseded: tuple[Cid, ...] = ()
    """Completions beside the result."""
    voided: tuple[Cid, ...] = ()
    """Inputs the claim rests on that a revocation has voided since (D7): the result is tainted."""

    @property
    def worker(self) -> ActorKey | None:
        """Who holds, or held, the claim."""
        return None if self.claim is None else self.claim.actor

    @property
    def attempt(self) -> int | None:
        """The attempt, from 1."""
        return None if self.claim is None else self.claim.attempt

    @property
    def exit_code(self) -> int | None:
        """How the process ended, None where nobody said."""
        return self.report.exit_code

    @property
    def duration_ms(self) -> int | None:
        """How long it ran."""
        return self.report.duration_ms

    @property
    def sandbox(self) -> str | None:
        """The level it was kept apart at (scheduler.running.job.Level)."""
        return self.report.sandbox

    @property
    def limits(self) -> tuple[str, ...]:
        """The limits it hit."""
        return self.report.limits

    @property
    def outputs(self) -> Mapping[str, str]:
        """Outputs by name."""
        return self.handed.outputs

    @property
    def files(self) -> Mapping[str, FileRef]:
        """Files by path."""
        return self.handed.files

    @property
    def tainted(self) -> bool:
        """Whether an input it rests on was voided since."""
        return bool(self.voided)


def class_and_error(failure_class: str | None, error: str) -> str:
    """Return in one line what an attempt's failure is called, and its author's words."""
    return ": ".join(filter(None, (failure_class, " ".join(error.split()))))


def failure_words(result: Result) -> str:
    """Return in one line how an attempt failed: class, error, exit code and limits, as far as they were said."""
    code = result.exit_code
    said = (
        class_and_error(result.failure_class, result.error),
        "" if code is None or result.error == f"exit code {code}" else f"exit code {code}",
        f"limits hit: {', '.join(result.limits)}" if result.limits else "",
    )
    return ", ".join(filter(None, said))


def shown_claim(record: TaskRecord, now: int) -> ClaimRecord | None:
    """Return the claim to show of a task: that of its result, else its holder's, else the last; None without any."""
    if record.result is not None:
        return find_claim(record, record.result.claim)
    last = max(record.claims, key=lambda claim: (claim.attempt, claim.time, claim.cid), default=None)
    return holder_of(record, now) or last


def find_claim(record: TaskRecord, cid: Cid) -> ClaimRecord | None:
    """Return a claim on a task by its CID, None for one that is none or counts no more."""
    return next((claim for claim in record.claims if claim.cid == cid), None)


def result_of(home: Home, record: TaskRecord, claim: Cid | None = None, now: int | None = None) -> Result:
    """Return how a task came out, or where it stands.

    Args:
        home: where it is known; one state of it is read.
        record: the task.
        claim: under which claim; None: `shown_claim`.
        now: the instant, ms since 1970; None for the present.

    Raises:
        LookupError: the task has no such claim.
    """
    with home.reading():
        at = home.now_ms() if now is None else now
        seen = view(record, home.board.find_record, home.policy, at)
        shown = shown_claim(record, at) if claim is None else find_claim(record, claim)
        if shown is None:
            if claim is not None:
                raise LookupError(f"{claim} is no claim on task {record.spec.task_id} that counts")
            return Result(record, seen.status)
        return _result(home, record, seen, shown)


def _result(home: Home, record: TaskRecord, seen: TaskView, claim: ClaimRecord) -> Result:
    ending = _ending_of(record, claim, endings(home, record))
    result = record.result
    base = Result(
        record,
        seen.status,
        claim,
        progress=_last_progress(home, record, claim.cid),
        superseded=tuple(done.cid for done in record.completions[1:]),
        voided=voided_of(home, claim.inputs),
    )
    if ending is None:
        return base
    op = ending.op
    return Result(
        record,
        seen.status,
        claim,
        event=ending.event,
        at=ending.time,
        is_result=result is not None and result.cid == ending.event,
        stable=home.board.is_stable(ending.event),
        report=_NO_REPORT if isinstance(op, Release) or op.report is None else op.report,
        failure_class=op.failure_class if isinstance(op, Fail) else None,
        error=op.error if isinstance(op, Fail) else (op.reason or "") if isinstance(op, Release) else "",
        released=isinstance(op, Release),
        progress=base.progress,
        handed=handed_over(home, op) if isinstance(op, Complete) else Handed(),
        superseded=base.superseded,
        voided=base.voided,
    )


def _ending_of(record: TaskRecord, claim: ClaimRecord, found: Iterable[Ending]) -> Ending | None:
    """Return what ended a claim: the result where it is that, else the last completion, failure or release."""
    own = [ending for ending in found if ending.op.claim == claim.cid]
    if record.result is not None and record.result.claim == claim.cid:
        own = [ending for ending in own if ending.event == record.result.cid]
    return max(own, key=lambda ending: (_weight(ending.op), ending.time, ending.event), default=None)


def _weight(op: Complete | Fail | Release) -> int:
    return 2 if isinstance(op, Complete) else 1 if isinstance(op, Fail) else 0


def _last_progress(home: Home, record: TaskRecord, claim: Cid) -> str | None:
    found = (
        (event.height, cid, op.progress)
        for cid, event, op in counting(home, record)
        if isinstance(op, Renew) and op.claim == claim and op.progress
    )
    last = max(found, default=None)
    return None if last is None else last[2]


# ---- what was handed over


def handed_over(home: Home, op: Complete) -> Handed:
    """Return what a completion handed over, as far as it is here. Within a reading."""
    item = op.output
    if item is None:
        return Handed()
    data = item.data or b"" if item.blob is None else home.intake.blobs.get_many((item.blob,)).get(item.blob)
    if data is None:
        return Handed(item, missing=(item.blob,) if item.blob is not None else ())
    if item.media_type != OUTPUTS_TYPE:
        return Handed(item)
    try:
        read = read_outputs(data)
    except OutputsError as error:
        return Handed(item, malformed=f"malformed outputs: {error}")
    return Handed(item, read.outputs, read.files, missing=_missing(home, read))


def _missing(home: Home, outputs: Outputs) -> tuple[Cid, ...]:
    parts = parts_of(outputs.files.values())
    return tuple(part for part in parts if not home.intake.blobs.has(part))


def inputs_of(home: Home, record: TaskRecord, claim_inputs: Iterable[Cid]) -> tuple[Input, ...]:
    """Return the results of a task's needs, in the order of its needs.

    A need whose result cannot be used says so in `problem`; blobs that are not here yet are in `missing`. Never raises
    for what other peers wrote.

    Args:
        home: where they are known; one state of it is read.
        record: the task that needs them.
        claim_inputs: the completions that its claim cites, or would cite (scheduler.acting.inputs).
    """
    cited = tuple(claim_inputs)
    with home.reading():
        return tuple(_input(home, need, cited) for need in record.spec.needs)


def _input(home: Home, need: TaskKey, cited: tuple[Cid, ...]) -> Input:
    needed = home.board.find_record(need)
    task_id = need.hex() if needed is None else needed.spec.task_id
    for cid in cited:
        verdict = home.board.store.find_verdict(need, cid)
        if verdict is None or verdict.rule is not None:
            continue
        _, op = home.board.task_graph.entry(cid, need)
        if isinstance(op, Complete):
            handed = handed_over(home, op)
            problem = f"{task_id}: {handed.malformed}" if handed.malformed else ""
            return Input(need, task_id, handed.outputs, handed.files, handed.output, handed.missing, problem)
    return Input(need, task_id, problem=f"{task_id}: the claim cites no completion of it")
