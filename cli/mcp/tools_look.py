"""Tools that look: tasks in a list, one task and its history, why it is where it is, its result. They only read."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

from pydantic import Field

from cli.errors import MissingError
from cli.mcp.answers import Answer, Attached, ObstaclePart, Part, Person, TaskRow, attached
from cli.mcp.arguments import TaskName, claim_of
from cli.mcp.desk import Desk
from cli.mcp.kinds import READS, add

if TYPE_CHECKING:
    from cli.mcp.server import SchedulerServer
    from ledger.cid import Cid
    from scheduler.home import Home
    from scheduler.results import Result

FILE_BYTES_MAX: Final = 1_048_576
"""The largest file that a call gives."""

StatusName = Literal["open", "ready", "waiting", "held", "blocked", "done", "cancelled", "dead", "expired"]
ClaimToShow = Annotated[
    str, Field(max_length=200, description="CID of the claim; else that of the result, or the last.")
]


class ListAnswer(Answer):
    """`p2p_list_tasks`."""

    tool: Literal["p2p_list_tasks"] = "p2p_list_tasks"
    tasks: list[TaskRow]
    next_offset: int | None = Field(description="Where the list goes on; null at its end.")


class ClaimPart(Part):
    """A claim on a task."""

    claim: str
    peer: Person | None
    attempt: int
    time: int
    until: int
    released: bool
    failed_at: int | None
    failure: dict[str, Any] | None = Field(description="class and error, where it failed.")
    exit_code: int | None


class CompletionPart(Part):
    """A completion of a task; the first is its result."""

    event: str
    claim: str
    peer: Person | None
    time: int
    stable: bool = Field(description="Whether every active worker has seen it: final but for a revocation.")
    output: Attached | None
    exit_code: int | None


class ShowAnswer(Answer):
    """`p2p_show_task`."""

    tool: Literal["p2p_show_task"] = "p2p_show_task"
    task: TaskRow
    payload: Attached | None
    obstacles: list[ObstaclePart]
    claims: list[ClaimPart]
    completions: list[CompletionPart]
    cancels: list[str]


class ExplainAnswer(Answer):
    """`p2p_explain_task`."""

    tool: Literal["p2p_explain_task"] = "p2p_explain_task"
    task_id: str
    task_key: str
    status: str
    why: str
    turn: str = Field(description="Whose turn it is.")
    obstacles: list[ObstaclePart]
    text: str = Field(description="All of it in words: peers by rank, needs, claims, deciding events.")


class ResultAnswer(Answer):
    """`p2p_get_result`."""

    tool: Literal["p2p_get_result"] = "p2p_get_result"
    task_id: str
    task_key: str
    status: str
    is_result: bool = Field(description="Whether what follows is the task's result, not only how an attempt stands.")
    worker: Person | None
    claim: str | None
    attempt: int | None
    event_cid: str | None = Field(description="The event that says so; null while the claim runs.")
    stable: bool
    tainted: bool = Field(description="Whether an input it rests on was voided since.")
    exit_code: int | None
    duration_ms: int | None
    sandbox: str | None
    limits: list[str]
    failure_class: str | None
    error: str
    progress: str | None
    outputs: dict[str, str]
    files: list[str] = Field(description="Paths of files it handed over: see p2p_get_result_file.")
    output: Attached | None


class FileAnswer(Answer):
    """`p2p_get_result_file`."""

    tool: Literal["p2p_get_result_file"] = "p2p_get_result_file"
    task_key: str
    claim: str | None
    path: str
    size: int = Field(description="In bytes.")
    executable: bool
    text: str | None
    base64: str | None = Field(description="The bytes, where they are no text.")


class LookTools:
    """Tools that look."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    def add_to(self, server: SchedulerServer) -> None:
        """Add them."""
        add(server, self.p2p_list_tasks, "List tasks", READS)
        add(server, self.p2p_show_task, "Show a task", READS)
        add(server, self.p2p_explain_task, "Explain a task", READS)
        add(server, self.p2p_get_result, "Result of a task", READS)
        add(server, self.p2p_get_result_file, "A file of a result", READS)

    async def p2p_list_tasks(
        self,
        status: Annotated[
            list[StatusName], Field(max_length=20, description="Only these; open: all that are not over. Empty: any.")
        ] = [],  # noqa: B006 — the SDK reads it, nobody writes it
        workflow_id: Annotated[str, Field(max_length=1_024, description="Only of this workflow.")] = "",
        limit: Annotated[int, Field(strict=True, ge=1, le=500)] = 50,
        offset: Annotated[int, Field(strict=True, ge=0, le=2**40, description="How many to leave out.")] = 0,
    ) -> ListAnswer:
        """List tasks with where they stand, in the order in which they were submitted."""

        def look(home: Home) -> ListAnswer:
            from cli.task_listing import onlookers_crew, viewed, wanted_statuses
            from cli.task_text import task_document

            found = (
                (record, seen)
                for record, seen in viewed(home, wanted_statuses(status))
                if workflow_id in ("", record.spec.workflow_id)
            )
            crew = onlookers_crew(home)
            rows = [
                TaskRow(**task_document(home, record, seen, crew.assigned_peer(record)))
                for record, seen in itertools.islice(found, offset, offset + limit)
            ]
            more = next(found, None) is not None
            return ListAnswer(tasks=rows, next_offset=offset + limit if more else None)

        return await self._desk.read(look)

    async def p2p_show_task(self, task_id: TaskName) -> ShowAnswer:
        """Show one task with its payload and history: claims, failures, completions and the events behind them."""

        def look(home: Home) -> ShowAnswer:
            from cli.task_show import task_history
            from scheduler.names import find_task

            document = task_history(home, find_task(home, self._desk.me, task_id, home.now_ms()))
            return ShowAnswer(
                task=TaskRow(**document),
                payload=attached(document["payload"]),
                obstacles=[ObstaclePart(**one) for one in document["obstacles"]],
                claims=[ClaimPart(**one) for one in document["claims"]],
                completions=[
                    CompletionPart(**(one | {"output": attached(one["output"])})) for one in document["completions"]
                ],
                cancels=document["cancels"],
            )

        return await self._desk.read(look)

    async def p2p_explain_task(self, task_id: TaskName) -> ExplainAnswer:
        """Say why a task is where it is: whose turn it is and when, what it waits for, whose claim or result counts."""

        def look(home: Home) -> ExplainAnswer:
            from scheduler.explain import explain
            from scheduler.names import find_task

            now = home.now_ms()
            record = find_task(home, self._desk.me, task_id, now)
            found = explain(home, record, now, self._desk.me, self._desk.session.worker_policy())
            return ExplainAnswer(
                task_id=found.task_id,
                task_key=found.task_key,
                status=found.status,
                why=found.why,
                turn=found.turn,
                obstacles=[ObstaclePart(kind=one.kind, words=one.words, until=one.until) for one in found.obstacles],
                text="\n".join(found.render_lines()),
            )

        return await self._desk.read(look)

    async def p2p_get_result(self, task_id: TaskName, claim: ClaimToShow = "") -> ResultAnswer:
        """Return how a task came out: result, outputs, exit code, failure; or how its running attempt stands."""
        under = claim_of(claim)

        return await self._desk.read(lambda home: result_answer(home, self._result(home, task_id, under)))

    async def p2p_get_result_file(
        self,
        task_id: TaskName,
        path: Annotated[str, Field(min_length=1, max_length=4_096, description="As p2p_get_result lists it.")],
        claim: ClaimToShow = "",
    ) -> FileAnswer:
        """Return a file that a task's run handed over, of at most 1 MiB."""
        under = claim_of(claim)

        def look(home: Home) -> FileAnswer:
            return _file_answer(home, self._result(home, task_id, under), path)

        return await self._desk.read(look)

    def _result(self, home: Home, task_id: str, under: Cid | None) -> Result:
        from scheduler.names import find_task
        from scheduler.results import result_of

        try:
            return result_of(home, find_task(home, self._desk.me, task_id, home.now_ms()), under)
        except LookupError as error:
            if hasattr(error, "advice"):
                raise
            raise MissingError(str(error), "p2p_show_task lists the claims") from None


