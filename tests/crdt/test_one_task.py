"""One task by itself comes to what the whole board makes of it, as far as its own events can tell."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from crdt.board import Board
from crdt.board_store import MemoryBoardStore
from crdt.one_task import SignedOperation, fold_one_task
from crdt.records import ClaimRecord
from crdt.slow import reduce
from crdt.task_graph import first_by_task
from ledger.cid import Cid
from ledger.events import TaskKey
from ledger.operation_codec import read_operations
from ledger.operations import Admit, Claim, Complete, Revoke
from tests.support.wild import wild_world
from tests.support.worlds import World, a_spec, signing_key


def operations_on(world: World, key: TaskKey) -> list[SignedOperation]:
    """Return the events of a world with an operation on a task, in no order of use."""
    return [
        SignedOperation(cid, one.event, one.grant)
        for cid, one in sorted(world.events.items())
        if key in first_by_task(read_operations(one.event))
    ]


@settings(max_examples=200, deadline=None)
@given(seed=st.integers(0, 2**32), steps=st.integers(1, 40))
def test_a_task_without_needs_is_what_the_board_says(seed: int, steps: int) -> None:
    """Law: where nothing is void, the events on a task without needs give the record that the whole ledger gives."""
    world = wild_world(seed, steps)
    snapshot = reduce(world.ledger, world.genesis, world.events.values())
    if snapshot.counts != set(world.events):
        return
    for key, record in snapshot.tasks.items():
        if not record.spec.needs:
            assert fold_one_task(key, operations_on(world, key), world.genesis.policy) == record


@settings(max_examples=200, deadline=None)
@given(seed=st.integers(0, 2**32), steps=st.integers(1, 40))
def test_with_void_events_nothing_sound_is_lost(seed: int, steps: int) -> None:
    """Law: told what is void, it finds the claims and completions that the board finds, and none by void events."""
    world = wild_world(seed, steps)
    store = MemoryBoardStore()
    board = Board(world.ledger, world.genesis, store)
    for event in sorted(world.events.values(), key=lambda one: (one.event.height, one.cid)):
        store.add_event(event)
        board.apply(event)
    void = {cid for cid in world.events if not board.graph.counts(cid)}
    for key, record in board.snapshot().tasks.items():
        verdicts = store.verdicts(key)
        told = [one for one in operations_on(world, key) if verdicts[one.cid].rule is None or verdicts[one.cid].through]
        alone = fold_one_task(key, told, world.genesis.policy, void)
        assert alone is not None
        assert _cids(record.claims) <= _cids(alone.claims)
        assert {one.cid for one in record.completions} <= {one.cid for one in alone.completions}
        assert not (_cids(alone.claims) | {one.cid for one in alone.completions}) & void


def _cids(claims: tuple[ClaimRecord, ...]) -> set[Cid]:
    return {claim.cid for claim in claims}


def test_what_follows_a_void_claim_is_found() -> None:
    """A claim that follows only a revoked worker's claim reaches the submit through it."""
    world = World(name="void")
    owner, rogue, worker = world.owners[0], signing_key("rogue"), signing_key("worker")
    roles = ("submitter", "worker")
    admit = world.event(owner, Admit(rogue.actor, roles), Admit(worker.actor, roles))
    op = world.submit(owner, a_spec("a"))
    submit = world.event(owner, op)
    taken = world.event(rogue, Claim(op.key, (submit,), 1_000), grant=admit)
    world.event(owner, Revoke(admit, rogue.actor, ()))
    mine = world.event(worker, Claim(op.key, (taken,), 1_000), grant=admit)
    world.event(worker, Complete(op.key, (mine,), mine), grant=admit)
    events, policy = operations_on(world, op.key), world.genesis.policy
    found = fold_one_task(op.key, events, policy, {taken})
    assert found is not None
    assert (_cids(found.claims), len(found.completions)) == ({mine}, 1)
    assert found == replace(
        reduce(world.ledger, world.genesis, world.events.values()).tasks[op.key], claims=found.claims, heads=found.heads
    )
    hidden = fold_one_task(op.key, [one for one in events if one.cid != taken], policy)
    assert hidden is not None
    assert hidden.completions == ()  # a peer can withhold: then nothing is done, never something else
