"""A hint: what one peer says of itself on the ledger's topic, as signed bytes and back.

Implements: specs/hints.md, rules H1 and H2. Decoding is strict: what comes from others is exactly such a map, signed by
the actor it names, or it is refused under a rule. Leaves out: whom a reader listens to, how often (ledger.hint_gate),
and whether what a hint says is so: nothing in it is believed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Final

from ledger import schema
from ledger.cid import Cid
from ledger.codec import DecodeError, Limits, Value, decode, encode
from ledger.curve import is_canonical_point, is_small_order
from ledger.keys import ACTOR_KEY_BYTES, SIGNATURE_BYTES, ActorKey, SigningKey, verify_signature
from ledger.schema import SchemaError

HINT_BYTES_MAX: Final = 8_192
"""Largest hint, in bytes: 64 heads, eight addresses and eight URLs of 256 bytes, and the rest."""
HEADS_MAX: Final = 64
"""Most heads that a hint names; of a log with more it carries the clock's root alone."""
ADDRESSES_MAX: Final = 8
ADDRESS_BYTES_MAX: Final = 256
NAME_BYTES_MAX: Final = 128
ROOT_BYTES: Final = 32
REDUCER_MAX: Final = 2**31 - 1
HINT_PREFIX: Final = b"p2p-workflow/hint/v1\0"
TOPIC_PREFIX: Final = "p2p-workflow/hints/v1/"

_CLOCK_PREFIX: Final = b"p2p-workflow/clock/v1\0"  # C3: the layer above has it as a clock, this one needs the hash
_VERSION: Final = 1
_KIND: Final = "hint"
_REQUIRED: Final = frozenset(
    ("v", "kind", "ledger", "actor", "time", "heads", "clock", "events", "reducer", "state_root", "sig")
)
_OPTIONAL: Final = frozenset(("peer_id", "addresses", "urls", "manifest"))
_LIMITS: Final = Limits(HINT_BYTES_MAX, 2, 40 + HEADS_MAX + 2 * ADDRESSES_MAX)


class HintError(ValueError):
    """The bytes are no hint to be used: they break `rule`. Drop them."""

    def __init__(self, rule: str, words: str) -> None:
        super().__init__(f"{rule}: {words}")
        self.rule = rule
        self.words = words


@dataclass(frozen=True, slots=True)
class Hint:
    """What `actor` says of its log and its board at `time` (ms since 1970, by its own word).

    `heads` ascending, (ledger,) for an empty log, () where there are more than 64; `clock` is their root all the same
    (C3); `events` in the log; `state_root` of the board under the rules of version `reducer`. Where it can be reached:
    `peer_id` of its node, `addresses` (multiaddr), `urls` (http); `manifest`: the IPNS name of what it publishes.
    """

    ledger: Cid
    actor: ActorKey
    time: int
    heads: tuple[Cid, ...]
    clock: bytes
    events: int
    reducer: int
    state_root: bytes
    peer_id: str | None = None
    addresses: tuple[str, ...] = ()
    urls: tuple[str, ...] = ()
    manifest: str | None = None
    sig: bytes = b""

    def signed_bytes(self) -> bytes:
        """Return what `sig` is over: the domain prefix and the canonical hint without `sig`."""
        return HINT_PREFIX + encode(self._unsigned())

    def encode(self) -> bytes:
        """Return the canonical bytes, with the signature, unchecked."""
        return encode(self._unsigned() | {"sig": self.sig})

    def _unsigned(self) -> dict[str, Value]:
        fields: dict[str, Value] = {
            "v": _VERSION,
            "kind": _KIND,
            "ledger": self.ledger,
            "actor": self.actor,
            "time": self.time,
            "heads": list(self.heads),
            "clock": self.clock,
            "events": self.events,
            "reducer": self.reducer,
            "state_root": self.state_root,
        }
        if self.peer_id is not None:
            fields["peer_id"] = self.peer_id
        if self.addresses:
            fields["addresses"] = list(self.addresses)
        if self.urls:
            fields["urls"] = list(self.urls)
        if self.manifest is not None:
            fields["manifest"] = self.manifest
        return fields


