"""Which tasks a list shows: by where they stand now. Leaves out how they are shown."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from cli.command import comma_words
from cli.errors import InputError

if TYPE_CHECKING:
    from crdt.records import TaskRecord
    from crdt.view import TaskView
    from scheduler.assignment import Crew
    from scheduler.home import Home


def wanted_statuses(texts: Iterable[str]) -> frozenset[str]:
    """Return the statuses that texts name, commas between them, `open` for all that are not over; none means any."""
    from crdt.view import FINAL, Status

    words = set(comma_words(texts))
    if "open" in words:
        words = words - {"open"} | {str(one) for one in Status if one not in FINAL}
    unknown = sorted(words - set(Status))
    if unknown:
        raise InputError(f"no such status: {', '.join(unknown)}", f"known are open, {', '.join(Status)}")
    return frozenset(words)


def viewed(home: Home, wanted: frozenset[str]) -> Iterator[tuple[TaskRecord, TaskView]]:
    """Yield the tasks that stand as wanted, in the order in which they were submitted. Within a reading."""
    from crdt.view import Status, view

    over = {str(Status.DONE), str(Status.CANCELLED)}
    standing = "done" if wanted == {"done"} else "open" if wanted and not wanted & over else None
    now = home.now_ms()
    for record in home.tasks.standing(standing):
        seen = view(record, home.board.find_record, home.policy, now)
        if not wanted or seen.status in wanted:
            yield record, seen


def onlookers_crew(home: Home) -> Crew:
    """Return who works, as an onlooker sees it. Within a reading."""
    from scheduler.assignment import crew_of

    board = home.board
    return crew_of(board.roster(), board.active_workers(), home.heard_of(), None, home.policy, home.now_ms())
