"""Who could run the legs of a plan now: workers of this ledger that have the labels, and what this peer's policy says.

A worker's labels are in the ledger, its policy is not: of others it is known only that they could be asked.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from ledger.keys import ActorKey
from ledger.operations import Spec
from scheduler.assignment import Crew, crew_of
from scheduler.home import Home
from scheduler.running.files import FileRef
from scheduler.running.payloads import WorkflowJob
from scheduler.tags import WorkflowTag
from scheduler.workflows.planning import JobPlan, LegPlan, Plan
from scheduler.working.policy import Denial, WorkerPolicy, judge


@dataclass(frozen=True, slots=True)
class CouldRun:
    """Who could run one leg.

    Args:
        workers: those that have joined, were heard of lately and have its labels; this peer if its policy allows it.
        missing: labels that no worker at work has; with none at work, all it requires.
        denied: why this peer's policy does not allow it; None: it does, or nobody asked for it.
    """

    workers: tuple[ActorKey, ...]
    missing: tuple[str, ...]
    denied: tuple[str, ...] | None


def who_could_run(
    home: Home, plan: Plan, me: ActorKey | None, policy: WorkerPolicy | None
) -> dict[str, list[CouldRun]]:
    """Return for each job who could run its legs, in their order. Within a reading of the home.

    Args:
        home: whose ledger knows the workers.
        plan: the workflow's.
        me: the key that would submit; None: nobody in particular, and policies are not asked.
        policy: this peer's; None: it has none.
    """
    board = home.board
    crew = crew_of(board.roster(), board.active_workers(), home.heard_of(), None, home.policy, home.now_ms())
    return {job.job: list(_of_job(crew, plan, job, me, policy)) for job in plan.jobs}


def _of_job(
    crew: Crew, plan: Plan, job: JobPlan, me: ActorKey | None, policy: WorkerPolicy | None
) -> Iterator[CouldRun]:
    had = frozenset[str]().union(*(worker.labels for worker in crew.workers if worker.is_live))
    for leg in job.legs:
        spec = _spec(plan, job, leg)
        denied: tuple[str, ...] | None = None
        if me is not None and policy is not None:
            verdict = judge(policy, me, spec, _payload(plan, job, leg), is_member=True)
            denied = verdict.reasons if isinstance(verdict, Denial) else None
        eligible = (worker.actor for worker in crew.eligible(spec))
        # What others allow is known to them alone; of this peer it is known here.
        workers = tuple(one for one in eligible if one != me or (policy is not None and denied is None))
        yield CouldRun(workers, tuple(label for label in leg.requires if label not in had), denied)


def _spec(plan: Plan, job: JobPlan, leg: LegPlan) -> Spec:
    tags: tuple[Any, ...] = tuple(sorted(job.tags.tags)) or (WorkflowTag.P2P_ELIGIBLE,)
    return Spec(
        job.job, plan.name, leg.leg.name, tuple(str(tag) for tag in tags), leg.requires, timeout_ms=job.timeout_ms
    )


def _payload(plan: Plan, job: JobPlan, leg: LegPlan) -> WorkflowJob:
    return WorkflowJob(FileRef(0, ()), plan.path, job.job, leg.leg.values, network=job.network, secrets=job.secrets)
