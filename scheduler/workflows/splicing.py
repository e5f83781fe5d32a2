"""Warnings of shell injection: texts that strangers choose, spliced into a script before a shell reads it; and secrets.

`${{ … }}` in `run` is replaced in the script's text; a title or an input such as `"; curl … | sh; "` is part of the
program then. In a variable (`env`) it is data, until `${{ env.X }}` splices that; so are outputs that a job declares.
Leaves out outputs of steps: what a program writes there is not in the file.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from scheduler.workflows.expressions import CHARS_MAX, Reference, Span, find_expressions, is_strangers, references
from scheduler.workflows.findings import Finding
from scheduler.workflows.reading import KeyPath, Workflow, texts_listed, values_at

_SCRIPT_ACTION: Final = "actions/github-script@"
_TAME: Final = frozenset(("boolean", "number"))
"""Types of inputs whose values cannot hold a program."""
_SHOWN_CHARS: Final = 80
INJECTIONS_MAX: Final = 100
"""Warnings of a file that are told, each."""


def check_splicing(workflow: Workflow) -> Iterator[Finding]:
    """Yield a warning for each expression in a script that carries what a stranger may have written, the first ones."""
    return itertools.islice(_injections(workflow), INJECTIONS_MAX)


def _injections(workflow: Workflow) -> Iterator[Finding]:
    strangers = _Strangers(workflow)
    for where, text in _scripts(workflow):
        job = str(where[1])
        env = strangers.env_of(job, workflow.jobs[job]["steps"][where[3]])
        for span in find_expressions(text):
            found = strangers.find(span.inner, env) or _secret(span.inner)
            if found is not None:
                yield _warning(workflow, where, text, span, found)


@dataclass(frozen=True, slots=True)
class _Found:
    """What an expression names, and what of a stranger's is in it: often the same."""

    name: Reference
    source: str


class _Strangers:
    """Which variables and outputs of a file carry what a stranger may have written."""

    def __init__(self, workflow: Workflow) -> None:
        inputs = dispatch_inputs(workflow)
        self._tame = {name.lower() for name, said in inputs.items() if said.get("type") in _TAME}
        self._jobs = {job.lower(): content for job, content in workflow.jobs.items() if isinstance(content, dict)}
        self._outputs: dict[tuple[str, str], str] = {}
        self._top = self._env(workflow.content, {})
        self._of_jobs: dict[str, dict[str, str]] = {}
        needs = {
            job: {need.lower() for need in texts_listed(content.get("needs"))} for job, content in self._jobs.items()
        }
        waiting = dict.fromkeys(self._jobs)
        while waiting:  # an output may come from a job that stands behind
            job = next(iter(waiting))
            del waiting[job]
            self._of_jobs[job] = self._env(self._jobs[job], self._top)
            if self._read_outputs(job):
                waiting |= dict.fromkeys(other for other in self._jobs if job in needs[other])

    def env_of(self, job: str, step: Mapping[str, Any]) -> dict[str, str]:
        """Return the variables that a step sees and that carry something, with what, by their names in small."""
        return self._env(step, self._of_jobs[job.lower()])

    def find(self, expression: str, env: Mapping[str, str]) -> _Found | None:
        """Return what an expression carries of a stranger's, None for nothing."""
        for name in references(expression):
            if is_strangers(name) and not _is_tame(name, self._tame):
                return _Found(name, ".".join(name))
            source = self._source(name, env)
            if source is not None:
                return _Found(name, source)
        return None

    def _source(self, name: Reference, env: Mapping[str, str]) -> str | None:
        match name:
            case ("env",) | ("env", "*"):
                return next(iter(env.values()), None)
            case ("env", variable):
                return env.get(variable)
            case ("needs", job, "outputs", output):
                return self._outputs.get((job, output))
            case _:
                return None

    def _env(self, content: Mapping[str, Any], outer: Mapping[str, str]) -> dict[str, str]:
        said = content.get("env")
        env = dict(outer)
        for variable, value in said.items() if isinstance(said, dict) else ():
            source = self._in_text(value, outer)
            if source is None:
                env.pop(variable.lower(), None)
            else:
                env[variable.lower()] = source
        return env

    def _read_outputs(self, job: str) -> bool:
        """Note which outputs of a job carry something; return whether any is new."""
        said = self._jobs[job].get("outputs")
        before = len(self._outputs)
        for output, value in said.items() if isinstance(said, dict) else ():
            source = self._in_text(value, self._of_jobs[job])
            if source is not None:
                self._outputs.setdefault((job, output.lower()), source)
        return len(self._outputs) > before

    def _in_text(self, value: Any, env: Mapping[str, str]) -> str | None:
        for span in find_expressions(value) if isinstance(value, str) else ():
            found = self.find(span.inner, env)
            if found is not None:
                return found.source
        return None


def check_lengths(workflow: Workflow) -> Iterator[Finding]:
    """Yield an error for each text with an expression that is longer than GitHub takes: nobody looks into it."""
    for where, text in values_at((), workflow.content):
        if not isinstance(text, str) or len(text) <= CHARS_MAX:
            continue
        if any(len(span.inner) > CHARS_MAX for span in find_expressions(text)):
            words = f"an expression has at most {CHARS_MAX} characters"
            yield workflow.error("expression.length", where, words)


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


def _secret(expression: str) -> _Found | None:
    return next((_Found(name, ".".join(name)) for name in references(expression) if name[0] == "secrets"), None)


def _is_tame(reference: Reference, tame: set[str]) -> bool:
    return reference[-1] in tame and reference[:-1] in {("inputs",), ("github", "event", "inputs")}


def _warning(workflow: Workflow, where: KeyPath, text: str, span: Span, found: _Found) -> Finding:
    name = ".".join(found.name)
    carried = "" if found.source == name else f", which carries {found.source},"
    spliced_in = f"{name}{carried} is spliced into the script"
    if found.name[0] == "secrets":
        rule, words = (
            "secret.spliced",
            f"{spliced_in}: the shell reads what is in it, and logs may show what comes of that",
        )
    else:
        rule, words = "injection", f"shell injection: {spliced_in}, and whoever chooses it may run what he likes"
    inner = span.inner.strip()
    if found.name[0] == "env" and len(found.name) > 1 and found.name[1] != "*" and inner.lower() == name:
        advice = f'it is a variable already: write "${inner.partition(".")[2]}" in the script'
    else:
        variable = name.rpartition(".")[2].upper().replace("-", "_").replace("*", "") or "VALUE"
        spliced = inner if len(inner) <= _SHOWN_CHARS and "\n" not in inner else name
        advice = f'give the step `env: {variable}: ${{{{ {spliced} }}}}` and write "${variable}" in the script'
    return workflow.warning(rule, where, words, advice, line=workflow.text_line(where, text, span.start))
