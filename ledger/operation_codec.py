"""Operations and specs from the maps that stand in an event.

Implements: specs/events.md, section Operations; rules M1 and M2. `read_operations` never raises on an accepted event.
Leaves out the way back (ledger.operation_writing).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final

from ledger import schema
from ledger.cid import Cid, CidError
from ledger.events import CITES_MAX, KEY_BYTES, Event, TaskKey, task_key
from ledger.keys import ActorKey
from ledger.operations import (
    ATTEMPTS_MAX,
    ERROR_BYTES_MAX,
    LABEL_BYTES_MAX,
    LABELS_MAX,
    NAME_BYTES_MAX,
    NEEDS_MAX,
    SLOTS_MAX,
    Admit,
    Attachment,
    Backoff,
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
    Unread,
)
from ledger.schema import DURATION_MS_MAX, TIME_MAX, Fields, SchemaError, optional

_REASON_BYTES_MAX: Final = 1024
_LIMITS_MAX: Final = 16


def read_operations(event: Event) -> tuple[Operation | Unread, ...]:
    """Return the operations of `event` in order; what is unknown (M1) or malformed (M2) reads as Unread."""
    return tuple(_read(fields, event) for fields in event.ops)


def read_spec(fields: Fields) -> Spec:
    """Return the spec in `fields`; raise SchemaError where it is malformed. Unknown fields mean nothing."""
    return Spec(
        task_id=schema.text(fields, "task_id", NAME_BYTES_MAX),
        workflow_id=schema.text(fields, "workflow_id", NAME_BYTES_MAX),
        name=schema.text(fields, "name", NAME_BYTES_MAX),
        tags=schema.text_set(fields, "tags", LABELS_MAX, LABEL_BYTES_MAX),
        requires=schema.text_set(fields, "requires", LABELS_MAX, LABEL_BYTES_MAX),
        payload=optional(fields, "payload", lambda: _payload(schema.submap(fields, "payload"))),
        needs=tuple(map(TaskKey, schema.octets_set(fields, "needs", NEEDS_MAX, KEY_BYTES))),
        max_attempts=optional(fields, "max_attempts", lambda: schema.integer(fields, "max_attempts", 1, ATTEMPTS_MAX)),
        backoff=optional(fields, "backoff", lambda: _backoff(schema.submap(fields, "backoff"))),
        timeout_ms=optional(fields, "timeout_ms", lambda: schema.integer(fields, "timeout_ms", 1, DURATION_MS_MAX)),
        not_before=optional(fields, "not_before", lambda: schema.integer(fields, "not_before", 0, TIME_MAX)),
        expires_at=optional(fields, "expires_at", lambda: schema.integer(fields, "expires_at", 0, TIME_MAX)),
    )


def _read(fields: Fields, event: Event) -> Operation | Unread:
    name = str(fields["op"])
    reader = _READERS.get(name)
    if reader is None:
        return _unread("M1", f"unknown operation {name!r}", fields, event)
    try:
        return reader(fields, event)
    except (SchemaError, CidError) as error:
        return _unread("M2", f"{name}: {error}", fields, event)


def _unread(rule: str, words: str, fields: Fields, event: Event) -> Unread:
    """Return what can still be read of an operation (M3): the task it is on and what it follows, whom it admits."""
    spec, actor, admits = fields.get("spec"), fields.get("actor"), None
    if fields["op"] == "submit" and isinstance(spec, dict):
        return Unread(rule, words, task_key(event.ledger, event.actor, spec))
    if fields["op"] == "admit" and isinstance(actor, bytes) and len(actor) == KEY_BYTES:
        admits = ActorKey(actor)
    try:
        return Unread(rule, words, _task(fields), _cited(fields, "follows", event), admits)
    except SchemaError:
        return Unread(rule, words, admits=admits)


def _task(fields: Fields) -> TaskKey:
    return TaskKey(schema.octets(fields, "task", KEY_BYTES))


def _index(fields: Fields, name: str, linked: Sequence[Cid]) -> Cid:
    return linked[schema.integer(fields, name, 0, len(linked) - 1)]


def _cited(fields: Fields, name: str, event: Event) -> tuple[Cid, ...]:
    indices = schema.items(fields, name, CITES_MAX)
    return tuple(dict.fromkeys(_index({name: index}, name, event.cites) for index in indices))


def _admit(fields: Fields, _: Event) -> Admit:
    return Admit(
        actor=ActorKey(schema.octets(fields, "actor", KEY_BYTES)),
        roles=schema.text_set(fields, "roles", LABELS_MAX, LABEL_BYTES_MAX, 1),
        name=optional(fields, "name", lambda: schema.text(fields, "name", LABEL_BYTES_MAX)),
        labels=optional(fields, "labels", lambda: schema.text_set(fields, "labels", LABELS_MAX, LABEL_BYTES_MAX)) or (),
    )


def _revoke(fields: Fields, event: Event) -> Revoke:
    if "grant" not in fields:
        raise SchemaError("missing: grant")
    return Revoke(
        grant=None if fields["grant"] is None else _index(fields, "grant", event.cites),
        actor=ActorKey(schema.octets(fields, "actor", KEY_BYTES)),
        keep=_cited(fields, "keep", event),
        reason=_reason(fields),
    )


def _join(fields: Fields, _: Event) -> Join:
    return Join(
        labels=schema.text_set(fields, "labels", LABELS_MAX, LABEL_BYTES_MAX),
        slots=optional(fields, "slots", lambda: schema.integer(fields, "slots", 1, SLOTS_MAX)),
    )


def _submit(fields: Fields, event: Event) -> Submit:
    spec_map = schema.submap(fields, "spec")
    spec = read_spec(spec_map)
    # A spec is part of the task key, so it names its blob by CID; the envelope must link it for IPFS to keep it.
    if spec.payload is not None and spec.payload.blob is not None and spec.payload.blob not in event.blobs:
        raise SchemaError("spec: the payload's blob is not among the event's blobs")
    return Submit(
        key=task_key(event.ledger, event.actor, spec_map),
        spec=spec,
        priority=schema.integer(fields, "priority", 1, 10),
        created_at=schema.integer(fields, "created_at", 0, TIME_MAX),
        spec_map=dict(spec_map),  # type: ignore[arg-type]  # came from the decoder: all values are Value
    )


def _claim(fields: Fields, event: Event) -> Claim:
    lease_ms = schema.integer(fields, "lease_ms", 1, DURATION_MS_MAX)
    return Claim(_task(fields), _cited(fields, "follows", event), lease_ms, _cited(fields, "inputs", event))


def _renew(fields: Fields, event: Event) -> Renew:
    return Renew(
        *_on_claim(fields, event),
        lease_ms=schema.integer(fields, "lease_ms", 1, DURATION_MS_MAX),
        progress=optional(fields, "progress", lambda: schema.text(fields, "progress", _REASON_BYTES_MAX, 0)),
        log=_attachment(fields, "log", event),
    )


def _release(fields: Fields, event: Event) -> Release:
    return Release(*_on_claim(fields, event), reason=_reason(fields))


def _fail(fields: Fields, event: Event) -> Fail:
    return Fail(
        *_on_claim(fields, event),
        failure_class=schema.text(fields, "class", 64),
        error=schema.text(fields, "error", ERROR_BYTES_MAX, 0),
        report=_report(fields),
        log=_attachment(fields, "log", event),
    )


def _complete(fields: Fields, event: Event) -> Complete:
    return Complete(
        *_on_claim(fields, event),
        output=_attachment(fields, "output", event),
        report=_report(fields),
        log=_attachment(fields, "log", event),
    )


def _cancel(fields: Fields, event: Event) -> Cancel:
    return Cancel(_task(fields), _cited(fields, "follows", event), _reason(fields))


def _prioritize(fields: Fields, event: Event) -> Prioritize:
    return Prioritize(_task(fields), _cited(fields, "follows", event), schema.integer(fields, "priority", 1, 10))


def _requeue(fields: Fields, event: Event) -> Requeue:
    return Requeue(_task(fields), _cited(fields, "follows", event))


_READERS: Final[Mapping[str, Callable[[Fields, Event], Operation]]] = {
    "admit": _admit,
    "revoke": _revoke,
    "join": _join,
    "leave": lambda _fields, _event: Leave(),
    "submit": _submit,
    "claim": _claim,
    "renew": _renew,
    "release": _release,
    "fail": _fail,
    "complete": _complete,
    "cancel": _cancel,
    "prioritize": _prioritize,
    "requeue": _requeue,
}


def _on_claim(fields: Fields, event: Event) -> tuple[TaskKey, tuple[Cid, ...], Cid]:
    return _task(fields), _cited(fields, "follows", event), _index(fields, "claim", event.cites)


def _reason(fields: Fields) -> str | None:
    return optional(fields, "reason", lambda: schema.text(fields, "reason", _REASON_BYTES_MAX, 0))


def _report(fields: Fields) -> Report | None:
    if "report" not in fields:
        return None
    report = schema.submap(fields, "report")
    return Report(
        exit_code=optional(report, "exit_code", lambda: schema.integer(report, "exit_code", -(2**31), 2**31 - 1)),
        duration_ms=optional(report, "duration_ms", lambda: schema.integer(report, "duration_ms", 0, TIME_MAX)),
        sandbox=optional(report, "sandbox", lambda: schema.text(report, "sandbox", LABEL_BYTES_MAX)),
        limits=optional(report, "limits", lambda: schema.text_set(report, "limits", _LIMITS_MAX, LABEL_BYTES_MAX))
        or (),
    )


def _attachment(fields: Fields, name: str, event: Event) -> Attachment | None:
    if name not in fields:
        return None
    found = schema.submap(fields, name)
    media_type = schema.text(found, "media_type", LABEL_BYTES_MAX)
    if "data" in found:
        inline = schema.data(found, "data")
        return Attachment(media_type, data=inline, size=len(inline))
    blob = _index(found, "blob", event.blobs)
    return Attachment(media_type, blob=blob, size=schema.integer(found, "size", 0, TIME_MAX))


def _payload(fields: Fields) -> Attachment:
    media_type = schema.text(fields, "media_type", LABEL_BYTES_MAX)
    if "data" in fields:
        inline = schema.data(fields, "data")
        return Attachment(media_type, data=inline, size=len(inline))
    blob = Cid.from_bytes(schema.data(fields, "blob"))
    return Attachment(media_type, blob=blob, size=schema.integer(fields, "size", 0, TIME_MAX))


def _backoff(fields: Fields) -> Backoff:
    return Backoff(
        base_ms=schema.integer(fields, "base_ms", 0, DURATION_MS_MAX),
        max_ms=schema.integer(fields, "max_ms", 0, DURATION_MS_MAX),
    )
