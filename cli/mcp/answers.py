"""What every tool answers: its name and the time beside its own fields; and the parts that several answers share.

Every field is always there, so the output schemas say so. Times are ms since 1970 but `timestamp`, which is seconds,
as the quick start's users have it. Actors are given by name and did:key, events and claims by CID.
"""

from __future__ import annotations

import time
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field


def now_s() -> float:
    """Return the time, in seconds since 1970."""
    return time.time()


def _say_all(schema: dict[str, Any]) -> None:
    """Have a schema say that every field is there."""
    schema["required"] = list(schema.get("properties", {}))


class Part(BaseModel):
    """A part of an answer."""

    model_config = ConfigDict(json_schema_extra=_say_all)


class Answer(Part):
    """What a tool answers."""

    timestamp: float = Field(default_factory=now_s, description="When it was answered, in seconds since 1970.")


class Person(Part):
    """An actor."""

    name: str
    key: str = Field(description="did:key of the actor.")


class Attached(Part):
    """A payload or an output: bytes with a media type; shown as text, or base64 of what is no text."""

    media_type: str
    size: int = Field(description="In bytes.")
    blob: str | None = Field(None, description="CID of the bytes, where they stand beside the event.")
    text: str | None = None
    base64: str | None = None
    missing: bool = Field(False, description="Whether the bytes have not come to this home yet.")


class ObstaclePart(Part):
    """One thing a task waits for."""

    kind: str
    words: str
    until: int | None = None


class Task(Part):
    """The seven fields of a task."""

    task_id: str
    workflow_id: str
    name: str
    tags: list[str]
    priority: int
    task_hash: str = Field(description="SHA-256 of task_id:workflow_id. Names nothing in the ledger.")
    assigned_peer: str | None = Field(description="Whose turn it is first.")


class TakenTask(Task):
    """A task just taken: the seven fields, then what its worker needs."""

    task_key: str = Field(description="The task's key: stands wherever a task id does, and is never ambiguous.")
    claim: str = Field(description="CID of the claim, the fencing token: give it back when you settle the task.")
    until: int = Field(description="When the lease ends: renew before, or the task is anybody's again.")
    attempt: int
    payload: Attached | None


class TaskRow(Task):
    """A task in a list."""

    task_key: str
    status: str
    words: str | None = Field(description="What it waits for.")
    holder: Person | None
    claim: str | None
    until: int | None
    submitter: Person | None
    created_at: int
    needs: list[str]
    requires: list[str]
    attempts: int
    completed_by: Person | None
    result: str | None = Field(description="CID of the completion that is its result.")


class Done(Answer):
    """An action that is in the ledger: `event_cid` is the durable event that says so."""

    success: Literal[True] = True
    task_id: str
    workflow_id: str
    task_key: str
    event_cid: str


def attached(document: dict[str, Any] | None) -> Attached | None:
    """Return an attachment as answered, of the command line's document of it."""
    if document is None:
        return None
    fields = dict(document)
    if "hex" in fields:
        import base64

        fields["base64"] = base64.b64encode(bytes.fromhex(fields.pop("hex"))).decode()
    return Attached(**fields)
