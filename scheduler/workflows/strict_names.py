"""What expressions of a job name, by the strict check: values that are there, and those that are always empty.

The table of contexts is what act 0.2.89 was seen to give. What `env` holds is known when the job runs, so it is not
judged. A name that GitHub, too, leaves empty is a doubt and no error.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from scheduler.workflows.expressions import Reference
from scheduler.workflows.guard import GUARD_VARIABLE
from scheduler.workflows.reading import KeyPath, Workflow, texts_listed, values_at
from scheduler.workflows.splicing import dispatch_inputs
from scheduler.workflows.strict_rules import Rule
from scheduler.workflows.strict_situation import Situation

CLOSED: Final[Mapping[str, frozenset[str]]] = {
    "github": frozenset(
        ("event", "event_name", "event_path", "workflow", "run_attempt", "run_id", "run_number", "actor", "sha", "ref",
         "ref_name", "ref_type", "head_ref", "base_ref", "workspace", "action", "action_path", "action_ref",
         "action_repository", "job", "server_url", "api_url", "graphql_url", "retention_days")
    ),
    "runner": frozenset(("os", "arch", "temp", "tool_cache")),
    "strategy": frozenset(("fail-fast", "max-parallel")),
    "job": frozenset(("status",)),
    "vars": frozenset((GUARD_VARIABLE.lower(),)),
}  # fmt: skip
"""What there is in a context; all else is empty."""
_ADVICE: Final = {
    "token": "there is no token of GitHub's; a worker can grant a secret, secrets.NAME",
    "repository": "the name of a repository is not known here",
    "vars": "variables of GitHub's settings are not known here: use `env` or `inputs`",
}
_EVENT: Final = frozenset(("after", "inputs", "ref"))
"""What `github.event` may have (act_preparing)."""
_SET_BY_ACT: Final = re.compile(r"(github|runner)_.*|ci|act|home|path|pwd|user|shell|lang|logname|tmpdir|imageos")
"""Variables that act's `env` has though the file does not set them."""
_OF_STEP: Final = frozenset(("outputs", "outcome", "conclusion"))


@dataclass(frozen=True, slots=True)
class Doubt:
    """What is wrong with a name: an error where it is otherwise on GitHub."""

    rule: Rule
    words: str
    advice: str = ""
    is_error: bool = True


@dataclass(frozen=True)
class Names:
    """What expressions of a job may name; without a job, those of the file's top or of an action."""

    workflow: Workflow
    job: str | None = None

    @functools.cached_property
    def needs(self) -> dict[str, frozenset[str]]:
        """The outputs of each job that is needed, all in small letters."""
        return {need.lower(): self._outputs(need) for need in texts_listed(self._content.get("needs"))}

    @functools.cached_property
    def steps(self) -> tuple[str, ...] | None:
        """The ids of the steps in order, "" for none, in small letters; None where they are not known."""
        said = self._content.get("steps")
        if not isinstance(said, list):
            return None
        return tuple(str(step.get("id", "")).lower() if isinstance(step, dict) else "" for step in said)

    @functools.cached_property
    def matrix(self) -> frozenset[str] | None:
        """The names of the matrix, in small letters; None where they are not known, or there is no job."""
        if self.job is None:
            return None
        strategy = self._content.get("strategy")
        matrix = strategy.get("matrix") if isinstance(strategy, dict) else None
        if matrix is None:
            return frozenset() if strategy is None or isinstance(strategy, dict) else None
        if not isinstance(matrix, dict):
            return None
        included = matrix.get("include", [])
        if not isinstance(included, list) or not all(isinstance(one, dict) for one in included):
            return None
        keys = {key for one in (matrix, *included) for key in one} - {"include", "exclude"}
        return frozenset(key.lower() for key in keys)

    @functools.cached_property
    def strategy(self) -> frozenset[str] | None:
        """The keys of the strategy that hold here what they hold on GitHub; None where there is no job."""
        if self.job is None:
            return None
        said = self._content.get("strategy")
        if not isinstance(said, dict) or self.matrix == frozenset():
            return frozenset()
        known = {
            "fail-fast": type(said.get("fail-fast", True)) is bool,
            "max-parallel": type(said.get("max-parallel")) is int,
        }
        return frozenset(key for key, is_known in known.items() if is_known)

    @functools.cached_property
    def inputs(self) -> frozenset[str] | None:
        """The names of the inputs that the file declares, in small letters; None for an action, whose are its own."""
        events = self.workflow.content.get("on")
        if "jobs" not in self.workflow.content:
            return None
        called = events.get("workflow_call") if isinstance(events, dict) else None
        more = called.get("inputs") if isinstance(called, dict) else None
        declared: Sequence[str] = [*dispatch_inputs(self.workflow), *(more if isinstance(more, dict) else ())]
        return frozenset(name.lower() for name in declared)

    @functools.cached_property
    def variables(self) -> frozenset[str]:
        """The names of all variables that the file sets anywhere, in small letters."""
        maps = (one for where, one in values_at((), self.workflow.content) if where[-1:] == ("env",))
        return frozenset(name.lower() for one in maps if isinstance(one, dict) for name in one)

    @property
    def _content(self) -> dict[str, Any]:
        content = self.workflow.jobs.get(self.job or "") if self.job is not None else None
        return content if isinstance(content, dict) else {}

    def _outputs(self, job: str) -> frozenset[str]:
        content = self.workflow.jobs.get(job)
        outputs = content.get("outputs") if isinstance(content, dict) else None
        return frozenset(name.lower() for name in outputs) if isinstance(outputs, dict) else frozenset()


