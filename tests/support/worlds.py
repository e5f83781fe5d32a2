"""Valid DAGs by construction: fixed keys, real signatures, real acceptance, any author seeing any part of the past.

A `World` holds every event that anybody made; who has seen what is the caller's choice of parents. Heights, times and
grants come out right, so that whatever is built here is in the log; what it means is for the tests to say.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from ledger.acceptance import Linked, check_alone, linked_event, linked_genesis, verify_event, verify_genesis
from ledger.cid import Cid
from ledger.codec import Value
from ledger.events import Genesis, Policy, TaskKey, VerifiedEvent, task_key
from ledger.keys import ActorKey, SigningKey
from ledger.operation_writing import cited_events, named_blobs, write_operation, write_spec
from ledger.operations import Admit, Backoff, Operation, Spec, Submit
from ledger.signing import sign_event

CREATED: Final = 1_000_000
"""When every world begins, ms since 1970."""
POLICY: Final = Policy(
    lease_ms=1_000,
    lease_ms_max=4_000,
    timeout_ms=6_000,
    grace_ms=100,
    skew_ms=100,
    aging_ms=10_000,
    max_attempts=2,
)
"""Small numbers, so that in small worlds leases run out, attempts fail and tasks die."""
BACKOFF: Final = Backoff(base_ms=300, max_ms=1_000)


@dataclass(frozen=True, slots=True)
class Raw:
    """An operation written by hand: unknown, malformed, or of a version to come."""

    name: str
    task: TaskKey | None = None
    follows: tuple[Cid, ...] = ()
    fields: Mapping[str, Value] = field(default_factory=dict)

    def write(self, cites: Mapping[Cid, int]) -> dict[str, Value]:
        """Return its map."""
        on_task: dict[str, Value] = {}
        if self.task is not None:
            on_task = {"task": self.task, "follows": [cites[cid] for cid in self.follows]}
        return {"op": self.name} | on_task | dict(self.fields)


def signing_key(name: str) -> SigningKey:
    """Return the key of a name, the same always."""
    return SigningKey.from_seed(hashlib.sha256(name.encode()).digest())


class World:
    """Every event made in one ledger."""

    def __init__(self, *, policy: Policy = POLICY, owners: tuple[str, ...] = ("olga", "otto"), name: str = "w") -> None:
        self.owners = tuple(signing_key(owner) for owner in owners)
        keys = tuple(sorted(owner.actor for owner in self.owners))
        nonce = hashlib.sha256(name.encode()).digest()[:16]
        self.ledger, self.genesis = verify_genesis(Genesis(name, CREATED, nonce, keys, policy).encode())
        self.events: dict[Cid, VerifiedEvent] = {}
        self.grants: dict[ActorKey, Cid] = {}
        """The latest admission of each actor."""

    def find(self, cid: Cid) -> Linked | None:
        """Return what acceptance asks of a linked block."""
        if cid == self.ledger:
            return linked_genesis(self.genesis)
        found = self.events.get(cid)
        return None if found is None else linked_event(found.event, self.genesis)

    def accept(self, block: bytes) -> VerifiedEvent:
        """Take a block in as any peer would; raise what acceptance raises."""
        verified = verify_event(check_alone(block, self.ledger), self.ledger, self.genesis, self.find)
        self.events[verified.cid] = verified
        return verified

    def event(
        self,
        author: SigningKey,
        *ops: Operation | Raw,
        parents: Iterable[Cid] | None = None,
        time: int | None = None,
        grant: Cid | None = None,
        cites: Iterable[Cid] = (),
    ) -> Cid:
        """Make an event of `author` and return its CID.

        Its parents are the heads of all there is, or of `parents` with their past; its grant the author's latest; its
        time (ms) `time`, or the latest of what it links + 1, and never before that latest.
        """
        seen = self.heads(self.closure(self.events if parents is None else parents))
        named = [cid for op in ops for cid in (op.follows if isinstance(op, Raw) else cited_events(op))]
        cited = tuple(dict.fromkeys((*named, *cites)))
        blobs = tuple(dict.fromkeys(cid for op in ops if not isinstance(op, Raw) for cid in named_blobs(op)))
        at, at_blobs = {cid: i for i, cid in enumerate(cited)}, {cid: i for i, cid in enumerate(blobs)}
        granted_by = grant or self.grants.get(author.actor, self.ledger)
        links = [linked for cid in (granted_by, *seen, *cited) if (linked := self.find(cid)) is not None]
        latest = max(linked.time for linked in links)
        block = sign_event(
            author,
            ledger=self.ledger,
            grant=granted_by,
            parents=seen,
            cites=cited,
            blobs=blobs,
            height=1 + max(linked.height for linked in links),
            time=latest + 1 if time is None else max(time, latest),
            ops=tuple(op.write(at) if isinstance(op, Raw) else write_operation(op, at, at_blobs) for op in ops),
        )
        verified = self.accept(block)
        self.grants |= {op.actor: verified.cid for op in ops if isinstance(op, Admit) and author in self.owners}
        return verified.cid

    def closure(self, cids: Iterable[Cid]) -> frozenset[Cid]:
        """Return `cids` with their causal past, without the genesis."""
        found: set[Cid] = set()
        open_ends = [cid for cid in cids if cid != self.ledger]
        while open_ends:
            cid = open_ends.pop()
            if cid not in found and cid != self.ledger:
                found.add(cid)
                open_ends.extend(self.events[cid].event.links())
        return frozenset(found)

    def heads(self, cids: Iterable[Cid]) -> tuple[Cid, ...]:
        """Return those of a closed set that no other links; the genesis where it is empty."""
        closed = frozenset(cids)
        linked = {link for cid in closed for link in self.events[cid].event.links()}
        return tuple(sorted(closed - linked)) or (self.ledger,)

    def of(self, cids: Iterable[Cid]) -> list[VerifiedEvent]:
        """Return the events of these CIDs."""
        return [self.events[cid] for cid in cids]

    def time_of(self, cid: Cid) -> int:
        """Return an event's time in ms."""
        return self.events[cid].event.time

    def submit(self, submitter: SigningKey, spec: Spec, *, priority: int = 5, created_at: int = CREATED) -> Submit:
        """Return the operation by which `submitter` asks for `spec`."""
        fields = write_spec(spec)
        return Submit(task_key(self.ledger, submitter.actor, fields), spec, priority, created_at, fields)


def a_spec(
    name: str,
    *,
    needs: tuple[TaskKey, ...] = (),
    requires: tuple[str, ...] = (),
    not_before: int | None = None,
    expires_at: int | None = None,
    max_attempts: int | None = None,
) -> Spec:
    """Return a spec whose failures back off in the time of a small world."""
    return Spec(
        task_id=name,
        workflow_id="w",
        name=name,
        tags=(),
        requires=requires,
        needs=tuple(sorted(needs)),
        max_attempts=max_attempts,
        backoff=BACKOFF,
        not_before=not_before,
        expires_at=expires_at,
    )
