"""The name of a block: `Cid`, 36 raw bytes that are equal, hashed and ordered as bytes.

Implements: section Blocks, CIDv1 of sha2-256 with a codec of one byte. Leaves out: CIDv0, other hashes and long codecs;
a block named so is none of ours. multiformats stays at the edges: one of its CID objects costs 200 times this one.
"""

from __future__ import annotations

import hashlib
from typing import Final, Self

from ledger.multibase import MultibaseError, decode_multibase, encode_base32

CID_BYTES: Final = 36
"""Length of every `Cid`, in bytes: version, codec, hash function and hash length, then the hash."""
CODEC_RAW: Final = 0x55
CODEC_DAG_CBOR: Final = 0x71

_VERSION: Final = 0x01
_SHA2_256: Final = b"\x12\x20"  # multihash code of sha2-256, and its length of 32 bytes
_DAG_CBOR_PREFIX: Final = bytes((_VERSION, CODEC_DAG_CBOR)) + _SHA2_256
_RAW_PREFIX: Final = bytes((_VERSION, CODEC_RAW)) + _SHA2_256
_sha256 = hashlib.sha256
_new = bytes.__new__


class CidError(ValueError):
    """The bytes or the text name no block of ours: not a CIDv1 of sha2-256 with a one-byte codec."""


class Cid(bytes):
    """Name a block by its codec and SHA-256. Construction checks the form, so every `Cid` is well formed."""

    __slots__ = ()

    def __new__(cls, data: bytes) -> Self:
        """Return `data` (36 bytes) as a Cid; raise CidError where the form is another."""
        if len(data) != CID_BYTES:
            raise CidError(f"a CID has {CID_BYTES} bytes, not {len(data)}")
        if data[0] != _VERSION or data[1] >= 0x80 or data[2:4] != _SHA2_256:
            raise CidError(f"not a CIDv1 of sha2-256 with a one-byte codec: begins with {bytes(data[:4]).hex()}")
        return _new(cls, data)

    @classmethod
    def of(cls, block: bytes) -> Self:
        """Return the Cid of a DAG-CBOR block."""
        return _new(cls, _DAG_CBOR_PREFIX + _sha256(block).digest())

    @classmethod
    def of_raw(cls, data: bytes) -> Self:
        """Return the Cid of opaque bytes (codec raw)."""
        return _new(cls, _RAW_PREFIX + _sha256(data).digest())

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """Return the Cid whose binary form is `data`; raise CidError where it is none of ours."""
        return cls(data)

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return the Cid printed as `text`, in base32 (`b…`) or base58btc (`z…`); raise CidError for anything else."""
        try:
            data = decode_multibase(text)
        except MultibaseError as error:
            raise CidError(f"not the text of a CID: {error}") from None
        return cls(data)

    def __str__(self) -> str:
        """Return the base32 text, `bafyrei…` for DAG-CBOR."""
        return encode_base32(self)

    def __repr__(self) -> str:
        return f"Cid({encode_base32(self)!r})"

    @property
    def codec(self) -> int:
        """The multicodec of the block's content: 0x71 DAG-CBOR, 0x55 raw."""
        return self[1]

    @property
    def digest(self) -> bytes:
        """The SHA-256 of the block, 32 bytes."""
        return self[4:]

    @property
    def is_event(self) -> bool:
        """Whether the codec is DAG-CBOR, the only one an event can have."""
        return self[1] == CODEC_DAG_CBOR

    def names(self, block: bytes) -> bool:
        """Return whether `block` hashes to this Cid, whatever the codec."""
        return self[4:] == _sha256(block).digest()
