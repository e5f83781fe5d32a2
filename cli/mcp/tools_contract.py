"""The seven tools of the contract, to the letter; what we add stands after their arguments and beside their fields."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

from mcp.server.mcpserver import Context
from pydantic import Field

from cli.errors import InputError
from cli.mcp.answers import Answer, Done, TakenTask, attached
from cli.mcp.arguments import (
    Claim,
    CommandArgument,
    Data,
    IsBase64,
    LeaseSeconds,
    MediaType,
    Names,
    TaskName,
    WaitSeconds,
    attachment,
    claim_of,
    command_attachment,
)
from cli.mcp.desk import Desk, Turn
from cli.mcp.kinds import APPENDS, APPENDS_ONCE, ENDS, READS, add
from cli.mcp.taking import take_for
from cli.task_text import task_hash

if TYPE_CHECKING:
    from cli.mcp.server import SchedulerServer
    from ledger.operations import Attachment


class StatusAnswer(Answer):
    """`p2p_scheduler_status`."""

    tool: Literal["p2p_scheduler_status"] = "p2p_scheduler_status"
    peer_id: str
    peer_key: str = Field(description="did:key of this server's peer.")
    merkle_clock: dict[str, Any]
    merkle_clock_hash: str
    pending_tasks: int = Field(description="Open tasks that this peer does not hold.")
    assigned_tasks: int = Field(description="Tasks that this peer holds.")
    completed_tasks: int
    queue_size: int
    known_peers: int
    ledger: str = Field(description="CID of the ledger's genesis.")
    events: int


class SubmitAnswer(Answer):
    """`p2p_submit_task`."""

    tool: Literal["p2p_submit_task"] = "p2p_submit_task"
    success: Literal[True] = True
    task_id: str
    workflow_id: str
    task_hash: str = Field(description="SHA-256 of task_id:workflow_id. Names nothing in the ledger.")
    task_key: str = Field(description="The task's key: stands wherever a task id does, and is never ambiguous.")
    priority: int
    created: bool = Field(description="False where this very request was submitted before: it is the same task.")
    event_cid: str | None = Field(
        description="The durable event that submitted it; null only where it was done in the ledger before this one."
    )


class NextAnswer(Answer):
    """`p2p_get_next_task`."""

    tool: Literal["p2p_get_next_task"] = "p2p_get_next_task"
    task: TakenTask | None
    message: str


class CompleteAnswer(Done):
    """`p2p_mark_task_complete`."""

    tool: Literal["p2p_mark_task_complete"] = "p2p_mark_task_complete"
    already: bool = Field(description="Whether this peer had completed it before: nothing was changed.")


class TagsAnswer(Answer):
    """`p2p_check_workflow_tags`."""

    tool: Literal["p2p_check_workflow_tags"] = "p2p_check_workflow_tags"
    should_bypass_github: bool
    is_p2p_only: bool
    tags: list[str]


class PeerAnswer(Answer):
    """`p2p_update_peer_state`."""

    tool: Literal["p2p_update_peer_state"] = "p2p_update_peer_state"
    success: Literal[True] = True
    peer_id: str
    durable: Literal[False] = Field(False, description="A hint, kept while the server runs: no event says it.")


class ClockAnswer(Answer):
    """`p2p_get_merkle_clock`."""

    tool: Literal["p2p_get_merkle_clock"] = "p2p_get_merkle_clock"
    node_id: str
    vector: dict[str, int]
    merkle_root: str | None
    heads: list[str]


class ContractTools:
    """The seven tools."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    def add_to(self, server: SchedulerServer) -> None:
        """Add them."""
        add(server, self.p2p_scheduler_status, "Status of the scheduler", READS)
        add(server, self.p2p_submit_task, "Submit a task", APPENDS_ONCE)
        add(server, self.p2p_get_next_task, "Take the next task", APPENDS)
        add(server, self.p2p_mark_task_complete, "Complete a task", ENDS)
        add(server, self.p2p_check_workflow_tags, "Check tags", READS)
        add(server, self.p2p_update_peer_state, "Tell another peer's clock", APPENDS_ONCE)
        add(server, self.p2p_get_merkle_clock, "Merkle clock", READS)

    async def p2p_scheduler_status(self) -> StatusAnswer:
        """Say where the scheduler stands: how many tasks are pending, held by this peer, completed; and its clock."""
        return await self._desk.write(_status)

    async def p2p_submit_task(
        self,
        task_id: Annotated[str, Field(description="A name of your choice, unique within the workflow.")],
        workflow_id: Annotated[str, Field(description="The workflow the task belongs to; any name.")],
        name: Annotated[str, Field(description="What the task is, in words for people.")],
        tags: Annotated[
            list[str],
            Field(
                max_length=100,
                description="Some of p2p-only, p2p-eligible, github-api, unit-test, code-generation, web-scraping, "
                "data-processing. The first two run peer-to-peer, and exclude github-api and unit-test.",
            ),
        ],
        priority: Annotated[int, Field(strict=True, ge=1, le=10, description="10 comes first.")] = 5,
        payload: Annotated[Data, Field(description="What the task works on, for an agent or program to read.")] = "",
        payload_media_type: MediaType = "",
        payload_is_base64: IsBase64 = False,
        command: Annotated[
            CommandArgument | None, Field(description="Instead of a payload: what a worker is to run.")
        ] = None,
        needs: Annotated[
            Names, Field(description="Tasks (ids or keys) to be done before; submitted already.", max_length=1_000)
        ] = [],  # noqa: B006 — the SDK reads it, nobody writes it
        requires: Annotated[Names, Field(description="Labels its worker must have.")] = [],  # noqa: B006 — as needs
        not_before: Annotated[str, Field(max_length=100, description="ISO 8601, or +15m from now.")] = "",
        expires_at: Annotated[str, Field(max_length=100, description="Nobody takes it from then on; as above.")] = "",
        timeout: Annotated[  # noqa: ASYNC109 — how long the task may run, not this call
            str, Field(max_length=100, description="Longest attempt, from its claim to its recorded end, such as 30m.")
        ] = "",
        max_attempts: Annotated[
            int | None, Field(strict=True, ge=1, le=100, description="How many may fail; else the ledger's policy.")
        ] = None,
    ) -> SubmitAnswer:
        """Submit a task. It is in the ledger, durably, when this answers; every peer then sees it.

        The same request again is the same task (`created` is false), so a call that broke off can be repeated safely.
        Another request under a used task_id and workflow_id is refused.
        """
        fields: dict[str, Any] = {
            "task_id": task_id,
            "workflow_id": workflow_id,
            "name": name,
            "tags": tags,
            "priority": priority,
            "needs": needs,
            "requires": requires,
            "not_before": not_before or None,
            "expires_at": expires_at or None,
            "timeout": timeout or None,
            "max_attempts": max_attempts,
        }
        item = attachment(payload, payload_media_type, is_base64=payload_is_base64)
        if command is not None:
            if item is not None:
                raise InputError("payload and command exclude each other", "leave one out")
            item = command_attachment(command)
        return await self._desk.write(
            lambda turn: _submit(turn, {key: value for key, value in fields.items() if value is not None}, item)
        )

    async def p2p_get_next_task(
        self,
        context: Context[Any, Any],
        lease_seconds: LeaseSeconds = 900.0,
        wait_seconds: WaitSeconds = 0.0,
    ) -> NextAnswer:
        """Take the next task that is yours to do: it is claimed durably before this answers, and given to nobody else.

        Do what `name` and `payload` say, then call p2p_mark_task_complete (or p2p_fail_task, p2p_release_task) with
        its task_key and claim. The task is yours until `until`, 15 minutes by default; nobody renews it for you: call
        p2p_renew_task before it ends. `task` is null where there is none now; wait_seconds waits for one.
        """
        taken = await take_for(self._desk, context, lease_seconds, wait_seconds)
        if taken is None:
            return NextAnswer(task=None, message="No tasks available")
        task = TakenTask(**(taken | {"payload": attached(taken["payload"])}))
        return NextAnswer(task=task, message=f"Yours under claim {task.claim}; settle it with that.")

    async def p2p_mark_task_complete(
        self,
        task_id: TaskName,
        claim: Claim = "",
        output: Annotated[Data, Field(description="The task's result.")] = "",
        output_media_type: MediaType = "",
        output_is_base64: IsBase64 = False,
        log: Annotated[Data, Field(description="What the work printed.")] = "",
        exit_code: Annotated[int | None, Field(strict=True, ge=-255, le=255)] = None,
    ) -> CompleteAnswer:
        """Complete a task, with its result. An open one that nobody holds is claimed first; another peer's is refused.

        Give the claim that p2p_get_next_task gave you: so you complete only what is still yours.
        """
        under = claim_of(claim)
        result = attachment(output, output_media_type, is_base64=output_is_base64)
        logged = attachment(log, "", is_base64=False)

        def complete(turn: Turn) -> CompleteAnswer:
            from ledger.events import Role
            from ledger.operations import Report
            from scheduler import actions

            key = turn.key(Role.WORKER)
            report = None if exit_code is None else Report(exit_code=exit_code)
            task = actions.resolve(turn.home, key, task_id).key
            settled = actions.complete(turn.home, key, task, under=under, output=result, report=report, log=logged)
            spec = settled.record.spec
            return CompleteAnswer(
                task_id=spec.task_id,
                workflow_id=spec.workflow_id,
                task_key=settled.record.key.hex(),
                event_cid=str(settled.event),
                already=settled.already,
            )

        return await self._desk.write(complete)

    async def p2p_check_workflow_tags(
        self, tags: Annotated[list[str], Field(max_length=1_000, description="Tags to check.")]
    ) -> TagsAnswer:
        """Say whether a task of these tags bypasses GitHub, and whether it must; refuse unknown or conflicting tags."""
        from scheduler.tags import is_p2p_only, parse_tags, should_bypass_github

        known = parse_tags(tags)
        return TagsAnswer(
            should_bypass_github=should_bypass_github(known),
            is_p2p_only=is_p2p_only(known),
            tags=[tag.value for tag in known],
        )

    async def p2p_update_peer_state(
        self,
        peer_id: Annotated[str, Field(min_length=1, max_length=1_024, description="Name or did:key of the peer.")],
        clock_data: Annotated[dict[str, Any], Field(description="Its clock, as p2p_get_merkle_clock gives it there.")],
    ) -> PeerAnswer:
        """Tell what another peer's Merkle clock is. A forged clock is refused; ours moves by signed events alone."""

        def update(turn: Turn) -> PeerAnswer:
            from crdt.clock import ClockError

            try:
                turn.peers.update(peer_id, clock_data)
            except ClockError as error:
                raise InputError(str(error), "send it as p2p_get_merkle_clock gives it on that peer") from None
            return PeerAnswer(peer_id=peer_id, durable=False)

        return await self._desk.write(update)

    async def p2p_get_merkle_clock(self) -> ClockAnswer:
        """Return the ledger's Merkle clock: equal roots mean equal histories; vector counts each actor's events."""
        fields = await self._desk.write(lambda turn: _clock(turn).to_dict())
        return ClockAnswer.model_validate({"heads": []} | fields)


