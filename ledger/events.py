"""The two kinds of block in a ledger, Genesis and Event, and their canonical bytes.

Implements: specs/events.md (schema, what is signed, what a task key commits to) and rule A3 of specs/acceptance.md.
Leaves out whether a block is accepted (ledger.acceptance) and what its operations mean (crdt).
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, NewType

from ledger import schema
from ledger.cid import Cid
from ledger.codec import Value, encode
from ledger.keys import ActorKey
from ledger.schema import SchemaError

TaskKey = NewType("TaskKey", bytes)
"""32 bytes: the hash of ledger, submitter and spec."""

VERSION: Final = 1
SIGNATURE_BYTES: Final = 64
KEY_BYTES: Final = 32
OWNERS_MAX: Final = 16
PARENTS_MAX: Final = 64
CITES_MAX: Final = 1024
BLOBS_MAX: Final = 256
OPS_MAX: Final = 1024
OP_NAME_BYTES_MAX: Final = 64

EVENT_PREFIX: Final = b"p2p-workflow/event/v1\0"
TASK_PREFIX: Final = b"p2p-workflow/task/v1\0"

_GENESIS_KEYS: Final = frozenset(("v", "kind", "name", "created", "nonce", "owners", "policy"))
_POLICY_KEYS: Final = frozenset(
    ("admission", "lease_ms", "lease_ms_max", "timeout_ms", "grace_ms", "skew_ms", "aging_ms", "max_attempts")
)
_EVENT_KEYS: Final = frozenset(
    ("v", "ledger", "actor", "grant", "parents", "cites", "blobs", "height", "time", "ops", "sig")
)

Operations = tuple[dict[str, Value], ...]


class Role(StrEnum):
    """What a grant lets its actor do; owners hold every role."""

    SUBMITTER = "submitter"
    WORKER = "worker"


class Admission(StrEnum):
    """Who may submit: only admitted keys, or anyone."""

    MEMBERS = "members"
    OPEN = "open"


@dataclass(frozen=True, slots=True)
class Policy:
    """The numbers a ledger is founded with; all durations in ms. Defaults: the table of specs/assignment.md."""

    admission: Admission = Admission.MEMBERS
    lease_ms: int = 60_000
    lease_ms_max: int = 86_400_000
    timeout_ms: int = 21_600_000
    grace_ms: int = 2_000
    skew_ms: int = 10_000
    aging_ms: int = 600_000
    max_attempts: int = 3

    def to_map(self) -> dict[str, Value]:
        """Return the map that stands in a genesis block."""
        return {name: getattr(self, name) for name in _POLICY_KEYS} | {"admission": str(self.admission)}

    @classmethod
    def from_map(cls, fields: schema.Fields) -> Policy:
        """Return the policy in `fields`; raise SchemaError where a rule of A3 is broken."""
        schema.keys_exactly(fields, _POLICY_KEYS)
        durations = {
            name: schema.integer(fields, name, 1, schema.DURATION_MS_MAX)
            for name in sorted(_POLICY_KEYS)
            if name.endswith(("_ms", "_ms_max"))
        }
        policy = cls(
            admission=Admission(schema.choice(fields, "admission", frozenset(Admission))),
            max_attempts=schema.integer(fields, "max_attempts", 1, 100),
            **durations,
        )
        # A claim must not run out by the skew of two honest clocks alone.
        if policy.lease_ms < 4 * policy.skew_ms:
            raise SchemaError("policy: lease_ms must be at least 4 * skew_ms")
        if policy.lease_ms > policy.lease_ms_max:
            raise SchemaError("policy: lease_ms must not exceed lease_ms_max")
        return policy


@dataclass(frozen=True, slots=True)
class Genesis:
    """The first block of a ledger: its CID is the ledger's name. `created` in ms since 1970."""

    name: str
    created: int
    nonce: bytes
    owners: tuple[ActorKey, ...]
    policy: Policy = Policy()
    previous: tuple[Cid, ...] = ()

    def encode(self) -> bytes:
        """Return the canonical block."""
        fields: dict[str, Value] = {
            "v": VERSION,
            "kind": "genesis",
            "name": self.name,
            "created": self.created,
            "nonce": self.nonce,
            "owners": list(self.owners),
            "policy": self.policy.to_map(),
        }
        if self.previous:
            fields["previous"] = list(self.previous)
        return encode(fields)

    @classmethod
    def from_map(cls, fields: schema.Fields) -> Genesis:
        """Return the genesis in `fields`; raise SchemaError where a rule of A3 is broken."""
        schema.keys_exactly(fields, _GENESIS_KEYS, frozenset(("previous",)))
        schema.integer(fields, "v", VERSION, VERSION)
        schema.choice(fields, "kind", frozenset(("genesis",)))
        previous = schema.optional(fields, "previous", lambda: schema.links(fields, "previous", PARENTS_MAX, 1)) or ()
        if list(previous) != sorted(set(previous)):
            raise SchemaError("previous: sorted and unique links are wanted")
        return cls(
            name=schema.text(fields, "name", 200),
            created=schema.integer(fields, "created", 0, schema.TIME_MAX),
            nonce=schema.octets(fields, "nonce", 16),
            owners=tuple(map(ActorKey, schema.octets_set(fields, "owners", OWNERS_MAX, KEY_BYTES, 1))),
            policy=Policy.from_map(schema.submap(fields, "policy")),
            previous=previous,
        )


