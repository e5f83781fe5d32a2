"""IPNS records for tests, made from their specification: a name, and records that its key signs."""

from __future__ import annotations

from typing import Final

from ledger.cid import Cid
from ledger.codec import Value, encode
from ledger.ipns import SIGNATURE_PREFIX
from ledger.keys import ActorKey, SigningKey
from tests.support.worlds import signing_key

KEY: Final = signing_key("a name")
VALID_UNTIL: Final = "2100-01-02T03:04:05.123456789Z"
_BASE36: Final = "0123456789abcdefghijklmnopqrstuvwxyz"


def name_of(actor: ActorKey) -> str:
    """Return the IPNS name of a key, in base36 as Kubo prints it."""
    number = int.from_bytes(b"\x01\x72\x00\x24\x08\x01\x12\x20" + actor)
    digits = ""
    while number:
        number, digit = divmod(number, 36)
        digits = _BASE36[digit] + digits
    return f"k{digits}"


NAME: Final = name_of(KEY.actor)


def data_of(cid: Cid, sequence: int = 1, valid_until: str = VALID_UNTIL) -> bytes:
    """Return the signed part of a record."""
    fields: dict[str, Value] = {
        "Value": f"/ipfs/{cid}".encode(),
        "Validity": valid_until.encode(),
        "ValidityType": 0,
        "Sequence": sequence,
        "TTL": 60_000_000_000,
    }
    return encode(fields)


def field(number: int, value: bytes) -> bytes:
    """Return a protobuf field of bytes."""
    return bytes((number << 3 | 2,)) + _varint(len(value)) + value


def record_of(data: bytes, key: SigningKey = KEY, *more: bytes) -> bytes:
    """Return a record over `data`, with other fields before it."""
    return b"".join((*more, field(8, key.sign(SIGNATURE_PREFIX + data)), field(9, data)))


def record_for(cid: Cid, *, key: SigningKey = KEY, sequence: int = 1) -> bytes:
    """Return a record that leads to a CID."""
    return record_of(data_of(cid, sequence), key)


def _varint(value: int) -> bytes:
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes(out) + bytes((value,))
