"""Rules A1 and A2: the canonical form, with dag_cbor as the oracle, and what is refused."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from enum import IntEnum, StrEnum

import dag_cbor
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from multiformats import CID
from multiformats.multicodec.err import MulticodecKeyError

from ledger.cid import Cid
from ledger.codec import (
    BLOCK_BYTES_MAX,
    ITEMS_MAX,
    NESTING_MAX,
    CanonicalError,
    DecodeError,
    Encodable,
    EncodeError,
    LimitError,
    Limits,
    Value,
    decode,
    encode,
)

LINK = Cid.of(b"\xa0")
LINK_BYTES = b"\xd8\x2a\x58\x25\x00" + LINK

TEXTS = st.text(max_size=40)
CIDS = st.builds(Cid.of, st.binary(max_size=4)) | st.builds(Cid.of_raw, st.binary(max_size=4))
INTEGERS = st.integers(-(2**64), 2**64 - 1) | st.integers(-300, 300) | st.sampled_from([2**16, 2**32 - 1, 2**32])
SCALARS = st.none() | st.booleans() | INTEGERS | TEXTS | st.binary(max_size=300) | CIDS
VALUES: st.SearchStrategy[Value] = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=30) | st.dictionaries(TEXTS, inner, max_size=30), max_leaves=30
)
UNLIMITED = Limits(block_bytes_max=2**40, nesting_max=64, items_max=2**40)


def for_oracle(value: Value) -> dag_cbor.IPLDKind:
    """Return `value` with the CID objects that dag_cbor knows."""
    if isinstance(value, Cid):
        return CID.decode(bytes(value))
    if isinstance(value, list):
        return [for_oracle(element) for element in value]
    if isinstance(value, dict):
        return {key: for_oracle(member) for key, member in value.items()}
    return value


def shape(value: object) -> object:
    """Return `value` with every type spelt out: True is not 1 here, and a Cid not its bytes."""
    if isinstance(value, CID):
        return ("link", bytes(value))
    if isinstance(value, Cid):
        return ("link", bytes(value))
    if isinstance(value, Mapping):
        return {key: shape(member) for key, member in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        return [shape(element) for element in value]
    return (type(value), value)


@settings(max_examples=200)
@given(VALUES)
def test_encodes_as_the_oracle_does_and_decodes_to_the_same(value: Value) -> None:
    """One value has one byte string, dag_cbor's, and both decoders read the same value out of it."""
    data = encode(value)
    assert data == dag_cbor.encode(for_oracle(value))
    assert shape(decode(data, limits=UNLIMITED)) == shape(value) == shape(dag_cbor.decode(data))


def judge(data: bytes) -> None:
    """Hold `decode` to its law on any bytes: refused by our errors, or read as what re-encodes to the same bytes."""
    refusal = None
    try:
        value = decode(data)
    except DecodeError as error:
        refusal = error
    else:
        assert encode(value) == data
        # Ours names a block of any one-byte codec; the oracle knows the registered ones only.
        with suppress(MulticodecKeyError):
            assert shape(dag_cbor.decode(data)) == shape(value)
    if refusal is not None:
        assert 0 <= refusal.offset <= len(data)
        assert str(refusal).startswith(f"{refusal.rule} at byte {refusal.offset}: ")


@settings(max_examples=200)
@given(st.binary(max_size=60))
def test_any_bytes_are_canonical_or_refused(data: bytes) -> None:
    """What is read re-encodes to the same bytes and the oracle agrees; nothing but our errors comes out."""
    judge(data)


@settings(max_examples=200)
@given(VALUES, st.data())
def test_flipped_bytes_are_canonical_or_refused(value: Value, data: st.DataObject) -> None:
    """So is a valid block with a byte changed, cut or put in."""
    block = encode(value)
    at = data.draw(st.integers(0, len(block) - 1))
    insert = data.draw(st.binary(max_size=2))
    keep = data.draw(st.integers(0, 1))
    judge(block[:at] + insert + block[at + keep :])
    judge(block[:at])


