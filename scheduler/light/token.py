"""A ledger token: what a runner without a home needs beside its key, as one line of text.

It holds the genesis, the grant (the event in which an owner admitted the key; none where the genesis is enough), where
peers are, and, if wanted, the key of a private network. It is of use with that key only, which is handed over apart
from it. Pure. Leaves out the text around the body (scheduler.token_text).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from ledger import schema
from ledger.acceptance import (
    Find,
    Linked,
    Refusal,
    SignedEvent,
    admissions,
    check_alone,
    linked_event,
    linked_genesis,
    verify_genesis,
)
from ledger.cid import Cid
from ledger.codec import BLOCK_BYTES_MAX, DecodeError, Limits, Value, decode, encode
from ledger.events import OPEN_GRANT, OWNER_GRANT, Admission, Genesis, Grant, Role
from ledger.keys import ActorKey, did_key
from ledger.schema import SchemaError
from scheduler.invite import PREFIX as INVITE_PREFIX
from scheduler.invite import SWARM_KEY_BYTES, texts
from scheduler.token_text import TokenForm

PREFIX: Final = "p2pwl1-"

_LIMITS: Final = Limits(2 * BLOCK_BYTES_MAX + 16_384, 2, 64)
_REQUIRED: Final = frozenset(("v", "genesis"))
_OPTIONAL: Final = frozenset(("grant", "nodes", "urls", "swarm_key"))


class LedgerTokenError(ValueError):
    """The text is no ledger token, or not a whole one: the message says what is wrong with it."""

    advice = "copy the whole token again, as `members token` printed it; it is one line"


class TokenKeyError(Exception):
    """Token and key do not belong together: the grant in the token does not let this key submit."""

    advice = "make a token for this very key with `members token`, and keep both as one pair of secrets"


_FORM: Final = TokenForm(
    PREFIX, b"p2p-workflow/ledger-token/v1\0", "ledger token", "a", LedgerTokenError, _LIMITS.block_bytes_max
)


@dataclass(frozen=True, slots=True)
class LedgerToken:
    """What a token says. `nodes` are multiaddrs that end in /p2p/ID, `urls` where an exchange answers by HTTP."""

    genesis_block: bytes
    grant_block: bytes | None = None
    urls: tuple[str, ...] = ()
    nodes: tuple[str, ...] = ()
    swarm_key: bytes | None = None

    @property
    def ledger(self) -> Cid:
        """The CID of the ledger."""
        return Cid.of(self.genesis_block)

    @property
    def genesis(self) -> Genesis:
        """The genesis, checked when the token was read."""
        return verify_genesis(self.genesis_block)[1]

    @property
    def grant(self) -> Cid:
        """What the key acts under."""
        return self.ledger if self.grant_block is None else Cid.of(self.grant_block)

    def find(self) -> Find:
        """Return what an author asks of what it links: the genesis and the grant are all that is known here."""
        genesis = self.genesis
        known: dict[Cid, Linked] = {self.ledger: linked_genesis(genesis)}
        if self.grant_block is not None:
            signed = check_alone(self.grant_block, self.ledger)
            known[signed.cid] = linked_event(signed.event, genesis)
        return known.get

    def check_key(self, actor: ActorKey) -> Grant:
        """Return what `actor` may do under the token's grant; raise TokenKeyError where that is not to submit."""
        genesis = self.genesis
        did = did_key(actor)
        if self.grant_block is None:
            if actor in genesis.owners:
                return OWNER_GRANT
            if genesis.policy.admission is Admission.OPEN:
                return OPEN_GRANT
            raise TokenKeyError(f"the token holds no grant, and {did} is no owner of ledger {self.ledger}")
        if actor in genesis.owners:
            raise TokenKeyError(f"{did} is an owner, who acts under the genesis; the token holds a member's grant")
        grant = admissions(check_alone(self.grant_block, self.ledger).event, genesis).get(actor)
        if grant is None:
            raise TokenKeyError(f"the token's grant {self.grant} does not admit {did}, the key at hand")
        if Role.SUBMITTER not in grant.roles:
            raise TokenKeyError(f"the token's grant {self.grant} does not let {did} submit")
        return grant


def write_ledger_token(token: LedgerToken) -> str:
    """Return the text of a token; raise LedgerTokenError where it could not be read back."""
    fields: dict[str, Value] = {"v": 1, "genesis": token.genesis_block}
    if token.grant_block is not None:
        fields["grant"] = token.grant_block
    for name, places in (("urls", token.urls), ("nodes", token.nodes)):
        if places:
            fields[name] = list(places)
    if token.swarm_key is not None:
        fields["swarm_key"] = token.swarm_key
    text = _FORM.write(encode(fields))
    read_ledger_token(text)
    return text


def read_ledger_token(text: str) -> LedgerToken:
    """Return what a token says; raise LedgerTokenError, which tells what is wrong with the text."""
    if text.strip().lower().startswith(INVITE_PREFIX):
        raise LedgerTokenError("this is an invitation (`peer invite`); what is wanted is what `members token` prints")
    return _token(_FORM.read(text))


def looks_like_ledger_token(text: str) -> bool:
    """Return whether `text` can only be meant as a ledger token."""
    return _FORM.is_meant(text)


def _token(body: bytes) -> LedgerToken:
    try:
        fields = decode(body, limits=_LIMITS)
        if not isinstance(fields, Mapping):
            raise SchemaError("a map is wanted")
        if fields.get("v") != 1:
            raise LedgerTokenError(
                f"the ledger token is of version {fields.get('v')!r}, this program reads version 1: update it"
            )
        schema.keys_exactly(fields, _REQUIRED, _OPTIONAL)
        token = LedgerToken(
            genesis_block=schema.data(fields, "genesis"),
            grant_block=schema.optional(fields, "grant", lambda: schema.data(fields, "grant")),
            urls=texts(fields, "urls"),
            nodes=texts(fields, "nodes"),
            swarm_key=schema.optional(fields, "swarm_key", lambda: schema.octets(fields, "swarm_key", SWARM_KEY_BYTES)),
        )
        ledger, genesis = verify_genesis(token.genesis_block)
        if token.grant_block is not None:
            _check_grant(check_alone(token.grant_block, ledger), genesis)
    except (DecodeError, SchemaError, Refusal) as error:
        raise LedgerTokenError(f"the ledger token was made wrongly: {error}") from None
    return token


def _check_grant(signed: SignedEvent, genesis: Genesis) -> None:
    if not admissions(signed.event, genesis):
        raise SchemaError("grant: no event in which an owner admits anybody")
