"""Who may do what, and which events count.

Implements: specs/authority.md, rules R1-R5, and "active worker" of C7. Leaves out acceptance (A8): an event comes with
the grant it was accepted under.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from crdt.records import Member, Presence, Roster
from crdt.slow.dag import Dag
from ledger.cid import Cid
from ledger.events import Admission, Role
from ledger.keys import ActorKey
from ledger.operations import Admit, Join, Leave, Revoke


@dataclass(frozen=True, slots=True)
class Fence:
    """One revocation with effect: of `actor`'s events under `grant` only `kept` still count."""

    event: Cid
    actor: ActorKey
    grant: Cid
    kept: frozenset[Cid]


def roster_rule(dag: Dag, cid: Cid, index: int) -> str:
    """Return the rule of R1-R3 that one operation of an event breaks, "" where it breaks none."""
    match dag.ops[cid][index]:
        case Admit() as op:
            return _admit_rule(dag, cid, op)
        case Revoke() as op:
            return _revoke_rule(dag, cid, op)
        case Join() as op:
            return _presence_rule(dag, cid, op.labels)
        case Leave():
            return _presence_rule(dag, cid, ())
        case _:
            return ""


def _admit_rule(dag: Dag, cid: Cid, op: Admit) -> str:
    """R1: only owners admit, and owners are not admitted."""
    return "" if dag.is_owner(cid) and op.actor not in dag.genesis.owners else "R1"


def _revoke_rule(dag: Dag, cid: Cid, op: Revoke) -> str:
    """R2: only owners revoke, owners are not revoked, and the grant is an event (or None, the genesis)."""
    return "" if dag.is_owner(cid) and op.actor not in dag.genesis.owners and op.grant != dag.ledger else "R2"


def _presence_rule(dag: Dag, cid: Cid, labels: Iterable[str]) -> str:
    """R3: only workers join and leave, with labels out of those the grant lists, if it lists any."""
    listed = dag.events[cid].grant.labels
    return "" if dag.has_role(cid, Role.WORKER) and (not listed or set(labels) <= set(listed)) else "R3"


def fences_in(dag: Dag, cids: Iterable[Cid]) -> tuple[Fence, ...]:
    """Return the revocations with effect of these events. Owners' events always count, so no fence ever falls."""
    found: list[Fence] = []
    for cid in cids:
        for index, op in enumerate(dag.ops[cid]):
            if isinstance(op, Revoke) and not dag.reading_rule(cid, index) and not roster_rule(dag, cid, index):
                kept = frozenset(op.keep).union(*(dag.past.get(keep, frozenset()) for keep in op.keep))
                found.append(Fence(cid, op.actor, dag.ledger if op.grant is None else op.grant, kept))
    return tuple(found)


def beyond(dag: Dag, cid: Cid, fence: Fence) -> bool:
    """R4 for one fence: an event of its actor under its grant that it does not keep."""
    event = dag.event(cid)
    return event.actor == fence.actor and event.grant == fence.grant and cid not in fence.kept


def counting(dag: Dag, fences: Iterable[Fence]) -> frozenset[Cid]:
    """R4: the events that are beyond no fence, wherever in the set the fence stands."""
    fences = tuple(fences)
    return frozenset(cid for cid in dag.events if not any(beyond(dag, cid, fence) for fence in fences))


def roster_of(dag: Dag, fences: tuple[Fence, ...], counts: frozenset[Cid]) -> Roster:
    """R5: every admission with its revocations, and each actor's greatest join or leave that counts."""
    admitted = [
        Member(op.actor, cid, op.roles, op.labels, op.name, _revoked_by(op.actor, cid, fences))
        for cid in dag.events
        for index, op in enumerate(dag.ops[cid])
        if isinstance(op, Admit) and not dag.reading_rule(cid, index) and not roster_rule(dag, cid, index)
    ]
    members = [*admitted, *_strangers(dag, fences)]
    presences: dict[ActorKey, Presence] = {}
    for cid, verified in dag.events.items():  # in linear order: the greatest is written last
        for index, op in enumerate(dag.ops[cid]):
            if cid not in counts or not isinstance(op, Join | Leave):
                continue
            if dag.reading_rule(cid, index) or roster_rule(dag, cid, index):
                continue
            labels, slots = (op.labels, op.slots) if isinstance(op, Join) else ((), None)
            actor, grant = verified.event.actor, verified.event.grant
            presences[actor] = Presence(actor, isinstance(op, Join), labels, slots, cid, grant)
    return Roster(
        members=tuple(sorted(members, key=lambda member: (member.actor, member.grant))),
        presences=tuple(presences[actor] for actor in sorted(presences)),
    )


def active_workers(roster: Roster, fences: tuple[Fence, ...]) -> frozenset[ActorKey]:
    """C7: the actors whose latest presence is a join under a grant that stands."""
    return frozenset(
        presence.actor
        for presence in roster.presences
        if presence.joined and not _revoked_by(presence.actor, presence.grant, fences)
    )


def _revoked_by(actor: ActorKey, grant: Cid, fences: tuple[Fence, ...]) -> tuple[Cid, ...]:
    """R5: the events that revoke exactly this grant of this actor."""
    return tuple(sorted({fence.event for fence in fences if (fence.actor, fence.grant) == (actor, grant)}))


def _strangers(dag: Dag, fences: tuple[Fence, ...]) -> list[Member]:
    """C6: in an open ledger, a revoked actor under the genesis is a member without roles."""
    if dag.genesis.policy.admission is not Admission.OPEN:
        return []
    actors = {fence.actor for fence in fences if fence.grant == dag.ledger}
    return [Member(actor, dag.ledger, (), (), None, _revoked_by(actor, dag.ledger, fences)) for actor in actors]
