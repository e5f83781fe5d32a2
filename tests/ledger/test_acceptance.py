"""Acceptance: each rule A1 to A11 by an event that breaks just it, signed in earnest; the order of the rules."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ledger.acceptance import (
    REFUSED,
    MissingLinks,
    Refusal,
    check_alone,
    signed_part,
    verify_event,
    verify_genesis,
)
from ledger.cid import Cid
from ledger.codec import BLOCK_BYTES_MAX, Value, decode, encode
from ledger.curve import POINT_BYTES
from ledger.events import OPEN_GRANT, OWNER_GRANT, Admission, VerifiedEvent
from ledger.keys import ActorKey
from tests.ledger.world import OWNER, STRANGER, T0, WORKER, World, event_of, resigned

P = 2**255 - 19
IDENTITY = (1).to_bytes(POINT_BYTES, "little")
ORDER_2 = (P - 1).to_bytes(POINT_BYTES, "little")
ORDER_8 = bytes.fromhex("26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05")
SMALL_ORDER = [IDENTITY, ORDER_2, bytes(32), ORDER_8, IDENTITY[:31] + b"\x80"]
NOT_CANONICAL = [(P + 3).to_bytes(32, "little"), (2**255 - 1).to_bytes(32, "little"), b"\xff" * 32]


def judge(world: World, block: bytes) -> VerifiedEvent:
    """Run all checks on `block`."""
    return verify_event(check_alone(block, world.ledger), world.ledger, world.genesis, world.find)


def rule_of(world: World, block: bytes) -> str:
    """Return the rule that refuses `block`."""
    with pytest.raises(Refusal) as caught:
        judge(world, block)
    assert str(caught.value).startswith(f"{caught.value.rule}: ")
    return caught.value.rule


def changed(block: bytes, **fields: Value) -> bytes:
    """Return `block` with other fields and its old signature."""
    old = decode(block)
    assert isinstance(old, dict)
    return encode(old | fields)


def test_what_keeps_all_rules_is_accepted() -> None:
    """An event that breaks no rule is accepted, with the grant of its actor."""
    world = World()
    grant = world.admit(WORKER, ["worker"])
    own, theirs = judge(world, world.event(OWNER)), judge(world, world.event(WORKER, parents=[grant]))
    assert own.grant == OWNER_GRANT
    assert theirs.grant.roles == {"worker"}
    assert not theirs.grant.is_owner
    assert theirs.cid == Cid.of(theirs.block)


def test_a1_size() -> None:
    """A1: a block of 65,537 bytes is refused before anything in it is read; one of 65,536 is not."""
    world = World()
    empty = len(world.event(ops=[{"op": "x", "pad": bytes(60_000)}])) - 60_000
    just = world.event(ops=[{"op": "x", "pad": bytes(BLOCK_BYTES_MAX - empty)}])
    assert len(just) == BLOCK_BYTES_MAX
    assert judge(world, just).block == just
    assert rule_of(world, just + b"\0") == "A1"


def test_a1_nesting() -> None:
    """A1: containers nested deeper than 8 are refused, and thousands of levels cost no recursion."""
    world = World()

    def nested(depth: int) -> bytes:
        value: Value = 0
        for _ in range(depth):
            value = [value]
        return world.event(ops=[{"op": "x", "deep": value}])

    assert judge(world, nested(5)).event.height == 1  # the map, ops and the operation are three
    assert rule_of(world, nested(6)) == "A1"
    assert rule_of(world, b"\x81" * 50_000 + b"\0") == "A1"
    assert sys.getrecursionlimit() < 50_000


def test_a1_items() -> None:
    """A1: more than 16,384 data items are refused."""
    world = World()
    many: list[Value] = [0] * 16_384
    assert rule_of(world, world.event(ops=[{"op": "x", "many": many}])) == "A1"
    judge(world, world.event(ops=[{"op": "x", "many": many[:16_000]}]))


@pytest.mark.parametrize(
    "damage",
    [
        lambda block: block + b"\0",
        lambda block: block[:-1],
        lambda block: block.replace(b"\x66height\x01", b"\x66height\x18\x01"),
        lambda block: block.replace(b"\x61v\x01", b"\x61v\xfb\x3f\xf0\0\0\0\0\0\0"),
        lambda block: b"\xbf" + block[1:] + b"\xff",
        lambda block: b"\xa2\x61b\x00\x61a\x00",
        lambda block: b"",
    ],
    ids=["tail", "cut", "long integer", "float", "indefinite", "order of keys", "empty"],
)
def test_a2_canonical(damage: Callable[[bytes], bytes]) -> None:
    """A2: whatever is not the one canonical encoding is refused, though it may say the same."""
    world = World()
    assert rule_of(world, damage(world.event())) == "A2"


@pytest.mark.parametrize(
    "fields",
    [
        {"v": 2},
        {"height": 0},
        {"height": 2**53},
        {"time": -1},
        {"time": "now"},
        {"actor": b"short"},
        {"sig": bytes(63)},
        {"grant": None},
        {"cites": [1]},
        {"ops": [{"no": "name"}]},
        {"ops": [{"op": ""}]},
        {"ops": [{"op": "x" * 65}]},
        {"ops": [1]},
        {"ops": {"op": "x"}},
        {"ops": [{"op": "x"}] * 1025},
        {"more": 1},
    ],
    ids=lambda fields: repr(fields)[:30],
)
def test_a3_schema(fields: dict[str, Value]) -> None:
    """A3: a field too many, of another type or out of range is refused."""
    world = World()
    assert rule_of(world, changed(world.event(), **fields)) == "A3"


def test_a3_no_map_and_missing_field() -> None:
    """A3: what is no map, or lacks a field, is refused."""
    world = World()
    fields = decode(world.event())
    assert isinstance(fields, dict)
    del fields["blobs"]
    assert rule_of(world, encode(fields)) == "A3"
    assert rule_of(world, encode([1])) == "A3"
    assert rule_of(world, encode({"kind": "genesis"})) == "A3"


def test_a4_ledger() -> None:
    """A4: an event, or the genesis, of another ledger is refused."""
    world, other = World(), World(name="other")
    assert rule_of(world, other.event()) == "A4"
    assert rule_of(world, other.genesis_block) == "A4"


@pytest.mark.parametrize("point", SMALL_ORDER + NOT_CANONICAL, ids=bytes.hex)
def test_a5_actor_and_r(point: bytes) -> None:
    """A5: an actor's key, an owner's key or an R of small order or not canonical is refused before verifying."""
    world = World()
    block = world.event()
    assert rule_of(world, changed(block, actor=point)) == "A5"
    assert rule_of(world, changed(block, sig=point + event_of(block).sig[32:])) == "A5"
    with pytest.raises(Refusal) as caught:
        verify_genesis(replace(world.genesis, owners=(ActorKey(point),)).encode())
    assert caught.value.rule == "A5"


def test_a5_small_order_forgery() -> None:
    """A5: under a key of small order one signature fits every message; such an event is refused all the same."""
    world = World()
    event = replace(event_of(world.event()), actor=ActorKey(IDENTITY), sig=IDENTITY + bytes(32))
    assert rule_of(world, event.encode()) == "A5"


@pytest.mark.parametrize("position", [0, 31, 32, 63])
def test_a6_signature(position: int) -> None:
    """A6: a changed signature is refused (A5 where R is no longer allowed)."""
    world = World()
    block = world.event()
    sig = bytearray(event_of(block).sig)
    sig[position] ^= 1
    assert rule_of(world, changed(block, sig=bytes(sig))) == "A6"


def test_a6_forged_signer() -> None:
    """A6: nobody signs in another's name, and what is signed covers every field but the signature."""
    world = World()
    block = world.event(WORKER)
    forged = replace(event_of(block), actor=OWNER.actor).encode()
    assert rule_of(world, forged) == "A6"
    lies: list[dict[str, Value]] = [
        {"time": T0 + 1},
        {"height": 2},
        {"ops": []},
        {"blobs": [world.ledger]},
        {"parents": []},
    ]
    for fields in lies:
        assert rule_of(world, changed(world.event(ops=[{"op": "x"}]), **fields)) == "A6"


