"""IPNS names and records: whether a record is signed by the key that the name is, and where it leads.

Implements: specs/audit.md, section Fetching, names. Names of Ed25519 keys only, whose key stands in the name itself.
Leaves out: making records, which nodes do, and names of DNS, which nobody signs.

Source: IPNS Record and Protocol, specs.ipfs.tech/ipns/ipns-record (record verification; V2 signatures, and V1 fields
that must agree with what they sign).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from ledger.cid import Cid, CidError
from ledger.codec import CodecError, decode
from ledger.keys import ActorKey, verify_signature
from ledger.multibase import MultibaseError, decode_multibase

NAME_CHARS_MAX: Final = 128
RECORD_BYTES_MAX: Final = 10_240
SIGNATURE_PREFIX: Final = b"ipns-signature:"

_KEY_CID: Final = b"\x01\x72\x00\x24"  # CIDv1, libp2p-key, multihash identity of 36 bytes
_PEER_ID: Final = b"\x00\x24"
_ED25519: Final = b"\x08\x01\x12\x20"  # protobuf: key type Ed25519, 32 bytes of key
_BASE36: Final = "0123456789abcdefghijklmnopqrstuvwxyz"
_NAME: Final = re.compile(r"[0-9A-Za-z]+")
_VALUE, _VALIDITY, _SIGNATURE_V1, _SIGNATURE_V2, _DATA = 1, 4, 2, 8, 9


class IpnsError(ValueError):
    """The text is no IPNS name of an Ed25519 key, or the record is not what such a name's key has signed."""


@dataclass(frozen=True, slots=True)
class IpnsRecord:
    """A record that its name's key has signed: the CID it leads to, its number, and until when it is valid (ms)."""

    cid: Cid
    sequence: int
    valid_until: int


def parse_name(text: str) -> ActorKey:
    """Return the Ed25519 key that a name is (`k51…`, `b…`, `z…` or `12D3Koo…`); raise IpnsError for any other."""
    name = text.removeprefix("ipns:").removeprefix("//").removeprefix("/ipns/").rstrip("/")
    if len(name) > NAME_CHARS_MAX or not _NAME.fullmatch(name):
        raise IpnsError(f"{text[:NAME_CHARS_MAX]!r} is no IPNS name: they begin with k51 or 12D3Koo")
    try:
        data = _decode_name(name)
    except (MultibaseError, ValueError) as error:
        raise IpnsError(f"{name} is no IPNS name: {error}") from None
    for prefix in (_KEY_CID + _ED25519, _PEER_ID + _ED25519):
        if data.startswith(prefix) and len(data) == len(prefix) + 32:
            return ActorKey(data[len(prefix) :])
    raise IpnsError(f"{name} is no name of an Ed25519 key, so no record of it can be checked here")


def canonical_name(key: ActorKey) -> str:
    """Return the one text of a name that gateways do not redirect from, `k51…`: its CID in base 36."""
    number = int.from_bytes(_KEY_CID + _ED25519 + key, "big")
    digits = []
    while number:
        number, digit = divmod(number, 36)
        digits.append(_BASE36[digit])
    return "k" + "".join(reversed(digits))


def _decode_name(name: str) -> bytes:
    if name.startswith("k"):
        number = 0
        for char in name[1:]:
            number = number * 36 + _BASE36.index(char)
        return number.to_bytes((number.bit_length() + 7) // 8)
    return decode_multibase(name if name[0] in "bz" else f"z{name}")


def verify_record(record: bytes, key: ActorKey) -> IpnsRecord:
    """Return what a record says, signed by `key` as it must be; raise IpnsError."""
    if len(record) > RECORD_BYTES_MAX:
        raise IpnsError(f"a record of {len(record)} bytes, at most {RECORD_BYTES_MAX}")
    fields = dict(_protobuf(record))
    data, signature = fields.get(_DATA), fields.get(_SIGNATURE_V2)
    if not isinstance(data, bytes) or not isinstance(signature, bytes) or len(signature) != 64:
        raise IpnsError("the record has no data and signature of version 2")
    if not verify_signature(key, SIGNATURE_PREFIX + data, signature):
        raise IpnsError("the record is not signed by the key that the name is")
    try:
        said = decode(data)
    except CodecError as error:
        raise IpnsError(f"the record's data: {error}") from None
    match said:
        case {
            "Value": bytes(value),
            "Validity": bytes(validity),
            "ValidityType": int(kind),
            "Sequence": int(sequence),
        } if kind == 0:
            pass
        case _:
            raise IpnsError("the record's data is none of version 2 with a date of expiry")
    for field, signed in ((_VALUE, value), (_VALIDITY, validity)):
        if fields.get(_SIGNATURE_V1) and fields.get(field, signed) != signed:
            raise IpnsError("the record says one thing outside its signature, and another inside")
    return IpnsRecord(_leads_to(value), sequence, _time(validity))


def _leads_to(value: bytes) -> Cid:
    text = value.decode("ascii", "replace")
    try:
        return Cid.parse(text.removeprefix("/ipfs/"))
    except CidError as error:
        raise IpnsError(f"the record leads to {text[:200]!r}, not to a block: {error}") from None


def _time(validity: bytes) -> int:
    """Return the time (ms) of an RFC 3339 text with nanoseconds, of which microseconds are read."""
    found = re.fullmatch(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(\.\d{1,9})?Z", validity.decode("ascii", "replace"))
    if found is None:
        raise IpnsError("the record's date of expiry is none")
    try:
        moment = datetime.fromisoformat(found[1]).replace(tzinfo=UTC)
    except ValueError as error:
        raise IpnsError(f"the record's date of expiry: {error}") from None
    return int(moment.timestamp() * 1000)


def _protobuf(data: bytes) -> Iterator[tuple[int, int | bytes]]:
    """Yield number and value of the fields of a protobuf message; raise IpnsError where it is none."""
    position = 0
    while position < len(data):
        tag, position = _varint(data, position)
        value: int | bytes
        if tag & 7 == 0:
            value, position = _varint(data, position)
        elif tag & 7 == 2:
            length, position = _varint(data, position)
            value, position = data[position : position + length], position + length
            if position > len(data):
                raise IpnsError("the record ends too early")
        else:
            raise IpnsError(f"the record has a field of wire type {tag & 7}")
        yield tag >> 3, value


def _varint(data: bytes, position: int) -> tuple[int, int]:
    value = 0
    for index in range(10):
        if position >= len(data):
            raise IpnsError("the record ends too early")
        byte = data[position]
        position += 1
        value |= (byte & 0x7F) << (7 * index)
        if byte < 0x80:
            return value, position
    raise IpnsError("the record has a number of more than 10 bytes")
