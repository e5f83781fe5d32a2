"""The bytes of a frontier: one form, read back as written, and nothing else is read."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ledger.cid import Cid
from ledger.codec import Encodable, decode, encode
from ledger.exchange import Frontier, Replica, frontier_of
from ledger.frontier_codec import FrontierError, decode_frontier, encode_frontier
from tests.ledger.world import T0, Home, World

VECTOR = Path(__file__).parents[2] / "specs" / "vectors" / "car.json"

CIDS = st.integers(0, 2**30).map(lambda n: Cid.of(b"%d" % n))
FRONTIERS = st.builds(
    Frontier,
    CIDS,
    st.sets(CIDS, min_size=1, max_size=20).map(lambda cids: tuple(sorted(cids))),
    st.lists(CIDS, unique=True, max_size=20).map(tuple),
)


@settings(max_examples=100, deadline=None)
@given(FRONTIERS)
def test_a_frontier_reads_back_as_written(frontier: Frontier) -> None:
    """Decoding undoes encoding, and the bytes are the canonical DAG-CBOR of the four fields."""
    data = encode_frontier(frontier)
    assert decode_frontier(data) == frontier
    assert decode(data) == {
        "v": 1, "ledger": frontier.ledger, "heads": list(frontier.heads), "samples": list(frontier.samples)
    }  # fmt: skip


def test_the_vector_is_read_and_written_byte_for_byte() -> None:
    """The frontier of specs/vectors/car.json decodes, and encodes to the same bytes."""
    data = bytes.fromhex(json.loads(VECTOR.read_text())["frontier"])
    frontier = decode_frontier(data)
    assert frontier.samples
    assert encode_frontier(frontier) == data


def test_what_a_replica_says_fits(tmp_path: Path) -> None:
    """The frontier of a store, empty or not, has a form in bytes."""
    world = World()
    home = Home(tmp_path / "a", world)
    assert decode_frontier(encode_frontier(frontier_of(home.replica))).heads == (world.ledger,)
    world.chain(20)
    home.offer(world.blocks, T0)
    replica: Replica = home.replica
    assert decode_frontier(encode_frontier(frontier_of(replica))) == frontier_of(replica)


A, B = sorted([Cid.of(b"a"), Cid.of(b"b")])
GOOD: dict[str, Encodable] = {"v": 1, "ledger": A, "heads": [A, B], "samples": [B, A]}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"v": 2}, "v: 2"),
        ({"v": True}, "v: an integer"),
        ({"ledger": b"bytes"}, "ledger"),
        ({"ledger": Cid.of_raw(b"blob")}, "ledger"),
        ({"heads": []}, "heads: 0 items"),
        ({"heads": [B, A]}, "ascending"),
        ({"heads": [A, A]}, "ascending"),
        ({"heads": [A, "text"]}, "heads"),
        ({"heads": None}, "heads: a list"),
        ({"samples": [A, A]}, "twice"),
        ({"samples": [Cid.of(b"%d" % n) for n in range(500)]}, "samples: 500 items"),
        ({"state_root": b""}, "unknown: state_root"),
    ],
)
def test_other_fields_are_refused(change: dict[str, Encodable], words: str) -> None:
    """A field that is missing, unknown or out of its bounds is an error that names it."""
    assert decode_frontier(encode(GOOD)) == Frontier(A, (A, B), (B, A))
    with pytest.raises(FrontierError, match=words):
        decode_frontier(encode(GOOD | change))
    for name in GOOD:
        with pytest.raises(FrontierError, match=f"missing: {name}"):
            decode_frontier(encode({key: value for key, value in GOOD.items() if key != name}))


@settings(max_examples=150, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 255))
def test_damaged_bytes_raise_one_error_or_say_another_frontier(place: int, flip: int) -> None:
    """Whatever the bytes, they are refused by FrontierError, or are the one form of what they decode to."""
    data = bytearray(encode(GOOD))
    data[place % len(data)] ^= flip
    for damaged in (bytes(data), bytes(data[: place % len(data)]), bytes(data) + b"\0"):
        try:
            frontier = decode_frontier(damaged)
        except FrontierError:
            continue
        assert encode_frontier(frontier) == damaged


def test_what_cannot_be_read_back_is_not_written() -> None:
    """Heads out of order are a mistake of the caller, and said at once."""
    frontier = Frontier(A, (A, B))
    with pytest.raises(FrontierError):
        encode_frontier(replace(frontier, heads=(B, A)))
    with pytest.raises(FrontierError):
        encode_frontier(replace(frontier, heads=()))
    with pytest.raises(FrontierError):
        decode_frontier(b"\x80")
