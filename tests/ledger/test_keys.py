"""Keys: their texts, signing and verifying, and that the secret never shows."""

from __future__ import annotations

import copy
import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.keys import ActorKey, KeyFormatError, SigningKey, did_key, parse_did_key, verify_signature
from ledger.multibase import encode_base32, encode_base58btc

SEED = bytes(range(32))
KEY = SigningKey.from_seed(SEED)
MESSAGE = b"message"


def test_signs_as_rfc_8032() -> None:
    """RFC 8032, section 7.1, test 2: this seed gives this key and this signature."""
    key = SigningKey.from_seed(bytes.fromhex("4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb"))
    assert key.actor.hex() == "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c"
    signature = key.sign(b"\x72")
    assert signature.hex() == (
        "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da"
        "085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00"
    )
    assert verify_signature(key.actor, b"\x72", signature)


@given(st.binary(min_size=32, max_size=32), st.binary(max_size=64))
def test_texts_come_back(seed: bytes, message: bytes) -> None:
    """The did:key and the secret text name the same key again, and what it signs verifies."""
    key = SigningKey.from_seed(seed)
    assert parse_did_key(did_key(key.actor)) == key.actor
    assert did_key(key.actor).startswith("did:key:z6Mk")
    again = SigningKey.from_text(key.to_text())
    assert key.to_text().startswith("z3u2")
    assert again.sign(message) == key.sign(message)
    assert verify_signature(key.actor, message, key.sign(message))


@given(st.integers(0, 95), st.integers(1, 255))
def test_a_changed_byte_does_not_verify(at: int, change: int) -> None:
    """Neither key nor signature can be changed in any byte."""
    both = bytearray(KEY.actor + KEY.sign(MESSAGE))
    both[at] ^= change
    assert not verify_signature(ActorKey(bytes(both[:32])), MESSAGE, bytes(both[32:]))


@given(st.binary(max_size=40), st.binary(max_size=70))
def test_verify_answers_for_any_bytes(actor: bytes, signature: bytes) -> None:
    """Keys and signatures of any bytes and length are answered by False, never by an exception."""
    assert not verify_signature(ActorKey(actor), MESSAGE, signature)


def test_s_is_below_the_group_order() -> None:
    """A6: the same signature with S + L is refused, so nobody can make a second one out of it."""
    signature = KEY.sign(MESSAGE)
    order = 2**252 + 27742317777372353535851937790883648493
    greater = int.from_bytes(signature[32:], "little") + order
    assert not verify_signature(KEY.actor, MESSAGE, signature[:32] + greater.to_bytes(32, "little"))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "z6Mk",
        did_key(KEY.actor).removeprefix("did:key:"),
        did_key(KEY.actor) + "1",
        did_key(KEY.actor)[:-1],
        did_key(KEY.actor).upper(),
        "did:web:example.org",
        "did:key:" + encode_base58btc(b"\xec\x01" + KEY.actor),
        "did:key:" + encode_base58btc(KEY.actor),
        "did:key:" + encode_base58btc(b"\xed\x01" + KEY.actor + b"\0"),
        "did:key:" + encode_base32(b"\xed\x01" + KEY.actor),
        "did:key:" + KEY.to_text(),
    ],
)
def test_other_texts_name_no_actor(text: str) -> None:
    """Another method, multicodec, base or length is refused."""
    with pytest.raises(KeyFormatError):
        parse_did_key(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "z",
        KEY.to_text()[:-1],
        KEY.to_text() + "\n",
        did_key(KEY.actor).removeprefix("did:key:"),
        encode_base32(b"\x80\x26" + SEED),
        "k" + KEY.to_text(),
    ],
)
def test_other_texts_are_no_secret_and_are_not_repeated(text: str) -> None:
    """What is no secret text is refused by a message that repeats no part of it."""
    with pytest.raises(KeyFormatError) as caught:
        SigningKey.from_text(text)
    assert len(text) < 2 or text not in str(caught.value)
    assert str(caught.value).startswith("not the base58btc text of a")
    assert caught.value.__cause__ is None


def test_lengths_of_seed_and_key_are_checked() -> None:
    """Raw keys have 32 bytes."""
    with pytest.raises(KeyFormatError):
        SigningKey.from_seed(SEED[:-1])
    with pytest.raises(KeyFormatError):
        did_key(ActorKey(KEY.actor + b"\0"))


def test_the_secret_does_not_show() -> None:
    """Printing shows the actor alone, and pickling and copying are refused."""
    for text in (repr(KEY), str(KEY), f"{KEY}"):
        assert KEY.to_text() not in text
        assert SEED.hex() not in text
        assert did_key(KEY.actor) in text
    for spread in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(TypeError):
            spread(KEY)


def test_generated_keys_differ() -> None:
    """Each generated key is another."""
    assert len({SigningKey.generate().actor for _ in range(8)}) == 8
