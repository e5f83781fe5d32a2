"""Witnesses: whatever happened becomes stable, by at most one of each idle worker, and then there is quiet (H7)."""

from __future__ import annotations

import random
from contextlib import ExitStack
from pathlib import Path

import pytest

from ledger.cid import Cid
from ledger.events import Policy
from ledger.keys import SigningKey
from scheduler.witness import Patience, has_reason, witness
from tests.scheduler.desk import START_MS, Desk


def wants(desk: Desk, name: str) -> bool:
    """Return whether a peer of the desk has a reason to witness."""
    with desk.home.reading():
        return has_reason(desk.home.board, desk.peer(name).actor)


def is_stable(desk: Desk) -> bool:
    """Return whether every event with operations is stable."""
    with desk.home.reading():
        board = desk.home.board
        return all(board.is_stable(e.cid) for e in desk.home.intake.accepted() if e.event.ops)


def test_h7_only_operations_are_a_reason(desk: Desk) -> None:
    """An own event leaves no reason, another's operations give one, witnesses give none."""
    a, b = desk.peer("a"), desk.peer("b")
    assert (wants(desk, "a"), wants(desk, "b")) == (True, False)
    assert len(witness(desk.home, [a, b])) == 1
    assert not wants(desk, "a")
    assert witness(desk.home, [a, b]) == []
    assert is_stable(desk)
    desk.submit(a, "task")
    assert (wants(desk, "a"), wants(desk, "b")) == (False, True)


def test_h7_who_did_not_join_does_not_witness(desk: Desk) -> None:
    """An owner, or a submitter, has no reason whatever happens."""
    desk.peer("a")
    owner = desk.home.members.owner_key()
    assert owner is not None
    assert witness(desk.home, [owner]) == []


@pytest.mark.parametrize("seed", range(6))
def test_h7_k_workers_make_at_most_k_witnesses(seed: int, tmp_path: Path) -> None:
    """However homes meet after a burst: each adds one witness at most, all becomes stable, nothing moves any more."""
    rng = random.Random(seed)
    with ExitStack() as stack:
        desks = several(stack, tmp_path, 4)
        workers = [(desk, desk.home.keys.load(f"w{n}")) for n, desk in enumerate(desks[1:], 1)]
        settle(desks, workers)  # the joins were a burst of their own
        for burst in range(3):
            submitter, key = rng.choice(workers)
            for n in range(3):
                submitter.submit(key, f"{burst}-{n}")
            made = sum(meet_or_witness(rng, desks, workers) for _ in range(200))
            made += settle(desks, workers)
            assert made <= len(workers)
            assert all(is_stable(desk) for desk in desks)
            assert [witness(desk.home, [key]) for desk, key in workers] == [[]] * len(workers)


def several(stack: ExitStack, folder: Path, count: int) -> list[Desk]:
    """Return the home of the owner and `count` others, each with a worker of its own."""
    first = stack.enter_context(Desk(folder / "0"))
    for n in range(1, count + 1):
        first.home.members.put_to_work(first.home.keys.ensure(f"w{n}"), f"w{n}")
    desks = [first]
    for n in range(1, count + 1):
        desk = stack.enter_context(Desk(folder / str(n), source=first))
        desk.home.keys.add(f"w{n}", first.home.keys.load(f"w{n}"))
        desks.append(desk)
    return desks


def meet_or_witness(rng: random.Random, desks: list[Desk], workers: list[tuple[Desk, SigningKey]]) -> int:
    """Let two homes by chance meet, or a worker witness where it has a reason; return how many did."""
    if rng.random() < 0.5:
        here, there = rng.sample(desks, 2)
        here.carry(there)
        return 0
    desk, key = rng.choice(workers)
    desk.now += 10
    return len(witness(desk.home, [key]))


def settle(desks: list[Desk], workers: list[tuple[Desk, SigningKey]]) -> int:
    """Let all meet and witness until nobody has a reason; return how many witnesses that took."""
    made = 0
    for _ in range(2):
        meet_all(desks)
        made += sum(len(witness(desk.home, [key])) for desk, key in workers)
    meet_all(desks)
    return made


def meet_all(desks: list[Desk]) -> None:
    """Let every home have what every other has."""
    for desk in desks:
        for other in desks:
            if other is not desk:
                desk.carry(other)


def test_h7_when() -> None:
    """After a quiet time that others' events prolong, and never later than a lease after the first reason."""
    patience = Patience.of(Policy(grace_ms=10), lambda: 0.5)
    heads = [(Cid.of(bytes((n,))),) for n in range(3)]
    assert patience.due_at(heads[0], START_MS, has_reason=False) is None
    assert patience.due_at(heads[0], START_MS, has_reason=True) == START_MS + 1_500
    assert patience.due_at(heads[0], START_MS + 1_000, has_reason=True) == START_MS + 1_500
    assert patience.due_at(heads[1], START_MS + 1_400, has_reason=True) == START_MS + 2_900
    assert patience.due_at(heads[2], START_MS + 59_900, has_reason=True) == START_MS + 60_000
    assert patience.due_at(heads[2], START_MS + 60_000, has_reason=False) is None
    assert patience.due_at(heads[2], START_MS + 70_000, has_reason=True) == START_MS + 71_500
