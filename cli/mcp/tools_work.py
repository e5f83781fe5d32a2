"""What a worker does with a task it holds beside completing it, and what its submitter does: one durable event each."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar

from pydantic import Field

from cli.errors import MissingError
from cli.mcp.answers import Done
from cli.mcp.arguments import Claim, Data, LeaseSeconds, TaskName, Words, attachment, claim_of
from cli.mcp.desk import Desk, Turn
from cli.mcp.kinds import APPENDS, APPENDS_ONCE, ENDS, add

if TYPE_CHECKING:
    from cli.mcp.server import SchedulerServer
    from crdt.records import TaskRecord
    from ledger.cid import Cid
    from ledger.keys import SigningKey

A = TypeVar("A", bound=Done)


class FailAnswer(Done):
    """`p2p_fail_task`."""

    tool: Literal["p2p_fail_task"] = "p2p_fail_task"
    status: str = Field(description="Where the task stands now: waiting for its next attempt, or dead.")


class ReleaseAnswer(Done):
    """`p2p_release_task`."""

    tool: Literal["p2p_release_task"] = "p2p_release_task"


class RenewAnswer(Done):
    """`p2p_renew_task`."""

    tool: Literal["p2p_renew_task"] = "p2p_renew_task"
    claim: str
    until: int = Field(description="When the lease ends now.")


class CancelAnswer(Done):
    """`p2p_cancel_task`."""

    tool: Literal["p2p_cancel_task"] = "p2p_cancel_task"
    already: bool = Field(description="Whether it was cancelled before.")


class RequeueAnswer(Done):
    """`p2p_requeue_task`."""

    tool: Literal["p2p_requeue_task"] = "p2p_requeue_task"


class WorkTools:
    """Tools that settle and steer tasks."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    def add_to(self, server: SchedulerServer) -> None:
        """Add them."""
        add(server, self.p2p_fail_task, "Say that an attempt failed", ENDS)
        add(server, self.p2p_renew_task, "Keep a task longer", APPENDS)
        add(server, self.p2p_release_task, "Give a task back", ENDS)
        add(server, self.p2p_cancel_task, "Cancel a task", ENDS)
        add(server, self.p2p_requeue_task, "Queue a dead task again", APPENDS_ONCE)

    async def p2p_fail_task(
        self,
        task_id: TaskName,
        claim: Claim = "",
        error: Annotated[Words, Field(description="What went wrong.")] = "",
        failure_class: Annotated[
            str,
            Field(
                min_length=1, max_length=64, description="payload (the work itself), timeout, limit, infrastructure."
            ),
        ] = "payload",
        log: Annotated[Data, Field(description="What the work printed.")] = "",
        exit_code: Annotated[int | None, Field(strict=True, ge=-255, le=255)] = None,
    ) -> FailAnswer:
        """Say that your attempt at a task you hold failed; it is tried again later, while it has attempts left."""
        under, logged = claim_of(claim), attachment(log, "", is_base64=False)

        def fail(turn: Turn) -> FailAnswer:
            from ledger.operations import Report
            from scheduler import actions

            key, task = _held(turn, task_id)
            report = None if exit_code is None else Report(exit_code=exit_code)
            settled = actions.fail(
                turn.home,
                key,
                task.key,
                under=under,
                failure_class=failure_class,
                error=error,
                report=report,
                log=logged,
            )
            return _done(FailAnswer, settled.record, settled.event, status=_status(turn, settled.record))

        return await self._desk.write(fail)

    async def p2p_renew_task(
        self,
        task_id: TaskName,
        claim: Claim = "",
        lease_seconds: LeaseSeconds = 900.0,
        progress: Annotated[Words, Field(description="How far the work is; others see it.")] = "",
        log: Annotated[Data, Field(description="What the work printed since the last renewal.")] = "",
    ) -> RenewAnswer:
        """Keep a task you hold for another lease from now; refused where it is yours no more."""
        under, logged = claim_of(claim), attachment(log, "", is_base64=False)

        def renew(turn: Turn) -> RenewAnswer:
            from scheduler import actions
            from scheduler.acting import own_claim

            key, task = _held(turn, task_id)
            lease_ms = min(round(lease_seconds * 1000), turn.home.policy.lease_ms_max)
            renewed = actions.renew_task(
                turn.home, key, task.key, under=under, lease_ms=lease_ms, progress=progress or None, log=logged
            )
            own = own_claim(renewed.record, key.actor, turn.home.now_ms())
            assert own is not None  # noqa: S101  # it was just renewed
            return _done(RenewAnswer, renewed.record, renewed.event, claim=str(own.cid), until=own.until)

        return await self._desk.write(renew)

    async def p2p_release_task(self, task_id: TaskName, claim: Claim = "", reason: Words = "") -> ReleaseAnswer:
        """Give back a task you hold, untried: it counts as no attempt, and is anybody's at once."""
        under = claim_of(claim)

        def release(turn: Turn) -> ReleaseAnswer:
            from scheduler import actions

            key, task = _held(turn, task_id)
            settled = actions.release(turn.home, key, task.key, under=under, reason=reason or None)
            return _done(ReleaseAnswer, settled.record, settled.event)

        return await self._desk.write(release)

    async def p2p_cancel_task(self, task_id: TaskName, reason: Words = "") -> CancelAnswer:
        """Cancel a task that this server's key submitted: nobody takes it any more. What is done stays done."""

        def cancel(turn: Turn) -> CancelAnswer:
            from scheduler import actions

            key, task = _submitted(turn, task_id)
            steered = actions.cancel(turn.home, key, task.key, reason=reason or None)
            event = steered.event or steered.record.cancels[0]
            return _done(CancelAnswer, steered.record, event, already=steered.event is None)

        return await self._desk.write(cancel)

    async def p2p_requeue_task(self, task_id: TaskName) -> RequeueAnswer:
        """Queue a dead task that this server's key submitted again, with all its attempts."""

        def requeue(turn: Turn) -> RequeueAnswer:
            from scheduler import actions

            key, task = _submitted(turn, task_id)
            steered = actions.requeue(turn.home, key, task.key)
            if steered.event is None:
                raise MissingError(f"task {task.spec.task_id} was not queued again")
            return _done(RequeueAnswer, steered.record, steered.event)

        return await self._desk.write(requeue)


def _held(turn: Turn, name: str) -> tuple[SigningKey, TaskRecord]:
    from ledger.events import Role
    from scheduler import actions

    key = turn.key(Role.WORKER)
    return key, actions.resolve(turn.home, key, name)


def _submitted(turn: Turn, name: str) -> tuple[SigningKey, TaskRecord]:
    from ledger.events import Role
    from scheduler import actions

    key = turn.key(Role.SUBMITTER)
    return key, actions.resolve(turn.home, key, name)


def _status(turn: Turn, record: TaskRecord) -> str:
    from crdt.view import view

    with turn.home.reading():
        return view(record, turn.home.board.find_record, turn.home.policy, turn.home.now_ms()).status


def _done(answer: type[A], record: TaskRecord, event: Cid, **more: Any) -> A:
    spec = record.spec
    return answer(
        task_id=spec.task_id, workflow_id=spec.workflow_id, task_key=record.key.hex(), event_cid=str(event), **more
    )
