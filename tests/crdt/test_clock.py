"""The Merkle clock of the contract, and the clock of a ledger (specs/clock.md, C2-C5)."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crdt.clock import CLOCK_PREFIX, ClockError, MerkleClock, clock_root
from ledger.cid import Cid

HEADS = (Cid.of(b"one"), Cid.of(b"two"))
VECTORS = st.dictionaries(st.sampled_from("abcd"), st.integers(0, 3), max_size=4)


def clock(vector: dict[str, int], node_id: str = "n") -> MerkleClock:
    """Return a clock made by hand."""
    return MerkleClock.of_ledger(node_id, vector, ())


def test_new_clock_counts_from_zero_and_has_no_root() -> None:
    """A clock nothing has happened to has a counter of 0 and no root, but a hash."""
    new = MerkleClock("a")
    assert new.vector == {"a": 0}
    assert new.merkle_root is None
    assert len(new.get_hash()) == 64


def test_ticks_count_and_give_a_root() -> None:
    """Each tick counts one and moves the root."""
    ticking = MerkleClock("a")
    roots = set()
    for count in range(1, 4):
        ticking.tick()
        assert ticking.vector["a"] == count
        roots.add(ticking.merkle_root)
    assert len(roots) == 3
    assert None not in roots


@given(VECTORS, VECTORS)
def test_clocks_that_have_seen_the_same_have_the_same_root(one: dict[str, int], two: dict[str, int]) -> None:
    """Taking in each other's counts, in whichever order, leads to one root: whose clock it is does not matter."""
    left, right = clock(one, "left"), clock(two, "right")
    left.update(right)
    right.update(left)
    assert left.get_hash() == right.get_hash()
    assert left.compare(right) == 0


@given(VECTORS, VECTORS)
def test_compare_is_antisymmetric_and_follows_the_counts(one: dict[str, int], two: dict[str, int]) -> None:
    """Before is -1, after is 1, equal or concurrent 0; the other way round the sign turns."""
    left, right = clock(one), clock(two)
    assert left.compare(right) == -right.compare(left)
    nodes = one.keys() | two.keys()
    below = all(one.get(node, 0) <= two.get(node, 0) for node in nodes)
    above = all(one.get(node, 0) >= two.get(node, 0) for node in nodes)
    assert left.compare(right) == (0 if below == above else -1 if below else 1)


@given(VECTORS)
def test_a_clock_survives_its_dict_and_shares_nothing_with_it(vector: dict[str, int]) -> None:
    """`from_dict` of `to_dict` is equal, and changing the dict afterwards does not change the clock."""
    fields = clock(vector).to_dict()
    back = MerkleClock.from_dict(fields)
    assert back == clock(vector)
    said = fields["vector"]
    assert isinstance(said, dict)
    said["intruder"] = 9
    assert "intruder" not in back.vector


def test_a_ledgers_root_is_the_hash_of_its_sorted_heads() -> None:
    """C3: the root depends on the heads alone, in any order."""
    expected = hashlib.sha256(CLOCK_PREFIX + b"".join(sorted(HEADS)))
    assert clock_root(HEADS) == clock_root(reversed(HEADS)) == expected.digest()
    ledger = MerkleClock.of_ledger("n", {"did:key:a": 2}, HEADS)
    assert ledger.merkle_root == expected.hexdigest()
    assert MerkleClock.from_dict(ledger.to_dict()) == ledger


def test_a_ledgers_clock_moves_by_events_alone() -> None:
    """Nobody ticks or raises a ledger's clock by hand."""
    ledger = MerkleClock.of_ledger("n", {"n": 1}, HEADS)
    with pytest.raises(ClockError, match="events"):
        ledger.tick()
    with pytest.raises(ClockError, match="events"):
        ledger.update(MerkleClock("m"))


@pytest.mark.parametrize(
    "change",
    [
        {"vector": {"a": 99}},
        {"vector": {"a": -1}},
        {"vector": {"a": True}},
        {"vector": {"a": 1.0}},
        {"vector": ["a"]},
        {"heads": [str(HEADS[0])]},
        {"heads": ["no CID"]},
        {"heads": 3},
        {"merkle_root": None},
        {"node_id": ""},
        {"node_id": None},
        {"node_id": 7},
    ],
)
def test_a_forged_or_inflated_clock_is_refused(change: dict[str, object]) -> None:
    """A clock whose root is not the root of what it says, or that is malformed, is no clock."""
    honest = MerkleClock("a")
    honest.tick()
    with pytest.raises(ClockError):
        MerkleClock.from_dict(honest.to_dict() | change)


@pytest.mark.parametrize("fields", [None, "clock", 3, ["node_id"], MerkleClock("a")])
def test_what_is_no_mapping_is_no_clock(fields: Any) -> None:
    """Whatever else is given instead of a clock's fields is refused as a clock, too."""
    with pytest.raises(ClockError, match="fields are wanted"):
        MerkleClock.from_dict(fields)
