"""Whose turn a task is, and when: the ranks of the peers that may take it, and the instants that follow from a rank.

Implements: specs/assignment.md, S1 to S4 and S6. All of it is policy: peers that disagree about it claim the same task
at worst. Pure: who was heard of, and what time it is, are arguments. Leaves out the queues (scheduler.queue).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from crdt.order import anchor_of, place_of
from crdt.records import Roster, TaskRecord
from crdt.view import TaskView
from ledger.events import Policy
from ledger.keys import ActorKey
from ledger.operations import Spec
from scheduler.task import PRIORITY_MAX

LIVENESS_LEASES: Final = 2
"""A peer is heard of while its last word is at most so many leases (`policy.lease_ms`) old."""

_place_of = lru_cache(maxsize=4096)(place_of)


@dataclass(frozen=True, slots=True)
class Worker:
    """An active worker as this peer sees it; `heard_ms` is when it was last heard of, 0 for never."""

    actor: ActorKey
    labels: frozenset[str]
    heard_ms: int
    is_live: bool


@dataclass(frozen=True, slots=True)
class Candidate:
    """A peer that may take a task: its distance in bits and its rank, from 0."""

    actor: ActorKey
    distance: int
    rank: int


@dataclass(frozen=True, slots=True)
class Crew:
    """The active workers (R5c) at one instant, in the order of their keys."""

    workers: tuple[Worker, ...]

    def ranked(self) -> list[tuple[ActorKey, frozenset[str]]]:
        """Return what ranks rest on: who is alive, with which labels."""
        return [(worker.actor, worker.labels) for worker in self.workers if worker.is_live]

    def eligible(self, spec: Spec) -> list[Worker]:
        """Return who may take a task of `spec`: alive, with every label it requires (S3)."""
        wanted = frozenset(spec.requires)
        return [worker for worker in self.workers if worker.is_live and wanted <= worker.labels]

    def ranking(self, task: TaskRecord) -> tuple[Candidate, ...]:
        """Return the eligible peers, nearest first; the first is the assigned peer (S3)."""
        anchor = anchor_of(task.submits[0], task.key)
        places = sorted(
            ((_place_of(worker.actor) ^ anchor).bit_count(), worker.actor) for worker in self.eligible(task.spec)
        )
        return tuple(Candidate(actor, distance, rank) for rank, (distance, actor) in enumerate(places))

    def rank_of(self, actor: ActorKey, task: TaskRecord) -> int | None:
        """Return the rank of `actor` for a task, None where it is not eligible: it takes nothing then (S6)."""
        eligible = self.eligible(task.spec)
        if all(worker.actor != actor for worker in eligible):
            return None
        if len(eligible) == 1:
            return 0
        anchor = anchor_of(task.submits[0], task.key)
        own = ((_place_of(actor) ^ anchor).bit_count(), actor)
        return sum(((_place_of(worker.actor) ^ anchor).bit_count(), worker.actor) < own for worker in eligible)

    def assigned_peer(self, task: TaskRecord) -> ActorKey | None:
        """Return the peer of rank 0, None where nobody is eligible."""
        ranking = self.ranking(task)
        return ranking[0].actor if ranking else None


def crew_of(
    roster: Roster,
    active: frozenset[ActorKey],
    heard: Mapping[ActorKey, int],
    me: ActorKey | None,
    policy: Policy,
    now: int,
) -> Crew:
    """Return the active workers with who of them was heard of lately; `me`, who asks, counts as heard (S3).

    Args:
        roster: whose presences say with which labels a worker joined.
        active: the active workers (R5c).
        heard: when each actor was last heard of, ms since 1970.
        me: the peer that computes; None for an onlooker.
        policy: whose lease measures what lately is.
        now: ms since 1970.
    """
    since = now - LIVENESS_LEASES * policy.lease_ms
    return Crew(
        tuple(
            Worker(
                presence.actor,
                frozenset(presence.labels),
                heard.get(presence.actor, 0),
                presence.actor == me or heard.get(presence.actor, 0) >= since,
            )
            for presence in roster.presences
            if presence.actor in active
        )
    )


def due_at(ready_at: int, priority: int, policy: Policy) -> int:
    """Return the virtual deadline by which ready tasks are ordered (S1).

    It does not move while a task waits, so the order of two tasks is the same whenever one asks.
    """
    return ready_at + (PRIORITY_MAX - priority) * policy.aging_ms


def ready_since(view: TaskView, first_seen_ms: int) -> int | None:
    """Return since when, or from when, a task is ready to this home (S2), None where a need is not done.

    Args:
        view: the task at the instant of asking, whose `ready_at` is what the log tells.
        first_seen_ms: when this home first saw the task ready as it is, so that a backdated submission gains nothing.
    """
    return None if view.ready_at is None else max(view.ready_at, first_seen_ms)


def take_at(ready_at: int, rank: int, policy: Policy, *, overdue: bool) -> int:
    """Return the instant from which the peer of `rank` may take a task (S4).

    Args:
        ready_at: since when it is ready (S2), ms.
        rank: of the peer (S3).
        policy: whose grace is waited.
        overdue: whether a claim of it ran out (crdt.view.is_overdue): a lease was lost on it already, so that
            each further rank waits half as long as the one before, and none more than two graces.
    """
    if overdue:
        return ready_at + 2 * policy.grace_ms - (2 * policy.grace_ms >> rank)
    return ready_at + rank * policy.grace_ms
