"""Multibase text and `Cid`: the forms, their refusals, and multiformats as the oracle."""

from __future__ import annotations

import contextlib
import copy
import hashlib
import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st
from multiformats import CID, multibase

from ledger.cid import CODEC_RAW, Cid, CidError
from ledger.multibase import TEXT_CHARS_MAX, MultibaseError, decode_multibase, encode_base32, encode_base58btc

BLOCK = b"\xa0"
EVENT_CID = Cid.of(BLOCK)


@given(st.binary(max_size=80))
def test_texts_are_those_of_the_oracle(data: bytes) -> None:
    """Both bases print what multiformats prints, and the text decodes to the bytes again."""
    for text, base in ((encode_base32(data), "base32"), (encode_base58btc(data), "base58btc")):
        assert text == multibase.encode(data, base)
        assert decode_multibase(text) == data


@given(st.text(alphabet=st.sampled_from("bzBZ01IlaA2é="), max_size=12) | st.text(max_size=12))
def test_a_text_decodes_to_bytes_that_encode_to_it_or_is_refused(text: str) -> None:
    """No two texts of one base stand for the same bytes, and nothing but MultibaseError comes out."""
    try:
        data = decode_multibase(text)
    except MultibaseError:
        return
    assert text in (encode_base32(data), encode_base58btc(data))


@pytest.mark.parametrize(
    "text", ["", "f00", "bAE", "baf", "ba=", "b\u0131e", "z0", "zI", "z é", "z" + "2" * TEXT_CHARS_MAX]
)
def test_other_texts_are_no_multibase(text: str) -> None:
    """Other prefixes, capitals, stray bits, padding, foreign digits and endless texts are refused."""
    with pytest.raises(MultibaseError):
        decode_multibase(text)


@given(st.binary(max_size=64))
def test_cid_is_that_of_the_oracle(block: bytes) -> None:
    """A Cid has the bytes and the text that multiformats gives the same block."""
    digest = hashlib.sha256(block).digest()
    for ours, codec in ((Cid.of(block), "dag-cbor"), (Cid.of_raw(block), "raw")):
        theirs = CID("base32", 1, codec, ("sha2-256", digest))
        assert bytes(ours) == bytes(theirs)
        assert str(ours) == str(theirs)
        assert ours.digest == digest
        assert ours.names(block)
        assert not ours.names(block + b"\0")


def test_both_texts_of_a_cid_parse_to_the_same() -> None:
    """Base32 and base58btc text are two spellings of one Cid, and it prints in base32."""
    assert Cid.parse(encode_base58btc(EVENT_CID)) == Cid.parse(str(EVENT_CID)) == EVENT_CID
    assert str(EVENT_CID).startswith("bafyrei")
    assert f"{EVENT_CID}" == str(EVENT_CID)
    assert repr(EVENT_CID) == f"Cid('{EVENT_CID}')"


def test_a_cid_is_equal_hashed_and_ordered_as_its_bytes() -> None:
    """Where bytes are keys, a Cid and its bytes are the same key, and sorting is by bytes."""
    cids = [Cid.of(bytes([n])) for n in range(16)]
    assert [bytes(cid) for cid in sorted(cids)] == sorted(bytes(cid) for cid in cids)
    assert {EVENT_CID: 1}[Cid(bytes(EVENT_CID))] == 1
    assert hash(EVENT_CID) == hash(bytes(EVENT_CID))


def test_codec_says_whether_it_can_be_an_event() -> None:
    """Only DAG-CBOR blocks are events."""
    assert EVENT_CID.is_event
    raw = Cid.of_raw(BLOCK)
    assert raw.codec == CODEC_RAW
    assert not raw.is_event


def test_a_cid_survives_pickle_and_copy_as_a_cid() -> None:
    """Sending a Cid to another process keeps its type."""
    for again in (pickle.loads(pickle.dumps(EVENT_CID)), copy.deepcopy(EVENT_CID)):  # noqa: S301  # our own bytes
        assert again == EVENT_CID
        assert type(again) is Cid


@pytest.mark.parametrize(
    "data",
    [
        b"",
        EVENT_CID[:-1],
        EVENT_CID + b"\0",
        b"\x00" + EVENT_CID[:35],
        b"\x02" + EVENT_CID[1:],
        b"\x01\x80" + EVENT_CID[2:],
        b"\x01\x71\x13\x20" + EVENT_CID[4:],
        b"\x01\x71\x12\x1f" + EVENT_CID[4:],
        b"\x12\x20" + EVENT_CID[4:],
    ],
)
def test_other_bytes_are_no_cid(data: bytes) -> None:
    """Another length, version, long codec, hash function or hash length is refused, CIDv0 among them."""
    with pytest.raises(CidError):
        Cid.from_bytes(data)
    with pytest.raises(CidError):
        Cid.parse(encode_base32(data))


@given(st.text(max_size=70))
def test_parse_raises_nothing_but_cid_error(text: str) -> None:
    """Whatever a user types, the answer is a Cid or a CidError."""
    with contextlib.suppress(CidError):
        Cid.parse(text)
