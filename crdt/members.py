"""Who is admitted, revoked, at work: a growing set of roster operations, in whatever order they come.

Implements: specs/authority.md, R1-R3 and R5. Leaves out which events a revocation fences out (crdt.graph).
"""

from __future__ import annotations

from dataclasses import dataclass, field

from crdt.order import order_key
from crdt.records import Member, Presence, Roster
from ledger.cid import Cid
from ledger.events import Admission, Event, Grant, Role
from ledger.keys import ActorKey
from ledger.operations import Admit, Join, Leave, Revoke


@dataclass(frozen=True, slots=True)
class AdmissionFact:
    """One admission with effect, at its place in the linear order."""

    height: int
    roles: tuple[str, ...]
    labels: tuple[str, ...]
    name: str | None


@dataclass(frozen=True, slots=True)
class Revocation:
    """One revocation with effect; `grant` is the genesis CID where it names the genesis."""

    cid: Cid
    actor: ActorKey
    grant: Cid
    keep: tuple[Cid, ...]


@dataclass(frozen=True, slots=True)
class PresenceFact:
    """One join or leave with effect, at its place in the linear order."""

    height: int
    presence: Presence


@dataclass(slots=True)
class RosterFold:
    """Admissions by (actor, grant), revocations in order of arrival, joins and leaves by actor."""

    admissions: dict[tuple[ActorKey, Cid], AdmissionFact] = field(default_factory=dict)
    revocations: list[Revocation] = field(default_factory=list)
    presences: dict[ActorKey, PresenceFact] = field(default_factory=dict)
    """Of each actor the greatest join or leave that counts (R5b), and no other: who comes and goes leaves no trail."""
    changes: int = 0
    """How often a part has changed: whoever keeps the roster elsewhere sees by it that he must write."""
    _fences: dict[tuple[ActorKey, Cid], int] = field(default_factory=dict)
    """The revocations by whom and what they name, as bits: an event costs one look-up however many there are."""
    _roster: Roster | None = None
    _active: frozenset[ActorKey] | None = None

    def forget(self) -> None:
        """Forget what was derived from the parts: one of them has changed, or which events count."""
        self._roster = self._active = None
        self.changes += 1

    def admit(self, cid: Cid, event: Event, op: Admit) -> None:
        """Add an admission; the event itself is the grant it gives."""
        self.admissions[op.actor, cid] = AdmissionFact(event.height, op.roles, op.labels, op.name)
        self.forget()

    def revoke(self, cid: Cid, event: Event, op: Revoke) -> int:
        """Add a revocation and return its number."""
        return self.add(Revocation(cid, op.actor, op.grant or event.ledger, op.keep))

    def add(self, revocation: Revocation) -> int:
        """Add a revocation and return its number."""
        number = len(self.revocations)
        self.revocations.append(revocation)
        named = (revocation.actor, revocation.grant)
        self._fences[named] = self._fences.get(named, 0) | 1 << number
        self.forget()
        return number

    def meet(self, cid: Cid, height: int, presence: Presence) -> None:
        """Add a join or leave of an event that counts."""
        known = self.presences.get(presence.actor)
        if known is None or order_key(known.height, known.presence.cid) < order_key(height, cid):
            self.presences[presence.actor] = PresenceFact(height, presence)
            self.forget()

    def absent(self, actor: ActorKey) -> None:
        """Forget how an actor came or went: it no longer counts."""
        self.presences.pop(actor, None)
        self.forget()

    def fences_against(self, actor: ActorKey, grant: Cid) -> int:
        """Return the revocations, as a set of bits, that name exactly this actor and grant."""
        return self._fences.get((actor, grant), 0)

    def roster(self, ledger: Cid, admission: Admission) -> Roster:
        """Return the roster (R5)."""
        if self._roster is None:
            self._roster = self._make_roster(ledger, admission)
        return self._roster

    def _make_roster(self, ledger: Cid, admission: Admission) -> Roster:
        revoked: dict[tuple[ActorKey, Cid], set[Cid]] = {}
        for revocation in self.revocations:
            revoked.setdefault((revocation.actor, revocation.grant), set()).add(revocation.cid)
        members = [
            Member(actor, grant, fact.roles, fact.labels, fact.name, tuple(sorted(revoked.get((actor, grant), ()))))
            for (actor, grant), fact in self.admissions.items()
        ]
        # Strangers of an open ledger have no admission: what is revoked of them is a row under the genesis.
        members += [
            Member(actor, grant, (), (), None, tuple(sorted(cids)))
            for (actor, grant), cids in revoked.items()
            if grant == ledger and admission is Admission.OPEN
        ]
        members.sort(key=lambda member: (member.actor, member.grant))
        return Roster(tuple(members), tuple(self.presences[actor].presence for actor in sorted(self.presences)))

    def active_workers(self) -> frozenset[ActorKey]:
        """Return who joined last under a grant that stands (R5)."""
        if self._active is None:
            self._active = frozenset(
                actor
                for actor, fact in self.presences.items()
                if fact.presence.joined and not self.fences_against(actor, fact.presence.grant)
            )
        return self._active


def presence_of(cid: Cid, event: Event, op: Join | Leave) -> Presence:
    """Return what a join or leave says of its actor."""
    labels, slots = (op.labels, op.slots) if isinstance(op, Join) else ((), None)
    return Presence(event.actor, isinstance(op, Join), labels, slots, cid, event.grant)


def refuse_roster_operation(
    op: Admit | Revoke | Join | Leave, grant: Grant, ledger: Cid, owners: tuple[ActorKey, ...]
) -> tuple[str, str] | None:
    """Return the rule a roster operation breaks and the reason, None where it has effect."""
    match op:
        case Admit():
            if not grant.is_owner:
                return "R1", "only owners admit"
            return ("R1", "an owner needs no admission") if op.actor in owners else None
        case Revoke():
            if not grant.is_owner:
                return "R2", "only owners revoke"
            if op.grant == ledger:
                return "R2", "the genesis is named by null, not by an index"
            return ("R2", "owners are fixed by the genesis") if op.actor in owners else None
        case Join() | Leave():
            if Role.WORKER not in grant.roles:
                return "R3", "the grant lacks the role worker"
            if isinstance(op, Join) and grant.labels and not set(op.labels) <= set(grant.labels):
                return "R3", "labels that the grant does not list"
            return None
