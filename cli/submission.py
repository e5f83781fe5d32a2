"""Submitting requests, with a home or without one; what came of each as JSON, and as the lines of the contract."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

from cli.session import Session
from cli.task_text import task_hash

if TYPE_CHECKING:
    from cli.light import Light
    from scheduler.light.handing import Handed, HandedTask
    from scheduler.submitting import SubmitRequest, Submitted

_REQUESTS_AT_ONCE: Final = 1_000
"""Tasks that are submitted in one durable transaction."""
_HEADLINES: Final = {
    "accepted": ("Task submitted successfully", "Task already submitted"),
    "told": ("Task left with an IPFS node", "Task left with an IPFS node"),
    "written": ("Task written to a file", "Task already in the file"),
}
"""What is said of a task that is new, and of one that was there, by what was achieved (scheduler.light.handing.How)."""


def submit_requests(session: Session, light: Light | None, requests: Sequence[SubmitRequest]) -> list[dict[str, Any]]:
    """Submit requests; return a document for each, in their order."""
    if light is not None:
        handed = light.submit(session, requests)
        return [_handed_document(handed, one) for one in handed.tasks]
    return [_document(one) for one in _submit_here(session, requests)]


def _submit_here(session: Session, requests: Sequence[SubmitRequest]) -> list[Submitted]:
    from ledger.events import Role
    from scheduler.actions import submit

    found: list[Submitted] = []
    with session.first_use() as home, session.output.progress("submitting tasks", len(requests)) as step:
        key = session.key(home, Role.SUBMITTER)
        for start in range(0, len(requests), _REQUESTS_AT_ONCE):
            some = requests[start : start + _REQUESTS_AT_ONCE]
            found += submit(home, key, some)
            step(len(some))
    return found


def submitted_lines(document: dict[str, Any]) -> list[str]:
    """Return what is printed of one task: the contract's lines, and without a home the event."""
    new, again = _HEADLINES[document.get("how", "accepted")]
    headline = new if document["created"] else again
    lines = [
        f"✓ {headline}",
        f"Task ID: {document['task_id']}",
        f"Task Hash: {document['task_hash']}",
        f"Priority: {document['priority']}",
    ]
    if "how" in document:
        lines.append(f"Event CID: {document['event_cid']}")
    if document["earlier"]:
        lines.append("Done in the previous ledger")
    return lines


def _document(one: Submitted) -> dict[str, Any]:
    spec = one.request.spec
    return {
        "success": True,
        "created": one.created,
        "earlier": one.is_earlier,
        "task_id": spec.task_id,
        "workflow_id": spec.workflow_id,
        "task_hash": task_hash(spec.task_id, spec.workflow_id),
        "priority": one.request.priority if one.found is None else one.found.priority,
        "task_key": one.key.hex(),
        "event_cid": None if one.event is None else str(one.event),
    }


def _handed_document(handed: Handed, one: HandedTask) -> dict[str, Any]:
    """Return one task that was handed over: the same fields, with where it is and how far that goes."""
    spec = one.request.spec
    return {
        "success": True,
        "created": one.created,
        "earlier": False,
        "task_id": spec.task_id,
        "workflow_id": spec.workflow_id,
        "task_hash": task_hash(spec.task_id, spec.workflow_id),
        "priority": one.priority,
        "task_key": one.key.hex(),
        "event_cid": str(one.event),
        "via": handed.via,
        "how": str(handed.how),
    }
