"""How a job went, by what act printed, what the teller wrote, and how the process ended. Pure.

A job counts as done only where every step that nothing told to be left out has ended by act's own account, and the
teller, a job behind it, has really run: act calls a run a success in which it skipped everything.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from scheduler.running.job import FailureClass, Outcome
from scheduler.running.sandbox import Ended
from scheduler.workflows.act_log import NO_FOLDER, ActLog
from scheduler.workflows.act_workflow import AFTER_SKIP, RESULT_OUTPUT, SKIPPED, SingleJob

_STEP_TIMEOUT: Final = "this step has been cancelled"
_UNSTARTED: Final = "fork/exec "
_UNCOMPUTED: Final = "Unable to interpolate expression"
_OF_THE_FILE: Final = ("workflow is not valid", "Error in if-expression")
_BEHIND: Final = "Error occurred running finally"
_ERROR_CHARS_MAX: Final = 1_000


@dataclass(frozen=True, slots=True)
class Told:
    """What the teller wrote of the job."""

    result: str
    outputs: Mapping[str, str]


def read_told(data: bytes | None, job: str) -> Told | None:
    """Return what the teller wrote, None where it wrote nothing of use."""
    try:
        said: Any = json.loads(data or b"")[job]
        outputs = said.get("outputs") or {}
        texts = {str(name): value for name, value in outputs.items() if isinstance(value, str)}
        return Told(str(said["result"]), texts)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None


def judge(
    single: SingleJob,
    log: ActLog,
    ended: Ended,
    told: Told | None,
    errors: str,
    *,
    may_skip: bool,
    is_after_skip: bool = False,
) -> Outcome:
    """Return the outcome of a run, without its outputs' bounds and secrets looked at.

    Args:
        single: what was run.
        log: what act said meanwhile.
        ended: how the process ended.
        told: what the teller wrote.
        errors: what act wrote to stderr.
        may_skip: whether the job has an `if`, or a need that was skipped: then act may skip it.
        is_after_skip: whether a job before it was skipped.
    """
    failure, words = _failure(single, log, ended, told, errors, may_skip=may_skip)
    outputs: dict[str, str] = {}
    if failure is None and told is not None:
        outputs = {RESULT_OUTPUT: SKIPPED} if told.result == SKIPPED else dict(told.outputs)
        if is_after_skip:
            outputs.setdefault(RESULT_OUTPUT, AFTER_SKIP)
    return Outcome(
        failure=failure,
        error=words[:_ERROR_CHARS_MAX],
        exit_code=log.exit_code if failure is not None else 0,
        duration_ms=ended.duration_ms,
        level=str(ended.level),
        limits=("log",) if log.full and "log" not in ended.limits else ended.limits,
        outputs=outputs,
    )


def _failure(
    single: SingleJob, log: ActLog, ended: Ended, told: Told | None, errors: str, *, may_skip: bool
) -> tuple[FailureClass | None, str]:
    if log.full:
        return FailureClass.LIMIT, "it printed more than it may"
    if "time" in ended.limits:
        return FailureClass.TIMEOUT, "it ran longer than it may"
    if ended.stopped is not None:
        return FailureClass.INFRASTRUCTURE, f"stopped: {ended.stopped}"
    if told is None:
        if ended.limits:
            return FailureClass.LIMIT, f"it hit the limit of {', '.join(ended.limits)}"
        return _unrun(log, ended, errors)
    broken = [need for need in single.stubs if log.job_results.get(need) == "failure"]
    if broken:  # whatever the job then did, or left out, it did by a wrong word about its needs
        return FailureClass.INFRASTRUCTURE, f"act could not stand in for the needed {', '.join(broken)}"
    uncomputed = _fault(log, _UNCOMPUTED)
    if uncomputed is not None and told.result in {"success", SKIPPED}:
        # Act goes on with nothing in its place, and calls that a success; on GitHub the step fails.
        return FailureClass.PAYLOAD, f"an expression could not be computed: {uncomputed}"
    match told.result:
        case "success":
            left_out = [step for step, always in single.steps if always and ("Main", step) not in log.results]
            if left_out:
                return FailureClass.INFRASTRUCTURE, f"act says success, but has not run the steps {', '.join(left_out)}"
            return None, ""
        case "skipped" if may_skip and not log.results:
            return None, ""
        case "failure" if log.results or log.exit_code is not None:
            return _payload_failure(log, ended)
    words = {"": "act skipped the job", SKIPPED: "act skipped the job, and nothing told it to"}
    if told.result not in words:
        return _unrun(log, ended, errors)
    return FailureClass.INFRASTRUCTURE, f"{words[told.result]}: {_why(log, ended, errors)}"


def _unrun(log: ActLog, ended: Ended, errors: str) -> tuple[FailureClass, str]:
    """Judge a job that act did not run: the file's fault where every machine's act would say the same of it."""
    if _BEHIND in errors and log.exit_code is not None:  # a post step has failed, and act ends there
        return _payload_failure(log, ended)
    why = _why(log, ended, errors)
    is_files = not log.results and any(words in f"{errors}\n{why}" for words in _OF_THE_FILE)
    failure = FailureClass.PAYLOAD if is_files else FailureClass.INFRASTRUCTURE
    return failure, f"act could not run the job: {why}"


def _payload_failure(log: ActLog, ended: Ended) -> tuple[FailureClass, str]:
    if ended.limits:
        return FailureClass.LIMIT, f"it hit the limit of {', '.join(ended.limits)}"
    if log.exit_code is not None:
        return FailureClass.PAYLOAD, f"a step ended with exit code {log.exit_code}"
    if _fault(log, _STEP_TIMEOUT) is not None:
        return FailureClass.TIMEOUT, "a step ran longer than its timeout-minutes"
    unstarted = _fault(log, _UNSTARTED)
    if unstarted is not None:
        return FailureClass.PAYLOAD, f"a step could not be started, its folder or its shell is missing: {unstarted}"
    if NO_FOLDER in log.faults:
        return FailureClass.PAYLOAD, f"a step could not be started: {NO_FOLDER}"
    return FailureClass.PAYLOAD, log.faults[0] if log.faults else "a step failed"


def _fault(log: ActLog, beginning: str) -> str | None:
    """Return the first fault that act told of in these words, None where there is none."""
    return next((one for one in log.faults if one.startswith(beginning)), None)


def _why(log: ActLog, ended: Ended, errors: str) -> str:
    said = [line for line in errors.splitlines() if line.strip() and not line.startswith(("{", "time="))]
    return "; ".join([*log.faults, *said][:10]) or f"it ended with {ended.exit_code} and said nothing"
