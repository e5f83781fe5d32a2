"""Actions of the repository itself, `uses: ./…`, by the strict check: read in the source, and those they use."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from scheduler.workflows.findings import Finding, Severity
from scheduler.workflows.matrix import render_value
from scheduler.workflows.reading import KeyPath, Workflow, WorkflowFileError, read_workflow, values_at
from scheduler.workflows.strict_env import check_env
from scheduler.workflows.strict_expressions import Names, check_expressions
from scheduler.workflows.strict_rules import Rule
from scheduler.workflows.strict_situation import Situation

DEPTH_MAX: Final = 10
_FILES: Final = ("action.yml", "action.yaml")
_NODE: Final = frozenset(("node12", "node16", "node20", "node24"))
"""What act's `runs.using` may be, with `composite` and `docker`."""
_CHECKOUT: Final = "actions/checkout@"


def check_local_action(
    uses: str, checked_out: Sequence[str], at: Situation, given: Mapping[str, Any], depth: int = 0
) -> Iterator[Finding]:
    """Yield what is wrong with an action; a finding without a path is about the step that uses it.

    `checked_out`: the folders into which the source was checked out; `given`: the inputs that the step gives.
    """
    if depth > DEPTH_MAX:
        yield _of_step(Rule.LOCAL_ACTION, "actions use one another without end")
        return
    found = find_action(uses, checked_out, at)
    if found is None:
        words = f"the source has no {posixpath.join(uses, _FILES[0])}"
        if _read(posixpath.join(_inside(uses, checked_out[0]) or "", "Dockerfile"), at) is not None:
            yield _of_step(Rule.DOCKER_ACTION, "there is no docker here", "run the program in a step")
        else:
            yield _of_step(Rule.LOCAL_ACTION, words)
        return
    path, data = found
    try:
        action = read_workflow(data, path)
    except WorkflowFileError as error:
        yield replace(error.finding, rule=Rule.LOCAL_ACTION)
        return
    yield from _check_values(action)
    yield from _check_defaults(action, at, {name.lower() for name in given})
    yield from _check_runs(action, action.content.get("runs"), checked_out, at, depth)


def _of_step(rule: Rule, words: str, advice: str = "") -> Finding:
    return Finding("", 0, "", Severity.ERROR, rule, words, advice)


def is_composite(content: Mapping[str, Any]) -> bool:
    """Whether what an action's file says is an action of steps."""
    return _kind(content.get("runs")) == "composite"


def is_node(content: Mapping[str, Any]) -> bool:
    """Whether what an action's file says is an action of node."""
    return _kind(content.get("runs")) in _NODE


def _kind(runs: Any) -> str:
    using = runs.get("using") if isinstance(runs, dict) else None
    return using.lower() if isinstance(using, str) else ""


def find_action(uses: str, checked_out: Sequence[str], at: Situation) -> tuple[str, bytes] | None:
    """Return the path in the source, and the bytes, of the file of an action that a step uses; None: there is none."""
    for folder in checked_out:
        inside = _inside(uses, folder)
        for name in _FILES if inside is not None else ():
            path = posixpath.normpath(posixpath.join(inside or "", name))
            data = _read(path, at)
            if data is not None:
                return path, data
    return None


def _inside(uses: str, folder: str) -> str | None:
    """Return the path in the source of an action that a step names in the work folder, None where it is not below."""
    path, top = posixpath.normpath(uses.replace("\\", "/")), posixpath.normpath(folder or ".")
    if top == ".":
        return path
    return posixpath.relpath(path, top) if path == top or path.startswith(f"{top}/") else None


def _read(path: str, at: Situation) -> bytes | None:
    return None if at.read_source is None or path.startswith("..") else at.read_source(path)


def _check_values(action: Workflow) -> Iterator[Finding]:
    """Judge what is a text where it comes to: here act reads the file itself, not one that is written for it."""
    for where, value in values_at((), action.content):
        if isinstance(value, int | float) and (
            where[-1] in {"default", "value"} or where[-2:-1] in {("env",), ("with",)}
        ):
            written, meant = action.place(*where).text, render_value(value)
            if written != meant:
                words = f"{written} is {meant} on GitHub; act hands it on as it is written"
                yield action.error(Rule.LOCAL_ACTION, where, words, "put it in quotes, as it is meant")


def _check_defaults(action: Workflow, at: Situation, given: set[str]) -> Iterator[Finding]:
    """Judge the defaults that count, as what a step would say."""
    inputs = action.content.get("inputs")
    for name, said in inputs.items() if isinstance(inputs, dict) else ():
        if name.lower() not in given and isinstance(said, dict) and isinstance(said.get("default"), str):
            where = ("inputs", name, "default")
            yield from check_expressions(action, where, said["default"], Names(action), at)


def _check_runs(
    action: Workflow, runs: Any, checked_out: Sequence[str], at: Situation, depth: int
) -> Iterator[Finding]:
    kind = _kind(runs)
    where: KeyPath = ("runs", "using")
    if kind == "docker":
        yield action.error(Rule.DOCKER_ACTION, where, "there is no docker here")
    elif kind in _NODE:
        if not at.has_program("node"):
            yield action.error(Rule.PROGRAM, where, "this worker has no node")
    elif kind != "composite":
        using = runs.get("using") if isinstance(runs, dict) else None
        words = f"act runs composite, docker, {', '.join(sorted(_NODE))}; not {str(using)[:60]!r}"
        yield action.error(Rule.LOCAL_ACTION, where, words)
    else:
        steps = runs.get("steps")
        for index, step in enumerate(steps if isinstance(steps, list) else ()):
            if isinstance(step, dict):
                yield from _check_step(action, ("runs", "steps", index), step, checked_out, at, depth)


def _check_step(
    action: Workflow, where: KeyPath, step: dict[str, Any], checked_out: Sequence[str], at: Situation, depth: int
) -> Iterator[Finding]:
    uses = step.get("uses")
    yield from check_expressions(action, where, step, Names(action), at)
    yield from check_env(action, where, step)
    if not isinstance(uses, str):
        return
    place = (*where, "uses")
    if uses.startswith("./"):
        given = step.get("with")
        within = given if isinstance(given, dict) else {}
        for finding in check_local_action(uses, checked_out, at, within, depth + 1):
            yield finding if finding.path else action.error(finding.rule, place, finding.words, finding.advice)
    elif uses.lower().startswith("docker://"):
        yield action.error(Rule.DOCKER_ACTION, place, "there is no docker here")
    elif uses.lower().startswith(_CHECKOUT):
        words = "a checkout within an action: act writes over what is there, and reads past its options"
        yield action.error(Rule.CHECKOUT, place, words, "check out in a step of the job")
    else:
        yield action.error(Rule.REMOTE_ACTION, place, f"{uses[:100]!r} would have to be fetched from GitHub")
