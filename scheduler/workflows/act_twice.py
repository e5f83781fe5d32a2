"""Values that act would compute once more, as expressions, by the strict check of one run; who wrote them is anybody.

Act computes the variables of the file and of the job, and what a step hands to an action, a second time before each
step; GitHub never does. So a text with `${{ secrets.X }}` in it would become the secret. Known here are the values that
a run begins with; act_shell sees to what steps write, act_actions to what they hand to actions. Pure.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from scheduler.workflows.expressions import find_expressions, references
from scheduler.workflows.findings import Finding
from scheduler.workflows.reading import KeyPath, Workflow, values_at
from scheduler.workflows.strict_rules import Rule
from scheduler.workflows.strict_steps import CHECKOUT

_CARRIERS: Final = frozenset(("env", "steps"))
"""Contexts that hold what came from others."""


def check_twice(workflow: Workflow, job: str, values: Mapping[str, Sequence[str]]) -> Iterator[Finding]:
    """Yield where a value would be computed again; `values`: the texts that each context holds, by its name."""
    everything = tuple(text for texts in values.values() for text in texts)
    for where, text in _computed_twice(workflow, job):
        names = {name[0] for span in find_expressions(text) for name in references(span.inner)}
        for name in sorted(names):
            if any(_begins(value, text) for value in (everything if name in _CARRIERS else values.get(name, ()))):
                words = f"a value that {name} holds has braces in it, which act would compute as an expression"
                yield workflow.error(
                    Rule.MEANING, where, words, "put the variable into `env` of the step that reads it"
                )


def check_told(workflow: Workflow, told: Mapping[str, str]) -> Iterator[Finding]:
    """Yield where act would compute what it is told of the run, each by its name, as the variables that it makes."""
    for name, value in told.items():
        if "${{" in value:
            words = f"the {name} of this run has an expression in it, which act would compute: {value[:100]!r}"
            yield workflow.error(Rule.MEANING, (), words, "give it another name")


def _computed_twice(workflow: Workflow, job: str) -> Iterator[tuple[KeyPath, str]]:
    content = workflow.jobs[job]
    places: list[tuple[KeyPath, Any]] = [(("env",), workflow.content.get("env"))]
    places.append((("jobs", job, "env"), content.get("env")))
    for index, step in enumerate(content["steps"]):
        if isinstance(step.get("uses"), str) and not CHECKOUT.fullmatch(step["uses"].strip()):
            places += [(("jobs", job, "steps", index, key), step.get(key)) for key in ("env", "with")]
    for where, said in places:
        for place, text in values_at(where, said):
            if isinstance(text, str) and "${{" in text:
                yield place, text


def _begins(value: str, text: str) -> bool:
    """Whether a value put into a text may be, or complete, the beginning of an expression."""
    if "{{" in value or value.endswith("${"):
        return True
    return (value.startswith("{") and "${${{" in text) or (value.endswith("$") and "}}{{" in text)