@dataclass(frozen=True, slots=True)
class Event:
    """One signed fact: who says what, having seen what. `time` in ms since 1970, by the actor's own word."""

    ledger: Cid
    actor: ActorKey
    grant: Cid
    parents: tuple[Cid, ...]
    cites: tuple[Cid, ...]
    blobs: tuple[Cid, ...]
    height: int
    time: int
    ops: Operations
    sig: bytes = b""

    def links(self) -> tuple[Cid, ...]:
        """Return the events this one has in its causal past at first hand: grant, parents, cites; each once."""
        return tuple(dict.fromkeys((self.grant, *self.parents, *self.cites)))

    def signed_bytes(self) -> bytes:
        """Return what `sig` is over: the domain prefix and the canonical event without `sig`."""
        return EVENT_PREFIX + encode(self._unsigned())

    def encode(self) -> bytes:
        """Return the canonical block, with its signature."""
        return encode(self._unsigned() | {"sig": self.sig})

    def _unsigned(self) -> dict[str, Value]:
        return {
            "v": VERSION,
            "ledger": self.ledger,
            "actor": self.actor,
            "grant": self.grant,
            "parents": list(self.parents),
            "cites": list(self.cites),
            "blobs": list(self.blobs),
            "height": self.height,
            "time": self.time,
            "ops": list(self.ops),
        }

    @classmethod
    def from_map(cls, fields: schema.Fields) -> Event:
        """Return the event in `fields`; raise SchemaError where a rule of A3 is broken. Order of links is A11's."""
        schema.keys_exactly(fields, _EVENT_KEYS)
        schema.integer(fields, "v", VERSION, VERSION)
        return cls(
            ledger=schema.link(fields, "ledger"),
            actor=ActorKey(schema.octets(fields, "actor", KEY_BYTES)),
            grant=schema.link(fields, "grant"),
            parents=schema.links(fields, "parents", CITES_MAX),
            cites=schema.links(fields, "cites", CITES_MAX),
            blobs=schema.any_links(fields, "blobs", BLOBS_MAX),
            height=schema.integer(fields, "height", 1, schema.TIME_MAX),
            time=schema.integer(fields, "time", 1, schema.TIME_MAX),
            ops=_operations(fields),
            sig=schema.octets(fields, "sig", SIGNATURE_BYTES),
        )


@dataclass(frozen=True, slots=True)
class Grant:
    """What an event's author may do: an owner's every role, or what the admission it acts under names."""

    roles: frozenset[str]
    is_owner: bool = False
    labels: tuple[str, ...] = ()
    name: str | None = None


OWNER_GRANT: Final = Grant(frozenset(Role), is_owner=True)
OPEN_GRANT: Final = Grant(frozenset((Role.SUBMITTER,)))


@dataclass(frozen=True, slots=True)
class VerifiedEvent:
    """An accepted event. Only `ledger.acceptance.verify_event` makes one, so that no unsigned event ever counts."""

    cid: Cid
    event: Event
    grant: Grant
    block: bytes


def task_key(ledger: Cid, submitter: ActorKey, spec: schema.Fields) -> TaskKey:
    """Return the key of the task that `submitter` asks for by `spec`: the same request is the same task."""
    return TaskKey(hashlib.sha256(TASK_PREFIX + ledger + submitter + encode(dict(spec))).digest())  # type: ignore[arg-type]  # a decoded map: Mapping is invariant in its value


def _operations(fields: schema.Fields) -> Operations:
    found: list[dict[str, Value]] = []
    for op in schema.items(fields, "ops", OPS_MAX):
        if not isinstance(op, dict):
            raise SchemaError("ops: maps are wanted")
        schema.text(op, "op", OP_NAME_BYTES_MAX)
        found.append(op)
    return tuple(found)
