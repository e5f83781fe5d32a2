"""What became of the jobs that a job needs, from the results of their tasks."""

from __future__ import annotations

from collections.abc import Sequence

from scheduler.running.job import Input
from scheduler.running.payloads import WorkflowJob
from scheduler.workflows.act_workflow import AFTER_SKIP, RESULT_OUTPUT, SKIPPED, Need
from scheduler.workflows.reading import Workflow


class NeedsError(ValueError):
    """The results of the jobs that a job needs are not all there."""


def needs_of(payload: WorkflowJob, workflow: Workflow, inputs: Sequence[Input]) -> dict[str, Need]:
    """Return for each job that is needed its outputs and result; raise NeedsError where a task's result is missing.

    Of several legs the later one's value counts, unless it is empty; a job is skipped where all of its legs were.
    """
    content = workflow.jobs[payload.job]
    said = content.get("needs", [])
    wanted = [said] if isinstance(said, str) else list(said)
    results = {bytes(one.task).hex(): one for one in inputs}
    found: dict[str, Need] = {}
    for job in wanted:
        keys = payload.needs.get(job, ())
        missing = [key for key in keys if key not in results]
        if not keys or missing:
            raise NeedsError(f"the job needs {job!r}, but the task has no result of it: {', '.join(missing) or 'none'}")
        found[job] = _joined([results[key] for key in keys])
    return found


def _joined(legs: Sequence[Input]) -> Need:
    run = [one for one in legs if one.outputs.get(RESULT_OUTPUT) != SKIPPED]
    outputs: dict[str, str] = {}
    for one in run:
        outputs |= {name: value for name, value in one.outputs.items() if value or name not in outputs}
    is_after_skip = outputs.pop(RESULT_OUTPUT, None) == AFTER_SKIP
    return Need(outputs, "success" if run else SKIPPED, is_after_skip)
