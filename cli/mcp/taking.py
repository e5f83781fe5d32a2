"""Taking a task for a client: waiting for one without a thread, and giving back what nobody is there to take."""

from __future__ import annotations

import time
from functools import partial
from typing import TYPE_CHECKING, Any

import anyio
import anyio.lowlevel

from cli.mcp.desk import LOOK_S, Desk, Turn
from cli.mcp.progress import Reporter

if TYPE_CHECKING:
    from mcp.server.mcpserver import Context

    from ledger.cid import Cid
    from ledger.events import TaskKey
    from scheduler.actions import Taken


async def take_for(
    desk: Desk, context: Context[Any, Any], lease_seconds: float, wait_seconds: float
) -> dict[str, Any] | None:
    """Return the task taken as the command line's document, None where there was none in time."""
    until = time.monotonic() + wait_seconds
    reporter = Reporter(context, wait_seconds)
    while True:
        found = await _take(desk, lease_seconds)
        if found is not None:
            return found
        rest = until - time.monotonic()
        if rest <= 0:
            return None
        await reporter.say("no task yet")
        await desk.pause(min(rest, LOOK_S))


async def _take(desk: Desk, lease_seconds: float) -> dict[str, Any] | None:
    taken: list[tuple[Taken, dict[str, Any]]] = []
    try:
        await desk.write(lambda turn: _take_now(turn, round(lease_seconds * 1000), taken))
        await anyio.lowlevel.checkpoint()
    except anyio.get_cancelled_exc_class():
        # The client has hung up, or the server ends: the task is not to wait for the end of a lease nobody knows of.
        with anyio.CancelScope(shield=True):
            for one, _ in taken:
                await desk.write(partial(_give_back, task=one.record.key, claim=one.claim))
        raise
    return taken[0][1] if taken else None


def _take_now(turn: Turn, lease_ms: int, taken: list[tuple[Taken, dict[str, Any]]]) -> None:
    from cli.commands_work import taken_document
    from scheduler.actions import take

    one = take(turn.home, turn.worker(), lease_ms=lease_ms, queue=turn.queue)
    if one is not None:
        with turn.home.reading():
            taken.append((one, taken_document(turn.home, one)))


def _give_back(turn: Turn, task: TaskKey, claim: Cid) -> None:
    from contextlib import suppress

    from scheduler.actions import ActionError, release

    with suppress(ActionError):  # somebody has settled it meanwhile
        release(turn.home, turn.worker(), task, under=claim, reason="the client that asked for it was gone")
