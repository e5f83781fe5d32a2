"""The fold of one task: what a set of its sound operations says, whatever order they are added in.

Implements: specs/tasks.md, D1-D8 and the sets P and S the rules speak of. Leaves out whether an operation is sound
(crdt.soundness) and whether it counts (crdt.board).
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from crdt.order import anchor_of
from crdt.records import ClaimRecord, CompletionRecord, TaskRecord
from ledger.cid import Cid
from ledger.events import Event, Policy, TaskKey
from ledger.keys import ActorKey
from ledger.operations import (
    Cancel,
    Claim,
    Complete,
    Fail,
    Prioritize,
    Release,
    Renew,
    Requeue,
    Spec,
    Submit,
    TaskOperation,
)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What was decided of an operation once, from its event's own past: `rule` None means sound.

    `attempt` and `distance` are a claim's (of a completion: its claim's distance); `base` is a requeue's. `through`: an
    unknown or malformed operation, which its task's DAG is followed through.
    """

    rule: str | None = None
    words: str = ""
    attempt: int = 0
    distance: int = 0
    base: int = 0
    inputs: tuple[Cid, ...] = ()
    through: bool = False


@dataclass(frozen=True, slots=True)
class SubmitFact:
    """One sound submit: its place in the linear order, its event's time and what it asked."""

    height: int
    cid: Cid
    time: int
    priority: int
    created_at: int


@dataclass(frozen=True, slots=True)
class ClaimFact:
    """One sound claim as it was made; renewals and endings stand beside it."""

    actor: ActorKey
    attempt: int
    distance: int
    time: int
    lease_end: int
    inputs: tuple[Cid, ...]


@dataclass(slots=True)
class TaskFold:
    """A growing set of sound operations on one task.

    Every part is a maximum, a minimum or a union, so that the order of `add` never matters.
    """

    key: TaskKey
    request: tuple[ActorKey, Spec] | None = None
    """Submitter and spec: the same in all submits, since the task key is their hash."""
    submits: dict[Cid, SubmitFact] = field(default_factory=dict)
    claims: dict[Cid, ClaimFact] = field(default_factory=dict)
    renewed: dict[Cid, int] = field(default_factory=dict)
    released: set[Cid] = field(default_factory=set)
    failed: dict[Cid, int] = field(default_factory=dict)
    completions: dict[Cid, CompletionRecord] = field(default_factory=dict)
    cancels: set[Cid] = field(default_factory=set)
    base: int = 0
    requeue: Cid | None = None
    """The requeue that gives `base`, the greatest by CID where several do."""
    prioritized: tuple[int, Cid, int] | None = None
    """Height, CID and priority of the greatest prioritize in the linear order (D6)."""

    def add(self, cid: Cid, event: Event, op: Submit | TaskOperation, verdict: Verdict) -> None:
        """Add one sound operation."""
        match op:
            case Submit():
                self.request = (event.actor, op.spec)
                self.submits[cid] = SubmitFact(event.height, cid, event.time, op.priority, op.created_at)
            case Claim():
                self.claims[cid] = ClaimFact(
                    event.actor,
                    verdict.attempt,
                    verdict.distance,
                    event.time,
                    event.time + op.lease_ms,
                    verdict.inputs,
                )
            case Renew():
                end = event.time + op.lease_ms
                self.renewed[op.claim] = max(end, self.renewed.get(op.claim, 0))
            case Release():
                self.released.add(op.claim)
            case Fail():
                self.failed[op.claim] = max(event.time, self.failed.get(op.claim, 0))
            case Complete():
                self.completions[cid] = CompletionRecord(
                    verdict.distance, op.claim, cid, event.actor, event.time, verdict.inputs
                )
            case Cancel():
                self.cancels.add(cid)
            case Prioritize():
                self.prioritized = max(self.prioritized or (0, cid, 0), (event.height, cid, op.priority))
            case Requeue():
                if self.requeue is None or (verdict.base, cid) > (self.base, self.requeue):
                    self.base, self.requeue = verdict.base, cid

    def copy(self) -> TaskFold:
        """Return a set of the same operations that grows by itself."""
        return replace(
            self,
            submits=dict(self.submits),
            claims=dict(self.claims),
            renewed=dict(self.renewed),
            released=set(self.released),
            failed=dict(self.failed),
            completions=dict(self.completions),
            cancels=set(self.cancels),
        )

    @property
    def submitter(self) -> ActorKey:
        """Who asked. There must be a submit."""
        return self._requested()[0]

    @property
    def spec(self) -> Spec:
        """What was asked. There must be a submit."""
        return self._requested()[1]

    def _requested(self) -> tuple[ActorKey, Spec]:
        if self.request is None:
            raise LookupError(f"no submit of task {self.key.hex()} in this set")
        return self.request

    @property
    def least_submit(self) -> SubmitFact:
        """The least submit in the linear order. There must be one."""
        return min(self.submits.values(), key=lambda fact: (fact.height, fact.cid))

    @property
    def anchor(self) -> int:
        """The point claims of this set are measured against."""
        return anchor_of(self.least_submit.cid, self.key)

    @property
    def highest_attempt(self) -> int:
        """The highest attempt claimed so far, 0 before the first."""
        return max((claim.attempt for claim in self.claims.values()), default=0)

    @property
    def next_attempt(self) -> int:
        """The attempt of a claim that has this past; it goes on from what a requeue wrote off, fence or not."""
        return 1 + max(self.highest_attempt, self.base)

    def claim_records(self, policy: Policy) -> list[ClaimRecord]:
        """Return the claims with what renewals and endings say of them."""
        asked = self.spec.timeout_ms
        timeout_ms = policy.timeout_ms if asked is None else asked
        return [self._claim_record(cid, timeout_ms) for cid in sorted(self.claims)]

    def _claim_record(self, cid: Cid, timeout_ms: int) -> ClaimRecord:
        fact = self.claims[cid]
        until = min(max(fact.lease_end, self.renewed.get(cid, 0)), fact.time + timeout_ms)
        failed_at = self.failed.get(cid, 0)
        released = cid in self.released and not failed_at
        return ClaimRecord(
            cid, fact.actor, fact.attempt, fact.distance, fact.time, until, released, failed_at, fact.inputs
        )

    def record(self, policy: Policy, heads: tuple[Cid, ...]) -> TaskRecord:
        """Return the task as the board shows it. There must be a submit."""
        submits = sorted(self.submits.values(), key=lambda fact: (fact.height, fact.cid))
        return TaskRecord(
            key=self.key,
            submitter=self.submitter,
            spec=self.spec,
            submits=tuple(fact.cid for fact in submits),
            submitted_at=submits[0].time,
            created_at=submits[0].created_at,
            priority=self.prioritized[2] if self.prioritized else submits[0].priority,
            claims=tuple(self.claim_records(policy)),
            completions=tuple(sorted(self.completions.values())),
            cancels=tuple(sorted(self.cancels)),
            base=self.base,
            heads=heads,
            requeue=self.requeue,
        )
