"""An invitation as one line of text: which ledger, where its peers are, and how to enter their network.

What a token holds it gives to whoever has it: the genesis block, addresses, and in a private network the network's key.
It admits nobody to the ledger; an owner does. Pure. Leaves out the text around the body (scheduler.token_text).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from ledger import schema
from ledger.acceptance import Refusal, verify_genesis
from ledger.cid import Cid
from ledger.codec import BLOCK_BYTES_MAX, DecodeError, Limits, Value, decode, encode
from ledger.events import Genesis
from ledger.schema import SchemaError
from scheduler.token_text import TokenForm

PREFIX: Final = "p2pwf1-"
ADDRESSES_MAX: Final = 16
ADDRESS_BYTES_MAX: Final = 256
SWARM_KEY_BYTES: Final = 32

_LIMITS: Final = Limits(BLOCK_BYTES_MAX + 16_384, 2, 64)
_REQUIRED: Final = frozenset(("v", "genesis", "inviter"))
_OPTIONAL: Final = frozenset(("nodes", "urls", "swarm_key"))


class InviteError(ValueError):
    """The text is no invitation, or not a whole one: the message says what is wrong with it."""

    advice = "copy the whole token again, as `peer invite` printed it; it is one line"


_FORM: Final = TokenForm(PREFIX, b"p2p-workflow/invite/v1\0", "invitation", "an", InviteError, _LIMITS.block_bytes_max)


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
    text = _FORM.write(encode(fields))
    read_token(text)
    return text


def read_token(text: str) -> Invite:
    """Return what a token says; raise InviteError, which tells what is wrong with the text."""
    return _invite(_FORM.read(text))


def looks_like_token(text: str) -> bool:
    """Return whether `text` can only be meant as an invitation."""
    return _FORM.is_meant(text)


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
            nodes=texts(fields, "nodes"),
            urls=texts(fields, "urls"),
            swarm_key=schema.optional(fields, "swarm_key", lambda: schema.octets(fields, "swarm_key", SWARM_KEY_BYTES)),
        )
        verify_genesis(invite.genesis_block)
    except (DecodeError, SchemaError, Refusal) as error:
        raise InviteError(f"the invitation was made wrongly: {error}") from None
    return invite


def texts(fields: schema.Fields, name: str) -> tuple[str, ...]:
    """Return the addresses in a field, () where it is not there."""
    if name not in fields:
        return ()
    return tuple(
        schema.text({name: value}, name, ADDRESS_BYTES_MAX) for value in schema.items(fields, name, ADDRESSES_MAX, 1)
    )