@settings(max_examples=200)
@given(VALUES, st.data())
def test_what_the_oracle_reads_within_our_limits_we_read(value: Value, data: st.DataObject) -> None:
    """A changed block that dag_cbor reads and writes again to the same bytes is refused only for what we leave out."""
    block = encode(value)
    at = data.draw(st.integers(0, len(block) - 1))
    changed = block[:at] + data.draw(st.binary(min_size=1, max_size=1)) + block[at + 1 :]
    try:
        theirs = dag_cbor.decode(changed)
    except Exception:  # noqa: BLE001  # the oracle lets out foreign exceptions
        return
    refusal = ""
    try:
        decode(changed)
    except CanonicalError as error:
        refusal = str(error)
    except LimitError:
        return
    assert not refusal or "float" in refusal or "link" in refusal, (changed.hex(), theirs)


NOT_CANONICAL = {
    "empty block": "",
    "integer in 1 byte too many": "1817",
    "integer in 2 for 1": "1900ff",
    "integer in 4 for 2": "1a0000ffff",
    "integer in 8 for 4": "1b00000000ffffffff",
    "negative integer too long": "3800",
    "text length too long": "780161",
    "bytes length too long": "580100",
    "array length too long": "980100",
    "map length too long": "b801616100",
    "reserved length 28": "1c",
    "reserved length 30": "5e",
    "indefinite bytes": "5f4100ff",
    "indefinite text": "7f6161ff",
    "indefinite array": "9fff",
    "indefinite map": "bfff",
    "break": "ff",
    "keys unsorted": "a2616201616101",
    "keys longest first": "a262616101616201",
    "keys twice": "a2616101616102",
    "integer key": "a10101",
    "bytes key": "a1416101",
    "link key": "a1" + LINK_BYTES.hex() + "01",
    "tag 0": "c06161",
    "tag 41": "d82961",
    "tag 42 long": "d9002a5825" + "00" + LINK.hex(),
    "tag 42 of text": "d82a6161",
    "tag 42 of short CID": "d82a582400" + LINK[:-1].hex(),
    "tag 42 of long CID": "d82a582600" + LINK.hex() + "00",
    "tag 42 without 0x00": "d82a5825" + "01" + LINK.hex(),
    "tag 42 of CIDv0": "d82a582300" + "1220" + LINK[4:].hex(),
    "tag 42 of sha2-512 in 32 bytes": "d82a58250001711320" + LINK[4:].hex(),
    "tag 42 of long codec": "d82a58250001801220" + LINK[4:].hex(),
    "tag 42 of CIDv2": "d82a58250002711220" + LINK[4:].hex(),
    "tag 42 cut": LINK_BYTES[:-1].hex(),
    "raw tag 42 cut": "d82a5825000155",
    "tag 42 alone": "d82a",
    "float16": "f90000",
    "float32": "fa00000000",
    "float64": "fb0000000000000000",
    "undefined": "f7",
    "simple 0": "e0",
    "simple 32": "f820",
    "false in two bytes": "f814",
    "text not UTF-8": "61ff",
    "text overlong": "62c080",
    "text surrogate": "63eda080",
    "key not UTF-8": "a161ff00",
    "byte after": "0000",
    "array cut": "8201",
    "map cut before key": "a2616101",
    "map cut before value": "a16161",
    "text cut": "6261",
    "bytes cut": "4201",
    "head cut": "19ff",
    "array of 2^64 - 1": "9bffffffffffffffff",
    "map of 2^64 - 1": "bbffffffffffffffff",
    "bytes of 2^64 - 1": "5bffffffffffffffff",
    "text of 2^64 - 1": "7bffffffffffffffff",
}


@pytest.mark.parametrize("text", NOT_CANONICAL.values(), ids=NOT_CANONICAL.keys())
def test_a2_refuses(text: str) -> None:
    """A2: every way in which bytes can fail to be the one canonical form is refused, at the top and inside."""
    data = bytes.fromhex(text)
    with pytest.raises(CanonicalError, match=r"^A2 at byte"):
        decode(data)
    if data and text != "0000":
        with pytest.raises(CanonicalError, match=r"^A2 at byte"):
            decode(b"\x82\x01" + data)


def test_offset_is_that_of_the_offending_item() -> None:
    """The error names the byte at which the first offence begins."""
    with pytest.raises(CanonicalError) as caught:
        decode(bytes.fromhex("83014100f90000"))
    assert caught.value.offset == 4


