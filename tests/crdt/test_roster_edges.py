"""Corners of the roster where two reducers once differed: each must have one answer (specs/authority.md)."""

from __future__ import annotations

from dataclasses import replace

import pytest

from crdt.records import Snapshot
from crdt.slow import reduce
from ledger.acceptance import Refusal
from ledger.events import Admission
from ledger.operations import Admit, Join, Leave, Revoke
from tests.support.fast import reduce_fast
from tests.support.worlds import POLICY, Raw, World, signing_key

ADA = signing_key("ada")


def boards(world: World) -> Snapshot:
    """Return the snapshot of all events, which must be the same by both reducers."""
    events = world.of(world.events)
    slow = reduce(world.ledger, world.genesis, events)
    assert reduce_fast(world.ledger, world.genesis, events) == slow
    return slow


@pytest.mark.parametrize(("admission", "rows"), [(Admission.MEMBERS, 0), (Admission.OPEN, 1)])
def test_a_stranger_is_a_row_of_the_roster_only_where_strangers_act(admission: Admission, rows: int) -> None:
    """C6: a revocation under the genesis is a member's row in an open ledger alone."""
    world = World(policy=replace(POLICY, admission=admission))
    world.event(world.owners[0], Revoke(None, ADA.actor, ()))
    assert len(boards(world).roster.members) == rows


def test_the_genesis_is_not_revoked_by_an_index() -> None:
    """R2: a revocation that cites the genesis as its grant has no effect; null names the genesis."""
    world = World(policy=replace(POLICY, admission=Admission.OPEN))
    cid = world.event(world.owners[0], Revoke(world.ledger, ADA.actor, ()))
    assert [(found.event, found.rule) for found in boards(world).ignored] == [(cid, "R2")]
    assert boards(world).roster.members == ()


def test_a_malformed_admit_spoils_a_later_one_of_the_same_actor() -> None:
    """M3, A8: the first admit of an actor in an event is the one that counts, and a malformed one admits nobody."""
    world = World()
    spoiled = Raw("admit", fields={"actor": ADA.actor, "roles": []})
    cid = world.event(world.owners[0], spoiled, Admit(ADA.actor, ("worker",)))
    assert sorted((found.index, found.rule) for found in boards(world).ignored) == [(0, "M2"), (1, "M3")]
    assert boards(world).roster.members == ()
    with pytest.raises(Refusal, match="A8"):
        world.event(ADA, Join(), grant=cid)


def test_what_a_revocation_keeps_of_comings_and_goings_stands() -> None:
    """R5b: where the latest leave is void, the join before it that was kept says how the actor stands."""
    world = World()
    first = world.event(world.owners[0], Admit(ADA.actor, ("worker",)))
    join = world.event(ADA, Join(("old",)))
    world.event(ADA, Leave())
    world.event(world.owners[0], Revoke(first, ADA.actor, (join,)))
    (presence,) = boards(world).roster.presences
    assert (presence.joined, presence.cid) == (True, join)
    assert boards(world).active_workers == frozenset()
    again = world.event(world.owners[0], Admit(ADA.actor, ("worker",)))
    world.event(ADA, Join(("new",)), grant=again)
    assert boards(world).active_workers == {ADA.actor}