def judge(reference: Reference, names: Names, place: KeyPath, at: Situation | None) -> Iterator[Doubt]:
    """Yield what is wrong with a name at a place where its context may stand."""
    context, *steps = reference
    name = ".".join(reference)
    if context == "secrets":
        if at is not None and steps and steps[0].upper() not in at.secrets:
            yield Doubt(Rule.SECRETS, f"{name} was not granted to this run: it would be empty")
    elif context == "needs":
        yield from _need(steps, names, name)
    elif context in CLOSED:
        if steps and steps[0] != "*" and steps[0] not in CLOSED[context]:
            key = "repository" if steps[0].startswith("repository") else steps[0]
            advice = _ADVICE.get(key if context == "github" else context, "")
            yield Doubt(Rule.CONTEXT, f"{name} would always be empty here", advice)
        elif context == "strategy" and names.strategy is not None and names.strategy.isdisjoint(steps[:1]):
            yield _strategy(steps, names, name)
        elif reference == ("github", "sha") and at is not None and not at.sha:
            words = "github.sha would be empty: the task does not say of which commit it is"
            yield Doubt(
                Rule.CONTEXT, words, "submit it from a git work tree where HEAD, or the --ref you name, is a commit"
            )
        elif reference[:2] == ("github", "event") and len(steps) > 1 and steps[1] not in _EVENT | {"*"}:
            words = f"{name} is always empty here: the event has {', '.join(sorted(_EVENT))}, `after` for a push"
            yield Doubt(Rule.CONTEXT, words, is_error=False)
    elif context == "env":
        if steps and _SET_BY_ACT.fullmatch(steps[0]) and steps[0] not in names.variables:
            words = f"{name} holds what act sets; on GitHub it is empty where the file does not set it"
            yield Doubt(Rule.CONTEXT, words, "a script can read the variable itself", is_error=False)
    elif steps and steps[0] != "*":
        words = _empty(context, steps, names, place)
        if words:
            yield Doubt(Rule.CONTEXT, f"{name} is always empty: {words}", is_error=False)


def _strategy(steps: list[str], names: Names, name: str) -> Doubt:
    if not steps or steps[0] == "*":
        return Doubt(Rule.CONTEXT, f"{name} is not here what it is on GitHub: it has no job-index and no job-total")
    if not names.matrix:
        return Doubt(Rule.CONTEXT, f"{name} is empty here: the job has no matrix")
    words = f"{name} is not here what it is on GitHub: the job does not set it, or by an expression"
    return Doubt(Rule.CONTEXT, words, f"set {steps[0]} to a plain value")


def _need(steps: list[str], names: Names, name: str) -> Iterator[Doubt]:
    needs = names.needs
    if not steps or "*" in steps[:1]:
        return
    if steps[0] not in needs:
        yield Doubt(Rule.CONTEXT, f"{name} is empty: the job does not need {steps[0]!r}", "add it to `needs`")
    elif len(steps) > 1 and steps[1] not in {"outputs", "result", "*"}:
        yield Doubt(Rule.CONTEXT, f"{name} is empty: a need has `outputs` and `result`")
    elif len(steps) > 2 and steps[1] == "outputs" and steps[2] != "*" and steps[2] not in needs[steps[0]]:
        yield Doubt(Rule.CONTEXT, f"{name} is empty: the job {steps[0]!r} declares no output {steps[2]!r}")


def _empty(context: str, steps: list[str], names: Names, place: KeyPath) -> str:
    """Return why a name holds nothing, "" where it may hold something."""
    match context:
        case "steps" if names.steps is not None:
            before = names.steps[: int(place[3])] if place[2:3] == ("steps",) else names.steps
            if steps[0] not in names.steps:
                return f"no step has the id {steps[0]!r}"
            if steps[0] not in before:
                return f"the step {steps[0]!r} comes later"
            if len(steps) > 1 and steps[1] not in _OF_STEP | {"*"}:
                return f"a step has {', '.join(sorted(_OF_STEP))}"
        case "matrix" if names.matrix is not None and steps[0] not in names.matrix:
            return f"the matrix has no {steps[0]!r}" if names.matrix else "the job has no matrix"
        case "inputs" if names.inputs is not None and steps[0] not in names.inputs:
            return f"the file declares no input {steps[0]!r}"
    return ""
