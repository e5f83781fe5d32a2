"""Manifests: one encoding, a signature over all of it, and a rule for whatever is not so."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import dag_cbor
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ledger.cid import Cid
from ledger.codec import Value, decode, encode
from ledger.keys import SigningKey
from ledger.manifest import (
    HEADS_MAX,
    MANIFEST_BYTES_MAX,
    SEGMENTS_MAX,
    Manifest,
    ManifestError,
    SegmentEntry,
    decode_manifest,
    sign_manifest,
)
from ledger.segments import SEGMENT_BYTES_MAX

KEY = SigningKey.from_seed(b"p" * 32)
LEDGER = Cid.of(b"genesis")
GOOD = Manifest(
    ledger=LEDGER,
    publisher=KEY.actor,
    time=1_800_000_000_000,
    heads=tuple(sorted(Cid.of(bytes([n])) for n in range(3))),
    events=5,
    reducer=1,
    state_root=bytes(32),
    segments=(SegmentEntry(Cid.of_raw(b"0"), 4, 2_000), SegmentEntry(Cid.of_raw(b"1"), 2, 900)),
)
BLOCK = sign_manifest(KEY, GOOD)


def test_what_is_signed_is_read_back() -> None:
    """Decoding gives what was signed, by the key that signed, and the bytes are canonical DAG-CBOR."""
    read = decode_manifest(BLOCK, LEDGER)
    assert replace(read, sig=b"") == GOOD
    assert read.encode() == BLOCK == dag_cbor.encode(dag_cbor.decode(BLOCK))
    other = SigningKey.from_seed(b"q" * 32)
    assert decode_manifest(sign_manifest(other, GOOD)).publisher == other.actor


def test_the_largest_manifest_fits() -> None:
    """As many heads and segments as allowed, with the largest numbers, are within the limit of bytes."""
    heads = tuple(sorted(Cid.of(n.to_bytes(4, "big")) for n in range(HEADS_MAX)))
    segments = tuple(
        SegmentEntry(Cid.of_raw(n.to_bytes(4, "big")), SEGMENT_BYTES_MAX, SEGMENT_BYTES_MAX)
        for n in range(SEGMENTS_MAX)
    )
    block = sign_manifest(KEY, replace(GOOD, heads=heads, segments=segments, events=2**32, time=2**53 - 1))
    assert len(block) <= MANIFEST_BYTES_MAX
    with pytest.raises(ManifestError, match="G4"):
        sign_manifest(KEY, replace(GOOD, heads=(*heads, Cid(b"\x01\x71\x12\x20" + b"\xff" * 32))))


def changed(**fields: Value) -> bytes:
    """Return the good manifest with some fields changed, and signed as it then is."""
    value = decode(BLOCK)
    assert isinstance(value, dict)
    return signed({name: member for name, member in (value | fields).items() if member is not None})


def signed(value: dict[str, Value]) -> bytes:
    """Return the block of `value`, signed as it is."""
    unsigned = {name: member for name, member in value.items() if name != "sig"}
    return encode(unsigned | {"sig": KEY.sign(b"p2p-workflow/manifest/v1\0" + encode(unsigned))})


def entry(**fields: Value) -> list[Value]:
    """Return a list of one segment."""
    whole: dict[str, Value] = {"cid": Cid.of_raw(b"0"), "events": 6, "bytes": 2_000}
    return [whole | fields]


REFUSED: dict[str, tuple[str, Callable[[], bytes]]] = {
    "no DAG-CBOR": ("G3", lambda: b"\xff"),
    "too large": ("G3", lambda: BLOCK + bytes(MANIFEST_BYTES_MAX)),
    "a byte more": ("G3", lambda: BLOCK + b"\0"),
    "nested deeper": ("G3", lambda: changed(segments=[[[[1]]]])),
    "a list": ("G4", lambda: encode([1])),
    "a field more": ("G4", lambda: changed(also=1)),
    "a field less": ("G4", lambda: changed(reducer=None)),
    "another version": ("G4", lambda: changed(v=2)),
    "another kind": ("G4", lambda: changed(kind="genesis")),
    "a short key": ("G4", lambda: changed(publisher=bytes(31))),
    "no heads": ("G4", lambda: changed(heads=[])),
    "heads out of order": ("G4", lambda: changed(heads=list(reversed(GOOD.heads)))),
    "a head twice": ("G4", lambda: changed(heads=[GOOD.heads[0]] * 2)),
    "a head that is a blob": ("G4", lambda: changed(heads=[Cid.of_raw(b"")])),
    "events without heads": ("G4", lambda: changed(heads=[LEDGER])),
    "heads without events": ("G4", lambda: changed(events=0)),
    "more events than segments hold": ("G4", lambda: changed(events=7)),
    "no segments": ("G4", lambda: changed(segments=[])),
    "a segment that is no raw block": ("G4", lambda: changed(segments=entry(cid=LEDGER))),
    "a segment too large": ("G4", lambda: changed(segments=entry(bytes=SEGMENT_BYTES_MAX + 1))),
    "a segment twice": ("G4", lambda: changed(segments=entry() * 2)),
    "a segment with a field more": ("G4", lambda: changed(segments=entry(also=1))),
    "a time before time": ("G4", lambda: changed(time=0)),
    "a short root": ("G4", lambda: changed(state_root=bytes(31))),
    "another's signature": ("G5", lambda: changed(publisher=SigningKey.from_seed(b"q" * 32).actor)),
    "a key of small order": ("G5", lambda: changed(publisher=bytes(32))),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_is_no_manifest_is_refused_by_its_rule(what: str) -> None:
    """Each block is refused, and the rule says why."""
    rule, block = REFUSED[what]
    with pytest.raises(ManifestError) as refused:
        decode_manifest(block())
    assert refused.value.rule == rule


def test_a_manifest_of_another_ledger_is_refused() -> None:
    """Who asks for a ledger gets no other."""
    with pytest.raises(ManifestError, match="G4"):
        decode_manifest(BLOCK, Cid.of(b"another"))


@settings(max_examples=200, deadline=None)
@given(st.integers(0, 8 * len(BLOCK) - 1))
def test_no_bit_can_be_changed(bit: int) -> None:
    """Every bit of a manifest is under its signature, or in it."""
    data = bytearray(BLOCK)
    data[bit // 8] ^= 1 << (bit % 8)
    with pytest.raises(ManifestError):
        decode_manifest(bytes(data))