def test_a6_scalar_is_reduced() -> None:
    """A6: S + L, which some libraries take for S, is refused."""
    world = World()
    block = world.event()
    sig = event_of(block).sig
    s = int.from_bytes(sig[32:], "little") + 2**252 + 27742317777372353535851937790883648493
    assert rule_of(world, changed(block, sig=sig[:32] + s.to_bytes(32, "little"))) == "A6"


def test_a7_missing_links() -> None:
    """A7: an event waits while links are missing, and asks for its grant first."""
    world = World()
    grant, parent, cite = Cid.of(b"grant"), Cid.of(b"parent"), Cid.of(b"cite")
    block = world.event(WORKER, grant=grant, parents=[parent], cites=[cite])
    with pytest.raises(MissingLinks) as caught:
        judge(world, block)
    assert caught.value.missing == (grant, parent, cite)


def test_a7_refused_link() -> None:
    """A7: what links a refused block is refused, whatever else is missing."""
    world = World()
    bad = Cid.of(b"bad")
    world.known[bad] = REFUSED
    assert rule_of(world, world.event(parents=[bad, Cid.of(b"missing")])) == "A7"


def test_a8_members_only() -> None:
    """A8: under the genesis of a members-only ledger only owners act."""
    world = World()
    assert rule_of(world, world.event(STRANGER)) == "A8"


