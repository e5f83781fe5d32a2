"""CARv1: round trips, what dag_cbor and multiformats read in it, cut and broken streams."""

from __future__ import annotations

import contextlib
import hashlib
import io
from collections.abc import Iterator

import dag_cbor
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from multiformats import CID, varint

from ledger.car import (
    BAD_BLOCKS_KEPT_MAX,
    CAR_BLOCK_BYTES_MAX,
    BadBlock,
    CarBlockError,
    CarError,
    CarFormatError,
    CarTruncatedError,
    read_car,
    write_car,
)
from ledger.cid import Cid

Blocks = list[tuple[Cid, bytes]]
BLOCKS: st.SearchStrategy[Blocks] = st.lists(
    st.tuples(st.sampled_from([Cid.of, Cid.of_raw]), st.binary(max_size=300)).map(
        lambda made: (made[0](made[1]), made[1])
    ),
    max_size=6,
)
ROOTS = st.lists(st.builds(Cid.of, st.binary(max_size=4)), max_size=4)
THREE: Blocks = [(Cid.of(bytes([n]) * 200), bytes([n]) * 200) for n in range(3)]
HEADER_ONLY = b"\x11\xa2\x65roots\x80\x67version\x01"


class Dribble(io.RawIOBase):
    """A stream that cannot seek and gives a few bytes at a time, as a socket does."""

    def __init__(self, data: bytes) -> None:
        self._inner = io.BytesIO(data)

    def readable(self) -> bool:
        """Say that it can be read."""
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]  # the buffer protocol has no name in 3.11
        """Give three bytes at most."""
        piece = self._inner.read(min(3, len(buffer)))
        buffer[: len(piece)] = piece
        return len(piece)


def car(roots: list[Cid], blocks: Blocks) -> bytes:
    """Return the CAR of these as bytes."""
    stream = io.BytesIO()
    assert write_car(stream, roots, blocks) == len(blocks)
    return stream.getvalue()


def header(value: dag_cbor.IPLDKind) -> bytes:
    """Return any header with its length in front."""
    data = dag_cbor.encode(value)
    return varint.encode(len(data)) + data


def section(cid: bytes, block: bytes) -> bytes:
    """Return any section with its length in front."""
    return varint.encode(len(cid) + len(block)) + cid + block


@settings(max_examples=100)
@given(ROOTS, BLOCKS)
def test_what_is_written_is_read(roots: list[Cid], blocks: Blocks) -> None:
    """Roots and blocks come back in their order, from a stream that cannot seek and gives little at a time."""
    reader = read_car(Dribble(car(roots, blocks)))  # type: ignore[arg-type]  # a raw stream is all that is needed
    assert reader.roots == tuple(roots)
    assert list(reader) == blocks
    assert (reader.bad, reader.bad_count, reader.foreign) == ([], 0, 0)


@settings(max_examples=50)
@given(ROOTS, BLOCKS)
def test_others_read_what_we_write(roots: list[Cid], blocks: Blocks) -> None:
    """dag_cbor and multiformats alone find the header and each section."""
    stream = io.BytesIO(car(roots, blocks))
    head = dag_cbor.decode(stream.read(varint.decode(stream)))
    assert head == {"roots": [CID.decode(bytes(root)) for root in roots], "version": 1}
    for cid, block in blocks:
        data = stream.read(varint.decode(stream))
        theirs = CID.decode(data[:36])
        assert str(theirs.set(base="base32")) == str(cid)
        assert theirs.raw_digest == hashlib.sha256(data[36:]).digest()
        assert data[36:] == block
    assert stream.read() == b""


def test_the_bytes_of_an_empty_car() -> None:
    """The header is known byte for byte."""
    assert car([], []) == HEADER_ONLY


@given(st.integers(0, len(car([], THREE))))
def test_a_cut_stream_gives_its_whole_blocks_first(length: int) -> None:
    """Wherever a stream ends, the whole blocks before come out, and only at a boundary without an error."""
    whole = car([], THREE)
    size = (len(whole) - len(HEADER_ONLY)) // 3
    stream = io.BytesIO(whole[:length])
    if length < len(HEADER_ONLY):
        with pytest.raises(CarTruncatedError):
            read_car(stream)
        return
    count, rest = divmod(length - len(HEADER_ONLY), size)
    read: Blocks = []
    reader = read_car(stream)
    if rest:
        with pytest.raises(CarTruncatedError) as caught:
            read.extend(reader)
        assert caught.value.offset == len(HEADER_ONLY) + count * size
    else:
        read.extend(reader)
    assert read == THREE[:count]


