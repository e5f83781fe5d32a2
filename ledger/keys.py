"""Actors and the keys they sign with: Ed25519, raw in events, `did:key:z6Mk…` for people.

Implements: `key` and `sig` of section Blocks, and the library's part of rule A6. Leaves out: which keys and signatures
are refused before (A5, `ledger.curve`), what is signed (`ledger.events`), and where keys are kept (`ledger.keyring`).

Sources: RFC 8032; W3C did:key and Multikey (`publicKeyMultibase`, `secretKeyMultibase`).
"""

from __future__ import annotations

from typing import Final, NewType, NoReturn, Self

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from ledger.multibase import MultibaseError, decode_multibase, encode_base58btc

ActorKey = NewType("ActorKey", bytes)
"""A raw Ed25519 public key, 32 bytes: who signs."""

ACTOR_KEY_BYTES: Final = 32
SEED_BYTES: Final = 32
SIGNATURE_BYTES: Final = 64

_DID_PREFIX: Final = "did:key:"
_PUBLIC_MULTICODEC: Final = b"\xed\x01"  # varint of ed25519-pub, 0xed
_SECRET_MULTICODEC: Final = b"\x80\x26"  # varint of ed25519-priv, 0x1300


class KeyFormatError(ValueError):
    """The text is no Ed25519 key of the form wanted. The message never repeats the text, which may be a secret."""


def did_key(actor: ActorKey) -> str:
    """Return the `did:key:z6Mk…` text of a public key; raise KeyFormatError where it has not 32 bytes."""
    if len(actor) != ACTOR_KEY_BYTES:
        raise KeyFormatError(f"a public key has {ACTOR_KEY_BYTES} bytes, not {len(actor)}")
    return _DID_PREFIX + encode_base58btc(_PUBLIC_MULTICODEC + actor)


def parse_did_key(text: str) -> ActorKey:
    """Return the public key that `did:key:z6Mk…` names; raise KeyFormatError for any other text."""
    if not text.startswith(_DID_PREFIX):
        raise KeyFormatError(f"an actor is written {_DID_PREFIX}z6Mk…")
    return ActorKey(_parse_multikey(text.removeprefix(_DID_PREFIX), _PUBLIC_MULTICODEC, ACTOR_KEY_BYTES, "public"))


def verify_signature(actor: ActorKey, message: bytes, signature: bytes) -> bool:
    """Return whether `signature` (64 bytes) is the actor's over `message`, without cofactor and with S < L (A6).

    Judges nothing of A5: small-order and non-canonical keys are the caller's to refuse first.
    """
    try:
        Ed25519PublicKey.from_public_bytes(actor).verify(signature, message)
    except (InvalidSignature, ValueError):  # ValueError: a key that has not 32 bytes
        return False
    return True


class SigningKey:
    """A private key with the actor it signs as. It shows, pickles and copies as nothing: the text form is asked for."""

    __slots__ = ("_private", "actor")

    actor: Final[ActorKey]

    def __init__(self, private: Ed25519PrivateKey) -> None:
        self._private = private  # kept: building it costs as much as signing
        self.actor = ActorKey(private.public_key().public_bytes_raw())

    @classmethod
    def generate(cls) -> Self:
        """Return a new key from the system's randomness."""
        return cls(Ed25519PrivateKey.generate())

    @classmethod
    def from_seed(cls, seed: bytes) -> Self:
        """Return the key of a 32-byte seed (RFC 8032's private key); raise KeyFormatError for another length."""
        if len(seed) != SEED_BYTES:
            raise KeyFormatError(f"a seed has {SEED_BYTES} bytes, not {len(seed)}")
        return cls(Ed25519PrivateKey.from_private_bytes(seed))

    @classmethod
    def from_text(cls, text: str) -> Self:
        """Return the key of a `secretKeyMultibase` text, `z3u2…`; raise KeyFormatError for any other text."""
        return cls.from_seed(_parse_multikey(text, _SECRET_MULTICODEC, SEED_BYTES, "secret"))

    def to_text(self) -> str:
        """Return the secret as one line of text, W3C Multikey's `secretKeyMultibase`. Guard it."""
        return encode_base58btc(_SECRET_MULTICODEC + self._private.private_bytes_raw())

    def sign(self, message: bytes) -> bytes:
        """Return the signature over `message`, 64 bytes, the same for the same message."""
        return self._private.sign(message)

    def __repr__(self) -> str:
        return f"<SigningKey of {did_key(self.actor)}>"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a signing key is neither pickled nor copied")


def _parse_multikey(text: str, multicodec: bytes, length: int, kind: str) -> bytes:
    try:
        data = decode_multibase(text)
    except MultibaseError:
        # Its message can hold a character of the text, and the text may be a secret.
        raise KeyFormatError(f"not the base58btc text of a {kind} key") from None
    if not text.startswith("z") or len(data) != len(multicodec) + length or not data.startswith(multicodec):
        raise KeyFormatError(f"not the base58btc text of an Ed25519 {kind} key of {length} bytes")
    return data[len(multicodec) :]
