"""Expressions, by the strict check: functions that act lacks, and values that act leaves empty without a word.

The tables are what act 0.2.89 was seen to give. Open contexts (`env`, `steps`, `matrix`, `github.event`, `inputs`) are
not judged: what they hold is known when the job runs.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from scheduler.workflows.expressions import Reference, find_expressions, references
from scheduler.workflows.findings import Finding
from scheduler.workflows.guard import GUARD_VARIABLE
from scheduler.workflows.reading import KeyPath, Workflow
from scheduler.workflows.strict_rules import Rule
from scheduler.workflows.strict_situation import Situation

FUNCTIONS: Final = frozenset(
    ("contains", "startswith", "endswith", "format", "join", "tojson", "fromjson", "hashfiles")
)  # fmt: skip
STATUS_FUNCTIONS: Final = frozenset(("success", "failure", "always", "cancelled"))
"""Those that stand in an `if` only."""

OPEN: Final = frozenset(("env", "steps", "matrix", "inputs"))
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
_STRING: Final = re.compile(r"'(?:[^']|'')*(?:'|$)")
_CALL: Final = re.compile(r"([A-Za-z_][A-Za-z0-9_-]*)\s*\(")


@dataclass(frozen=True)
class Names:
    """What expressions of a job may name: the outputs of the jobs it needs."""

    workflow: Workflow
    job: str | None = None

    @functools.cached_property
    def needs(self) -> dict[str, frozenset[str]]:
        """The outputs of each job that is needed, all in small letters."""
        content = self.workflow.jobs.get(self.job or "")
        said = content.get("needs") if isinstance(content, dict) else None
        listed = [said] if isinstance(said, str) else said if isinstance(said, list) else []
        return {need.lower(): self._outputs(need) for need in listed if isinstance(need, str)}

    def _outputs(self, job: str) -> frozenset[str]:
        content = self.workflow.jobs.get(job)
        outputs = content.get("outputs") if isinstance(content, dict) else None
        return frozenset(name.lower() for name in outputs) if isinstance(outputs, dict) else frozenset()


def check_expressions(
    workflow: Workflow, where: KeyPath, value: Any, names: Names, at: Situation | None
) -> Iterator[Finding]:
    """Yield what is wrong with the expressions anywhere in a value; those of an `if` may do without `${{ }}`."""
    for place, text in _texts(where, value):
        is_if = place[-1] == "if"
        for start, inner, closed in _expressions(text, is_if=is_if):
            line = workflow.text_line(place, text, start)
            if not closed:
                words = "an expression that is not closed: `}}` is missing"
                yield workflow.error(Rule.FUNCTION, place, words, line=line)
                continue
            for rule, words, advice in _judge(inner, names, at, is_if=is_if):
                yield workflow.error(rule, place, words, advice, line=line)


def _texts(where: KeyPath, value: Any) -> Iterator[tuple[KeyPath, str]]:
    if isinstance(value, str):
        yield where, value
    elif isinstance(value, dict):
        for key, one in value.items():
            yield from _texts((*where, key), one)
    elif isinstance(value, list):
        for index, one in enumerate(value):
            yield from _texts((*where, index), one)


def _expressions(text: str, *, is_if: bool) -> Iterator[tuple[int, str, bool]]:
    """Yield where each expression begins, what is in it, and whether it is closed."""
    if is_if and "${{" not in text:
        yield 0, text, True
        return
    for span in find_expressions(text):
        yield span.start, span.inner, text.startswith("}}", span.end - 2) and span.end - span.start >= len("${{}}")


def _judge(inner: str, names: Names, at: Situation | None, *, is_if: bool) -> Iterator[tuple[Rule, str, str]]:
    for called in dict.fromkeys(one.lower() for one in _CALL.findall(_STRING.sub("''", inner))):
        if called in STATUS_FUNCTIONS and not is_if:
            yield Rule.FUNCTION, f"{called}() is for `if` only", ""
        elif called not in FUNCTIONS | STATUS_FUNCTIONS:
            yield Rule.FUNCTION, f"act has no function {called!r}", f"it has {', '.join(sorted(FUNCTIONS))}"
        elif called == "hashfiles" and at is not None and not at.has_program("node"):
            yield Rule.PROGRAM, "hashFiles is done by node, which this worker lacks: it would be empty", ""
    for reference in references(inner):
        yield from _judge_reference(reference, names, at)


def _judge_reference(reference: Reference, names: Names, at: Situation | None) -> Iterator[tuple[Rule, str, str]]:
    context, *steps = reference
    name = ".".join(reference)
    if context == "secrets":
        if at is not None and steps and steps[0].upper() not in at.secrets:
            yield Rule.SECRETS, f"{name} was not granted to this run: it would be empty", ""
    elif context == "needs":
        yield from _judge_need(steps, names, name)
    elif context in CLOSED:
        if steps and steps[0] != "*" and steps[0] not in CLOSED[context]:
            key = "repository" if steps[0].startswith("repository") else steps[0]
            advice = _ADVICE.get(key if context == "github" else context, "")
            yield Rule.CONTEXT, f"{name} would always be empty here", advice
        elif reference == ("github", "sha") and at is not None and not at.sha:
            yield Rule.CONTEXT, "github.sha would be empty: the task does not say of which commit it is", ""
    elif context not in OPEN:
        yield Rule.CONTEXT, f"there is no {context!r} that an expression could name", ""


def _judge_need(steps: list[str], names: Names, name: str) -> Iterator[tuple[Rule, str, str]]:
    needs = names.needs
    if not steps or "*" in steps[:1]:
        return
    if steps[0] not in needs:
        yield Rule.CONTEXT, f"{name} is empty: the job does not need {steps[0]!r}", "add it to `needs`"
    elif len(steps) > 1 and steps[1] not in {"outputs", "result", "*"}:
        yield Rule.CONTEXT, f"{name} is empty: a need has `outputs` and `result`", ""
    elif len(steps) > 2 and steps[1] == "outputs" and steps[2] != "*" and steps[2] not in needs[steps[0]]:
        yield Rule.CONTEXT, f"{name} is empty: the job {steps[0]!r} declares no output {steps[2]!r}", ""
