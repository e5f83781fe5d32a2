"""Drafting events: what is drafted is accepted, and what fits no event is said so before anybody sees it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest

from ledger.acceptance import check_alone, verify_event
from ledger.cid import Cid
from ledger.events import PARENTS_MAX, Event, TaskKey
from ledger.operation_codec import read_operations
from ledger.operations import Attachment, Cancel, Claim, Complete, Fail, Join, Leave, Operation, Revoke
from ledger.signing import DraftError, DraftTooLargeError, draft_event
from tests.ledger.world import OWNER, T0, WORKER, World

TASK = TaskKey(b"t" * 32)


def draft(world: World, operations: Sequence[Operation], parents: Sequence[Cid] = (), now_ms: int = T0) -> bytes:
    """Return an owner's event drafted in `world`."""
    return draft_event(
        OWNER,
        ledger=world.ledger,
        grant=world.ledger,
        parents=parents or [world.ledger],
        operations=operations,
        find=world.find,
        now_ms=now_ms,
    )


def accept(world: World, block: bytes) -> Event:
    """Return the event in `block`, having checked all rules."""
    return verify_event(check_alone(block, world.ledger), world.ledger, world.genesis, world.find).event


def test_a_draft_is_accepted_and_says_what_it_was_to_say() -> None:
    """A drafted event passes every rule; reading its operations gives those that were drafted, cited by CID."""
    world = World()
    grant = world.admit(WORKER)
    first, second, third = world.chain(3)
    blob = Attachment("text/plain", blob=Cid.of_raw(b"log"), size=3)
    said: tuple[Operation, ...] = (
        Join(labels=("gpu",), slots=2),
        Claim(TASK, (second, first), 60_000, inputs=(third,)),
        Complete(TASK, (third,), third, output=Attachment("text/plain", data=b"done", size=4), log=blob),
        Revoke(grant, WORKER.actor, keep=(grant,), reason="gone"),
    )
    event = accept(world, draft(world, said, parents=[third, grant, third]))
    assert read_operations(event) == said
    assert event.parents == tuple(sorted((third, grant)))
    assert event.cites == (second, first, third, grant)
    assert event.blobs == (Cid.of_raw(b"log"),)
    assert event.height == 4


def test_time_never_runs_back() -> None:
    """The event's time is now, or that of the latest link where another's clock is ahead (A10)."""
    world = World()
    late = world.add(world.event(time=T0 + 5_000))
    assert accept(world, draft(world, [Leave()], now_ms=T0 + 7)).time == T0 + 7
    assert accept(world, draft(world, [Leave()], parents=[late], now_ms=T0 + 7)).time == T0 + 5_000
    assert accept(world, draft(world, [Cancel(TASK, (late,))], now_ms=T0 + 7)).time == T0 + 5_000
    assert accept(world, draft(world, [Leave()], now_ms=0)).time == T0


def test_a_witness_says_nothing() -> None:
    """An event without operations is an event."""
    world = World()
    assert accept(world, draft(world, [])).ops == ()


def test_what_is_too_large() -> None:
    """Beyond a limit of bytes, operations, links or parents the draft fails with the limit, and names no other rule."""
    world = World()
    chain = world.chain(PARENTS_MAX + 1)
    big = Complete(TASK, (), chain[0], output=Attachment("a/b", data=bytes(66_000), size=66_000))
    with pytest.raises(DraftTooLargeError, match="at most 65536"):
        draft(world, [big])
    with pytest.raises(DraftTooLargeError, match="1025 operations in one event, at most 1024"):
        draft(world, [Leave()] * 1025)
    with pytest.raises(DraftTooLargeError, match="65 parents"):
        draft(world, [], parents=chain)
    many = tuple(Cid.of(n.to_bytes(2, "big")) for n in range(1025))
    with pytest.raises(DraftTooLargeError, match="1025 cited events"):
        draft(world, [Cancel(TASK, many)])
    logs = [replace(big, output=Attachment("a/b", blob=Cid.of_raw(cid), size=1)) for cid in many[:257]]
    with pytest.raises(DraftTooLargeError, match="257 blobs"):
        draft(world, logs)


def test_links_must_be_here() -> None:
    """Nobody can draft on top of what is not accepted here, and every event has a parent."""
    world = World()
    with pytest.raises(DraftError, match="not accepted here"):
        draft(world, [], parents=[Cid.of(b"unknown")])
    with pytest.raises(DraftError, match="not accepted here"):
        draft(world, [Cancel(TASK, (Cid.of(b"unknown"),))])
    with pytest.raises(DraftError, match="needs a parent"):
        draft_event(
            OWNER, ledger=world.ledger, grant=world.ledger, parents=[], operations=[], find=world.find, now_ms=T0
        )


def test_values_that_no_event_can_hold() -> None:
    """A time beyond the range, and text that is not Unicode, are errors of the draft."""
    world = World()
    with pytest.raises(DraftError, match="time"):
        draft(world, [], now_ms=2**53)
    with pytest.raises(DraftError, match="not Unicode"):
        draft(world, [Fail(TASK, (), world.chain(1)[0], "error", "\ud800")])
