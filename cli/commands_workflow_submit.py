"""`workflow submit`: the jobs of a workflow file as tasks. The same submission again is the same tasks."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.command import Command, comma_words
from cli.errors import InputError
from cli.light import LedgerOption, ViaOption, find_light
from cli.session import Session, session_of
from cli.workflow_files import known_jobs, read_file

if TYPE_CHECKING:
    from cli.light import Light
    from scheduler.light.handing import HandedTask
    from scheduler.submitting import Submitted
    from scheduler.workflows.planning import Plan
    from scheduler.workflows.reading import Workflow
    from scheduler.workflows.source import Source
    from scheduler.workflows.submission import Run, RunTasks

NO_SOURCE = "none"


def register(group: typer.Typer) -> None:
    """Add the command."""
    group.command("submit", cls=Command)(submit)


def submit(
    context: typer.Context,
    file: Annotated[str, typer.Argument(metavar="FILE", help="A workflow file.")],
    inputs: Annotated[
        list[str] | None, typer.Option("--input", metavar="NAME=VALUE", help="An input of workflow_dispatch.")
    ] = None,
    event: Annotated[
        str | None, typer.Option(metavar="EVENT", help="What it stands for. [workflow_dispatch, else push]")
    ] = None,
    ref: Annotated[
        str | None, typer.Option(metavar="REF", help="The git ref it stands for. [the branch that is checked out]")
    ] = None,
    source: Annotated[
        str | None,
        typer.Option(metavar="DIR", help="What jobs work on; none for nothing. [the git work tree around FILE]"),
    ] = None,
    jobs: Annotated[
        list[str] | None, typer.Option("--job", metavar="JOB", help="Only these jobs, and those they need.")
    ] = None,
    network: Annotated[bool, typer.Option("--network", help="Every job wants the network.")] = False,
    priority: Annotated[int, typer.Option(metavar="1-10", min=1, max=10, help="10 comes first.")] = 5,
    workflow_id: Annotated[str | None, typer.Option(metavar="ID", help="[the workflow's name]")] = None,
    run_id: Annotated[
        str | None, typer.Option(metavar="ID", help="Begins the names of the tasks. [a digest of file, source, inputs]")
    ] = None,
    ledger: LedgerOption = None,
    via: ViaOption = None,
) -> None:
    """Submit the jobs of a workflow file: each job, and each leg of a matrix, is one task.

    `needs` become needs of tasks, outputs flow through signed results. File, source and inputs are pinned by CID in
    each task; the source is the files that git tracks, as they lie there. All goes into the ledger in one transaction,
    and only where `workflow lint` finds no error. The same submission again is the same tasks; with another --run-id
    the same runs again.
    """
    session = session_of(context)
    light = find_light(session, ledger, via)
    document = submit_file(
        session,
        light,
        file,
        inputs,
        event=event,
        ref=ref,
        source=source,
        jobs=jobs,
        network=network,
        priority=priority,
        workflow_id=workflow_id,
        run_id=run_id,
    )
    session.output.result(document, submitted_run_lines(document))


def submit_file(
    session: Session,
    light: Light | None,
    file: str,
    inputs: list[str] | None = None,
    *,
    event: str | None = None,
    ref: str | None = None,
    source: str | None = None,
    jobs: list[str] | None = None,
    network: bool = False,
    priority: int = 5,
    workflow_id: str | None = None,
    run_id: str | None = None,
) -> dict[str, Any]:
    """Submit the jobs of a workflow file, with a home or (`light`) without one; return what came of it."""
    from ledger.events import Role
    from scheduler.action_errors import ConflictError
    from scheduler.workflows.submission import submit_run, tasks_of

    workflow, plan = _checked(session, file)
    run, packed = _run(session, workflow, plan, _pairs(inputs), event, ref, source, network=network)
    run = _replaced(run, known_jobs(plan, comma_words(jobs)), priority, workflow_id, run_id)
    try:
        if light is not None:
            made = tasks_of(light.token.ledger, light.key.actor, run)
            handed = light.submit(session, [task.request for task in made.tasks])
            document = run_document(run, made, handed.tasks, packed)
            return document | {"via": handed.via, "how": str(handed.how)}
        with session.first_use() as home:
            made, done = submit_run(home, session.key(home, Role.SUBMITTER), run)
        return run_document(run, made, done, packed)
    except ConflictError as error:
        error.advice = "name another run: --run-id ID; or submit the very same file, source and inputs"
        raise


def submitted_run_lines(document: dict[str, Any]) -> list[str]:
    """Return what is printed of a workflow that was submitted."""
    from cli.workflow_text import counted

    tasks = document["tasks"]
    created = sum(task["created"] for task in tasks)
    return [
        f"✓ {document['workflow_id']}: {counted(created, 'task')} submitted, {len(tasks) - created} already there",
        f"Run: {document['run_id']}",
        *(f"  {task['task_id']}  {task['task_key']}" for task in tasks),
    ]


def _checked(session: Session, file: str) -> tuple[Workflow, Plan]:
    """Return a file without errors; its warnings are told."""
    from scheduler.workflows.checking import checked

    workflow = read_file(file)
    plan, findings = checked(workflow)
    for one in findings:
        session.output.note(one.render())
    return workflow, plan


def _pairs(texts: list[str] | None) -> dict[str, str]:
    pairs: dict[str, str] = {}
    for text in texts or ():
        name, equals, value = text.partition("=")
        if not equals or not name or name in pairs:
            words = f"input {name!r} is given twice" if name in pairs else f"--input {text!r} is no NAME=VALUE"
            raise InputError(words, "write --input name=value, once for each")
        pairs[name] = value
    return pairs


def _run(
    session: Session,
    workflow: Workflow,
    plan: Plan,
    inputs: dict[str, str],
    event: str | None,
    ref: str | None,
    source: str | None,
    *,
    network: bool,
) -> tuple[Run, Source | None]:
    from scheduler.workflows.inputs import check_inputs, choose_event
    from scheduler.workflows.source import checkout_of, pack, resolve_ref
    from scheduler.workflows.submission import Run

    path = Path(workflow.path)
    checkout = checkout_of(path.parent if source in {None, NO_SOURCE} else Path(source or "."))
    folder = (None if checkout is None else checkout.root) if source is None else Path(source)
    folder = None if source == NO_SOURCE else folder
    chosen = choose_event(workflow, event)
    checked = check_inputs(workflow, chosen, inputs)
    sha = "" if checkout is None else checkout.sha
    full = "" if checkout is None else checkout.ref
    if ref is not None:
        full, commit = resolve_ref(path.parent if folder is None else folder, ref)
        if commit and sha and commit != sha:
            session.output.note(f"{full} is at {commit[:12]}, but what is checked out, and submitted, is {sha[:12]}.")
    packed = None if folder is None else pack(folder)
    if packed is None:
        session.output.note("No source goes with it: the jobs begin in an empty folder.")
    else:
        words = (
            f"The source, {packed.files} files of {folder} ({len(packed.data):,} bytes), goes into the ledger for good"
        )
        if checkout is not None and checkout.untracked:
            words += f"; {checkout.untracked} untracked ones are left out"
        if packed.left_out:
            words += f"; so are the submodules {', '.join(packed.left_out)}"
        session.output.note(f"{words}.")
        if checkout is not None and checkout.changed:
            session.output.note(f"It has changes that are not in commit {sha[:12]}.")
    place = _place(path, folder)
    run = Run(
        workflow, plan, place, chosen, checked, full, sha, None if packed is None else packed.data, network=network
    )
    return run, packed


def _place(path: Path, source: Path | None) -> str:
    """Return where the file stands in its repository: in the source, else from .github on, else its name alone."""
    full = path.resolve()
    if source is not None and full.is_relative_to(source.resolve()):
        return full.relative_to(source.resolve()).as_posix()
    return "/".join(full.parts[-3:]) if full.parts[-3:-1] == (".github", "workflows") else full.name


def _replaced(run: Run, jobs: tuple[str, ...], priority: int, workflow_id: str | None, run_id: str | None) -> Run:
    from dataclasses import replace

    for name, value in (("--workflow-id", workflow_id), ("--run-id", run_id)):
        if value is not None and not value.strip():
            raise InputError(f"{name} is empty", "leave it out, or name it")
    return replace(run, jobs=jobs, priority=priority, workflow_id=workflow_id, run_id=run_id)


def run_document(
    run: Run, made: RunTasks, done: Sequence[Submitted | HandedTask], packed: Source | None = None
) -> dict[str, Any]:
    """Return a run that was submitted as JSON; `packed` tells how many files its source has."""
    source = None if made.source is None else made.source.to_json() | {"files": 0 if packed is None else packed.files}
    return {
        "success": True,
        "workflow_id": run.workflow_id or run.plan.name,
        "run_id": made.run_id,
        "event": run.event,
        "inputs": dict(run.inputs),
        "ref": run.ref,
        "sha": run.sha,
        "path": run.path,
        "file": made.file.to_json(),
        "source": source,
        "tasks": [
            {
                "job": task.job.job,
                "leg": task.leg.leg.name,
                "matrix": dict(task.leg.leg.values),
                "task_id": task.request.spec.task_id,
                "task_key": one.key.hex(),
                "needs": [key.hex() for key in task.request.spec.needs],
                "requires": list(task.request.spec.requires),
                "tags": list(task.request.spec.tags),
                "created": one.created,
                "event_cid": None if one.event is None else str(one.event),
            }
            for task, one in zip(made.tasks, done, strict=True)
        ],
    }