def topic_of(ledger: Cid) -> str:
    """Return the name of the gossipsub topic on which the peers of a ledger tell hints."""
    return f"{TOPIC_PREFIX}{ledger}"


def sign_hint(key: SigningKey, hint: Hint) -> bytes:
    """Return the bytes of `hint` as told and signed by `key`; of more than 64 heads none are named.

    Raises HintError where it could not be read back.
    """
    heads = hint.heads if len(hint.heads) <= HEADS_MAX else ()
    ours = replace(hint, actor=key.actor, heads=heads, sig=b"")
    data = replace(ours, sig=key.sign(ours.signed_bytes())).encode()
    decode_hint(data)
    return data


def decode_hint(data: bytes) -> Hint:
    """Return the hint in `data`, its signature not yet verified; raise HintError (H1) for anything else."""
    try:
        fields = decode(data, limits=_LIMITS)
    except DecodeError as error:
        raise HintError("H1", str(error)) from None
    if not isinstance(fields, Mapping):
        raise HintError("H1", "no map")
    try:
        hint = _hint(fields)
    except SchemaError as error:
        raise HintError("H1", str(error)) from None
    if any(a >= b for a, b in pairwise(hint.heads)):
        raise HintError("H1", "heads: ascending and unique links are wanted")
    if hint.heads and hashlib.sha256(_CLOCK_PREFIX + b"".join(hint.heads)).digest() != hint.clock:
        raise HintError("H1", "clock: it is not the root of the heads")
    return hint


def check_signature(hint: Hint) -> None:
    """Raise HintError (H2) unless the actor signed the hint, by a key and R that no two libraries judge differently."""
    for what, point in (("the actor's key", hint.actor), ("R of the signature", hint.sig[:32])):
        if not is_canonical_point(point) or is_small_order(point):
            raise HintError("H2", f"{what} is not canonical or of small order")
    if not verify_signature(hint.actor, hint.signed_bytes(), hint.sig):
        raise HintError("H2", "the signature does not verify")


def _hint(fields: schema.Fields) -> Hint:
    schema.keys_exactly(fields, _REQUIRED, _OPTIONAL)
    schema.integer(fields, "v", _VERSION, _VERSION)
    schema.choice(fields, "kind", frozenset((_KIND,)))
    return Hint(
        ledger=schema.link(fields, "ledger"),
        actor=ActorKey(schema.octets(fields, "actor", ACTOR_KEY_BYTES)),
        time=schema.integer(fields, "time", 1, schema.TIME_MAX),
        heads=schema.links(fields, "heads", HEADS_MAX),
        clock=schema.octets(fields, "clock", ROOT_BYTES),
        events=schema.integer(fields, "events", 0, schema.TIME_MAX),
        reducer=schema.integer(fields, "reducer", 1, REDUCER_MAX),
        state_root=schema.octets(fields, "state_root", ROOT_BYTES),
        peer_id=schema.optional(fields, "peer_id", lambda: schema.text(fields, "peer_id", NAME_BYTES_MAX)),
        addresses=_texts(fields, "addresses"),
        urls=_texts(fields, "urls"),
        manifest=schema.optional(fields, "manifest", lambda: schema.text(fields, "manifest", NAME_BYTES_MAX)),
        sig=schema.octets(fields, "sig", SIGNATURE_BYTES),
    )


def _texts(fields: schema.Fields, name: str) -> tuple[str, ...]:
    """Return the texts of an optional list in the order of preference; one that is there is not empty."""
    if name not in fields:
        return ()
    values = schema.items(fields, name, ADDRESSES_MAX, 1)
    return tuple(schema.text({name: value}, name, ADDRESS_BYTES_MAX) for value in values)