def nested(depth: int) -> bytes:
    """Return `depth` arrays, one in another."""
    return b"\x81" * (depth - 1) + b"\x80"


def test_a1_nesting() -> None:
    """A1: the outermost container has depth 1, eight are read, nine refused, and ten thousand cost nothing."""
    decode(nested(NESTING_MAX))
    decode(b"\xa1\x61a" * (NESTING_MAX - 1) + b"\xa0")
    for data in (nested(NESTING_MAX + 1), b"\xa1\x61a" * NESTING_MAX + b"\xa0", b"\x81" * 10_000 + b"\x00"):
        with pytest.raises(LimitError, match=r"^A1 at byte .*nested"):
            decode(data)
    decode(nested(9), limits=Limits(nesting_max=9))


def test_a1_block_size() -> None:
    """A1: 65,536 bytes are read and one more refused, whatever they are."""
    decode(encode(bytes(BLOCK_BYTES_MAX - 3 - 2)))
    full = encode(bytes(BLOCK_BYTES_MAX - 3))
    assert len(full) == BLOCK_BYTES_MAX
    decode(full)
    for data in (encode(bytes(BLOCK_BYTES_MAX - 2)), b"\xff" * (BLOCK_BYTES_MAX + 1)):
        with pytest.raises(LimitError, match=r"^A1 "):
            decode(data)
    decode(encode(bytes(BLOCK_BYTES_MAX)), limits=Limits(block_bytes_max=2**20))


def test_a1_items() -> None:
    """A1: the outermost item, elements, keys and values are counted to 16,384; a link is one."""
    decode(encode([0] * (ITEMS_MAX - 1)))
    with pytest.raises(LimitError, match=r"^A1 at byte .*items"):
        decode(encode([0] * ITEMS_MAX))
    three = {"a": LINK}
    decode(encode(three), limits=Limits(items_max=3))
    with pytest.raises(LimitError):
        decode(encode(three), limits=Limits(items_max=2))


def test_items_are_refused_before_they_are_read() -> None:
    """A1: a container with too many items is refused at its head, and one that promises more than there is is A2."""
    with pytest.raises(LimitError) as caught:
        decode(b"\x99\x40\x00" + b"\xf7" * ITEMS_MAX)
    assert caught.value.offset == 0
    with pytest.raises(CanonicalError):
        decode(b"\x99\x40\x00" + b"\x00" * (ITEMS_MAX - 1))


class Shade(StrEnum):
    """A text by another type."""

    RED = "red"


class Count(IntEnum):
    """A number by another type."""

    TWO = 2


def test_encodes_enums_and_tuples_as_what_they_are() -> None:
    """A StrEnum is text (also as a key), an IntEnum a number, a tuple an array; only a Cid is a link."""
    assert encode((Shade.RED, Count.TWO)) == encode(["red", 2])
    assert encode({Shade.RED: 1}) == encode({"red": 1})
    assert encode(LINK) == LINK_BYTES
    assert encode(bytes(LINK)) == b"\x58\x24" + LINK


def test_encode_sets_no_limit() -> None:
    """Callers may encode what is larger, deeper and longer than an event."""
    value: Value = [0] * (ITEMS_MAX + 1)
    for _ in range(NESTING_MAX + 1):
        value = [value]
    assert decode(encode(value), limits=UNLIMITED) == value


@pytest.mark.parametrize(
    "value",
    [
        1.0,
        float("nan"),
        2**64,
        -(2**64) - 1,
        "\ud800",
        {1: 1},
        {b"a": 1},
        {"\ud800": 1},
        {"k" * 40 + "\ud800": 1},
        {1, 2},
        bytearray(b"a"),
        memoryview(b"a"),
        range(2),
        object(),
    ],
    ids=lambda value: re.sub(r" at 0x\w+", "", f"{type(value).__name__} {value!a:.30}"),  # the same in each process
)
def test_encode_refuses(value: Encodable) -> None:
    """Floats, numbers beyond 64 bits, lone surrogates, keys that are not text and other types are EncodeErrors."""
    with pytest.raises(EncodeError):
        encode(value)
    with pytest.raises(EncodeError):
        encode([value])
