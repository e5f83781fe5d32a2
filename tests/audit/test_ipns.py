"""IPNS records: what the name's key has signed is read, everything else is refused; never anything but IpnsError."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.cid import Cid
from ledger.codec import encode
from ledger.ipns import IpnsError, IpnsRecord, canonical_name, parse_name, verify_record
from ledger.multibase import encode_base32, encode_base58btc
from tests.audit.records import KEY, NAME, data_of, field, record_for, record_of
from tests.support.worlds import signing_key

CID = Cid.of(b"\xa0")
GOOD = record_for(CID, sequence=7)


def test_a_record_of_the_key_is_read() -> None:
    """CID, sequence and the end of its validity come out."""
    assert verify_record(GOOD, KEY.actor) == IpnsRecord(CID, 7, 4_102_542_245_000)


def test_a_name_is_a_key_in_each_of_its_forms() -> None:
    """Base36, base32 and base58 of the CID, and the peer id."""
    cid = b"\x01\x72\x00\x24\x08\x01\x12\x20" + KEY.actor
    forms = (NAME, f"/ipns/{NAME}", f"ipns://{NAME}", encode_base32(cid), encode_base58btc(cid))
    assert {parse_name(form) for form in (*forms, encode_base58btc(cid[2:])[1:])} == {KEY.actor}


def test_names_that_kubo_prints_are_read() -> None:
    """The example names of the specification and of Kubo's documents."""
    assert len(parse_name("k51qzi5uqu5dlvj2baxnqndepeb86cbk3ng7n3i46uzyxzyqj2xjonzllnv0v8")) == 32
    assert len(parse_name("12D3KooWDpJ7As7BWAwRMfu1VU2WCqNjvq387JEYKDBj4kx6nXTN")) == 32
    known = "k51qzi5uqu5dlvj2baxnqndepeb86cbk3ng7n3i46uzyxzyqj2xjonzllnv0v8"
    assert canonical_name(parse_name(known)) == known  # what gateways do not redirect from
    for prefix in ("ipns:", "ipns://", "/ipns/"):
        assert parse_name(prefix + known) == parse_name(known)


@pytest.mark.parametrize(
    "text", ["", "example.com", "k", "k51!", "kOO", "QmYwAPJzv5CZsnA625s3Xf2nemtYgPpHdWEz79ojWnPBdG"]
)
def test_what_is_no_name_of_an_ed25519_key_is_refused(text: str) -> None:
    """Names of DNS, of other keys and no names."""
    with pytest.raises(IpnsError):
        parse_name(text)


@pytest.mark.parametrize(
    ("record", "words"),
    [
        (record_for(CID, key=signing_key("another")), "not signed"),
        (b"", "no data"),
        (bytes(10_241), "at most"),
        (GOOD[:-1], "too early"),
        (record_of(encode({"Value": b"/ipfs/x"})), "none of version 2"),
        (record_of(data_of(CID).replace(b"/ipfs/b", b"/ipns/b")), "leads to"),
        (record_of(data_of(CID, valid_until="tomorrow")), "expiry"),
        (record_of(data_of(CID, valid_until="2100-13-02T03:04:05Z")), "expiry"),
        (record_of(data_of(CID), KEY, field(1, b"/ipfs/elsewhere"), field(2, b"v1")), "outside"),
    ],
)
def test_other_records_are_refused(record: bytes, words: str) -> None:
    """Unsigned, broken, too large, of another kind, or saying two things at once."""
    with pytest.raises(IpnsError, match=words):
        verify_record(record, KEY.actor)


@given(st.integers(0, len(GOOD) - 1), st.integers(1, 255))
def test_a_changed_record_says_nothing_else(at: int, by: int) -> None:
    """Any byte changed: refused, or the very same is said."""
    changed = bytearray(GOOD)
    changed[at] ^= by
    with suppress(IpnsError):
        assert verify_record(bytes(changed), KEY.actor) == verify_record(GOOD, KEY.actor)


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    """Nothing but IpnsError is raised."""
    with pytest.raises(IpnsError):
        verify_record(data, KEY.actor)