@settings(max_examples=200)
@given(st.data())
def test_broken_bytes_raise_nothing_else_and_no_wrong_block_comes_out(data: st.DataObject) -> None:
    """With bits flipped anywhere, what comes out hashes to its CID, and what is raised is a CarError."""
    broken = bytearray(car([THREE[0][0]], THREE))
    for _ in range(data.draw(st.integers(1, 3))):
        broken[data.draw(st.integers(0, len(broken) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    with contextlib.suppress(CarError):
        for cid, block in read_car(io.BytesIO(bytes(broken))):
            assert cid.digest == hashlib.sha256(block).digest()


@given(st.binary(max_size=80))
def test_any_bytes_raise_nothing_else(data: bytes) -> None:
    """Random bytes, alone and as a header, are no CAR or an empty one; nothing but a CarError comes out."""
    for stream in (data, varint.encode(len(data)) + data, HEADER_ONLY + data):
        with contextlib.suppress(CarError):
            list(read_car(io.BytesIO(stream)))


def test_a_bad_block_is_named_and_skipped() -> None:
    """A block that does not hash to its CID is not given out; its CID and offset are, and the rest is read."""
    (bad, _), *good = THREE
    stream = io.BytesIO(car([], [(bad, b"other"), *good]))
    reader = read_car(stream)
    reader.require_good()
    assert list(reader) == good
    assert reader.bad == [BadBlock(bad, len(HEADER_ONLY))]
    with pytest.raises(CarBlockError, match=str(bad)):
        reader.require_good()


def test_bad_blocks_are_bounded() -> None:
    """However many are bad, a hundred are named and all are counted."""
    many = BAD_BLOCKS_KEPT_MAX + 5
    reader = read_car(io.BytesIO(car([], [(THREE[0][0], b"other")] * many)))
    assert list(reader) == []
    assert len(reader.bad) == BAD_BLOCKS_KEPT_MAX
    assert reader.bad_count == many


def test_foreign_blocks_are_skipped_and_counted() -> None:
    """Sections whose CID is none of ours (CIDv0, SHA-512, identity) are passed over; so are such roots."""
    block = b"block"
    sha512 = CID("base32", 1, "raw", ("sha2-512", hashlib.sha512(block).digest()))
    identity = CID("base32", 1, "raw", ("identity", b""))
    v0 = b"\x12\x20" + hashlib.sha256(block).digest()
    ours = CID.decode(bytes(THREE[0][0]))
    data = header({"roots": [sha512, ours, identity], "version": 1})
    data += section(v0, block) + section(bytes(sha512), block) + section(bytes(identity), b"") + section(*THREE[0])
    reader = read_car(io.BytesIO(data))
    assert reader.roots == (THREE[0][0],)
    assert list(reader) == THREE[:1]
    assert reader.foreign == 3
    assert reader.bad == []


@pytest.mark.parametrize(
    "start",
    [
        bytes.fromhex("0aa16776657273696f6e02"),
        header({"roots": [], "version": 2}),
        header({"roots": [], "version": True}),
        header({"roots": [], "version": 1.0}),
        header({"version": 1}),
        header({"roots": 1, "version": 1}),
        header({"roots": [1], "version": 1}),
        header({"roots": [], "version": 1, "more": 1}),
        header([]),
        b"\x00",
        b"\x01\xff",
        b"\x80\x80\x04" + bytes(100_000),
        b"\xff" * 12,
        b"\x91\x00" + HEADER_ONLY[1:],
        b"<!DOCTYPE html>" + b" " * 100,
    ],
)
def test_other_headers_are_refused(start: bytes) -> None:
    """CARv2 and whatever else is no CARv1 header is refused where it begins."""
    with pytest.raises(CarFormatError) as caught:
        read_car(io.BytesIO(start))
    assert caught.value.offset == 0
    assert not isinstance(caught.value, CarTruncatedError)


def test_car_v2_is_named() -> None:
    """Who hands in a CARv2 is told so."""
    with pytest.raises(CarFormatError, match="CAR of version 2"):
        read_car(io.BytesIO(bytes.fromhex("0aa16776657273696f6e02")))


@pytest.mark.parametrize("length", [b"\x00", b"\x80\x00", varint.encode(3 << 20), b"\xff" * 9])
def test_other_lengths_end_the_reading(length: bytes) -> None:
    """Empty and oversized sections and odd lengths are refused with their offset, before they are read."""
    reader = read_car(io.BytesIO(car([], THREE) + length + bytes(100)))
    read: Blocks = []
    with pytest.raises(CarFormatError) as caught:
        read.extend(reader)
    assert caught.value.offset == len(car([], THREE))
    assert read == THREE


def test_the_largest_block_passes_and_a_larger_one_is_not_written() -> None:
    """A block has 2 MiB at most, on both sides."""
    largest = bytes(CAR_BLOCK_BYTES_MAX)
    blocks = [(Cid.of_raw(largest), largest)]
    assert list(read_car(io.BytesIO(car([], blocks)))) == blocks
    with pytest.raises(CarError, match="at most"):
        write_car(io.BytesIO(), [], [(Cid.of_raw(b""), largest + b"\0")])


def test_more_roots_than_can_be_read_are_not_written() -> None:
    """A header that a reader would refuse is not written: nothing of it is."""
    stream = io.BytesIO()
    with pytest.raises(CarError, match="roots"):
        write_car(stream, [THREE[0][0]] * 1_600, [])
    assert stream.getvalue() == b""


def test_blocks_are_taken_one_at_a_time() -> None:
    """Each block is on the stream before the next is asked for, so that a log larger than memory can be written."""
    stream = io.BytesIO()

    def blocks() -> Iterator[tuple[Cid, bytes]]:
        for count, block in enumerate(THREE):
            assert stream.getvalue() == car([], THREE[:count])
            yield block

    assert write_car(stream, [], blocks()) == len(THREE)
