"""The operations an event can carry, as types.

Implements: specs/events.md, section Operations; rules M1 (unknown) and M2 (malformed): such an operation never keeps a
block out, it reads as `Unread`. In a block an operation names events by index into `cites`; here by CID
(`ledger.operation_codec` and `ledger.operation_writing` translate).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, TypeAlias

from ledger.cid import Cid
from ledger.codec import Value
from ledger.events import TaskKey
from ledger.keys import ActorKey

NAME_BYTES_MAX: Final = 1024
LABELS_MAX: Final = 32
LABEL_BYTES_MAX: Final = 128
NEEDS_MAX: Final = 256
ERROR_BYTES_MAX: Final = 4096
SLOTS_MAX: Final = 1024
ATTEMPTS_MAX: Final = 100


@dataclass(frozen=True, slots=True)
class Attachment:
    """Opaque bytes with a media type: inline as `data`, or a blob of `size` bytes named by its CID."""

    media_type: str
    data: bytes | None = None
    blob: Cid | None = None
    size: int = 0


@dataclass(frozen=True, slots=True)
class Report:
    """What a worker says of a run; duration in ms."""

    exit_code: int | None = None
    duration_ms: int | None = None
    sandbox: str | None = None
    limits: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Backoff:
    """Wait base_ms * 2^n after the n-th failure (from 0), at most max_ms."""

    base_ms: int = 5_000
    max_ms: int = 600_000


@dataclass(frozen=True, slots=True)
class Spec:
    """What a task asks for. Times in ms since 1970, durations in ms."""

    task_id: str
    workflow_id: str
    name: str
    tags: tuple[str, ...]
    requires: tuple[str, ...] = ()
    payload: Attachment | None = None
    needs: tuple[TaskKey, ...] = ()
    max_attempts: int | None = None
    backoff: Backoff | None = None
    timeout_ms: int | None = None
    not_before: int | None = None
    expires_at: int | None = None


@dataclass(frozen=True, slots=True)
class Admit:
    """Admit `actor` with roles, a name to show and labels it may work under (an owner says so)."""

    actor: ActorKey
    roles: tuple[str, ...]
    name: str | None = None
    labels: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Revoke:
    """Fence off what `actor` did under `grant`, but `keep` and its past. None is the genesis: in an open ledger."""

    grant: Cid | None
    actor: ActorKey
    keep: tuple[Cid, ...]
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Join:
    """Say that one works from now on, with these labels and so many tasks at once."""

    labels: tuple[str, ...] = ()
    slots: int | None = None


@dataclass(frozen=True, slots=True)
class Leave:
    """Say that one works no longer."""


@dataclass(frozen=True, slots=True)
class Submit:
    """Ask for a task. `key` is derived from ledger, submitter and the spec's bytes, unknown fields included."""

    key: TaskKey
    spec: Spec
    priority: int
    created_at: int
    spec_map: dict[str, Value]


@dataclass(frozen=True, slots=True)
class Claim:
    """Take a task for `lease_ms`; `inputs` are events that complete what the task needs."""

    task: TaskKey
    follows: tuple[Cid, ...]
    lease_ms: int
    inputs: tuple[Cid, ...] = ()


@dataclass(frozen=True, slots=True)
class Renew:
    """Keep a claim for another `lease_ms` from this event on."""

    task: TaskKey
    follows: tuple[Cid, ...]
    claim: Cid
    lease_ms: int
    progress: str | None = None
    log: Attachment | None = None


@dataclass(frozen=True, slots=True)
class Release:
    """Give a claim back, without a failure."""

    task: TaskKey
    follows: tuple[Cid, ...]
    claim: Cid
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Fail:
    """Say that the attempt under a claim failed, and how."""

    task: TaskKey
    follows: tuple[Cid, ...]
    claim: Cid
    failure_class: str
    error: str
    report: Report | None = None
    log: Attachment | None = None


@dataclass(frozen=True, slots=True)
class Complete:
    """Say that the task is done under a claim, with its output."""

    task: TaskKey
    follows: tuple[Cid, ...]
    claim: Cid
    output: Attachment | None = None
    report: Report | None = None
    log: Attachment | None = None


@dataclass(frozen=True, slots=True)
class Cancel:
    """Say that the task is wanted no longer."""

    task: TaskKey
    follows: tuple[Cid, ...]
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Prioritize:
    """Give the task another priority, 1 to 10."""

    task: TaskKey
    follows: tuple[Cid, ...]
    priority: int


@dataclass(frozen=True, slots=True)
class Requeue:
    """Let a dead task be attempted again."""

    task: TaskKey
    follows: tuple[Cid, ...]


@dataclass(frozen=True, slots=True)
class Unread:
    """An operation that means nothing here (rule M1 or M2).

    Where its task can be read, that task's DAG is still followed through it. `admits` is whom a malformed admit names:
    it is the event's first admit of that actor, so that a later one has no effect (M3, A8).
    """

    rule: str
    words: str
    task: TaskKey | None = None
    follows: tuple[Cid, ...] = ()
    admits: ActorKey | None = None


TaskOperation: TypeAlias = Claim | Renew | Release | Fail | Complete | Cancel | Prioritize | Requeue
Operation: TypeAlias = Admit | Revoke | Join | Leave | Submit | TaskOperation
