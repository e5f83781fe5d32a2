"""What can be read without a tool: the board, the log, a task, an event. JSON texts; they append nothing."""

from __future__ import annotations

import itertools
import json
from collections import Counter
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from mcp.server.mcpserver.exceptions import ResourceError, ResourceNotFoundError

from cli.errors import MissingError, tell
from cli.mcp.desk import Desk

if TYPE_CHECKING:
    from cli.mcp.server import SchedulerServer
    from scheduler.home import Home

SCHEME: Final = "p2p-workflow"
_TASKS_SHOWN: Final = 200
_EVENTS_SHOWN: Final = 50
_JSON: Final = "application/json"


class Resources:
    """The resources of one desk."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    def add_to(self, server: SchedulerServer) -> None:
        """Add them."""

        @server.resource(f"{SCHEME}://board", name="board", title="Board", mime_type=_JSON)
        async def board() -> str:
            """Where the tasks stand: numbers by status, and the first open tasks."""
            return await self._text(_board)

        @server.resource(f"{SCHEME}://log", name="log", title="Log", mime_type=_JSON)
        async def log() -> str:
            """Who said what when: the latest events of the ledger, latest first, each with its CID."""
            return await self._text(_log)

        @server.resource(f"{SCHEME}://task/{{key}}", name="task", title="Task", mime_type=_JSON)
        async def task(key: str) -> str:
            """One task, by its key or id, with its payload and history."""
            return await self._text(lambda home: self._task(home, key))

        @server.resource(f"{SCHEME}://event/{{cid}}", name="event", title="Event", mime_type=_JSON)
        async def event(cid: str) -> str:
            """One event of the ledger, by its CID: its operations, whether it counts, and who has seen it."""
            return await self._text(lambda home: _event(home, cid))

    async def _text(self, look: Callable[[Home], dict[str, Any]]) -> str:
        try:
            return json.dumps(await self._desk.read(look), ensure_ascii=False)
        except Exception as error:
            told = tell(error)
            if told is None:
                raise  # a defect: the SDK logs it, and tells the client no more than that
            kind = ResourceNotFoundError if isinstance(error, LookupError | MissingError) else ResourceError
            raise kind(told.message) from None

    def _task(self, home: Home, key: str) -> dict[str, Any]:
        from cli.task_show import task_history
        from scheduler.names import find_task

        return task_history(home, find_task(home, self._desk.me, key, home.now_ms()))


def _board(home: Home) -> dict[str, Any]:
    from cli.task_listing import onlookers_crew, viewed, wanted_statuses
    from cli.task_text import task_document

    statuses = Counter(str(seen.status) for _, seen in viewed(home, frozenset()))
    crew = onlookers_crew(home)
    first = itertools.islice(viewed(home, wanted_statuses(("open",))), _TASKS_SHOWN)
    return {
        "ledger": str(home.ledger),
        "heads": list(map(str, home.board.heads)),
        "statuses": dict(sorted(statuses.items())),
        "active_workers": len(home.board.active_workers()),
        "open_tasks": [task_document(home, record, seen, crew.assigned_peer(record)) for record, seen in first],
    }


def _log(home: Home) -> dict[str, Any]:
    from cli.event_text import event_document, operation_words, task_names

    names = task_names(home)
    cids = (cid for _, cid in home.events.in_linear_order(latest_first=True) if home.board.graph.node(cid).in_log)
    events = []
    for cid in itertools.islice(cids, _EVENTS_SHOWN):
        event = home.read_event(cid)
        events.append({"words": operation_words(event, names)} | event_document(home, cid, event))
    return {"ledger": str(home.ledger), "events": events}


def _event(home: Home, text: str) -> dict[str, Any]:
    from cli.event_text import event_document, standing_document
    from ledger.cid import Cid, CidError

    try:
        cid = Cid.parse(text)
    except CidError as error:
        raise MissingError(f"no event has this name: {error}") from None
    if home.events.find_block(cid) is None or cid == home.ledger:
        raise MissingError(f"{cid} is no event of this ledger")
    return event_document(home, cid, home.read_event(cid)) | standing_document(home, cid)