def test_a8_open_admission() -> None:
    """A8: where admission is open a stranger is a submitter, no more."""
    world = World(admission=Admission.OPEN)
    assert judge(world, world.event(STRANGER)).grant == OPEN_GRANT


def test_a8_owner_under_genesis_only() -> None:
    """A8: an owner acts under the genesis and nothing else."""
    world = World()
    ops: list[dict[str, Value]] = [{"op": "admit", "actor": OWNER.actor, "roles": ["worker"]}]
    grant = world.add(world.event(ops=ops))
    assert rule_of(world, world.event(OWNER, grant=grant)) == "A8"


def test_a8_grant_of_a_non_owner_or_of_another() -> None:
    """A8: only an owner's admission of just this actor is a grant."""
    world = World()
    mine = world.admit(WORKER)
    ops: list[dict[str, Value]] = [{"op": "admit", "actor": STRANGER.actor, "roles": ["worker"]}]
    by_worker = world.add(world.event(WORKER, parents=[mine], ops=ops))
    assert rule_of(world, world.event(STRANGER, grant=by_worker, parents=[by_worker])) == "A8"
    assert rule_of(world, world.event(STRANGER, grant=mine, parents=[mine])) == "A8"


def test_a8_the_first_admit_of_an_actor_decides() -> None:
    """A8: of several admits of one actor in one event the first decides; where it is malformed, nothing is admitted."""
    world = World()
    first: dict[str, Value] = {"op": "admit", "actor": WORKER.actor, "roles": ["submitter"]}
    second: dict[str, Value] = {"op": "admit", "actor": WORKER.actor, "roles": ["worker"]}
    broken: dict[str, Value] = {"op": "admit", "actor": WORKER.actor, "roles": []}
    noise: dict[str, Value] = {"op": "note", "actor": WORKER.actor}
    grant = world.add(world.event(ops=[noise, first, second]))
    assert judge(world, world.event(WORKER, grant=grant)).grant.roles == {"submitter"}
    grant = world.add(world.event(ops=[broken, second]))
    assert rule_of(world, world.event(WORKER, grant=grant)) == "A8"


@pytest.mark.parametrize("height", [1, 2, 4, 100])
def test_a9_height(height: int) -> None:
    """A9: the height is one more than the greatest of grant, parents and cites, no less and no more."""
    world = World()
    low, high = world.chain(2)
    assert rule_of(world, world.event(parents=[low], cites=[high], height=height)) == "A9"
    judge(world, world.event(parents=[low], cites=[high], height=3))


def test_a9_counts_the_grant() -> None:
    """A9: the height counts from the grant as well."""
    world = World()
    tip = world.chain(5)[-1]
    ops: list[dict[str, Value]] = [{"op": "admit", "actor": WORKER.actor, "roles": ["worker"]}]
    grant = world.add(world.event(parents=[tip], ops=ops))
    assert rule_of(world, world.event(WORKER, grant=grant, height=1)) == "A9"
    assert judge(world, world.event(WORKER, grant=grant)).event.height == 7


def test_a10_time() -> None:
    """A10: no event is older than what it links, be it parent, cite, grant or genesis; the same instant is allowed."""
    world = World()
    late = world.add(world.event(time=T0 + 1000))
    assert rule_of(world, world.event(parents=[late], time=T0 + 999)) == "A10"
    assert rule_of(world, world.event(cites=[late], time=T0 + 999)) == "A10"
    assert rule_of(world, world.event(time=T0 - 1)) == "A10"
    judge(world, world.event(parents=[late], time=T0 + 1000))


def test_a11_order_of_parents() -> None:
    """A11: parents are sorted by bytes, unique, 1 to 64."""
    world = World()
    cids = sorted(world.add(world.event(ops=[{"op": "n", "n": n}])) for n in range(65))
    event = event_of(world.event(parents=cids[:2]))
    for parents in ((cids[1], cids[0]), (cids[0], cids[0]), tuple(cids)):
        assert rule_of(world, resigned(OWNER, replace(event, parents=parents))) == "A11"
    assert rule_of(world, resigned(OWNER, replace(event, parents=(), height=1))) == "A11"
    judge(world, resigned(OWNER, replace(event, parents=tuple(cids[:64]))))


def test_a11_unique_cites_and_blobs() -> None:
    """A11: cites and blobs are unique, in any order."""
    world = World()
    first, second = sorted(world.chain(2))
    blob = Cid.of_raw(b"data")
    assert rule_of(world, world.event(cites=[first, first])) == "A11"
    assert rule_of(world, world.event(blobs=[blob, blob])) == "A11"
    judge(world, world.event(cites=[second, first], blobs=[blob]))


