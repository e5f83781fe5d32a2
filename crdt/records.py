"""What a board says of each task and of the members: frozen values, the same whichever reducer made them.

Implements: specs/tasks.md (D1-D8), specs/authority.md (R5), specs/clock.md (what a state root covers).
Leaves out what only time decides (crdt.view).
"""

from __future__ import annotations

from dataclasses import dataclass

from ledger.cid import Cid
from ledger.events import TaskKey
from ledger.keys import ActorKey
from ledger.operations import Spec


@dataclass(frozen=True, slots=True)
class ClaimRecord:
    """A sound claim that counts. `until` in ms since 1970, renewals included; `failed_at` 0 where it did not fail."""

    cid: Cid
    actor: ActorKey
    attempt: int
    distance: int
    time: int
    until: int
    released: bool
    failed_at: int
    inputs: tuple[Cid, ...]


@dataclass(frozen=True, slots=True, order=True)
class CompletionRecord:
    """A sound completion that counts; ordered as D1 chooses the result: nearest claim, claim CID, completion CID."""

    distance: int
    claim: Cid
    cid: Cid
    actor: ActorKey
    time: int
    inputs: tuple[Cid, ...]


@dataclass(frozen=True, slots=True)
class TaskRecord:
    """The fold of one task (D1-D6) over its sound operations that count."""

    key: TaskKey
    submitter: ActorKey
    spec: Spec
    submits: tuple[Cid, ...]
    """In linear order; the first is the least submit, whose CID anchors the ranking."""
    submitted_at: int
    """The time of the least submit's event, ms since 1970."""
    created_at: int
    priority: int
    claims: tuple[ClaimRecord, ...]
    """Sorted by CID."""
    completions: tuple[CompletionRecord, ...]
    """Sorted: the first is the result, the rest are superseded."""
    cancels: tuple[Cid, ...]
    """Sorted by CID."""
    base: int
    """The highest attempt that a requeue has written off."""
    heads: tuple[Cid, ...]
    """Sound operations that count and that no other such operation follows, sorted by CID."""
    requeue: Cid | None = None
    """The requeue that gives `base`, the greatest by CID where several do. Derived: no part of the state root."""

    @property
    def result(self) -> CompletionRecord | None:
        """The completion that is the task's result (D1), None where there is none."""
        return self.completions[0] if self.completions else None


@dataclass(frozen=True, slots=True)
class Member:
    """One admission of an actor, or the revocations of a stranger under the genesis of an open ledger."""

    actor: ActorKey
    grant: Cid
    roles: tuple[str, ...]
    labels: tuple[str, ...]
    name: str | None
    revoked_by: tuple[Cid, ...]
    """Events that revoke exactly this grant, sorted by CID; empty: the grant stands."""


@dataclass(frozen=True, slots=True)
class Presence:
    """The greatest counting join or leave of an actor in the linear order (R5)."""

    actor: ActorKey
    joined: bool
    labels: tuple[str, ...]
    slots: int | None
    cid: Cid
    grant: Cid


@dataclass(frozen=True, slots=True)
class Roster:
    """Members sorted by (actor, grant); presences sorted by actor."""

    members: tuple[Member, ...]
    presences: tuple[Presence, ...]


@dataclass(frozen=True, slots=True)
class Ignored:
    """An operation without effect: where it stands, the rule and the reason."""

    event: Cid
    index: int
    rule: str
    words: str


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A whole board as one value; two are equal where they mean the same."""

    ledger: Cid
    tasks: dict[TaskKey, TaskRecord]
    roster: Roster
    heads: tuple[Cid, ...]
    """Heads of the log, sorted by CID; the genesis alone for an empty log."""
    vector: dict[ActorKey, int]
    log: frozenset[Cid]
    """Events in the log (R6), the genesis not counted."""
    counts: frozenset[Cid]
    """Events that count (R4)."""
    seen_by: dict[Cid, frozenset[ActorKey]]
    """For each event of the log the active workers that have seen it (C7)."""
    active_workers: frozenset[ActorKey]
    ignored: frozenset[Ignored]
    state_root: bytes