def result_answer(home: Home, result: Result) -> ResultAnswer:
    """Return a result as answered. Within a reading."""
    from cli.attachments import attachment_document
    from cli.people import person

    return ResultAnswer(
        task_id=result.task.spec.task_id,
        task_key=result.task.key.hex(),
        status=result.status,
        is_result=result.is_result,
        worker=_person(person(home, result.worker)),
        claim=None if result.claim is None else str(result.claim.cid),
        attempt=result.attempt,
        event_cid=None if result.event is None else str(result.event),
        stable=result.stable,
        tainted=result.tainted,
        exit_code=result.exit_code,
        duration_ms=result.duration_ms,
        sandbox=result.sandbox,
        limits=list(result.limits),
        failure_class=result.failure_class,
        error=result.error,
        progress=result.progress,
        outputs=dict(result.outputs),
        files=sorted(result.files),
        output=attached(attachment_document(home, result.handed.output)),
    )


def _file_answer(home: Home, result: Result, path: str) -> FileAnswer:
    import base64

    from cli.result_text import bytes_of_file

    file = result.files.get(path)
    if file is None:
        listed = ", ".join(sorted(result.files)[:20]) or "none"
        raise MissingError(f"the task handed over no file {path[:200]!r}", f"files it handed over: {listed}")
    if file.size > FILE_BYTES_MAX:
        raise MissingError(
            f"{path[:200]!r} has {file.size:,} bytes, and a call gives at most {FILE_BYTES_MAX:,}",
            "on a machine with this ledger: p2p-workflow result TASK --output FOLDER",
        )
    data = bytes_of_file(home, file)
    if data is None:
        raise MissingError(f"the bytes of {path[:200]!r} have not come to this home yet", "call again in a while")
    try:
        text, encoded = data.decode(), None
    except UnicodeDecodeError:
        text, encoded = None, base64.b64encode(data).decode()
    return FileAnswer(
        task_key=result.task.key.hex(),
        claim=None if result.claim is None else str(result.claim.cid),
        path=path,
        size=file.size,
        executable=file.executable,
        text=text,
        base64=encoded,
    )


def _person(fields: dict[str, str] | None) -> Person | None:
    return None if fields is None else Person(**fields)
