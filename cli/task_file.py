"""Tasks as JSON: what `submit --file` reads, an array or one object on each line.

The fields are the options of `submit` with underscores, so those of a `P2PTask`; one reader serves both.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from cli.attachments import media_type_of, read_bytes
from cli.errors import InputError
from cli.located import located
from cli.payload_options import read_command
from cli.times import parse_duration, parse_time

if TYPE_CHECKING:
    from scheduler.submitting import SubmitRequest
    from scheduler.task import Payload

_KNOWN: Final = frozenset(
    (
        "task_id",
        "workflow_id",
        "name",
        "tags",
        "priority",
        "created_at",
        "payload",
        "command",
        "requires",
        "needs",
        "not_before",
        "expires_at",
        "timeout",
        "max_attempts",
    )
)


def read_tasks(file: str, workflow_id: str | None, now_ms: int) -> list[SubmitRequest]:
    """Return the requests in a file (`-`: stdin), in order; `workflow_id` stands for one that a task leaves out.

    Raises InputError for what is no task; it names the task by its place, from 1.
    """
    try:
        text = sys.stdin.read() if file == "-" else Path(file).read_text(encoding="utf-8")
        if text.lstrip().startswith("["):
            objects = json.loads(text)
        else:
            objects = [json.loads(line) for line in text.splitlines() if line.strip()]
    except (json.JSONDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InputError(f"{file}: no JSON: {error}", "write an array of tasks, or one task on each line") from None
    requests = []
    for number, fields in enumerate(objects, 1):
        try:
            requests.append(read_task(fields, workflow_id, now_ms))
        except (ValueError, TypeError, AttributeError, InputError) as error:
            raise located(f"{file}: task {number}", error, "see `submit --help` for the fields") from None
    return requests


def read_task(fields: Any, workflow_id: str | None, now_ms: int) -> SubmitRequest:
    """Return the request one object makes. Raises ValueError or InputError where a field is not as it must be."""
    from scheduler.submitting import request_of
    from scheduler.task import P2PTask

    if not isinstance(fields, dict):
        raise InputError("an object is wanted")
    unknown = sorted(fields.keys() - _KNOWN)
    if unknown:
        raise InputError(f"unknown fields: {', '.join(unknown)}; known are {', '.join(sorted(_KNOWN))}")
    said: dict[str, Any] = {"workflow_id": workflow_id, "tags": ["p2p-eligible"]} | fields
    for name in ("task_id", "workflow_id", "name"):
        if said.get(name) is None:
            raise InputError(f"{name} is missing")
    timeout = said.pop("timeout", None)
    payload, command = said.pop("payload", None), said.pop("command", None)
    if payload is not None and command is not None:
        raise InputError("payload and command: a task has one of them", "leave one out")
    for name in ("created_at", "not_before", "expires_at"):
        if name in said:
            said[name] = _time_ms(said[name], now_ms) / 1000
    said.setdefault("created_at", now_ms / 1000)
    if isinstance(said["tags"], str):
        said["tags"] = [said["tags"]]
    return request_of(
        P2PTask(
            **said,
            timeout_seconds=None if timeout is None else _duration_ms(timeout) / 1000,
            payload=read_command(command) if command is not None else None if payload is None else _payload(payload),
        )
    )


def _time_ms(value: Any, now_ms: int) -> int:
    """Return a time of JSON in ms: ms since 1970 already, or text as the options take it."""
    return value if type(value) is int else parse_time(str(value), now_ms)


def _duration_ms(value: Any) -> int:
    return value if type(value) is int else parse_duration(str(value))


def _payload(fields: Any) -> Payload:
    """Return the payload that `{"text": …}`, `{"json": …}`, `{"hex": …}` or `{"file": …}` says, with a media_type."""
    from scheduler.task import Payload

    if isinstance(fields, str):
        return Payload("text/plain", fields.encode())
    if not isinstance(fields, Mapping):
        raise InputError('payload: a text is wanted, or an object with "text", "json", "hex" or "file"')
    forms = fields.keys() & {"text", "json", "hex", "file"}
    if len(forms) != 1 or fields.keys() - forms - {"media_type"}:
        raise InputError('payload: exactly one of "text", "json", "hex", "file" is wanted, and maybe "media_type"')
    (form,) = forms
    value = fields[form]
    match form:
        case "text":
            media_type, data = "text/plain", str(value).encode()
        case "json":
            media_type, data = "application/json", json.dumps(value, ensure_ascii=False).encode()
        case "hex":
            media_type, data = "application/octet-stream", bytes.fromhex(value)
        case _:
            media_type, data = media_type_of(value), read_bytes(value)
    return Payload(fields.get("media_type", media_type), data)