def _clock(turn: Turn) -> Any:
    from crdt.clock import MerkleClock
    from ledger.keys import did_key

    with turn.home.reading():
        board = turn.home.board
        vector = {did_key(actor): count for actor, count in board.vector.items()}
        return MerkleClock.of_ledger(turn.name, vector, board.heads)


def _status(turn: Turn) -> StatusAnswer:
    from ledger.keys import did_key

    home, me = turn.home, turn.me.actor
    clock = _clock(turn)
    with home.reading():
        turn.queue.refresh(home.now_ms())
        held = list(turn.queue.held().values()).count(me)
        counts = home.tasks.counts()
        return StatusAnswer(
            peer_id=turn.name,
            peer_key=did_key(me),
            merkle_clock=clock.to_dict(),
            merkle_clock_hash=clock.get_hash(),
            pending_tasks=counts.get("open", 0) - held,
            assigned_tasks=held,
            completed_tasks=counts.get("done", 0),
            queue_size=turn.queue.size(),
            known_peers=len(turn.peers.entries()),
            ledger=str(home.ledger),
            events=sum(home.board.vector.values()),
        )


def _submit(turn: Turn, fields: dict[str, Any], item: Attachment | None) -> SubmitAnswer:
    from dataclasses import replace

    from cli.errors import tell
    from cli.task_file import read_task
    from ledger.events import Role
    from scheduler import actions

    try:
        request = read_task(fields, None, turn.home.now_ms())
    except (ValueError, TypeError) as error:
        if tell(error) is not None:
            raise  # it has a kind of its own
        raise InputError(str(error)) from error
    request = replace(request, spec=replace(request.spec, payload=item), created_at=None)
    (submitted,) = actions.submit(turn.home, turn.key(Role.SUBMITTER), request)
    spec = submitted.request.spec
    return SubmitAnswer(
        created=submitted.created,
        task_id=spec.task_id,
        workflow_id=spec.workflow_id,
        task_hash=task_hash(spec.task_id, spec.workflow_id),
        task_key=submitted.key.hex(),
        priority=submitted.request.priority if submitted.found is None else submitted.found.priority,
        event_cid=None if submitted.event is None else str(submitted.event),
    )
