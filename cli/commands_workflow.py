"""`workflow lint`, `plan`, `scan`: what workflow files say, before anything of them runs. They append nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli import commands_workflow_submit
from cli.command import Command, Group
from cli.session import Session, session_of
from cli.workflow_files import check_file, counts, end, findings_document, read_file, summary

if TYPE_CHECKING:
    from scheduler.workflows.planning import Plan

StrictOption = Annotated[bool, typer.Option("--strict", help="Warnings count as errors.")]


def register(app: typer.Typer) -> None:
    """Add the group of commands."""
    group = typer.Typer(cls=Group, help="Check, plan and submit GitHub workflow files.", rich_markup_mode=None)
    group.command("lint", cls=Command)(lint)
    group.command("plan", cls=Command)(plan)
    commands_workflow_submit.register(group)
    group.command("scan", cls=Command)(scan)
    app.add_typer(group, name="workflow")


def lint(
    context: typer.Context,
    files: Annotated[list[str], typer.Argument(metavar="FILE...", help="Workflow files.")],
    strict: StrictOption = False,
) -> None:
    """Check workflow files: YAML, schema, tags, needs, matrix, what act cannot do, shell injection.

    Each finding is one line, FILE:LINE: what is wrong, what to do, and its rule. Ends with 6 where there is an error.
    """
    session = session_of(context)
    found = {file: check_file(file)[2] for file in files}
    everything = [one for findings in found.values() for one in findings]
    count = counts(everything)
    session.output.result(
        {
            "success": not count["errors"],
            **count,
            "files": [findings_document(file, findings) for file, findings in found.items()],
        },
        [*(one.render() for one in everything), summary(count, strict=strict)],
    )
    end(count, strict=strict)


def plan(
    context: typer.Context,
    file: Annotated[str, typer.Argument(metavar="FILE", help="A workflow file.")],
    dot: Annotated[bool, typer.Option("--dot", help="Print the graph for Graphviz instead.")] = False,
) -> None:
    """Show what a workflow file comes to: jobs, legs of a matrix, needs, tags, and who could run them now.

    Ends with 6 where the file has errors; the plan then shows what is known.
    """
    from cli.workflow_text import plan_document, render_dot, render_plan
    from scheduler.workflows.checking import check

    session = session_of(context)
    workflow = read_file(file)
    made, findings = check(workflow)
    who = _who(session, made)
    lines = render_dot(made) if dot else render_plan(made, who)
    session.output.result(plan_document(made, findings, who), lines)
    for one in findings:
        session.output.note(one.render())
    end(counts(findings), strict=False)


def _who(session: Session, plan: Plan) -> dict[str, list[dict[str, Any]]] | None:
    """Return who could run each leg, None where there is no home to ask."""
    from cli.workflow_text import who_documents
    from scheduler.place import HomeNotFoundError

    try:
        with session.home() as home, home.reading():
            key = session.find_key(home)
            policy = session.worker_policy() if session.policy_path().exists() else None
            if policy is None:
                session.output.note(
                    "The worker of this home runs none of it before it has a policy: worker policy init."
                )
            return who_documents(home, plan, None if key is None else key.actor, policy)
    except HomeNotFoundError:
        session.output.note("There is no ledger here, so nobody knows who could run it.")
        return None


def scan(
    context: typer.Context,
    path: Annotated[str, typer.Argument(metavar="PATH", help="A folder, or one workflow file.")] = ".",
    strict: StrictOption = False,
) -> None:
    """List every workflow below a folder: tags with their lines, what bypasses GitHub, conflicts, jobs run twice.

    A job that is p2p-only, but that GitHub would run anyway, is a warning with the guard to add; one that only submits
    is fine. Ends with 6 where a file cannot be read, or its tags are unknown or in conflict.
    """
    from pathlib import Path

    from cli.workflow_text import counted, render_scan
    from scheduler.workflows.scanning import scan as scan_place

    session = session_of(context)
    found = list(scan_place(Path(path)))
    count = counts(one for file in found for one in file.findings)
    session.output.result(
        {"success": not count["errors"], **count, "workflows": [file.to_json() for file in found]},
        [
            *(line for file in found for line in render_scan(file)),
            f"{summary(count, strict=strict)} in {counted(len(found), 'workflow')}",
        ],
    )
    end(count, strict=strict)
