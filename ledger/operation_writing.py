"""Operations and specs to the maps that stand in an event, and what the envelope must link for them.

Implements: specs/events.md, section Operations: an operation names events and blobs by their index in the envelope.
Leaves out the way back (ledger.operation_codec).
"""

from __future__ import annotations

from collections.abc import Mapping

from ledger.cid import Cid
from ledger.codec import Value
from ledger.operation_codec import read_spec
from ledger.operations import (
    Admit,
    Attachment,
    Cancel,
    Claim,
    Complete,
    Fail,
    Join,
    Leave,
    Operation,
    Prioritize,
    Release,
    Renew,
    Report,
    Requeue,
    Revoke,
    Spec,
    Submit,
)


def write_spec(spec: Spec) -> dict[str, Value]:
    """Return the map of `spec` that is hashed into the task key. Raises SchemaError for what could not be read back."""
    fields = spec_fields(spec)
    read_spec(fields)
    return fields


def spec_fields(spec: Spec) -> dict[str, Value]:
    """Return the map of a spec that was read from one."""
    return _without_none(
        task_id=spec.task_id,
        workflow_id=spec.workflow_id,
        name=spec.name,
        tags=list(spec.tags),
        requires=list(spec.requires),
        payload=None if spec.payload is None else _write_payload(spec.payload),
        needs=list(spec.needs),
        max_attempts=spec.max_attempts,
        backoff=None if spec.backoff is None else {"base_ms": spec.backoff.base_ms, "max_ms": spec.backoff.max_ms},
        timeout_ms=spec.timeout_ms,
        not_before=spec.not_before,
        expires_at=spec.expires_at,
    )


def write_operation(op: Operation, cites: Mapping[Cid, int], blobs: Mapping[Cid, int]) -> dict[str, Value]:
    """Return the map of `op`, naming events and blobs by their index in the envelope.

    Raises KeyError where the envelope lacks what `op` names: the caller lists `cited_events(op)` and `named_blobs(op)`.
    """
    fields: dict[str, Value | None] = {"op": type(op).__name__.lower()}
    match op:
        case Admit():
            fields |= {"actor": op.actor, "roles": list(op.roles), "name": op.name, "labels": list(op.labels) or None}
        case Revoke():
            grant = None if op.grant is None else cites[op.grant]
            keep: list[Value] = [cites[cid] for cid in op.keep]
            return _without_none(**fields, actor=op.actor, keep=keep, reason=op.reason) | {"grant": grant}
        case Join():
            fields |= {"labels": list(op.labels), "slots": op.slots}
        case Leave():
            pass
        case Submit():
            fields |= {"spec": op.spec_map, "priority": op.priority, "created_at": op.created_at}
        case _:
            fields |= {"task": op.task, "follows": [cites[cid] for cid in op.follows]}
            fields |= _task_fields(op, cites, blobs)
    return _without_none(**fields)


def cited_events(op: Operation) -> tuple[Cid, ...]:
    """Return the events `op` names, so that the envelope can cite them."""
    match op:
        case Revoke():
            return (*op.keep, *(() if op.grant is None else (op.grant,)))
        case Claim():
            return op.follows + op.inputs
        case Renew() | Release() | Fail() | Complete():
            return (*op.follows, op.claim)
        case Cancel() | Prioritize() | Requeue():
            return op.follows
        case _:
            return ()


def named_blobs(op: Operation) -> tuple[Cid, ...]:
    """Return the blobs `op` names, so that the envelope can link them."""
    match op:
        case Submit():
            attachments: tuple[Attachment | None, ...] = (op.spec.payload,)
        case Complete():
            attachments = (op.output, op.log)
        case Renew() | Fail():
            attachments = (op.log,)
        case _:
            attachments = ()
    return tuple(item.blob for item in attachments if item is not None and item.blob is not None)


def _task_fields(
    op: Claim | Renew | Release | Fail | Complete | Cancel | Prioritize | Requeue,
    cites: Mapping[Cid, int],
    blobs: Mapping[Cid, int],
) -> dict[str, Value | None]:
    match op:
        case Claim():
            return {"lease_ms": op.lease_ms, "inputs": [cites[cid] for cid in op.inputs]}
        case Renew():
            log = _write_attachment(op.log, blobs)
            return {"claim": cites[op.claim], "lease_ms": op.lease_ms, "progress": op.progress, "log": log}
        case Release():
            return {"claim": cites[op.claim], "reason": op.reason}
        case Fail():
            said: dict[str, Value | None] = {"class": op.failure_class, "error": op.error}
            ran = {"report": _write_report(op.report), "log": _write_attachment(op.log, blobs)}
            return {"claim": cites[op.claim]} | said | ran
        case Complete():
            output = _write_attachment(op.output, blobs)
            log = _write_attachment(op.log, blobs)
            return {"claim": cites[op.claim], "output": output, "report": _write_report(op.report), "log": log}
        case Cancel():
            return {"reason": op.reason}
        case Prioritize():
            return {"priority": op.priority}
        case Requeue():
            return {}


def _write_attachment(item: Attachment | None, blobs: Mapping[Cid, int]) -> Value:
    if item is None:
        return None
    if item.blob is None:
        return {"media_type": item.media_type, "data": item.data or b""}
    return {"media_type": item.media_type, "blob": blobs[item.blob], "size": item.size}


def _write_payload(item: Attachment) -> Value:
    if item.blob is None:
        return {"media_type": item.media_type, "data": item.data or b""}
    return {"media_type": item.media_type, "blob": bytes(item.blob), "size": item.size}


def _write_report(report: Report | None) -> Value:
    if report is None:
        return None
    return _without_none(
        exit_code=report.exit_code,
        duration_ms=report.duration_ms,
        sandbox=report.sandbox,
        limits=list(report.limits) or None,
    )


def _without_none(**fields: Value | None) -> dict[str, Value]:
    return {name: value for name, value in fields.items() if value is not None}
