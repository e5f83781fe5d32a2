"""Runs one job of a workflow file through act, without docker, in the sandbox.

The strict check stands before it once more, now with what this worker has. What act is given is a workflow of that one
job (act_workflow); what it prints becomes the log (act_log); whether the job is done is judged by more than its exit
code (act_judging). In the job's folder: `source`, what a checkout copies into act's work folder; `.p2p/act`, act's own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

from scheduler.extras import MissingExtraError
from scheduler.running.command_runner import ERROR_CHARS_MAX, permit_of
from scheduler.running.inputs import InputError, InputMissingError, run_environment
from scheduler.running.job import FailureClass, Job, Level, Live, Mount, Outcome
from scheduler.running.levels import SandboxError
from scheduler.running.masking import mask_text
from scheduler.running.outputs import Outputs, OutputsError, write_outputs
from scheduler.running.payloads import WorkflowJob
from scheduler.running.sandbox import Sandbox
from scheduler.workflows.act_judging import judge, read_told
from scheduler.workflows.act_log import ActLog
from scheduler.workflows.act_needs import NeedsError
from scheduler.workflows.act_preparing import FOLDER, SOURCE, TOLD, prepare
from scheduler.workflows.act_program import INSIDE, arguments, find_act
from scheduler.workflows.act_workflow import RESULT_OUTPUT, SKIPPED
from scheduler.workflows.findings import WorkflowRefusedError
from scheduler.workflows.joined_stop import JoinedStop
from scheduler.workflows.reading import WorkflowFileError
from scheduler.workflows.source_tar import SourceTarError
from scheduler.workflows.strict_rules import Rule

ERRORS: Final = "errors"
SUMMARY: Final = "summary.md"
"""The file of a result that has what steps wrote to GITHUB_STEP_SUMMARY."""

_READ_BYTES_MAX: Final = 8 * 1_048_576
_ITS_FAULT: Final = (SourceTarError, WorkflowFileError, NeedsError, InputError)
"""What is wrong with the task itself: no other worker could run it."""
_CANNOT: Final = (SandboxError, MissingExtraError, InputMissingError, OSError)
_OF_THE_WORKER: Final = frozenset((Rule.PROGRAM, Rule.SECRETS))


class ActRunner:
    """Runs `WorkflowJob` payloads. One serves all slots of a worker.

    Args:
        sandbox: where runs happen; None: one of its own, given back by `close`.
    """

    def __init__(self, sandbox: Sandbox | None = None) -> None:
        self._sandbox = sandbox or Sandbox()

    def close(self) -> None:
        """Give back what is kept between runs."""
        self._sandbox.close()

    def run(self, job: Job, live: Live) -> Outcome:
        """Run a job to its end, or until `live.stop`. Never raises for what a job does."""
        level = job.permit.level
        try:
            job = replace(job, permit=permit_of(job))
            level = job.permit.level
            return self._run(job, live)
        except WorkflowRefusedError as error:
            lacking = all(one.rule in _OF_THE_WORKER for one in error.findings if one.is_error)
            failure, words = FailureClass.INFRASTRUCTURE if lacking else FailureClass.PAYLOAD, str(error)
        except _ITS_FAULT as error:
            failure, words = FailureClass.PAYLOAD, str(error)
        except _CANNOT as error:
            failure, words = FailureClass.INFRASTRUCTURE, str(error)
        words = mask_text(words, job.permit.secrets.values())
        live.log(f"{words}\n".encode(errors="replace"))
        return Outcome(failure, words[:ERROR_CHARS_MAX], level=str(level))

    def _run(self, job: Job, live: Live) -> Outcome:
        payload = job.payload
        if not isinstance(payload, WorkflowJob):
            raise SandboxError("this runner is for jobs of workflow files only")
        program = find_act()
        prepared = prepare(job, payload)
        seen = INSIDE if job.permit.level is Level.BUBBLEWRAP else str(program)
        argv = arguments(
            seen,
            event=payload.event,
            folder=prepared.inside,
            source=f"{prepared.inside}/../../{SOURCE}",
            github=_github(job, payload),
        )
        secrets = job.permit.secrets
        environment = run_environment(job, Sandbox.seen_as(job.folder, job.permit.level))
        del environment["P2P_WORKFLOW_OUTPUT"]  # the outputs of a job are those it declares
        with JoinedStop(live.stop) as stop:
            log = ActLog(live, payload.job, secrets=secrets.values(), bytes_max=job.permit.limits.log_bytes, stop=stop)
            ended = self._sandbox.run(
                argv,
                folder=job.folder,
                cwd=FOLDER,
                env={**job.permit.env, **environment},
                permit=replace(job.permit, limits=prepared.limits, secrets={}),
                live=log,
                extra_read=(Mount(program, seen),),
            )
        own = job.folder / FOLDER
        told = read_told(_read_own(own / TOLD), payload.job)
        errors = (_read_own(own / ERRORS) or b"").decode(errors="replace")
        outcome = judge(
            prepared.single, log, ended, told, errors, may_skip=prepared.may_skip, is_after_skip=prepared.is_after_skip
        )
        if outcome.outputs.get(RESULT_OUTPUT) == SKIPPED:
            log.say("The job was skipped: its `if`, or a job it needs that was skipped, says so.")
        hidden = (*secrets.values(), *log.masks)
        outcome = _bounded(replace(outcome, error=mask_text(outcome.error, hidden)), log, hidden)
        if outcome.failure is not None and log.exit_code is None:  # else the log has said it
            log.say(outcome.error)
        log.finish()
        return _with_summary(outcome, job, mask_text(log.summary, hidden))


def _github(job: Job, payload: WorkflowJob) -> dict[str, str]:
    """Return the variables by which act knows of what commit and run this is: the same task is the same run."""
    return {
        "GITHUB_REF": payload.ref or "refs/heads/main",
        "SHA_REF": payload.sha,
        "GITHUB_REPOSITORY": "p2p/workflow",
        "GITHUB_REPOSITORY_OWNER": "p2p",
        "GITHUB_RUN_ID": str(int.from_bytes(bytes(job.task)[:6], "big")),
        "GITHUB_RUN_ATTEMPT": str(job.attempt),
    }


def _bounded(outcome: Outcome, log: ActLog, hidden: Sequence[str]) -> Outcome:
    """Leave out outputs that hold a secret, as GitHub does; fail where they are more than a result may have."""
    outputs = dict(outcome.outputs)
    for name, value in outcome.outputs.items():
        if mask_text(value, hidden) != value:
            del outputs[name]
            log.say(f"The output {name!r} is left out: it holds a secret.")
    try:
        write_outputs(Outputs(outputs))
    except OutputsError as error:
        return replace(outcome, failure=FailureClass.LIMIT, error=str(error), limits=("result",), outputs={})
    return replace(outcome, outputs=outputs)


def _with_summary(outcome: Outcome, job: Job, summary: str) -> Outcome:
    if not summary:
        return outcome
    place = job.folder / FOLDER / SUMMARY
    place.unlink(missing_ok=True)
    place.write_text(summary, encoding="utf-8", errors="replace")
    return replace(outcome, files={SUMMARY: place})


def _read_own(place: Path) -> bytes | None:
    """Read a file that the run may have put a link in place of."""
    if place.is_symlink() or not place.is_file():
        return None
    with place.open("rb") as file:
        return file.read(_READ_BYTES_MAX)
