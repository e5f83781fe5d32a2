"""Tools that take long, and say meanwhile how far they are: waiting for a task, following its log, verifying all."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

import anyio.from_thread
from mcp.server.mcpserver import Context
from pydantic import Field

from cli.mcp.answers import Answer
from cli.mcp.arguments import TaskName, WaitSeconds, claim_of
from cli.mcp.desk import LOOK_S, Desk
from cli.mcp.kinds import READS, add
from cli.mcp.log_slices import LogSlice, log_slice
from cli.mcp.progress import Reporter
from cli.mcp.tools_look import ClaimToShow, ResultAnswer, result_answer

if TYPE_CHECKING:
    from cli.mcp.server import SchedulerServer
    from scheduler.home import Home

FILE_LOOK_S: Final = 0.2
"""How often a following call looks at the file of a worker in this home, which wakes nobody."""
_REPORT_S: Final = 0.25
_FAULTS_MAX: Final = 100


class WaitAnswer(Answer):
    """`p2p_wait_for_task`."""

    tool: Literal["p2p_wait_for_task"] = "p2p_wait_for_task"
    is_over: bool = Field(description="Whether the task is done, cancelled, dead, expired, or blocked by such a need.")
    status: str
    why: str = Field(description="What it waits for, where it is not over.")
    result: ResultAnswer


class LogsAnswer(Answer):
    """`p2p_get_logs`."""

    tool: Literal["p2p_get_logs"] = "p2p_get_logs"
    task_key: str
    claim: str | None
    text: str
    offset: int = Field(description="Where `text` begins, in bytes of the log.")
    next_offset: int = Field(description="Where to go on: give it as `offset` next time.")
    is_over: bool = Field(description="Whether there is no more, now or later.")


class VerifyAnswer(Answer):
    """`p2p_verify_ledger`."""

    tool: Literal["p2p_verify_ledger"] = "p2p_verify_ledger"
    verified: bool
    faults: list[dict[str, str | None]] = Field(description="cid, rule, words; the first hundred.")
    ledger: str
    events: int
    tasks: int
    statuses: dict[str, int]
    merkle_root: str
    state_root: str


class LongTools:
    """Tools that take long."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    def add_to(self, server: SchedulerServer) -> None:
        """Add them."""
        add(server, self.p2p_wait_for_task, "Wait for a task", READS)
        add(server, self.p2p_get_logs, "Log of a task", READS)
        add(server, self.p2p_verify_ledger, "Verify the ledger", READS)

    async def p2p_wait_for_task(
        self, context: Context[Any, Any], task_id: TaskName, wait_seconds: WaitSeconds = 30.0
    ) -> WaitAnswer:
        """Wait until a task is over, and return its result; after wait_seconds say where it stands instead.

        Progress says each change meanwhile. Where `is_over` is false, call it again.
        """
        until = time.monotonic() + wait_seconds
        reporter = Reporter(context, wait_seconds)
        while True:
            answer = await self._desk.read(lambda home: self._standing(home, task_id))
            rest = until - time.monotonic()
            if answer.is_over or rest <= 0:
                return answer
            await reporter.say(f"{answer.status}: {answer.why}" if answer.why else answer.status)
            await self._desk.pause(min(rest, LOOK_S))

    def _standing(self, home: Home, task_id: str) -> WaitAnswer:
        from crdt.view import FINAL, Status, view
        from scheduler.explanation import render_obstacle
        from scheduler.names import find_task
        from scheduler.results import result_of

        now = home.now_ms()
        record = find_task(home, self._desk.me, task_id, now)
        seen = view(record, home.board.find_record, home.policy, now)
        result = result_of(home, record, now=now)
        why = "; ".join(map(render_obstacle, seen.obstacles))
        if seen.holder is not None:
            why = f"held by {home.members.name_of(seen.holder.actor)}" + (
                f": {result.progress}" if result.progress else ""
            )
        return WaitAnswer(
            is_over=seen.status in FINAL or seen.status is Status.BLOCKED,
            status=seen.status,
            why=why,
            result=result_answer(home, result),
        )

    async def p2p_get_logs(
        self,
        context: Context[Any, Any],
        task_id: TaskName,
        claim: ClaimToShow = "",
        offset: Annotated[int, Field(strict=True, ge=0, le=2**40, description="Where to begin, in bytes.")] = 0,
        limit: Annotated[int, Field(strict=True, ge=16, le=262_144, description="At most so much, in bytes.")] = 65_536,
        wait_seconds: WaitSeconds = 0.0,
    ) -> LogsAnswer:
        """Return what a task's run printed, from `offset` on; with wait_seconds it waits for more.

        To follow a running task, call it again and again with the `next_offset` it gave, and the same claim.
        """
        under = claim_of(claim)
        until = time.monotonic() + wait_seconds
        reporter = Reporter(context, wait_seconds)

        def look(home: Home) -> LogSlice:
            from scheduler.names import find_task

            record = find_task(home, self._desk.me, task_id, home.now_ms())
            return log_slice(home, record, under, offset, limit)

        while True:
            part = await self._desk.read(look)
            text, used = part.text()
            rest = until - time.monotonic()
            if text or part.is_over or rest <= 0:
                return LogsAnswer(
                    task_key=part.task.hex(),
                    claim=None if part.claim is None else str(part.claim),
                    text=text,
                    offset=offset,
                    next_offset=offset + used,
                    is_over=part.is_over,
                )
            await reporter.say("nothing more was printed yet")
            await self._desk.pause(min(rest, FILE_LOOK_S if part.has_file else LOOK_S))

    async def p2p_verify_ledger(self, context: Context[Any, Any]) -> VerifyAnswer:
        """Check the whole ledger as a stranger would: every hash, signature and rule again, and the state root.

        Takes about a third of a second for each thousand events; progress says how far it is.
        """
        from cli.commands_verify import verify_home

        @contextmanager
        def progress(total: int) -> Iterator[Callable[[int], None]]:
            done, said_at = 0, float("-inf")

            def step(more: int) -> None:
                nonlocal done, said_at
                done += more
                if done == total or time.monotonic() >= said_at + _REPORT_S:
                    said_at = time.monotonic()
                    self._desk.check_not_stopping()
                    anyio.from_thread.check_cancelled()
                    anyio.from_thread.run(context.report_progress, done, total, f"{done} of {total} events")

            yield step

        document, faults = await self._desk.read_long(lambda home: verify_home(home, progress))
        return VerifyAnswer.model_validate(
            document
            | {
                "verified": not faults,
                "faults": [
                    {name: fault.get(name) for name in ("cid", "rule", "words")} for fault in faults[:_FAULTS_MAX]
                ],
            }
        )
