"""Plans and scans of workflow files as text for people, as JSON and as a graph for `dot`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ledger.keys import ActorKey
    from scheduler.home import Home
    from scheduler.workflows.findings import Finding
    from scheduler.workflows.planning import JobPlan, Plan
    from scheduler.workflows.scanning import Scanned, ScannedJob
    from scheduler.working.policy import WorkerPolicy

Who = Mapping[str, Sequence[Mapping[str, Any]]]
"""For each job, for each of its legs: who could run it (`workers`, `missing`, `denied`)."""


def counted(count: int, word: str) -> str:
    """Return a number with its word: 1 job, 2 jobs."""
    return f"{count} {word}" if count == 1 else f"{count} {word}s"


def plan_document(plan: Plan, findings: Iterable[Finding], who: Who | None) -> dict[str, Any]:
    """Return a plan as JSON."""
    return {
        "workflow": plan.name,
        "path": plan.path,
        "tasks": sum(len(job.legs) for job in plan.jobs),
        "jobs": [_job_document(job, None if who is None else who[job.job]) for job in plan.jobs],
        "edges": [[need, job.job] for job in plan.jobs for need in job.needs],
        "findings": [one.to_json() for one in findings],
    }


def _job_document(job: JobPlan, who: Sequence[Mapping[str, Any]] | None) -> dict[str, Any]:
    legs = [
        {
            "name": leg.leg.name,
            "matrix": dict(leg.leg.values),
            "requires": list(leg.requires),
            "could_run": None if who is None else dict(who[index]),
        }
        for index, leg in enumerate(job.legs)
    ]
    return {
        "job": job.job,
        "line": job.line,
        "needs": list(job.needs),
        "tags": job.tags.to_json(),
        "runs_on": job.runs_on,
        "if": job.condition,
        "timeout_ms": job.timeout_ms,
        "secrets": list(job.secrets),
        "network": job.network,
        "legs": legs,
    }


def who_documents(
    home: Home, plan: Plan, me: ActorKey | None, policy: WorkerPolicy | None
) -> dict[str, list[dict[str, Any]]]:
    """Return who could run each leg of each job, as JSON. Within a reading; `policy` is that of this home's worker."""
    from cli.people import person
    from scheduler.workflows.crew import who_could_run

    return {
        job: [
            {
                "workers": [person(home, actor) for actor in one.workers],
                "missing": list(one.missing),
                "denied": None if one.denied is None else list(one.denied),
            }
            for one in legs
        ]
        for job, legs in who_could_run(home, plan, me, policy).items()
    }


def render_plan(plan: Plan, who: Who | None) -> Iterator[str]:
    """Yield a plan as a tree: each job below the last of those it needs."""
    tasks = sum(len(job.legs) for job in plan.jobs)
    yield f"{plan.name} ({plan.path}): {counted(len(plan.jobs), 'job')}, {counted(tasks, 'task')}"
    under: dict[str, list[JobPlan]] = {}
    seen: dict[str, int] = {job.job: index for index, job in enumerate(plan.jobs)}
    for job in plan.jobs:
        before = [need for need in job.needs if seen[need] < seen[job.job]]  # in a circle one comes after
        under.setdefault(max(before, key=seen.__getitem__, default=""), []).append(job)
    yield from _branches(under, "", "", who)


def _branches(under: Mapping[str, list[JobPlan]], parent: str, indent: str, who: Who | None) -> Iterator[str]:
    jobs = under.get(parent, [])
    for job in jobs:
        last = job is jobs[-1]
        yield f"{indent}{'└─' if last else '├─'} {_headline(job, parent)}"
        below = f"{indent}{'   ' if last else '│  '}"
        yield from (f"{below}{'│' if job.job in under else ' '}  {line}" for line in _about(job, who))
        yield from _branches(under, job.job, below, who)


def _headline(job: JobPlan, parent: str) -> str:
    others = [need for need in job.needs if need != parent]
    also = f"  (after {', '.join(others)}, too)" if others else ""
    return f"{job.job}{also}"


def _about(job: JobPlan, who: Who | None) -> Iterator[str]:
    said = [
        f"tags: {', '.join(job.tags.tags)}" if job.tags.tags else "no tags",
        f"on {job.runs_on}" if job.runs_on else "",
        f"if {job.condition}" if job.condition is not None else "",
        f"at most {job.timeout_ms / 60_000:g} min" if job.timeout_ms is not None else "",
        f"secrets {', '.join(job.secrets)}" if job.secrets else "",
        "fetches actions" if job.network else "",
    ]
    yield "; ".join(one for one in said if one)
    for index, leg in enumerate(job.legs):
        words = [] if who is None else [_who(who[job.job][index])]
        if leg.requires:
            words.insert(0, f"requires {', '.join(leg.requires)}")
        yield f"· {leg.leg.name}" + (f": {'; '.join(words)}" if words else "")


def _who(could: Mapping[str, Any]) -> str:
    workers = [one["name"] for one in could["workers"]]
    if workers:
        shown = ", ".join(workers[:5]) + (f" and {len(workers) - 5} more" if len(workers) > 5 else "")
        words = f"could run on {shown}"
    elif could["missing"]:
        words = f"nobody at work has {', '.join(could['missing'])}"
    else:
        words = "nobody at work could run it now"
    return words + (f"; not allowed here: {' | '.join(could['denied'])}" if could["denied"] else "")


def render_dot(plan: Plan) -> Iterator[str]:
    """Yield a plan as a graph for `dot`."""
    yield "digraph workflow {"
    for job in plan.jobs:
        legs = "" if len(job.legs) == 1 else f"\\n{len(job.legs)} legs"
        yield f'  {_quoted(job.job)} [label={_quoted(job.job)[:-1]}{legs}"];'
        yield from (f"  {_quoted(need)} -> {_quoted(job.job)};" for need in job.needs)
    yield "}"


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def render_scan(found: Scanned) -> Iterator[str]:
    """Yield what a scan says of one file."""
    yield f"{found.path}: {found.name or 'cannot be read'}"
    yield from (f"  {_job_line(job)}" for job in found.jobs)
    yield from (f"  {one.render()}" for one in found.findings)


def _job_line(job: ScannedJob) -> str:
    tags = ", ".join(f"{one.tag} (line {one.line})" for one in job.tags.found) or "no tags"
    where = "runs peer-to-peer only" if job.tags.is_p2p_only else "may run peer-to-peer"
    words = [tags, where if job.tags.bypasses_github else "stays on GitHub"]
    if job.only_submits:
        words.append("only submits")
    if job.guarded:
        words.append("guarded")
    if job.runs_on_github:
        words.append("but GitHub runs it, too")
    return f"{job.job} (line {job.line}): {'; '.join(words)}"
