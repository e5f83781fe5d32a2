"""Warnings of shell injection: texts that strangers choose, spliced into a script before a shell reads it.

`${{ … }}` in `run` is replaced in the script's text; a title or an input such as `"; curl … | sh; "` is part of the
program then. In a variable (`env`) it is data.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any, Final

from scheduler.workflows.expressions import CHARS_MAX, Reference, find_expressions, is_strangers, references
from scheduler.workflows.findings import Finding
from scheduler.workflows.reading import KeyPath, Workflow

_SCRIPT_ACTION: Final = "actions/github-script@"
_TAME: Final = frozenset(("boolean", "number"))
"""Types of inputs whose values cannot hold a program."""
INJECTIONS_MAX: Final = 100
"""Warnings of a file that are told, each."""


def check_splicing(workflow: Workflow) -> Iterator[Finding]:
    """Yield a warning for each expression in a script that carries what a stranger may have written, the first ones."""
    return itertools.islice(_injections(workflow), INJECTIONS_MAX)


def _injections(workflow: Workflow) -> Iterator[Finding]:
    tame = {name.lower() for name, said in dispatch_inputs(workflow).items() if said.get("type") in _TAME}
    for where, text in _scripts(workflow):
        for span in find_expressions(text):
            named = [one for one in references(span.inner) if is_strangers(one) and not _is_tame(one, tame)]
            if named:
                yield _warning(workflow, where, text, span.start, ".".join(named[0]))


def check_lengths(workflow: Workflow) -> Iterator[Finding]:
    """Yield an error for each text with an expression that is longer than GitHub takes: nobody looks into it."""
    for where, text in _texts((), workflow.content):
        if len(text) > CHARS_MAX and any(len(span.inner) > CHARS_MAX for span in find_expressions(text)):
            words = f"an expression has at most {CHARS_MAX} characters"
            yield workflow.error("expression.length", where, words)


def _texts(where: KeyPath, value: Any) -> Iterator[tuple[KeyPath, str]]:
    if isinstance(value, str):
        yield where, value
    elif isinstance(value, dict):
        for key, one in value.items():
            yield from _texts((*where, key), one)
    elif isinstance(value, list):
        for index, one in enumerate(value):
            yield from _texts((*where, index), one)


def dispatch_inputs(workflow: Workflow) -> dict[str, dict[str, Any]]:
    """Return the inputs of `workflow_dispatch` as they are declared, by name; an empty declaration is an empty map."""
    events = workflow.content.get("on")
    event = events.get("workflow_dispatch") if isinstance(events, dict) else None
    inputs = event.get("inputs") if isinstance(event, dict) else None
    if not isinstance(inputs, dict):
        return {}
    return {name: said if isinstance(said, dict) else {} for name, said in inputs.items()}


def _scripts(workflow: Workflow) -> Iterator[tuple[KeyPath, str]]:
    for job, content in workflow.jobs.items():
        steps = content.get("steps") if isinstance(content, dict) else None
        for index, step in enumerate(steps if isinstance(steps, list) else ()):
            if not isinstance(step, dict):
                continue
            where: KeyPath = ("jobs", job, "steps", index)
            if isinstance(step.get("run"), str):
                yield (*where, "run"), step["run"]
            given = step.get("with")
            if str(step.get("uses")).startswith(_SCRIPT_ACTION) and isinstance(given, dict):
                script = given.get("script")
                if isinstance(script, str):
                    yield (*where, "with", "script"), script


def _is_tame(reference: Reference, tame: set[str]) -> bool:
    return reference[-1] in tame and reference[:-1] in {("inputs",), ("github", "event", "inputs")}


def _warning(workflow: Workflow, where: KeyPath, text: str, at: int, name: str) -> Finding:
    variable = name.rpartition(".")[2].upper().replace("-", "_").replace("*", "") or "VALUE"
    words = f"shell injection: {name} is spliced into the script, and whoever chooses it may run what he likes"
    advice = f'give the step `env: {variable}: ${{{{ {name} }}}}` and write "${variable}" in the script'
    return workflow.warning("injection", where, words, advice, line=workflow.text_line(where, text, at))