def test_order_of_the_rules() -> None:
    """An event that breaks several rules is refused by the first: mended one by one, the rules come in their order."""
    world, other = World(), World(name="other")
    tip = world.chain(1)[0]
    missing, bad_parents = Cid.of(b"missing"), (tip, tip)
    event = replace(event_of(other.event(STRANGER)), parents=bad_parents, cites=(missing,), height=9, time=1)
    small = replace(event, actor=ActorKey(IDENTITY), sig=bytes(64))
    assert rule_of(world, changed(small.encode(), v=2) + bytes(BLOCK_BYTES_MAX)) == "A1"
    assert rule_of(world, changed(small.encode(), v=2) + b"\0") == "A2"
    assert rule_of(world, changed(small.encode(), v=2)) == "A3"
    assert rule_of(world, small.encode()) == "A4"
    small = replace(small, ledger=world.ledger)
    assert rule_of(world, small.encode()) == "A5"
    event = replace(event, ledger=world.ledger, grant=world.ledger)
    assert rule_of(world, event.encode()) == "A6"
    with pytest.raises(MissingLinks):
        judge(world, resigned(STRANGER, event))
    event = replace(event, cites=())
    assert rule_of(world, resigned(STRANGER, event)) == "A8"
    assert rule_of(world, resigned(OWNER, event)) == "A9"
    event = replace(event, height=2)
    assert rule_of(world, resigned(OWNER, event)) == "A10"
    event = replace(event, time=T0)
    assert rule_of(world, resigned(OWNER, event)) == "A11"
    judge(world, resigned(OWNER, replace(event, parents=(tip,))))


def test_genesis_rules() -> None:
    """A genesis is refused by A1, A2, A3 or A5, and else names its ledger by its CID."""
    world = World()
    block = world.genesis_block
    assert verify_genesis(block) == (world.ledger, world.genesis)
    for broken, rule in (
        (block + bytes(BLOCK_BYTES_MAX), "A1"),
        (block + b"\0", "A2"),
        (changed(block, nonce=b"short"), "A3"),
        (changed(block, owners=[]), "A3"),
        (changed(block, owners=[OWNER.actor, OWNER.actor]), "A3"),
        (changed(block, owners=[IDENTITY]), "A5"),
    ):
        with pytest.raises(Refusal) as caught:
            verify_genesis(broken)
        assert caught.value.rule == rule


@settings(max_examples=100, deadline=None)
@given(st.lists(st.binary(max_size=100), max_size=5), st.integers(0, 300))
def test_signed_part_is_what_was_signed(pads: list[bytes], length: int) -> None:
    """The part cut out of the block is the prefix and the canonical event without its signature, whatever ops hold."""
    world = World()
    ops: list[dict[str, Value]] = [{"op": "x", "sig": pad, "pad": b"\x63sig\x58\x40" + bytes(length)} for pad in pads]
    event = event_of(world.event(ops=ops))
    trap: dict[str, Value] = {"op": "trap", "sig": event.sig, "map": {"sig": event.sig}}
    for one in (event, replace(event, ops=(*event.ops, trap))):
        assert signed_part(one.encode(), one.sig) == one.signed_bytes()


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_damaged_bytes_are_refused(data: st.DataObject) -> None:
    """Whatever bytes of a block are changed, it is refused or waits: nothing else is raised and nothing is accepted."""
    world = World()
    block = bytearray(world.event(ops=[{"op": "note", "text": "as it was"}]))
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(block) - 1))
        block[at] ^= data.draw(st.integers(1, 255))
    if bytes(block) == world.event(ops=[{"op": "note", "text": "as it was"}]):
        return
    with pytest.raises((Refusal, MissingLinks)):
        judge(world, bytes(block))


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=300))
def test_any_bytes_get_a_verdict(data: bytes) -> None:
    """Any bytes at all get a refusal by A1, A2 or A3."""
    with pytest.raises(Refusal) as caught:
        check_alone(data, World().ledger)
    assert caught.value.rule in {"A1", "A2", "A3"}


def test_verified_events_are_made_in_one_place() -> None:
    """Only verify_event makes a VerifiedEvent: no other line of the source tree calls its constructor."""
    root = Path(__file__).parents[2]
    packages = ("ledger", "crdt", "scheduler", "cli", "ipfs_accelerate_py")
    calls = [
        path.relative_to(root).as_posix()
        for package in packages
        for path in (root / package).rglob("*.py")
        for line in path.read_text().splitlines()
        if re.search(r"\bVerifiedEvent\(", line) and not line.startswith("class ")
    ]
    assert calls == ["ledger/acceptance.py"]
