"""All that is checked of a workflow file before anything of it is submitted, in one call."""

from __future__ import annotations

from scheduler.workflows.findings import Finding, WorkflowRefusedError, in_order
from scheduler.workflows.planning import Plan, plan_of
from scheduler.workflows.reading import Workflow
from scheduler.workflows.schema_check import check_schema
from scheduler.workflows.splicing import check_lengths, check_splicing
from scheduler.workflows.strict import check as check_for_act
from scheduler.workflows.tags_in_files import read_tags


def checked(workflow: Workflow) -> tuple[Plan, tuple[Finding, ...]]:
    """Return as `check` does, with doubts alone; raise WorkflowRefusedError where anything is an error."""
    plan, findings = check(workflow)
    if any(one.is_error for one in findings):
        raise WorkflowRefusedError(findings)
    return plan, findings


def check(workflow: Workflow) -> tuple[Plan, tuple[Finding, ...]]:
    """Return the plan of a workflow, and everything found in it, in the order of the file."""
    tags = read_tags(workflow)
    plan = plan_of(workflow, tags)
    findings = (
        *workflow.findings,
        *check_schema(workflow),
        *tags.findings,
        *plan.findings,
        *check_lengths(workflow),
        *check_splicing(workflow),
        *check_for_act(workflow),
    )
    return plan, in_order(findings)
