"""What the tests of the contract share: a task like the guide's, and waiting for a condition with a deadline."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

from ledger.events import Policy
from scheduler.tags import WorkflowTag
from scheduler.task import P2PTask

T = TypeVar("T")

NO_WAIT = Policy(grace_ms=1)
"""A policy under which a peer of any rank may take a task at once."""


def task(task_id: str = "task1", **fields: object) -> P2PTask:
    """Return a task like the guide's."""
    given: dict[str, object] = {"workflow_id": "workflow1", "name": "Code Generation", "tags": [WorkflowTag.P2P_ONLY]}
    return P2PTask(task_id=task_id, **(given | fields))  # type: ignore[arg-type]  # fields of P2PTask


def until_there(look: Callable[[], T | None], seconds: float = 30) -> T:
    """Return what `look` finds once it finds something, before a deadline."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        found = look()
        if found is not None:
            return found
    raise AssertionError("nothing before the deadline")
