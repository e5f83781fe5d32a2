"""What a workflow file comes to: its jobs in the order of their needs, the legs of each, and what each asks for.

Each leg becomes one task. Pure: who could run them is asked of a home (scheduler.workflows.crew), what becomes of them
is scheduler.workflows.submission. A plan is made of a faulty file, too: its findings say what is not known.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from ledger.operations import LABELS_MAX
from scheduler.workflows.expressions import has_expression, references_in
from scheduler.workflows.findings import Finding
from scheduler.workflows.matrix import Leg, fill_in, legs_of
from scheduler.workflows.reading import Workflow, texts_listed
from scheduler.workflows.tags_in_files import FileTags, TagSet, read_tags

HOSTED: Final = re.compile(r"ubuntu(?:-[A-Za-z0-9.-]+)?|linux|self-hosted", re.IGNORECASE)
"""Labels of `runs-on` that every worker of ours stands for: Linux machines; the rest are labels that it must have."""
TIMEOUT_MINUTES_MAX: Final = 50_400
TASKS_MAX: Final = 2_000
"""Tasks of one workflow file: all go into the ledger in one transaction."""
_COMPARED_MAX: Final = 5_000
"""Pairs of names that are compared to say which job was meant: it takes long among many."""
SECRETS_MAX: Final = 100
"""Secrets of one job, as on GitHub."""
_CHECKOUT: Final = "actions/checkout@"


@dataclass(frozen=True, slots=True)
class LegPlan:
    """One task to be: a leg, and the labels that its worker must have."""

    leg: Leg
    requires: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class JobPlan:
    """One job.

    Args:
        job: its id.
        line: where it stands.
        legs: its legs; without a matrix one.
        needs: ids of the jobs it needs.
        tags: its tags, the workflow's included.
        runs_on: what it says of its machine, as text.
        condition: its `if`, None without; the worker decides on it.
        timeout_ms: of one attempt; None: the ledger's.
        secrets: names it wants.
        network: whether a step uses an action that must be fetched.
    """

    job: str
    line: int
    legs: tuple[LegPlan, ...]
    needs: tuple[str, ...]
    tags: TagSet
    runs_on: str
    condition: str | None
    timeout_ms: int | None
    secrets: tuple[str, ...]
    network: bool


@dataclass(frozen=True, slots=True)
class Plan:
    """A workflow's jobs, each after those it needs; where needs go in a circle, `findings` says so."""

    name: str
    path: str
    jobs: tuple[JobPlan, ...]
    findings: tuple[Finding, ...]

    def job(self, name: str) -> JobPlan:
        """Return a job by its id; raise KeyError without."""
        return {one.job: one for one in self.jobs}[name]

    def with_needs(self, names: tuple[str, ...]) -> tuple[JobPlan, ...]:
        """Return the jobs of these ids and all that they need, in order; all of them where no id is given."""
        wanted = set(names) if names else {one.job for one in self.jobs}
        for one in reversed(self.jobs):
            if one.job in wanted:
                wanted.update(one.needs)
        return tuple(one for one in self.jobs if one.job in wanted)


def plan_of(workflow: Workflow, tags: FileTags | None = None) -> Plan:
    """Return the plan of a workflow file. Never raises: what cannot be known is a finding."""
    tags = tags or read_tags(workflow)
    planner = _Planner(workflow, tags)
    jobs = {job: planner.job(job) for job in workflow.jobs if isinstance(workflow.jobs[job], dict)}
    order = planner.order({job: one.needs for job, one in jobs.items()})
    name = workflow.content.get("name")
    return Plan(
        name if isinstance(name, str) and name.strip() else workflow.path.rpartition("/")[2],
        workflow.path,
        tuple(jobs[job] for job in order),
        planner.findings,
    )


