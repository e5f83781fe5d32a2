"""Puts into a job's folder what act is to run, once the strict check has passed: source, file, event, secrets."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from ledger.cid import Cid
from scheduler.running.files import FileRef
from scheduler.running.inputs import InputMissingError, write_inputs
from scheduler.running.job import Job, Limits
from scheduler.running.payloads import WorkflowJob
from scheduler.running.sandbox import Sandbox, clean_environment
from scheduler.workflows import act_shell
from scheduler.workflows.act_actions import LocalActions
from scheduler.workflows.act_needs import needs_of
from scheduler.workflows.act_program import write_nothing
from scheduler.workflows.act_twice import check_told, check_twice
from scheduler.workflows.act_workflow import SKIPPED, Need, SingleJob, single_job
from scheduler.workflows.findings import Finding, WorkflowRefusedError
from scheduler.workflows.matrix import legs_of
from scheduler.workflows.reading import Workflow, read_workflow
from scheduler.workflows.schema_check import check_schema
from scheduler.workflows.source_tar import unpack
from scheduler.workflows.strict import Situation, check

FOLDER: Final = ".p2p/act"
SOURCE: Final = "source"
TOLD: Final = "told.json"

_RAW_LOG_FACTOR: Final = 1_024  # act's JSON around each line; the log itself is bounded by ActLog
_READ_BYTES_MAX: Final = 8 * 1_048_576


@dataclass(frozen=True, slots=True)
class Prepared:
    """What stands ready in a job's folder; `inside` is act's own folder as the run sees it."""

    single: SingleJob
    inside: str
    limits: Limits
    may_skip: bool
    is_after_skip: bool


def prepare(job: Job, payload: WorkflowJob) -> Prepared:
    """Put into a job's folder what act is to run; raise for what may not be run, or is not there.

    Raises WorkflowFileError, WorkflowRefusedError, SourceTarError, NeedsError, InputError for what is wrong with the
    task, InputMissingError for what this home lacks.
    """
    workflow = read_workflow(_read(payload.file, job.read_blob), payload.path)
    source = job.folder / SOURCE
    source.mkdir()
    if payload.source is not None:
        unpack(_read(payload.source, job.read_blob), source)
    situation = _situation(job, payload, source)
    refuse_faults(workflow, payload, situation)
    needs = needs_of(payload, workflow, job.inputs)
    told = {"ref": payload.ref, "commit": payload.sha, "event": payload.event, "path": payload.path}
    twice = [*check_told(workflow, told), *check_twice(workflow, payload.job, _texts(job, payload, needs))]
    if twice:
        raise WorkflowRefusedError(twice)
    write_inputs(job, Sandbox.seen_as(job.folder, job.permit.level))
    own = job.folder / FOLDER
    own.mkdir(parents=True)
    inside = f"{Sandbox.seen_as(job.folder, job.permit.level)}/{FOLDER}"
    shell = f"{inside}/{act_shell.NAME}"
    actions = LocalActions(situation, inside, shell)
    single = single_job(
        workflow,
        payload.job,
        event=payload.event,
        matrix=payload.matrix,
        needs=needs,
        result_path=f"{inside}/{TOLD}",
        source=f"{Sandbox.seen_as(job.folder, job.permit.level)}/{SOURCE}",
        shell=shell,
        actions=actions,
    )
    _write_files(own, single, payload, job.permit.secrets)
    act_shell.write_shell(own, actions.files)
    content = workflow.jobs[payload.job]
    is_after_skip = any(need.is_after_skip or need.result == SKIPPED for need in needs.values())
    return Prepared(
        single,
        inside,
        limits=_limits(job.permit.limits, content.get("timeout-minutes")),
        may_skip="if" in content or is_after_skip,
        is_after_skip=is_after_skip,
    )


def _texts(job: Job, payload: WorkflowJob, needs: Mapping[str, Need]) -> dict[str, tuple[str, ...]]:
    """Return the texts that a run begins with and the file does not say, by the context that holds them."""
    return {
        "inputs": tuple(payload.inputs.values()),
        "github": (payload.ref, *payload.inputs.values()),
        "needs": tuple(value for need in needs.values() for value in need.outputs.values()),
        "secrets": tuple(job.permit.secrets.values()),
    }


def refuse_faults(workflow: Workflow, payload: WorkflowJob, at: Situation) -> None:
    """Raise WorkflowRefusedError where a job of a workflow file may not be run as it is asked for."""
    if not isinstance(workflow.jobs.get(payload.job), dict):
        raise WorkflowRefusedError([workflow.error("job", ("jobs",), f"there is no job {payload.job[:100]!r}")])
    found: list[Finding] = [*check_schema(workflow), *check(workflow, payload.job, at=at)]
    if not any(one.is_error for one in found):
        legs, faults = legs_of(workflow, payload.job)
        found += faults
        if legs and all(dict(leg.values) != dict(payload.matrix) for leg in legs):
            where = ("jobs", payload.job, "strategy")
            found.append(workflow.error("matrix.leg", where, f"the matrix has no leg {dict(payload.matrix)!r:.200}"))
    if any(one.is_error for one in found):
        raise WorkflowRefusedError(found)


def _situation(job: Job, payload: WorkflowJob, source: Path) -> Situation:
    path = job.permit.env.get("PATH") or clean_environment(job.folder, job.permit.level)["PATH"]
    known = "PATH" not in job.permit.env  # else its folders may be mounts, which are seen by the run alone

    def read_source(name: str) -> bytes | None:
        place = (source / name).resolve()
        if not place.is_relative_to(source.resolve()) or not place.is_file():
            return None
        return place.read_bytes()[:_READ_BYTES_MAX]

    return Situation(
        read_source=None if payload.source is None else read_source,
        has_program=lambda name: not known or shutil.which(name, path=path) is not None,
        secrets=frozenset(name.upper() for name in job.permit.secrets),
        sha=payload.sha,
    )


def _write_files(own: Path, single: SingleJob, payload: WorkflowJob, secrets: Mapping[str, str]) -> None:
    event: dict[str, Any] = {"ref": payload.ref} if payload.ref else {}
    if payload.inputs:
        event["inputs"] = dict(payload.inputs)
    if payload.event == "push" and payload.sha:
        event["after"] = payload.sha
    secret_file = own / "secrets.yml"
    secret_file.touch(mode=0o600)
    secret_file.write_text(json.dumps(dict(secrets)), encoding="utf-8")
    (own / "job.yml").write_text(single.text, encoding="utf-8")
    (own / "event.json").write_text(json.dumps(event), encoding="utf-8")
    write_nothing(own)


def _limits(limits: Limits, timeout_minutes: Any) -> Limits:
    """Return the permit's limits, and what the job says of its time, which act does not hold."""
    time_ms = limits.time_ms
    if isinstance(timeout_minutes, int | float) and not isinstance(timeout_minutes, bool):
        said = max(1, round(timeout_minutes * 60_000))
        time_ms = said if time_ms is None else min(said, time_ms)
    return replace(limits, time_ms=time_ms, log_bytes=limits.log_bytes * _RAW_LOG_FACTOR)


def _read(file: FileRef, read_blob: Callable[[Cid], bytes]) -> bytes:
    """Return the bytes of a file; each part is what its CID says."""
    try:
        parts = [(part, read_blob(part)) for part in file.parts]
    except LookupError as error:
        raise InputMissingError(f"a part of what is to run is not in this home: {error}") from None
    for part, data in parts:
        if Cid.of_raw(data) != part:
            raise InputMissingError(f"{part}: the bytes in this home are others")
    return b"".join(data for _, data in parts)
