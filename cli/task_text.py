"""A task as the command line shows it: the seven fields of the contract, and what stands beside them."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

from cli.attachments import attachment_document
from cli.people import name_of, person

if TYPE_CHECKING:
    from crdt.records import TaskRecord
    from crdt.view import Obstacle, TaskView
    from ledger.keys import ActorKey
    from scheduler.home import Home


def task_hash(task_id: str, workflow_id: str) -> str:
    """Return the contract's task hash, in hexadecimal. It names nothing in the ledger: that is the task key."""
    return hashlib.sha256(f"{task_id}:{workflow_id}".encode()).hexdigest()


def seven_fields(record: TaskRecord, assigned: str | None) -> dict[str, Any]:
    """Return the contract's seven fields of a task; `assigned` is the name of the peer of rank 0."""
    spec = record.spec
    return {
        "task_id": spec.task_id,
        "workflow_id": spec.workflow_id,
        "name": spec.name,
        "tags": list(spec.tags),
        "priority": record.priority,
        "task_hash": task_hash(spec.task_id, spec.workflow_id),
        "assigned_peer": assigned,
    }


def task_document(home: Home, record: TaskRecord, seen: TaskView, assigned: ActorKey | None) -> dict[str, Any]:
    """Return a task as JSON: the seven fields, its key, where it stands, and all that its spec asks for."""
    from ledger.keys import did_key

    spec, result = record.spec, record.result
    return seven_fields(record, None if assigned is None else name_of(home, assigned)) | {
        "assigned_peer_key": None if assigned is None else did_key(assigned),
        "task_key": record.key.hex(),
        "status": str(seen.status),
        "words": "; ".join(_words(one) for one in seen.obstacles) or None,
        "obstacles": [{"kind": str(one.kind), "words": one.words, "until": one.until} for one in seen.obstacles],
        "submitter": person(home, record.submitter),
        "created_at": record.created_at,
        "ready_at": seen.ready_at,
        "requires": list(spec.requires),
        "needs": [need.hex() for need in spec.needs],
        "unmet": [need.hex() for need in seen.unmet],
        "payload": attachment_document(home, spec.payload),
        "max_attempts": spec.max_attempts,
        "timeout_ms": spec.timeout_ms,
        "not_before": spec.not_before,
        "expires_at": spec.expires_at,
        "holder": None if seen.holder is None else person(home, seen.holder.actor),
        "claim": None if seen.holder is None else str(seen.holder.cid),
        "until": None if seen.holder is None else seen.holder.until,
        "attempts": max((claim.attempt for claim in record.claims), default=0),
        "completed_by": None if result is None else person(home, result.actor),
        "result": None if result is None else str(result.cid),
        "last_failure": last_failure(home, record),
    }


def last_failure(home: Home, record: TaskRecord) -> dict[str, Any] | None:
    """Return how the last attempt failed that did, as JSON; None where it is done, or none failed since a requeue.

    Within a reading.
    """
    from scheduler.results import failure_words, result_of

    failed = [claim for claim in record.claims if claim.failed_at and claim.attempt > record.base]
    if record.completions or not failed:
        return None
    last = max(failed, key=lambda claim: (claim.failed_at, claim.cid))
    found = result_of(home, record, last.cid)
    return {
        "class": found.failure_class,
        "error": found.error,
        "exit_code": found.exit_code,
        "limits": list(found.limits),
        "words": failure_words(found),
        "attempt": last.attempt,
        "worker": person(home, last.actor),
        "claim": str(last.cid),
        "event_cid": None if found.event is None else str(found.event),
        "at": last.failed_at,
    }


def _words(obstacle: Obstacle) -> str:
    return obstacle.words if obstacle.until is None else f"{obstacle.words} {obstacle.until}"
