"""Genesis and events: what they are on the wire, their limits, and the keys derived from them."""

from __future__ import annotations

import hashlib
from dataclasses import replace

import dag_cbor
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ledger.cid import Cid
from ledger.codec import Value, decode, encode
from ledger.events import Admission, Event, Genesis, Policy, task_key
from ledger.keys import ActorKey
from ledger.schema import SchemaError
from tests.ledger.world import OWNER, STRANGER, WORKER, World, event_of

CIDS = st.binary(max_size=4).map(Cid.of)
KEYS = st.binary(min_size=32, max_size=32).map(ActorKey)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.text(max_size=5) | st.binary(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
OPS = st.builds(
    lambda name, rest: rest | {"op": name}, st.text(min_size=1, max_size=8), st.dictionaries(st.text(), VALUES)
)
EVENTS = st.builds(
    Event,
    ledger=CIDS,
    actor=KEYS,
    grant=CIDS,
    parents=st.lists(CIDS, max_size=4).map(tuple),
    cites=st.lists(CIDS, max_size=4).map(tuple),
    blobs=st.lists(CIDS | st.binary(max_size=4).map(Cid.of_raw), max_size=4).map(tuple),
    height=st.integers(1, 2**53 - 1),
    time=st.integers(1, 2**53 - 1),
    ops=st.lists(OPS, max_size=3).map(tuple),
    sig=st.binary(min_size=64, max_size=64),
)
GENESES = st.builds(
    Genesis,
    name=st.text(min_size=1, max_size=50),
    created=st.integers(1, 2**53 - 1),
    nonce=st.binary(min_size=16, max_size=16),
    owners=st.lists(KEYS, min_size=1, max_size=16, unique=True).map(lambda keys: tuple(sorted(keys))),
    policy=st.builds(Policy, admission=st.sampled_from(Admission), max_attempts=st.integers(1, 100)),
    previous=st.lists(CIDS, max_size=5, unique=True).map(lambda cids: tuple(sorted(cids))),
)


@settings(max_examples=100, deadline=None)
@given(EVENTS)
def test_events_come_back(event: Event) -> None:
    """Decoding gives the event that was encoded, and another library reads the same from its bytes."""
    block = event.encode()
    fields = decode(block)
    assert isinstance(fields, dict)
    assert Event.from_map(fields) == event
    theirs = dag_cbor.decode(block)
    assert isinstance(theirs, dict)
    assert set(theirs) == {
        *("v", "ledger", "actor", "grant", "parents", "cites", "blobs"),
        *("height", "time", "ops", "sig"),
    }
    assert bytes(theirs["grant"]) == event.grant  # type: ignore[arg-type]  # a CID of multiformats


@settings(max_examples=50, deadline=None)
@given(GENESES)
def test_geneses_come_back(genesis: Genesis) -> None:
    """Decoding gives the genesis that was encoded."""
    fields = decode(genesis.encode())
    assert isinstance(fields, dict)
    assert Genesis.from_map(fields) == genesis


@settings(max_examples=50, deadline=None)
@given(EVENTS)
def test_what_is_signed(event: Event) -> None:
    """What is signed is the prefix and the canonical event without `sig`; the signature does not enter it."""
    fields = decode(event.encode())
    assert isinstance(fields, dict)
    del fields["sig"]
    assert event.signed_bytes() == b"p2p-workflow/event/v1\0" + encode(fields)
    assert replace(event, sig=bytes(64)).signed_bytes() == event.signed_bytes()


def test_links_are_grant_parents_and_cites_once_each() -> None:
    """Links have the grant first and name nothing twice; blobs are none."""
    a, b, c = (Cid.of(bytes([n])) for n in range(3))
    event = replace(event_of(World().event()), grant=c, parents=(a, c), cites=(b, a), blobs=(Cid.of(b"blob"),))
    assert event.links() == (c, a, b)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("v", 2),
        ("kind", "ledger"),
        ("name", ""),
        ("name", "é" * 101),
        ("created", -1),
        ("created", 2**53),
        ("nonce", bytes(15)),
        ("owners", []),
        ("owners", [STRANGER.actor, OWNER.actor, WORKER.actor] * 6),
        ("owners", sorted([STRANGER.actor, OWNER.actor], reverse=True)),
        ("owners", [OWNER.actor, OWNER.actor]),
        ("previous", []),
        ("previous", [Cid.of_raw(b"")]),
        ("previous", sorted([Cid.of(b"a"), Cid.of(b"b")], reverse=True)),
        ("policy", None),
        ("more", 1),
    ],
    ids=lambda value: repr(value)[:12] + str(len(repr(value))),
)
def test_genesis_fields(field: str, value: Value) -> None:
    """A genesis with a field of another type, length, order or range is none."""
    fields = decode(World().genesis_block)
    assert isinstance(fields, dict)
    with pytest.raises(SchemaError, match=field):
        Genesis.from_map(fields | {field: value})


@pytest.mark.parametrize(
    "changes",
    [
        {"admission": "anyone"},
        {"lease_ms": 39_999},
        {"lease_ms": 60_001, "lease_ms_max": 60_000},
        {"max_attempts": 0},
        {"max_attempts": 101},
        {"grace_ms": 0},
        {"aging_ms": 10**12 + 1},
        {"skew_ms": True},
    ],
    ids=repr,
)
def test_policy_fields(changes: dict[str, Value]) -> None:
    """A policy keeps its ranges: a lease outlasts the skew of two clocks, and never exceeds its own maximum."""
    with pytest.raises(SchemaError):
        Policy.from_map(Policy().to_map() | changes)


def test_policy_at_its_limits() -> None:
    """A lease of just four skews, and just the maximum, is a policy."""
    policy = Policy(lease_ms=40_000, lease_ms_max=40_000, skew_ms=10_000)
    assert Policy.from_map(policy.to_map()) == policy


def test_task_key() -> None:
    """A task's key is the hash of ledger, submitter and spec: it depends on each, and not on the order of fields."""
    ledger, spec = Cid.of(b"ledger"), {"name": "n", "tags": ["a"]}
    key = task_key(ledger, OWNER.actor, spec)
    by_hand = b"p2p-workflow/task/v1\0" + ledger + OWNER.actor + dag_cbor.encode({"name": "n", "tags": ["a"]})
    assert key == hashlib.sha256(by_hand).digest()
    assert key == task_key(ledger, OWNER.actor, dict(reversed(spec.items())))
    others = [
        task_key(Cid.of(b"other"), OWNER.actor, spec),
        task_key(ledger, WORKER.actor, spec),
        task_key(ledger, OWNER.actor, spec | {"unknown": 1}),
    ]
    assert len({key, *others}) == 4
