"""The workflow file that act is given: the one job that is to run, its needs as stubs, and a job that tells of it.

`needs` of jobs that other workers have run are jobs of the same ids here, with nothing to do, whose outputs are
literals: so every expression with `needs` means what it meant. The matrix is fixed to one leg. Behind the job comes a
*teller*: it runs always, and writes what act says of the job, result and outputs, into a file; that it has run at all
proves that act ran something, and it changes nothing of the job. Written as JSON, which is YAML. Pure.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from scheduler.workflows.act_actions import LocalActions
from scheduler.workflows.act_checkout import checkout_step
from scheduler.workflows.act_shell import wrapped
from scheduler.workflows.act_values import as_meant, yaml_of
from scheduler.workflows.expressions import find_expressions, has_expression
from scheduler.workflows.matrix import render_value
from scheduler.workflows.reading import Workflow
from scheduler.workflows.strict_steps import CHECKOUT, LOCAL, folder_of

PLATFORM: Final = "ubuntu-latest"
"""The one system that act is told to run on this machine itself."""
RESULT_OUTPUT: Final = "job.result"
"""An output that no job can declare, a name with a dot in it: it says what of a job is no plain success."""
SKIPPED: Final = "skipped"
AFTER_SKIP: Final = "ran after a skipped job"
"""Of a job that ran though one that it needs, or one before that, was skipped: `success()` is false behind it, too."""

_KEPT: Final = ("permissions", "outputs", "env", "defaults", "if")
_SHELL: Final = "/bin/sh -e {0}"
"""Of what is ours: found whatever PATH the workflow sets."""
_TELLER: Final = "p2p-teller"
_LEFT_OUT: Final = "p2p-left-out"
_TOLD: Final = "P2P_END_OF_RESULT"
_SET_BY_ACT: Final = ("CI", "ImageOS")
_NAME_CHARS_MAX: Final = 80
_INT_DIGITS: Final = 15
"""Whole numbers with more of them GitHub writes as powers of ten."""
_MAY_FAIL: Final = re.compile(r"(?:fromjson|format|hashfiles)\s*\(", re.IGNORECASE)
"""Functions that may fail where a value is not there yet; all others come to something."""
_IN_EXPRESSION: Final = re.compile(r"['${}]")


@dataclass(frozen=True, slots=True)
class Need:
    """What became of a job that is needed."""

    outputs: Mapping[str, str] = field(default_factory=dict)
    result: str = "success"
    is_after_skip: bool = False


@dataclass(frozen=True, slots=True)
class SingleJob:
    """The generated file.

    Args:
        text: the file.
        job: the id of the job.
        teller: the id of the job that writes the result.
        steps: for each step of the job the id by which act names it, and whether nothing but a failure keeps it from
            being run.
        stubs: the ids of the jobs that stand for needs.
    """

    text: str
    job: str
    teller: str
    steps: tuple[tuple[str, bool], ...]
    stubs: tuple[str, ...] = ()


def single_job(
    workflow: Workflow,
    job: str,
    *,
    event: str,
    matrix: Mapping[str, Any],
    needs: Mapping[str, Need],
    result_path: str,
    source: str,
    shell: str,
    actions: LocalActions,
) -> SingleJob:
    """Return the file with one job of a workflow.

    `result_path` is where the teller writes, `source` the folder a checkout copies, `shell` the program of act_shell,
    all as the run sees them; `actions` takes in what actions the job uses.

    The workflow has passed the strict check. `needs` has every job that the job needs.
    """
    content = workflow.jobs[job]
    teller, left_out = _unused(_TELLER, workflow), _unused(_LEFT_OUT, workflow)
    jobs: dict[str, Any] = {need: _stub(of, left_out) for need, of in needs.items()}
    if any(need.is_after_skip for need in needs.values()):
        jobs[left_out] = _stub(Need(result=SKIPPED), left_out)
    own = _overwritten(workflow, content)
    steps = [_step(workflow, content, index, shell, source, own) for index in range(len(content["steps"]))]
    written, expected = _with_actions(content["steps"], steps, actions)
    jobs[job] = _job(content, matrix, list(needs)) | {"steps": written}
    jobs[teller] = _teller(job, result_path)
    top: dict[str, Any] = {key: workflow.content[key] for key in ("env", "defaults") if key in workflow.content}
    name = workflow.content.get("name")
    # As it stands: act takes a file for invalid that has an expression there, GitHub shows it as it is.
    title = name if isinstance(name, str) and name.strip() and not has_expression(name) else workflow.path
    text = yaml_of({"name": title, "on": _on(workflow, event), **as_meant(top), "jobs": jobs})
    return SingleJob(text, job, teller, tuple(expected), tuple(needs))


def _unused(name: str, workflow: Workflow) -> str:
    while name in workflow.jobs:
        name += "_"
    return name


def _as_numbers(value: Any) -> Any:
    """Return a value of the matrix, whole numbers as act has to see them to write them as GitHub does."""
    if isinstance(value, dict):
        return {name: _as_numbers(one) for name, one in value.items()}
    if isinstance(value, list):
        return [_as_numbers(one) for one in value]
    return float(value) if type(value) is int and abs(value) >= 10**_INT_DIGITS else value


def _on(workflow: Workflow, event: str) -> dict[str, Any]:
    """Only what triggered it, so that no filter keeps it from running; with the inputs, whose types matter."""
    said = workflow.content.get("on")
    of_event = said.get(event) if isinstance(said, dict) else None
    inputs = of_event.get("inputs") if isinstance(of_event, dict) else None
    return {event: {"inputs": inputs} if isinstance(inputs, dict) and inputs else None}


def _stub(need: Need, left_out: str) -> dict[str, Any]:
    # Its own shell and folder: the defaults of the workflow are for what the workflow does.
    step = {"name": "done elsewhere", "run": ":", "shell": _SHELL, "working-directory": "/"}
    stub: dict[str, Any] = {"runs-on": PLATFORM, "steps": [step]}
    if need.result == SKIPPED:
        stub["if"] = False
    elif need.is_after_skip:
        stub |= {"needs": [left_out], "if": "always()"}
    if need.outputs and need.result != SKIPPED:
        stub["outputs"] = {name: _literal(value) for name, value in need.outputs.items()}
    return stub


def _literal(text: str) -> str:
    """Return an expression that comes to a text, whatever is in it: act would compute what looks like one."""
    written = _IN_EXPRESSION.sub(lambda found: f"\\u{ord(found[0]):04x}", json.dumps(text))
    return f"${{{{ fromJSON('{written}') }}}}"


def _job(content: Mapping[str, Any], matrix: Mapping[str, Any], needs: list[str]) -> dict[str, Any]:
    job = as_meant({key: content[key] for key in _KEPT if key in content})
    job["runs-on"] = PLATFORM
    if needs:
        job["needs"] = needs
    strategy = content.get("strategy")
    if matrix:
        said = strategy if isinstance(strategy, dict) else {}
        job["strategy"] = {key: value for key, value in said.items() if key != "matrix"}
        job["strategy"]["matrix"] = {"include": [_as_numbers(dict(matrix))]}
    return job


def _step(
    workflow: Workflow, content: Mapping[str, Any], index: int, shell: str, source: str, own: Mapping[str, str]
) -> dict[str, Any]:
    """Return a step with a short name: act writes the name beside each line that the step prints."""
    step = content["steps"][index]
    found = as_meant(step)
    if own:
        found["env"] = {**own, **(found.get("env") or {})}
    # Act computes names too early, of steps that are left out too, and what cannot be computed yet is no fault.
    if "name" not in step or any(_MAY_FAIL.search(span.inner) for span in find_expressions(str(step["name"]))):
        found["name"] = _name(index, step)
    uses = step.get("uses")
    if uses is None:
        through = wrapped(shell, _shell_of(workflow, content, step))
        found |= {} if through is None else {"shell": through}
    if isinstance(uses, str) and CHECKOUT.fullmatch(uses.strip()):
        return checkout_step(found, source, _SHELL)
    return found


def _overwritten(workflow: Workflow, content: Mapping[str, Any]) -> dict[str, str]:
    """Return the variables of the file and the job that act sets itself, whatever they say, but not those of a step."""
    maps = (place.get("env") for place in (workflow.content, content))
    said = {name: value for one in maps if isinstance(one, dict) for name, value in one.items()}
    return {name: render_value(said[name]) for name in _SET_BY_ACT if name in said}


def _shell_of(workflow: Workflow, content: Mapping[str, Any], step: Mapping[str, Any]) -> Any:
    """Return what names the shell of a step: itself, the job's defaults, the workflow's."""
    if "shell" in step:
        return step["shell"]
    for place in (content, workflow.content):
        run = (place.get("defaults") or {}).get("run") or {}
        if "shell" in run:
            return run["shell"]
    return None


def _name(index: int, step: Mapping[str, Any]) -> str:
    said = step.get("uses") if "uses" in step else step.get("run", "")
    line = next((line.strip() for line in str(said).splitlines() if line.strip()), "")
    if has_expression(line):
        return f"Run step {index + 1}"
    return f"Run {line[:_NAME_CHARS_MAX]}"


def _with_actions(
    said: Sequence[Mapping[str, Any]], steps: Sequence[dict[str, Any]], actions: LocalActions
) -> tuple[list[dict[str, Any]], list[tuple[str, bool]]]:
    """Return the steps with what act_actions puts before those that use an action, and what `SingleJob.steps` is."""
    written: list[dict[str, Any]] = []
    expected: list[tuple[str, bool]] = []
    checked_out: list[str] = []
    for index, (meant, step) in enumerate(zip(said, steps, strict=True)):
        uses = str(meant.get("uses", "")).strip()
        is_local = uses.startswith(LOCAL)
        if CHECKOUT.fullmatch(uses):
            checked_out.append(folder_of(meant.get("with") or {}))
        written += actions.steps(step, index, checked_out) if is_local else [step]
        is_left_out = "if" in meant or (is_local and "continue-on-error" in meant)
        expected.append((str(meant.get("id", len(written) - 1)), not is_left_out))
    return written, expected


def _teller(job: str, result_path: str) -> dict[str, Any]:
    # A file, not a variable: those are bounded by the kernel. toJSON leaves no line that is the end of this text.
    script = f"/bin/cat > '{result_path}' <<'{_TOLD}'\n${{{{ toJSON(needs) }}}}\n{_TOLD}\n"
    step = {"name": "tell", "run": script, "shell": _SHELL, "working-directory": "/"}
    return {"needs": [job], "if": "always()", "runs-on": PLATFORM, "steps": [step]}
