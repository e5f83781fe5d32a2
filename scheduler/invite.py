"""An invitation as one line of text: which ledger, where its peers are, and how to enter their network.

What a token holds it gives to whoever has it: the genesis block, addresses, and in a private network the network's key.
It admits nobody to the ledger; an owner does. The text is `p2pwf1-`, then base32 of: the length of the body (3 bytes),
the body (canonical DAG-CBOR), and the first 5 bytes of SHA-256 over prefix, length and body. So a token that was cut
off, mistyped, or glued to something else is told apart. Case, spaces and line breaks do not matter. Pure.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from ledger import schema
from ledger.acceptance import Refusal, verify_genesis
from ledger.cid import Cid
from ledger.codec import BLOCK_BYTES_MAX, DecodeError, Limits, Value, decode, encode
from ledger.events import Genesis
from ledger.schema import SchemaError

PREFIX: Final = "p2pwf1-"
ADDRESSES_MAX: Final = 16
ADDRESS_BYTES_MAX: Final = 256
SWARM_KEY_BYTES: Final = 32

_DOMAIN: Final = b"p2p-workflow/invite/v1\0"
_LENGTH_BYTES: Final = 3
_SUM_BYTES: Final = 5
_ALPHABET: Final = frozenset("abcdefghijklmnopqrstuvwxyz234567")
_LIMITS: Final = Limits(BLOCK_BYTES_MAX + 16_384, 2, 64)
_TOKEN_CHARS_MAX: Final = 200_000
_REQUIRED: Final = frozenset(("v", "genesis", "inviter"))
_OPTIONAL: Final = frozenset(("nodes", "urls", "swarm_key"))


class InviteError(ValueError):
    """The text is no invitation, or not a whole one: the message says what is wrong with it."""

    advice = "copy the whole token again, as `peer invite` printed it; it is one line"


@dataclass(frozen=True, slots=True)
class Invite:
    """What an invitation says. `nodes` are multiaddrs that end in /p2p/ID, `urls` where an exchange answers by HTTP."""

    genesis_block: bytes
    inviter: str
    nodes: tuple[str, ...] = ()
    urls: tuple[str, ...] = ()
    swarm_key: bytes | None = None

    @property
    def ledger(self) -> Cid:
        """The CID of the ledger."""
        return Cid.of(self.genesis_block)

    @property
    def genesis(self) -> Genesis:
        """The genesis, checked when the token was read."""
        return verify_genesis(self.genesis_block)[1]


def write_token(invite: Invite) -> str:
    """Return the text of an invitation; raise InviteError where it could not be read back."""
    fields: dict[str, Value] = {"v": 1, "genesis": invite.genesis_block, "inviter": invite.inviter}
    if invite.nodes:
        fields["nodes"] = list(invite.nodes)
    if invite.urls:
        fields["urls"] = list(invite.urls)
    if invite.swarm_key is not None:
        fields["swarm_key"] = invite.swarm_key
    body = encode(fields)
    framed = len(body).to_bytes(_LENGTH_BYTES) + body
    text = _text_of(framed + _sum(framed))
    read_token(text)
    return text


def read_token(text: str) -> Invite:
    """Return what a token says; raise InviteError, which tells what is wrong with the text."""
    token = "".join(text[:_TOKEN_CHARS_MAX].split()).lower()
    data = _data_of(token, len(text))
    invite = _invite(_unframe(data))
    if token != _text_of(data):  # bits of a last character that stand for nothing
        raise InviteError("something follows the invitation, or its last character is mistyped")
    return invite


def _text_of(data: bytes) -> str:
    return PREFIX + base64.b32encode(data).decode("ascii").rstrip("=").lower()


def looks_like_token(text: str) -> bool:
    """Return whether `text` can only be meant as an invitation."""
    return text.strip().lower().startswith(PREFIX)


def _data_of(token: str, chars: int) -> bytes:
    if chars > _TOKEN_CHARS_MAX:
        raise InviteError(f"a text of {chars:,} characters is no invitation")
    if not token:
        raise InviteError("the invitation is empty")
    if not token.startswith(PREFIX):
        raise InviteError(f"an invitation begins with {PREFIX!r}, this text with {token[: len(PREFIX)]!r}")
    digits = token.removeprefix(PREFIX)
    for at, char in enumerate(digits):
        if char not in _ALPHABET:
            raise InviteError(
                f"character {len(PREFIX) + at + 1} of the invitation is {char!r}: only a–z and 2–7 stand there"
            )
    whole = digits[: len(digits) - (len(digits) % 8 in (1, 3, 6))]  # such a rest codes no byte: one was cut off
    return base64.b32decode(whole.upper() + "=" * (-len(whole) % 8))


def _unframe(data: bytes) -> bytes:
    size = int.from_bytes(data[:_LENGTH_BYTES])
    whole = _LENGTH_BYTES + size + _SUM_BYTES
    if len(data) < _LENGTH_BYTES + _SUM_BYTES:
        raise InviteError("the invitation is cut off right at its beginning")
    framed, checksum = data[: whole - _SUM_BYTES], data[whole - _SUM_BYTES : whole]
    if len(data) == whole and checksum == _sum(framed):
        return framed[_LENGTH_BYTES:]
    if len(data) < whole and size <= _LIMITS.block_bytes_max:
        raise InviteError(
            f"the invitation is cut off: it has {_chars(len(data))} characters of {_chars(whole)} "
            "(or its first ones are mistyped)"
        )
    if len(data) > whole and checksum == _sum(framed):
        raise InviteError(f"something follows the invitation, which ends after {_chars(whole)} characters")
    raise InviteError("the invitation is mistyped: its checksum does not fit")


def _invite(body: bytes) -> Invite:
    try:
        fields = decode(body, limits=_LIMITS)
        if not isinstance(fields, Mapping):
            raise SchemaError("a map is wanted")
        if fields.get("v") != 1:
            raise InviteError(
                f"the invitation is of version {fields.get('v')!r}, this program reads version 1: update it"
            )
        schema.keys_exactly(fields, _REQUIRED, _OPTIONAL)
        invite = Invite(
            genesis_block=schema.data(fields, "genesis"),
            inviter=schema.text(fields, "inviter", 200),
            nodes=_texts(fields, "nodes"),
            urls=_texts(fields, "urls"),
            swarm_key=schema.optional(fields, "swarm_key", lambda: schema.octets(fields, "swarm_key", SWARM_KEY_BYTES)),
        )
        verify_genesis(invite.genesis_block)
    except (DecodeError, SchemaError, Refusal) as error:
        raise InviteError(f"the invitation was made wrongly: {error}") from None
    return invite


def _texts(fields: schema.Fields, name: str) -> tuple[str, ...]:
    if name not in fields:
        return ()
    return tuple(
        schema.text({name: value}, name, ADDRESS_BYTES_MAX) for value in schema.items(fields, name, ADDRESSES_MAX, 1)
    )


def _sum(framed: bytes) -> bytes:
    return hashlib.sha256(_DOMAIN + framed).digest()[:_SUM_BYTES]


def _chars(size: int) -> int:
    """Return how many characters a token of so many bytes has."""
    return len(PREFIX) + (size * 8 + 4) // 5
