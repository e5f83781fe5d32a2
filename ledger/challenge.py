"""A challenge and the answer to it: how a key shows that it is the one that asks.

Implements: specs/exchange.md, rule X14. What is signed names the ledger, the server (audience) and the nonce, so that
an answer is of use there and nowhere else. Leaves out who is let in (ledger.doorkeeper) and how both travel
(ledger.exchange_server, ledger.exchange_client).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from ledger.cid import Cid
from ledger.codec import CodecError, Limits, decode, encode
from ledger.curve import is_canonical_point, is_small_order
from ledger.keys import ACTOR_KEY_BYTES, SIGNATURE_BYTES, ActorKey, SigningKey, did_key, verify_signature
from ledger.schema import Fields, SchemaError, integer, keys_exactly, link, octets, text

PREFIX: Final = b"p2p-workflow/challenge/v1\0"
"""In front of what is signed, so that no signature for an event, or anything else, is one for a challenge."""
AUDIENCE_BYTES_MAX: Final = 256
NONCE_BYTES: Final = 40
_LIMITS: Final = Limits(4_096, 2, 32)


class ChallengeError(Exception):
    """The answer lets nobody in: ask for a new challenge. The message says what is wrong with it."""


@dataclass(frozen=True, slots=True)
class Challenge:
    """What a server asks for: a signature over `nonce` for `ledger`, for it, who calls itself `server`."""

    ledger: Cid
    server: ActorKey
    nonce: bytes


@dataclass(frozen=True, slots=True)
class Proof:
    """The answer: `actor` signs the challenge's nonce and ledger, for `audience`."""

    actor: ActorKey
    nonce: bytes
    audience: str
    signature: bytes


def signed_bytes(ledger: Cid, nonce: bytes, audience: str, actor: ActorKey) -> bytes:
    """Return what an answer signs."""
    return PREFIX + encode({"ledger": ledger, "nonce": nonce, "audience": audience, "actor": actor})


def answer_challenge(key: SigningKey, challenge: Challenge, audience: str | None = None) -> Proof:
    """Return the answer of `key`, for the peer id it has dialled, else for the key the server names."""
    named = did_key(challenge.server) if audience is None else audience
    message = signed_bytes(challenge.ledger, challenge.nonce, named, key.actor)
    return Proof(key.actor, challenge.nonce, named, key.sign(message))


def encode_challenge(challenge: Challenge) -> bytes:
    """Return the one byte string that says `challenge`."""
    return encode({"v": 1, "ledger": challenge.ledger, "server": challenge.server, "nonce": challenge.nonce})


def decode_challenge(block: bytes) -> Challenge:
    """Return the challenge that `block` says; raise ChallengeError for any other bytes."""
    try:
        fields = _fields(block, frozenset({"v", "ledger", "server", "nonce"}))
        server = ActorKey(octets(fields, "server", ACTOR_KEY_BYTES))
        return Challenge(link(fields, "ledger"), server, octets(fields, "nonce", NONCE_BYTES))
    except (CodecError, SchemaError) as error:
        raise ChallengeError(f"no challenge: {error}") from error


def encode_proof(proof: Proof) -> bytes:
    """Return the one byte string that says `proof`."""
    return encode(
        {"v": 1, "actor": proof.actor, "nonce": proof.nonce, "audience": proof.audience, "sig": proof.signature}
    )


def decode_proof(block: bytes) -> Proof:
    """Return the answer that `block` says; raise ChallengeError for any other bytes."""
    try:
        fields = _fields(block, frozenset({"v", "actor", "nonce", "audience", "sig"}))
        return Proof(
            ActorKey(octets(fields, "actor", ACTOR_KEY_BYTES)),
            octets(fields, "nonce", NONCE_BYTES),
            text(fields, "audience", AUDIENCE_BYTES_MAX),
            octets(fields, "sig", SIGNATURE_BYTES),
        )
    except (CodecError, SchemaError) as error:
        raise ChallengeError(f"no answer to a challenge: {error}") from error


def verify_proof(proof: Proof, ledger: Cid) -> None:
    """Raise ChallengeError unless the signature is the actor's over just this, in this ledger.

    Keys and signatures that libraries differ on are refused first, as in an event (A5).
    """
    for point in (proof.actor, proof.signature[:ACTOR_KEY_BYTES]):
        if not is_canonical_point(point) or is_small_order(point):
            raise ChallengeError("the key or the signature is not canonical, or of small order")
    message = signed_bytes(ledger, proof.nonce, proof.audience, proof.actor)
    if not verify_signature(proof.actor, message, proof.signature):
        raise ChallengeError("the signature is not that of the key over this challenge")


def _fields(block: bytes, names: frozenset[str]) -> Fields:
    fields = decode(block, limits=_LIMITS)
    if not isinstance(fields, dict):
        raise SchemaError("a map is wanted")
    keys_exactly(fields, names)
    integer(fields, "v", 1, 1)
    return fields