class _Planner:
    """Plans the jobs of one file, and collects what it finds."""

    def __init__(self, workflow: Workflow, tags: FileTags) -> None:
        self._workflow = workflow
        self._tags = tags
        self._common = references_in(workflow.content.get("env"))
        self._tasks = 0
        self._compared = 0
        self._found: dict[Finding, None] = {}

    def job(self, job: str) -> JobPlan:
        content: Mapping[str, Any] = self._workflow.jobs[job]
        legs = self._legs(job)
        condition = content.get("if")
        return JobPlan(
            job=job,
            line=self._workflow.line("jobs", job),
            legs=tuple(LegPlan(leg, self._requires(job, content.get("runs-on"), leg)) for leg in legs),
            needs=self._needs(job, content.get("needs")),
            tags=self._tags.jobs[job],
            runs_on=_render(content.get("runs-on")),
            condition=None if condition is None else _render(condition),
            timeout_ms=self._timeout(job, content.get("timeout-minutes")),
            secrets=self._secrets(job, content),
            network=any(_is_fetched(step) for step in _steps(content)),
        )

    @property
    def findings(self) -> tuple[Finding, ...]:
        """What was found, each once."""
        return tuple(self._found)

    def _legs(self, job: str) -> tuple[Leg, ...]:
        """Return the legs of a job; none once the file makes more tasks than it may."""
        if self._tasks > TASKS_MAX:
            return ()
        legs, faults = legs_of(self._workflow, job)
        self._found |= dict.fromkeys(faults)
        self._tasks += len(legs)
        if self._tasks <= TASKS_MAX:
            return legs
        words = f"with this job the file makes more than the {TASKS_MAX:,} tasks that are submitted at once"
        self._add(self._workflow.error("tasks.number", ("jobs", job), words, "make several files of it"))
        return ()

    def _requires(self, job: str, said: Any, leg: Leg) -> tuple[str, ...]:
        """Return the labels a worker must have for a leg."""
        where = ("jobs", job, "runs-on")
        labels: Any = said
        if isinstance(said, dict):
            labels = said.get("labels")
            if "group" in said:
                words = "there are no groups of workers here: labels say which may run it"
                self._add(self._workflow.error("runs-on.group", (*where, "group"), words))
        listed = [labels] if isinstance(labels, str) else labels if isinstance(labels, list) else []
        if len(listed) > LABELS_MAX:
            words = f"{len(listed):,} labels, and a task has at most {LABELS_MAX}"
            self._add(self._workflow.error("runs-on.number", where, words))
            return ()
        texts = [fill_in(one, leg.values) for one in listed if isinstance(one, str)]
        for text in texts:
            if has_expression(text):
                words = f"{text[:80]} is known at run time only, but workers are chosen before"
                self._add(
                    self._workflow.error("runs-on.dynamic", where, words, "write the labels out, or use `matrix`")
                )
        plain = {text.strip() for text in texts if text.strip() and not has_expression(text)}
        return tuple(sorted(label for label in plain if not HOSTED.fullmatch(label)))

    def _add(self, finding: Finding) -> None:
        self._found[finding] = None  # the same for each leg

    def _needs(self, job: str, said: Any) -> tuple[str, ...]:
        known = self._workflow.jobs
        found: list[str] = []
        for need in dict.fromkeys(texts_listed(said)):
            if need == job or need not in known:
                self._compared += len(known)
                others = [one for one in known if one != job] if self._compared <= _COMPARED_MAX else []
                near = difflib.get_close_matches(need[:64], others, n=1)
                words = "a job cannot need itself" if need == job else f"there is no job {need[:64]!r}"
                advice = f"did you mean {near[0]!r}?" if near and need != job else ""
                self._add(self._workflow.error("needs.unknown", ("jobs", job, "needs"), words, advice))
            elif isinstance(known[need], dict):
                found.append(need)
        return tuple(found)

    def _timeout(self, job: str, said: Any) -> int | None:
        where = ("jobs", job, "timeout-minutes")
        if isinstance(said, str) and has_expression(said):
            words = "known at run time only: the ledger's own limit holds for the task"
            self._add(self._workflow.warning("timeout.dynamic", where, words))
        if isinstance(said, bool) or not isinstance(said, int | float):
            return None
        if not 0 < said <= TIMEOUT_MINUTES_MAX:
            self._add(self._workflow.error("timeout.range", where, f"1 to {TIMEOUT_MINUTES_MAX} minutes are possible"))
            return None
        return max(1, round(said * 60_000))

    def _secrets(self, job: str, content: Mapping[str, Any]) -> tuple[str, ...]:
        named = (*self._common, *references_in(content))
        if isinstance(content.get("if"), str):
            named += references_in("${{" + content["if"] + "}}")
        names = sorted({one[1].upper() for one in named if one[0] == "secrets" and len(one) > 1})
        if ("secrets",) in named or "*" in names:
            words = "secrets are granted one by one: each must be named, as secrets.NAME"
            self._add(self._workflow.error("secrets.dynamic", ("jobs", job), words))
        if len(names) > SECRETS_MAX:
            words = f"it names {len(names):,} secrets, and a job has at most {SECRETS_MAX}"
            self._add(self._workflow.error("secrets.number", ("jobs", job), words))
        return tuple(name for name in names[:SECRETS_MAX] if name != "*")

    def order(self, needs: Mapping[str, tuple[str, ...]]) -> list[str]:
        """Return jobs after those they need, else as in the file."""
        done: list[str] = []
        left = dict(needs)
        while left:
            free = [job for job in left if not set(left[job]) & left.keys()]
            if not free:
                circle = _circle(left)
                words = f"needs go in a circle: {' → '.join(circle)}"
                self._add(self._workflow.error("needs.circle", ("jobs", circle[0], "needs"), words))
                return [*done, *left]
            done += free
            left = {job: left[job] for job in left if job not in free}
        return done


def _circle(needs: Mapping[str, tuple[str, ...]]) -> list[str]:
    """Return a circle of jobs, its first again at the end."""
    path = [next(iter(needs))]
    while True:
        step = next(need for need in needs[path[-1]] if need in needs)
        if step in path:
            return [*path[path.index(step) :], step]
        path.append(step)


def _steps(content: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    steps = content.get("steps")
    return (step for step in (steps if isinstance(steps, list) else ()) if isinstance(step, dict))


def _is_fetched(step: Mapping[str, Any]) -> bool:
    uses = step.get("uses")
    return isinstance(uses, str) and not uses.startswith(("./", _CHECKOUT))


def _render(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(map(_render, value))
    if isinstance(value, dict):
        return ", ".join(f"{key}: {_render(one)}" for key, one in value.items())
    return "" if value is None else str(value).lower() if isinstance(value, bool) else str(value)
