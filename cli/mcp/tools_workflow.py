"""Workflow files through the server: checked, planned, submitted as tasks. They come as text; no file here is read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field

from cli.mcp.answers import Answer, Part
from cli.mcp.arguments import Names, WorkflowText
from cli.mcp.desk import Desk, Turn
from cli.mcp.kinds import APPENDS_ONCE, READS, add

if TYPE_CHECKING:
    from cli.mcp.server import SchedulerServer
    from scheduler.home import Home
    from scheduler.submitting import Submitted
    from scheduler.workflows.findings import Finding
    from scheduler.workflows.submission import Run, RunTasks

_PATH = ".github/workflows/workflow.yml"

FilePath = Annotated[str, Field(min_length=1, max_length=1_024, description="Where the file stands in its repository.")]


class FindingPart(Part):
    """A fault of a workflow file, or a doubt."""

    path: str
    line: int
    key: str
    severity: str
    rule: str
    words: str
    advice: str | None


class WorkflowTask(Part):
    """A task of a workflow: a job, or one leg of its matrix."""

    job: str
    leg: str
    task_id: str
    task_key: str
    needs: list[str] = Field(description="Task keys.")
    created: bool = Field(description="False where the ledger had it already.")
    event_cid: str | None


class PlanAnswer(Answer):
    """`p2p_plan_workflow`."""

    tool: Literal["p2p_plan_workflow"] = "p2p_plan_workflow"
    ok: bool = Field(description="Whether it can be submitted: no finding is an error.")
    name: str
    jobs: list[dict[str, Any]] = Field(description="Legs, needs, tags, labels, and for each leg who could run it.")
    findings: list[FindingPart]
    text: str = Field(description="The graph, as `workflow plan` draws it.")


class SubmitWorkflowAnswer(Answer):
    """`p2p_submit_workflow`."""

    tool: Literal["p2p_submit_workflow"] = "p2p_submit_workflow"
    success: Literal[True] = True
    workflow_id: str
    run_id: str
    tasks: list[WorkflowTask]
    event_cids: list[str] = Field(description="The durable events that submit them.")
    warnings: list[FindingPart]


class WorkflowTools:
    """Tools about workflow files."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    def add_to(self, server: SchedulerServer) -> None:
        """Add them."""
        add(server, self.p2p_plan_workflow, "Plan a workflow", READS)
        add(server, self.p2p_submit_workflow, "Submit a workflow", APPENDS_ONCE)

    async def p2p_plan_workflow(self, workflow: WorkflowText, path: FilePath = _PATH) -> PlanAnswer:
        """Check a workflow file and show its jobs, what each needs, and who could run it; submits nothing.

        What a worker could not do as GitHub does, or would have to leave out, is an error with its line.
        """

        def look(home: Home) -> PlanAnswer:
            from cli.workflow_text import plan_document, render_plan, who_documents
            from scheduler.workflows.checking import check
            from scheduler.workflows.reading import read_workflow

            made, findings = check(read_workflow(workflow.encode(), path))
            with home.reading():
                who = who_documents(home, made, self._desk.me, self._desk.session.worker_policy())
            document = plan_document(made, findings, who)
            return PlanAnswer(
                ok=not any(one.is_error for one in findings),
                name=made.name,
                jobs=document["jobs"],
                findings=_findings(findings),
                text="\n".join(render_plan(made, who)),
            )

        return await self._desk.read_long(look)

    async def p2p_submit_workflow(
        self,
        workflow: WorkflowText,
        path: FilePath = _PATH,
        files: Annotated[
            dict[str, str], Field(max_length=1_000, description="What the jobs check out: texts by path. {}: nothing.")
        ] = {},  # noqa: B006 — the SDK reads it, nobody writes it
        inputs: Annotated[
            dict[str, str], Field(max_length=100, description="Inputs of workflow_dispatch, as texts.")
        ] = {},  # noqa: B006 — as above
        jobs: Annotated[Names, Field(description="Only these and their needs. Empty: all.")] = [],  # noqa: B006 — as above
        event: Annotated[str, Field(max_length=64, description="What it stands for: workflow_dispatch or push.")] = "",
        ref: Annotated[str, Field(max_length=256, description="The git ref it stands for: refs/heads/main.")] = "",
        run_id: Annotated[str, Field(max_length=200, description="Begins the names of the tasks; a new one runs the "
                                     "same again. Empty: a digest of file, files and inputs.")] = "",
        workflow_id: Annotated[str, Field(max_length=1_024, description="Empty: the workflow's name.")] = "",
        priority: Annotated[int, Field(strict=True, ge=1, le=10, description="10 comes first.")] = 5,
        network: Annotated[bool, Field(strict=True, description="Whether every job wants the network.")] = False,
    ) -> SubmitWorkflowAnswer:  # fmt: skip
        """Submit the jobs of a workflow file: each job, and each leg of a matrix, is one task; needs become needs.

        Nothing is submitted of a file with errors. The same call again is the same tasks. Wait for each with
        p2p_wait_for_task; outputs flow from job to job.
        """

        def prepare(_: Home) -> tuple[Run, tuple[Finding, ...]]:
            from scheduler.workflows.sent import run_of

            run, findings = run_of(workflow, path=path, files=files, inputs=inputs, event=event or None, ref=ref)
            return _chosen(run, jobs, network, priority, workflow_id, run_id), findings

        run, findings = await self._desk.read_long(prepare)  # it may take a moment: nobody's turn to write is used up

        def submit(turn: Turn) -> SubmitWorkflowAnswer:
            from ledger.events import Role
            from scheduler.workflows.submission import submit_run

            made, done = submit_run(turn.home, turn.key(Role.SUBMITTER), run)
            return _answer(run, made, done, findings)

        return await self._desk.write(submit)


def _chosen(
    run: Run, jobs: Sequence[str], network: bool, priority: int, workflow_id: str, run_id: str
) -> Run:  # fmt: skip
    from cli.workflow_files import known_jobs

    return replace(
        run,
        jobs=known_jobs(run.plan, jobs),
        network=network,
        priority=priority,
        workflow_id=workflow_id or None,
        run_id=run_id or None,
    )


def _answer(run: Run, made: RunTasks, done: Sequence[Submitted], findings: Sequence[Finding]) -> SubmitWorkflowAnswer:
    from cli.commands_workflow_submit import run_document

    document = run_document(run, made, done)
    tasks = [WorkflowTask(**one) for one in document["tasks"]]
    return SubmitWorkflowAnswer(
        workflow_id=document["workflow_id"],
        run_id=document["run_id"],
        tasks=tasks,
        event_cids=list(dict.fromkeys(one.event_cid for one in tasks if one.event_cid is not None)),
        warnings=_findings(findings),
    )


def _findings(findings: Sequence[Finding]) -> list[FindingPart]:
    return [FindingPart(**one.to_json()) for one in findings]
