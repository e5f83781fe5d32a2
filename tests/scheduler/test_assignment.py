"""Ranks and instants: S1 to S4 and S6, against the formulas of the spec written out here."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crdt.records import Presence, Roster, TaskRecord
from crdt.view import Status, TaskView
from ledger.cid import Cid
from ledger.events import Policy, TaskKey
from ledger.keys import ActorKey
from ledger.operations import Spec
from scheduler.assignment import Crew, crew_of, due_at, ready_since, take_at

POLICY = Policy()
WINDOW_MS = 2 * POLICY.lease_ms
NOW = 1_800_000_000_000
SUBMIT = Cid.of(b"submit")
TASK = TaskRecord(
    key=TaskKey(bytes(range(32))),
    submitter=ActorKey(b"s" * 32),
    spec=Spec("t", "w", "n", ("p2p-only",)),
    submits=(SUBMIT,),
    submitted_at=NOW,
    created_at=NOW,
    priority=5,
    claims=(),
    completions=(),
    cancels=(),
    base=0,
    heads=(SUBMIT,),
)
actors = st.binary(min_size=32, max_size=32).map(ActorKey)


def crew(
    workers: Mapping[ActorKey, tuple[str, ...]], heard: dict[ActorKey, int] | None = None, me: ActorKey | None = None
) -> Crew:
    """Return the crew of workers with labels, all of them heard of now unless said otherwise."""
    presences = (Presence(actor, True, labels, None, SUBMIT, SUBMIT) for actor, labels in sorted(workers.items()))
    heard = dict.fromkeys(workers, NOW) if heard is None else heard
    return crew_of(Roster((), tuple(presences)), frozenset(workers), heard, me, POLICY, NOW)


def distance(actor: ActorKey) -> int:
    """Return the distance as the spec writes it, with nothing of ours."""
    anchor = hashlib.sha256(b"p2p-workflow/anchor/v1\0" + SUBMIT + TASK.key).digest()
    place = hashlib.sha256(actor).digest()
    return sum((one ^ two).bit_count() for one, two in zip(place, anchor, strict=True))


@settings(max_examples=100)
@given(st.sets(actors, min_size=1, max_size=8))
def test_rank_is_by_distance_then_key(workers: set[ActorKey]) -> None:
    """S3: the eligible are ranked by (distance to the anchor of the least submit, key), and each rank alone agrees."""
    found = crew(dict.fromkeys(workers, ()))
    expected = sorted(workers, key=lambda actor: (distance(actor), actor))
    assert [candidate.actor for candidate in found.ranking(TASK)] == expected
    assert [candidate.distance for candidate in found.ranking(TASK)] == [distance(actor) for actor in expected]
    assert [found.rank_of(actor, TASK) for actor in expected] == list(range(len(expected)))
    assert found.assigned_peer(TASK) == expected[0]


@settings(max_examples=50)
@given(st.sets(actors, min_size=2, max_size=6), st.data())
def test_ranks_do_not_depend_on_who_asks(workers: set[ActorKey], data: st.DataObject) -> None:
    """S3: peers that have heard of the same rank the same, so that the assigned peer is the same on each."""
    one, two = data.draw(st.sampled_from(sorted(workers))), data.draw(st.sampled_from(sorted(workers)))
    everybody = dict.fromkeys(workers, ())
    assert crew(everybody, me=one).ranking(TASK) == crew(everybody, me=two).ranking(TASK)


def test_labels_make_eligible() -> None:
    """S3, S6: a worker needs every label the task requires; without them it has no rank."""
    able, unable, half = (ActorKey(bytes([i]) * 32) for i in range(3))
    task = replace(TASK, spec=replace(TASK.spec, requires=("gpu", "linux")))
    found = crew({able: ("gpu", "linux", "more"), unable: (), half: ("gpu",)})
    assert [candidate.actor for candidate in found.ranking(task)] == [able]
    assert (found.rank_of(able, task), found.rank_of(unable, task), found.rank_of(half, task)) == (0, None, None)


@pytest.mark.parametrize(("silent_ms", "is_live"), [(0, True), (WINDOW_MS, True), (WINDOW_MS + 1, False)])
def test_silence_of_two_leases_ends_a_rank(silent_ms: int, is_live: bool) -> None:
    """S3: a worker is ranked while its last word is at most two leases old."""
    worker = ActorKey(b"w" * 32)
    found = crew({worker: ()}, {worker: NOW - silent_ms})
    assert found.rank_of(worker, TASK) == (0 if is_live else None)


def test_a_peer_hears_itself() -> None:
    """S3: who computes counts itself as heard of, others who were never heard of not."""
    me, other = ActorKey(b"m" * 32), ActorKey(b"o" * 32)
    found = crew({me: (), other: ()}, {}, me=me)
    assert [candidate.actor for candidate in found.ranking(TASK)] == [me]


def test_who_is_no_active_worker_has_no_rank() -> None:
    """S6: a peer that left, or was never there, takes nothing."""
    me = ActorKey(b"m" * 32)
    presence = Presence(me, False, (), None, SUBMIT, SUBMIT)
    left = crew_of(Roster((), (presence,)), frozenset(), {me: NOW}, me, POLICY, NOW)
    assert (left.rank_of(me, TASK), left.assigned_peer(TASK)) == (None, None)


def test_instants() -> None:
    """S1, S2, S4: due, ready_at and take_at are sums as the spec has them."""
    assert due_at(1_000, 10, POLICY) == 1_000
    assert due_at(1_000, 1, POLICY) == 1_000 + 9 * POLICY.aging_ms
    assert take_at(1_000, 0, POLICY, overdue=False) == 1_000
    assert take_at(1_000, 3, POLICY, overdue=False) == 1_000 + 3 * POLICY.grace_ms
    assert ready_since(TaskView(Status.READY, ready_at=5), first_seen_ms=9) == 9
    assert ready_since(TaskView(Status.READY, ready_at=9), first_seen_ms=5) == 9
    assert ready_since(TaskView(Status.WAITING), first_seen_ms=5) is None


@settings(max_examples=100)
@given(st.integers(0, 10**13), st.integers(1, 10), st.integers(0, 10**13), st.integers(1, 10))
def test_overtaking_is_bounded(ready_a: int, priority_a: int, ready_b: int, priority_b: int) -> None:
    """S1: what becomes ready more than (10 - p) levels after a task of priority p never comes before it."""
    if ready_b > ready_a + (10 - priority_a) * POLICY.aging_ms:
        assert due_at(ready_a, priority_a, POLICY) < due_at(ready_b, priority_b, POLICY)


def test_of_an_overdue_task_nobody_waits_more_than_two_graces() -> None:
    """S4: rank 1 waits a grace, each further one half as long more; the order of the ranks stays."""
    waits = [take_at(0, rank, POLICY, overdue=True) for rank in range(1_000)]
    assert waits[:5] == [0, 2_000, 3_000, 3_500, 3_750]
    assert waits == sorted(waits)
    assert max(waits) == 2 * POLICY.grace_ms
