"""The strict check: whatever act would silently skip or misread, or cannot do, is refused before anything runs.

`check` is pure. Without a `Situation` it judges the file alone, as `workflow lint` and `workflow submit` do; a worker
checks again before the run, with what it has: programs, secrets, the source. Rules are in `strict_rules`. Leaves out
what the schema of workflow files says (schema_check) and what a plan needs (planning, matrix).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from scheduler.workflows.act_shell import PROGRAMS
from scheduler.workflows.expressions import condition, has_expression
from scheduler.workflows.findings import Finding, in_order
from scheduler.workflows.matrix import fill_in, legs_of
from scheduler.workflows.reading import KeyPath, Workflow, texts_listed
from scheduler.workflows.strict_env import check_env
from scheduler.workflows.strict_expressions import Names, check_expressions
from scheduler.workflows.strict_rules import Rule
from scheduler.workflows.strict_situation import Situation
from scheduler.workflows.strict_steps import StepCheck

__all__ = ["Situation", "check"]

TOP_KEYS: Final = frozenset(("name", "run-name", "on", "permissions", "env", "defaults", "concurrency", "jobs"))
JOB_KEYS: Final = frozenset(
    ("name", "needs", "permissions", "runs-on", "outputs", "env", "defaults", "if", "steps", "timeout-minutes",
     "strategy", "continue-on-error", "container", "services", "concurrency", "environment", "uses", "with", "secrets")
)  # fmt: skip
STRATEGY_KEYS: Final = frozenset(("matrix", "fail-fast", "max-parallel"))
DEFAULTS_KEYS: Final = frozenset(("shell", "working-directory"))

_OTHER_SYSTEM: Final = re.compile(r"(windows|win|macos|mac|osx|freebsd|openbsd|netbsd)\b.*", re.IGNORECASE)
_NEVER_SO: Final = re.compile(r"\b(failure|cancelled)\s*\(", re.IGNORECASE)
_STATUS: Final = re.compile(r"\b(failure|cancelled|always)\s*\(", re.IGNORECASE)


def check(workflow: Workflow, *job_ids: str, at: Situation | None = None) -> list[Finding]:
    """Return what act would skip, misread or not be able to do, in the order of the file.

    Args:
        workflow: the file.
        job_ids: the jobs that are to run; none named: all of them.
        at: what the worker has that is to run it; None: not known yet, so nothing is said about that.
    """
    jobs = {job: workflow.jobs.get(job) for job in job_ids} if job_ids else workflow.jobs
    found = list(_check_top(workflow, at))
    for job, content in jobs.items():
        if isinstance(content, dict):
            found += _check_job(workflow, job, content, at)
    return list(in_order(found))


def _check_top(workflow: Workflow, at: Situation | None) -> Iterator[Finding]:
    content = workflow.content
    yield from _unknown(workflow, (), content, TOP_KEYS)
    yield from _concurrency(workflow, (), content)
    yield from _defaults(workflow, (), content)
    yield from check_env(workflow, (), content)
    for key in ("run-name", "env", "defaults"):
        if key in content:
            yield from check_expressions(workflow, (key,), content[key], Names(workflow), at)


def _check_job(workflow: Workflow, job: str, content: Mapping[str, Any], at: Situation | None) -> Iterator[Finding]:
    where: KeyPath = ("jobs", job)
    yield from _unknown(workflow, where, content, JOB_KEYS)
    if "uses" in content:
        words = "a job that is another workflow would run there as jobs of its own, which no task here stands for"
        advice = "write its jobs into this file, or submit that file"
        yield workflow.error(Rule.REUSABLE, (*where, "uses"), words, advice)
        return
    yield from _machine(workflow, where, content)
    yield from _promises(workflow, where, content)
    yield from _concurrency(workflow, where, content)
    yield from _defaults(workflow, where, content)
    yield from check_env(workflow, where, content)
    if isinstance(content.get("strategy"), dict):
        yield from _unknown(workflow, (*where, "strategy"), content["strategy"], STRATEGY_KEYS)
    if "if" in content:
        yield from _job_if(workflow, (*where, "if"), content["if"])
    for program in PROGRAMS:
        if at is not None and not at.has_program(program):
            words = f"this worker has no {program}, without which no step is run"
            yield workflow.error(Rule.PROGRAM, (*where, "steps"), words)
    names = Names(workflow, job)
    rest = {key: value for key, value in content.items() if key != "steps"}
    yield from check_expressions(workflow, where, rest, names, at)
    yield from StepCheck(workflow, where, content, names, at).findings()


def _unknown(
    workflow: Workflow, where: KeyPath, content: Mapping[str, Any], known: frozenset[str]
) -> Iterator[Finding]:
    for key in content:
        if key not in known:
            words = f"act does not know {key!r}, or would read past it"
            yield workflow.error(Rule.KEY, (*where, key), words, "take it out")


def _machine(workflow: Workflow, where: KeyPath, content: Mapping[str, Any]) -> Iterator[Finding]:
    """Judge where the job runs: act would skip other systems without a word, and services too."""
    place = (*where, "runs-on")
    said = content.get("runs-on")
    labels = said.get("labels", []) if isinstance(said, dict) else said
    if isinstance(said, dict) and "group" in said:
        yield workflow.error(
            Rule.SYSTEM, (*place, "group"), "act skips a job for a group of runners", "name labels instead"
        )
    for text in texts_listed(labels):
        other = _other_system(workflow, where, text)
        if other:
            words = f"workers run Linux; act would skip a job for {other!r} and call that a success"
            yield workflow.error(Rule.SYSTEM, place, words, "runs-on: ubuntu-latest, or leave the job to GitHub")
    if content.get("container"):
        words = "there is no docker: the job would not start"
        yield workflow.error(
            Rule.CONTAINER, (*where, "container"), words, "install what it needs in a step, or on the worker"
        )
    if content.get("services"):
        words = "act would run the job without its services, and say nothing"
        yield workflow.error(Rule.SERVICES, (*where, "services"), words, "start them in a step")


def _other_system(workflow: Workflow, where: KeyPath, text: str) -> str | None:
    """Return the label of another system that a text is, or comes to for a leg of the matrix."""
    legs = legs_of(workflow, str(where[1]))[0] if has_expression(text) else ()
    texts = [fill_in(text, leg.values) for leg in legs] or [text]
    return next((one.strip() for one in texts if _OTHER_SYSTEM.fullmatch(one.strip())), None)


def _promises(workflow: Workflow, where: KeyPath, content: Mapping[str, Any]) -> Iterator[Finding]:
    """Yield what GitHub would see to, and nobody here does."""
    if content.get("environment"):
        words = "environments with their approvals and secrets are GitHub's: the job would run unasked"
        advice = "take it out; a worker's policy says who may run what"
        yield workflow.error(Rule.ENVIRONMENT, (*where, "environment"), words, advice)
    if content.get("continue-on-error") not in (None, False):
        words = "act does not follow it: a job that fails has failed, and what needs it does not run"
        advice = "put continue-on-error to the steps"
        yield workflow.error(Rule.JOB_CONTINUES, (*where, "continue-on-error"), words, advice)


def _concurrency(workflow: Workflow, where: KeyPath, content: Mapping[str, Any]) -> Iterator[Finding]:
    if content.get("concurrency"):
        words = "act reads past it: nothing would keep two runs apart"
        yield workflow.error(Rule.CONCURRENCY, (*where, "concurrency"), words, "take it out where that does no harm")


def _defaults(workflow: Workflow, where: KeyPath, content: Mapping[str, Any]) -> Iterator[Finding]:
    said = content.get("defaults")
    if isinstance(said, dict):
        yield from _unknown(workflow, (*where, "defaults"), said, frozenset(("run",)))
        if isinstance(said.get("run"), dict):
            yield from _unknown(workflow, (*where, "defaults", "run"), said["run"], DEFAULTS_KEYS)


def _job_if(workflow: Workflow, where: KeyPath, said: Any) -> Iterator[Finding]:
    text = condition(said) if said is not None else ""
    if not text:
        yield workflow.error(
            Rule.EMPTY, where, "act takes an empty `if` for false, GitHub for success()", "take it out"
        )
    elif _NEVER_SO.search(text) and "||" not in text and "!" not in text:
        words = "never true here: a job is run only once all it needs is done, and none of it failed or was cancelled"
        yield workflow.error(Rule.JOB_IF, where, words, "put the step that tells of a failure into the job itself")
    elif _STATUS.search(text):
        words = "what it needs has always succeeded or been skipped here: the job is not run after a failure"
        yield workflow.warning(Rule.JOB_IF, where, words)
