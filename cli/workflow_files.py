"""Workflow files of a command line: read, checked, and what is found told."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import typer

from cli.errors import MissingError
from cli.exit_codes import ExitCode

if TYPE_CHECKING:
    from scheduler.workflows.findings import Finding
    from scheduler.workflows.planning import Plan
    from scheduler.workflows.reading import Workflow

_SHOWN_CHARS: Final = 64
_LISTED_CHARS: Final = 500


def read_file(file: str) -> Workflow:
    """Return a workflow file; WorkflowFileError where it is none."""
    from scheduler.workflows.reading import read_workflow
    from scheduler.workflows.yaml_nodes import FILE_BYTES_MAX

    with Path(file).open("rb") as stream:
        return read_workflow(stream.read(FILE_BYTES_MAX + 1), file)


def check_file(file: str) -> tuple[Workflow | None, Plan | None, tuple[Finding, ...]]:
    """Return a workflow file with its plan and all that is found in it; nothing but that where it cannot be read."""
    from scheduler.workflows.checking import check
    from scheduler.workflows.yaml_nodes import WorkflowFileError

    try:
        workflow = read_file(file)
    except WorkflowFileError as error:
        return None, None, (error.finding,)
    plan, findings = check(workflow)
    return workflow, plan, findings


def known_jobs(plan: Plan, wanted: Iterable[str]) -> tuple[str, ...]:
    """Return the ids of jobs that are asked for, each once; MissingError for one that the file does not have."""
    names = [one.job for one in plan.jobs]
    listed = tuple(dict.fromkeys(wanted))
    for job in listed:
        if job not in names:
            near = difflib.get_close_matches(job[:_SHOWN_CHARS], names, n=1)
            advice = f"did you mean {near[0]}?" if near else f"it has {', '.join(names)[:_LISTED_CHARS]}"
            raise MissingError(f"{plan.path} has no job {job[:_SHOWN_CHARS]!r}", advice)
    return listed


def counts(findings: Iterable[Finding]) -> dict[str, int]:
    """Return how many findings are errors, and how many are warnings."""
    listed = list(findings)
    errors = sum(one.is_error for one in listed)
    return {"errors": errors, "warnings": len(listed) - errors}


def end(count: dict[str, int], *, strict: bool) -> None:
    """End the command with the code for a file that breaks a rule, where it does."""
    if count["errors"] or (strict and count["warnings"]):
        raise typer.Exit(ExitCode.INVALID)


def summary(count: dict[str, int], *, strict: bool) -> str:
    """Return a verdict in words."""
    bad = count["errors"] or (strict and count["warnings"])
    shown = [f"{number} {word if number != 1 else word[:-1]}" for word, number in count.items() if number]
    return f"{'✗' if bad else '✓'} {', '.join(shown) or 'nothing found'}"


def findings_document(path: str, findings: Iterable[Finding]) -> dict[str, Any]:
    """Return what was found in one file as JSON."""
    listed = list(findings)
    return {"path": path, **counts(listed), "findings": [one.to_json() for one in listed]}
