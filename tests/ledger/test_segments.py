"""Segments: a function of the sequence of events; closed ones stay the same whatever is added."""

from __future__ import annotations

import io
import random
from collections.abc import Iterable, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ledger.car import CAR_BLOCK_BYTES_MAX, read_car, write_car
from ledger.cid import Cid
from ledger.codec import BLOCK_BYTES_MAX
from ledger.segments import SEGMENT_BYTES_MAX, Packer, Segment, car_header, section, unpack

GENESIS = b"\xa1\x64kind\x67genesis"
LEDGER = Cid.of(GENESIS)


def packed(sizes: Iterable[int]) -> list[bytes]:
    """Return sections of blocks of these sizes, no two the same."""
    blocks = [number.to_bytes(4, "big") + bytes(max(0, size - 4)) for number, size in enumerate(sizes)]
    return [section(Cid.of(block), block) for block in blocks]


def segments_of(sections: Sequence[bytes]) -> tuple[list[Segment], Segment]:
    """Return the closed segments of a sequence, and the open one."""
    packer = Packer(LEDGER, GENESIS)
    closed = [segment for segment in map(packer.add, sections) if segment is not None]
    return closed, packer.open_segment()


SIZES = st.lists(st.sampled_from([40, 366, 9_000, BLOCK_BYTES_MAX]), max_size=60)


@settings(max_examples=60, deadline=None)
@given(SIZES, SIZES)
def test_closed_segments_never_change(sizes: list[int], more: list[int]) -> None:
    """Whatever is appended, the closed segments of the shorter log are the first of the longer one, byte for byte."""
    sections = packed(sizes + more)
    before, _ = segments_of(sections[: len(sizes)])
    after, _ = segments_of(sections)
    assert after[: len(before)] == before


@settings(max_examples=60, deadline=None)
@given(SIZES)
def test_segments_hold_each_event_once_and_in_order(sizes: list[int]) -> None:
    """All segments together are the sequence; none is larger than allowed; each closed one had no room for the next."""
    sections = packed(sizes)
    closed, tail = segments_of(sections)
    every = [*closed, tail]
    unpacked = [unpack(segment.data, LEDGER) for segment in every]
    assert [part.fault for part in unpacked] == [None] * len(every)
    assert [part.genesis for part in unpacked] == [GENESIS, *[None] * len(closed)]
    assert [len(part.events) for part in unpacked] == [segment.events for segment in every]
    assert [section(cid, block) for part in unpacked for cid, block in part.events.items()] == sections
    for segment, following in zip(closed, unpacked[1:], strict=True):
        cid, block = next(iter(following.events.items()))
        assert len(segment.data) <= SEGMENT_BYTES_MAX < len(segment.data) + len(section(cid, block))


def test_a_segment_goes_on_from_where_it_was() -> None:
    """A packer that is given the open segment's events again makes the same bytes as one that never stopped."""
    sections = packed([60_000] * 40)
    closed, tail = segments_of(sections)
    start = sum(segment.events for segment in closed)
    packer = Packer(LEDGER, None)
    assert [packer.add(part) for part in sections[start:]] == [None] * tail.events
    assert packer.open_segment() == tail


def test_a_segment_is_the_car_that_other_tools_write() -> None:
    """Header and sections are those of a CARv1 with one root."""
    blocks = [(Cid.of(block), block) for block in (GENESIS, b"\xa0", bytes(70_000))]
    stream = io.BytesIO()
    write_car(stream, [LEDGER], blocks)
    assert car_header(LEDGER) + b"".join(section(*pair) for pair in blocks) == stream.getvalue()
    assert list(read_car(io.BytesIO(stream.getvalue()))) == blocks


def test_an_empty_log_has_a_segment_with_the_genesis() -> None:
    """The genesis is there before any event; a later segment that is empty is none."""
    packer = Packer(LEDGER, GENESIS)
    assert not packer.is_empty
    assert unpack(packer.open_segment().data, LEDGER).genesis == GENESIS
    assert Packer(LEDGER, None).is_empty


EVENT = (Cid.of(b"\xa0"), b"\xa0")
ODD = {
    "another root": car_header(EVENT[0]) + section(*EVENT),
    "two roots": b"",  # made below
    "no car": b"\x00\x01\x02",
    "too large": bytes(CAR_BLOCK_BYTES_MAX),
    "cut short": car_header(LEDGER) + section(*EVENT) + section(*EVENT)[:-1],
    "wrong bytes": car_header(LEDGER) + section(*EVENT) + section(EVENT[0], b"\xa1"),
    "an event twice": car_header(LEDGER) + section(*EVENT) * 2,
    "a blob": car_header(LEDGER) + section(*EVENT) + section(Cid.of_raw(b"blob"), b"blob"),
    "the genesis in the middle": car_header(LEDGER) + section(*EVENT) + section(LEDGER, GENESIS),
}


@pytest.mark.parametrize("what", ODD)
def test_what_is_no_segment_is_said_and_what_is_whole_is_kept(what: str) -> None:
    """A segment that breaks G1 has a fault; its whole events are there all the same, as each is judged alone."""
    data = ODD[what]
    if what == "two roots":
        stream = io.BytesIO()
        write_car(stream, [LEDGER, EVENT[0]], [EVENT])
        data = stream.getvalue()
    found = unpack(data, LEDGER)
    assert found.fault
    assert found.events == ({} if what in ("no car", "too large") else dict([EVENT]))


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=300), st.randoms(use_true_random=False))
def test_no_bytes_break_the_reader(junk: bytes, rng: random.Random) -> None:
    """Whatever a publisher has put into a block, reading it says so and raises nothing."""
    data = bytearray(car_header(LEDGER) + section(LEDGER, GENESIS) + section(*EVENT))
    start = rng.randrange(len(data))
    data[start : start + rng.randrange(4)] = junk
    found = unpack(bytes(data), LEDGER)
    assert all(cid.names(block) for cid, block in found.events.items())
