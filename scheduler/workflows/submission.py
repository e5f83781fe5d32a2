"""A run of a workflow file as tasks: one for each job, or leg of its matrix, with the needs of jobs as needs of tasks.

All of them go into the ledger in one transaction. File, source and inputs are pinned in each payload, and the names of
the tasks hold a digest of them: the same submission again is the same tasks, another source is another run. `--run-id`
gives a run a name of its own instead, so that the same may be run again.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

from ledger.cid import Cid
from ledger.events import TaskKey, task_key
from ledger.keys import ActorKey, SigningKey
from ledger.operation_writing import write_spec
from ledger.operations import NEEDS_MAX, Attachment, Spec
from ledger.schema import SchemaError
from scheduler.acting import named
from scheduler.action_errors import RequestError
from scheduler.home import Home
from scheduler.running.files import FileRef, split
from scheduler.running.payloads import WorkflowJob, canonical_json, write_payload
from scheduler.submitting import SubmitRequest, Submitted, submit
from scheduler.tags import GITHUB_ONLY_TAGS, WorkflowTag
from scheduler.task import PRIORITY_DEFAULT
from scheduler.workflows.findings import Finding, WorkflowRefusedError
from scheduler.workflows.matrix import NAME_CHARS_MAX, render_leg
from scheduler.workflows.planning import JobPlan, LegPlan, Plan
from scheduler.workflows.reading import Workflow
from scheduler.workflows.strict import Situation, check
from scheduler.workflows.strict_rules import Rule

_DIGEST_CHARS: Final = 12


@dataclass(frozen=True, slots=True)
class Run:
    """What is asked for: a workflow file on a source, with all that its jobs are told.

    Args:
        workflow: the file as it was read.
        plan: its plan, without errors.
        path: the file's place in the source, such as .github/workflows/ci.yml.
        event: what it stands for, such as workflow_dispatch.
        inputs: checked ones (scheduler.workflows.inputs).
        ref: the git ref, sha: the commit; "" where nobody said.
        source: the tar of the source, None without one.
        jobs: ids of the jobs that are wanted, with all they need; empty: all.
        network: whether every job may use one; else those that fetch actions.
        priority: of each task.
        workflow_id: of each task; None: the workflow's name.
        run_id: begins the name of each task; None: a digest of what is pinned.
    """

    workflow: Workflow
    plan: Plan
    path: str
    event: str
    inputs: Mapping[str, str] = field(default_factory=dict)
    ref: str = ""
    sha: str = ""
    source: bytes | None = None
    jobs: tuple[str, ...] = ()
    network: bool = False
    priority: int = PRIORITY_DEFAULT
    workflow_id: str | None = None
    run_id: str | None = None


@dataclass(frozen=True, slots=True)
class LegTask:
    """One task of a run, before it is submitted."""

    job: JobPlan
    leg: LegPlan
    payload: WorkflowJob
    key: TaskKey
    request: SubmitRequest


@dataclass(frozen=True, slots=True)
class RunTasks:
    """A run as tasks, each after those it needs, with the name of the run and what is pinned."""

    run_id: str
    file: FileRef
    source: FileRef | None
    tasks: tuple[LegTask, ...]


def submit_run(home: Home, key: SigningKey, run: Run) -> tuple[RunTasks, list[Submitted]]:
    """Submit all tasks of a run in one durable transaction; those that are there already are not made twice.

    Raises WorkflowRefusedError where jobs cannot run peer-to-peer, and whatever `scheduler.submitting.submit` raises.
    """
    made = tasks_of(home.ledger, key.actor, run)
    return made, submit(home, key, [task.request for task in made.tasks])


def tasks_of(ledger: Cid, submitter: ActorKey, run: Run) -> RunTasks:
    """Return the tasks that a run makes of a submitter in a ledger.

    Raises WorkflowRefusedError for jobs that run on GitHub only, RequestError for what no task can hold.
    """
    wanted = run.plan.with_needs(run.jobs)
    errors = tuple(_refusals(run, wanted))
    if errors:
        raise WorkflowRefusedError(errors)
    return _Maker(ledger, submitter, run).make_all(wanted)


def _refusals(run: Run, jobs: Iterable[JobPlan]) -> Iterator[Finding]:
    legs = {job.job: len(job.legs) for job in run.plan.jobs}
    for job in jobs:
        github_only = [tag.value for tag in job.tags.tags if tag in GITHUB_ONLY_TAGS]
        if github_only:
            words = f"{', '.join(github_only)} says that it runs on GitHub only"
            advice = "leave the job out: --job NAME submits others"
            yield run.workflow.error("tags.github-only", ("jobs", job.job), words, advice)
        if sum(legs.get(need, 0) for need in job.needs) > NEEDS_MAX:
            words = f"it needs more legs than the {NEEDS_MAX} tasks that a task can need"
            yield run.workflow.error("needs.number", ("jobs", job.job, "needs"), words)
    if not run.sha or run.source is None:  # whoever runs them would refuse what names the commit, or checks that out
        anybody = Situation(None if run.source is None else _nothing, has_program=lambda _: True, sha=run.sha)
        found = check(run.workflow, *(job.job for job in jobs), at=anybody)
        yield from (one for one in found if one.rule in {Rule.CONTEXT, Rule.SOURCE} and one.is_error)


def _nothing(_: str) -> None:
    """Stand for a source that nobody looks into yet."""


class _Maker:
    """Makes the tasks of one run; the keys of those made are what later ones need."""

    def __init__(self, ledger: Cid, submitter: ActorKey, run: Run) -> None:
        self._ledger, self._submitter, self._run = ledger, submitter, run
        self._file, parts = split(run.workflow.data)
        self._source: FileRef | None = None
        if run.source is not None:
            self._source, more = split(run.source)
            parts = [*parts, *more]
        # With the first task only: it keeps them for all.
        self._blobs: dict[Cid, bytes] = {Cid.of_raw(part): part for part in parts}
        self._run_id = run.run_id or self._digest()
        self._keys: dict[str, tuple[TaskKey, ...]] = {}
        self._names: set[str] = set()

    def _digest(self) -> str:
        run = self._run
        pinned: dict[str, Any] = {
            "file": self._file.to_json(),
            "path": run.path,
            "source": None if self._source is None else self._source.to_json(),
            "event": run.event,
            "inputs": dict(run.inputs),
            "ref": run.ref,
            "sha": run.sha,
            "network": run.network,
        }
        return hashlib.sha256(canonical_json(pinned)).hexdigest()[:_DIGEST_CHARS]

    def make_all(self, jobs: Iterable[JobPlan]) -> RunTasks:
        """Return the tasks of jobs, each of which stands after those it needs."""
        tasks: list[LegTask] = []
        for job in jobs:
            made = [self._make(job, leg) for leg in job.legs]
            self._keys[job.job] = tuple(task.key for task in made)
            tasks += made
        return RunTasks(self._run_id, self._file, self._source, tuple(tasks))

    def _make(self, job: JobPlan, leg: LegPlan) -> LegTask:
        run = self._run
        payload = WorkflowJob(
            file=self._file,
            path=run.path,
            job=job.job,
            matrix=leg.leg.values,
            inputs=run.inputs,
            event=run.event,
            ref=run.ref,
            sha=run.sha,
            source=self._source,
            needs={need: tuple(key.hex() for key in self._keys[need]) for need in job.needs},
            network=run.network or job.network,
            secrets=job.secrets,
        )
        media_type, data = write_payload(payload)
        spec = Spec(
            task_id=self._name(job, leg),
            workflow_id=run.workflow_id or run.plan.name,
            name=f"{run.plan.name}: {leg.leg.name}",
            tags=tuple(sorted(job.tags.tags)) or (WorkflowTag.P2P_ELIGIBLE.value,),
            requires=leg.requires,
            payload=Attachment(media_type, data=data),
            needs=tuple(sorted(key for need in job.needs for key in self._keys[need])),
            timeout_ms=job.timeout_ms,
        )
        blobs, self._blobs = self._blobs, {}
        return LegTask(job, leg, payload, self._key_of(spec), SubmitRequest(spec, run.priority, blobs=blobs))

    def _name(self, job: JobPlan, leg: LegPlan) -> str:
        """Return the name of a task: run, job, and the values of the leg, made unlike those before."""
        values = render_leg(leg.leg.values)[:NAME_CHARS_MAX]
        plain = name = f"{self._run_id}/{job.job}" + (f" ({values})" if values else "")
        count = 1
        while name in self._names:
            count += 1
            name = f"{plain} #{count}"
        self._names.add(name)
        return name

    def _key_of(self, spec: Spec) -> TaskKey:
        try:
            fields = write_spec(replace(spec, payload=named(spec.payload)))
        except SchemaError as error:
            raise RequestError(f"job {spec.task_id!r}: {error}") from error
        return task_key(self._ledger, self._submitter, fields)
