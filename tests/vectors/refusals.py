"""The blocks of specs/vectors/refused.json: each with the rule that refuses it, and some that only look as if.

A block is written as parts [hex, times], so that one of 65,537 bytes takes a line.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from ledger.cid import Cid
from ledger.codec import Value, decode, encode
from ledger.events import EVENT_PREFIX, Event, Genesis, Policy
from ledger.keys import ActorKey
from tests.vectors.curve_points import SMALL_ORDER_Y, L, P, find_x, mixed_key, sign_mixed
from tests.vectors.readable import dag_json
from tests.vectors.world import START_MS, World, event_of, key_of, seed_of, spec_of

Json = dict[str, object]
Parts = list[tuple[str, int]]
_REPETITION: Final = re.compile(rb"(.{1,41}?)\1{8,}", re.DOTALL)


class Cases:
    """Blocks for one ledger, and how each is to be judged."""

    def __init__(self) -> None:
        self.world = _world()
        self.found: list[Json] = []
        alice = self.world.block("alice", [{"op": "greet"}], at=100)
        self.good: Final = event_of(alice, self.world.ledger)

    def add(self, verdict: str, why: str, block: bytes, *, kind: str = "event", **more: object) -> None:
        """Add a case; `verdict` is the rule that refuses the block, or "accepted" or "waiting"."""
        short: Json = {"block": block.hex()} if len(block) < 2_000 else {"parts": _parts(block)}
        self.found.append({"verdict": verdict, "why": why, "kind": kind, **more, **short})

    def add_signed(self, verdict: str, why: str, event: Event, signer: str = "alice") -> None:
        """Add a case of an event that `signer` signs as it is."""
        self.add(verdict, why, signed(event, signer))


def signed(event: Event, signer: str = "alice") -> bytes:
    """Return the block of an event signed by a key, whatever actor the event names."""
    return replace(event, sig=key_of(signer).sign(event.signed_bytes())).encode()


def _parts(block: bytes) -> Parts:
    """Return the block as hex parts with its longest repetition folded."""
    longest = max(_REPETITION.finditer(block), key=lambda match: len(match[0]), default=None)
    if longest is None:
        return [(block.hex(), 1)]
    unit = longest[1]
    times = len(longest[0]) // len(unit)
    parts = [(block[: longest.start()].hex(), 1), (unit.hex(), times), (block[longest.end() :].hex(), 1)]
    return [part for part in parts if part[0]]


def _world() -> World:
    w = World("refused", owners=("owner", "owner2"))
    w.admit("grant-alice", "alice", at=1, roles=("submitter",))
    bob = key_of("bob").actor
    ops = ({"op": "admit", "actor": bob, "roles": []}, {"op": "admit", "actor": bob, "roles": ["worker"]})
    w.say("grant-malformed", "owner", "the first admit of bob is malformed", *ops, at=2, breaks="M2")
    w.submit("T", "alice", spec_of("t"), at=10)
    admit = {"op": "admit", "actor": key_of("stranger").actor, "roles": ["worker"]}
    w.say("grant-by-alice", "alice", "alice is no owner", admit, at=11, breaks="R1")
    return w


def refused_vector() -> Json:
    """Return the vector file of refused blocks."""
    cases = Cases()
    for build in (_a1, _a2, _a3, _a4, _a5, _a6, _a7, _a8, _a9_to_a11, _accepted):
        build(cases)
    world = cases.world
    return {
        "what": "Blocks by the rule that refuses them. `needs` are blocks to offer before, whatever their verdict.",
        "rules": [f"A{n}" for n in range(1, 12)] + ["E2"],
        "ledger": str(world.ledger),
        "genesis": world.genesis.encode().hex(),
        "accepted": [{"name": said.name, "cid": str(said.cid), "block": said.block.hex()} for said in world.events()],
        "cases": cases.found,
    }


def _fields(event: Event) -> dict[str, Value]:
    found = decode(event.encode())
    assert isinstance(found, dict)
    return found


def _a1(cases: Cases) -> None:
    filler = _with_ops(cases, [{"op": "greet", "x": "a" * 65_000}])
    rest = 65_537 - len(signed(filler))
    cases.add_signed("A1", "65,537 bytes", _with_ops(cases, [{"op": "greet", "x": "a" * (65_000 + rest)}]))
    cases.add_signed("accepted", "65,536 bytes", _with_ops(cases, [{"op": "greet", "x": "a" * (64_999 + rest)}]))
    cases.add_signed("A1", "nested 9 deep", _with_ops(cases, [{"op": "greet", "x": _nested(6)}]))
    cases.add_signed("accepted", "nested 8 deep", _with_ops(cases, [{"op": "greet", "x": _nested(5)}]))
    spare = 16_384 - _items(_fields(_with_ops(cases, [{"op": "greet", "x": []}])))
    cases.add_signed("A1", "16,385 data items", _with_ops(cases, [{"op": "greet", "x": [0] * (spare + 1)}]))
    cases.add_signed("accepted", "16,384 data items", _with_ops(cases, [{"op": "greet", "x": [0] * spare}]))


def _with_ops(cases: Cases, ops: list[dict[str, Value]]) -> Event:
    return replace(cases.good, ops=tuple(ops), sig=bytes(64))


def _nested(depth: int) -> Value:
    value: Value = []
    for _ in range(depth - 1):
        value = [value]
    return value


def _items(value: Value) -> int:
    if isinstance(value, dict):
        return 1 + sum(1 + _items(member) for member in value.values())
    return 1 + sum(map(_items, value)) if isinstance(value, list) else 1


def _a2(cases: Cases) -> None:
    block = signed(cases.good)

    def swapped(why: str, old: str, new: str) -> None:
        cases.add("A2", why, _replaced(block, bytes.fromhex(old), bytes.fromhex(new)))

    swapped("the version 1 written in two bytes", "617601", "61761801")
    swapped("the version 1.0, a float", "617601", "6176f93c00")
    swapped("undefined instead of the version", "617601", "6176f7")
    swapped("a tag other than 42", "617601", "6176c101")
    swapped(
        "keys `v` and `ops` the other way round",
        "617601636f707381a1626f70656772656574",
        "636f707381a1626f70656772656574617601",
    )
    swapped("the key `v` twice", "617601", "617601617601")
    swapped("a key that is bytes", "617601", "417601")
    swapped("a list of indefinite length", "636f707381a1626f70656772656574", "636f70739fa1626f70656772656574ff")
    swapped("text that is not UTF-8", "626f70656772656574", "626f706567726565ff")
    swapped("a lone surrogate in UTF-8", "626f70656772656574", "626f706567eda08074")
    swapped("a link without the leading zero byte", "d82a582500", "d82a582501")
    swapped("a link whose hash is sha2-512", "d82a58250001711220", "d82a58250001711320")
    cases.add("A2", "a byte after the value", block + b"\0")
    cases.add("A2", "cut short by a byte", block[:-1])
    cases.add("A2", "a list that declares more than the block holds", bytes.fromhex("9b00000000ffffffff"))
    cases.add("A2", "no bytes at all", b"")


def _replaced(block: bytes, old: bytes, new: bytes) -> bytes:
    assert block.count(old) >= 1, old.hex()
    return block.replace(old, new, 1)


def _a3(cases: Cases) -> None:
    fields = _fields(cases.good)

    def changed(why: str, **more: Value) -> None:
        cases.add("A3", why, encode(fields | more))

    cases.add("A3", "a list, no map", encode([1]))
    cases.add("A3", "`cites` is missing", encode({name: value for name, value in fields.items() if name != "cites"}))
    changed("an unknown field in the envelope", note="hello")
    changed("version 2", v=2)
    changed("height 0", height=0)
    changed("height 2^53", height=2**53)
    changed("time 0", time=0)
    changed("a time that is true", time=True)
    changed("an actor of 31 bytes", actor=bytes(31))
    changed("a signature of 63 bytes", sig=bytes(63))
    changed("a raw block as parent", parents=[Cid.of_raw(b"x")])
    changed("bytes instead of a link as grant", grant=bytes(cases.good.grant))
    changed("257 blobs", blobs=[Cid.of_raw(b"x")] * 257)
    changed("an operation that is no map", ops=["greet"])
    changed("an operation without name", ops=[{}])
    changed("an operation with an empty name", ops=[{"op": ""}])
    changed("an operation with a name of 65 bytes", ops=[{"op": "x" * 65}])
    changed("1,025 operations", ops=[{"op": ""}] * 1_025)
    _genesis_cases(cases)


def _genesis_cases(cases: Cases) -> None:
    genesis = cases.world.genesis
    owner = genesis.owners[0]

    def founded(verdict: str, why: str, changed: Genesis) -> None:
        cases.add(verdict, why, changed.encode(), kind="genesis")

    founded("A3", "no owner", replace(genesis, owners=()))
    founded("A3", "owners not sorted", replace(genesis, owners=tuple(reversed(genesis.owners))))
    founded("A3", "an owner twice", replace(genesis, owners=(owner, owner)))
    founded("A3", "lease_ms below 4 * skew_ms", replace(genesis, policy=Policy(lease_ms=39_999)))
    founded("A3", "lease_ms above lease_ms_max", replace(genesis, policy=Policy(lease_ms_max=59_999)))
    founded("A3", "a nonce of 15 bytes", replace(genesis, nonce=bytes(15)))
    founded("A3", "an empty name", replace(genesis, name=""))
    founded("A5", "an owner of small order", replace(genesis, owners=(ActorKey(_y(1)),)))
    founded(
        "accepted", "owners need not be points of the curve", replace(genesis, owners=(ActorKey(_y(_off_curve())),))
    )


def _a4(cases: Cases) -> None:
    other = World("another ledger", owners=("owner",))
    cases.add("A4", "an event of another ledger", other.block("owner", [], at=1))
    cases.add("A4", "the genesis of another ledger", other.genesis.encode())


def _y(y: int) -> bytes:
    return y.to_bytes(32, "little")


def _off_curve() -> int:
    return next(y for y in range(2, 100) if find_x(y) is None)


def _a5(cases: Cases) -> None:
    for y in SMALL_ORDER_Y:
        cases.add_signed("A5", f"an actor of small order, y = {y:#x}", replace(cases.good, actor=ActorKey(_y(y))))
    signed_bit = _y(SMALL_ORDER_Y[3] | 1 << 255)
    cases.add_signed("A5", "an actor of order 8, x odd", replace(cases.good, actor=ActorKey(signed_bit)))
    cases.add_signed("A5", "an actor whose y is p + 3", replace(cases.good, actor=ActorKey(_y(P + 3))))
    good = event_of(signed(cases.good), cases.world.ledger)
    for why, r in (("of small order, y = 1", _y(1)), ("whose y is p + 3", _y(P + 3))):
        cases.add("A5", f"R {why}", replace(good, sig=r + good.sig[32:]).encode())


def _a6(cases: Cases) -> None:
    event = replace(cases.good, sig=b"")
    good = event_of(signed(event), cases.world.ledger)
    cases.add_signed("A6", "signed by another key", event, "bob")
    flipped = bytes((*good.sig[:40], good.sig[40] ^ 1, *good.sig[41:]))
    cases.add("A6", "one bit of S flipped", replace(good, sig=flipped).encode())
    s = int.from_bytes(good.sig[32:], "little") + L
    cases.add("A6", "S + L instead of S", replace(good, sig=good.sig[:32] + _y(s)).encode())
    body = event.signed_bytes().removeprefix(EVENT_PREFIX)
    cases.add("A6", "signed without the prefix", replace(event, sig=key_of("alice").sign(body)).encode())
    unsigned = replace(event, sig=bytes(64)).encode()
    cases.add(
        "A6", "signed with `sig` as zeros", replace(event, sig=key_of("alice").sign(EVENT_PREFIX + unsigned)).encode()
    )
    changed = replace(good, time=good.time + 1)
    cases.add("A6", "a field changed after signing", changed.encode())
    off = replace(good, actor=ActorKey(_y(_off_curve())))
    cases.add("A6", "an actor that is no point of the curve", off.encode())
    mixed = replace(event, actor=ActorKey(mixed_key(seed_of("alice"))))
    sig, challenge = sign_mixed(seed_of("alice"), mixed.signed_bytes(), 7)
    assert challenge % 8
    cases.add("A6", "a key of mixed order: verifies with the cofactor only", replace(mixed, sig=sig).encode())


def _a7(cases: Cases) -> None:
    w = cases.world
    bad = signed(replace(cases.good, height=99))
    child = replace(cases.good, parents=tuple(sorted((*cases.good.parents, Cid.of(bad)))), height=100)
    cases.add("A7", "a parent is refused", signed(child), needs=[bad.hex()])
    absent = Cid.of(b"never seen")
    cases.add("waiting", "a parent is not known", signed(replace(cases.good, parents=(absent,))), missing=[str(absent)])
    both = replace(cases.good, grant=absent, cites=(Cid.of(b"nor this"),))
    missing = [str(cid) for cid in both.links() if w.find(cid) is None]
    cases.add(
        "waiting", "grant and a citation are not known; the grant is asked for first", signed(both), missing=missing
    )
    blob = replace(cases.good, blobs=(Cid.of_raw(b"never seen"),))
    cases.add_signed("accepted", "blobs are not looked at", blob)


def _a8(cases: Cases) -> None:
    w = cases.world

    def under(verdict: str, why: str, actor: str, grant: Cid) -> None:
        cases.add(verdict, why, w.block(actor, [], at=100, grant=grant))

    under("A8", "a stranger under the genesis of a members-only ledger", "stranger", w.ledger)
    under("A8", "a member under the genesis", "alice", w.ledger)
    under("A8", "an owner under an event", "owner", w.cid("grant-alice"))
    under("A8", "a grant for another actor", "w1", w.cid("grant-alice"))
    under("A8", "a grant by one who is no owner", "stranger", w.cid("grant-by-alice"))
    under("A8", "an event that admits nobody", "alice", w.cid("T"))
    under("A8", "the first admit of the actor is malformed", "bob", w.cid("grant-malformed"))


def _a9_to_a11(cases: Cases) -> None:
    w, good = cases.world, cases.good
    cases.add_signed("A9", "one too low", replace(good, height=good.height - 1))
    cases.add_signed("A9", "one too high", replace(good, height=good.height + 1))
    cases.add_signed("A9", "the time is wrong too, but A9 comes first", replace(good, height=99, time=1))
    cases.add_signed("A10", "1 ms before a parent", replace(good, time=START_MS + 10))
    cites_late = replace(good, parents=(w.cid("grant-alice"),), cites=(w.cid("grant-by-alice"),), time=START_MS + 10)
    cases.add_signed("A10", "1 ms before a citation", cites_late)
    cases.add_signed("accepted", "the very time of its parent", replace(good, time=START_MS + 11))
    two = tuple(sorted((w.cid("T"), *good.parents)))
    cases.add_signed("accepted", "two parents, ascending", replace(good, parents=two))
    cases.add_signed("A11", "parents descending", replace(good, parents=two[::-1]))
    cases.add_signed("A11", "a parent twice", replace(good, parents=good.parents * 2))
    cases.add_signed("A11", "no parent; the height fits its grant", replace(good, parents=(), height=2))
    cases.add_signed("A11", "a citation twice", replace(good, cites=two[:1] * 2))
    blob = Cid.of_raw(b"x")
    cases.add_signed("A11", "a blob twice", replace(good, blobs=(blob, blob)))
    descending = replace(good, cites=two[::-1])
    cases.add_signed("accepted", "citations in any order", descending)


def _accepted(cases: Cases) -> None:
    good = cases.good
    cases.add_signed("accepted", "the event all of these are made from", good)
    cases.add_signed("accepted", "a witness: no operations", replace(good, ops=()))
    mixed = replace(good, actor=ActorKey(mixed_key(seed_of("alice"))), sig=b"")
    nonce = next(n for n in range(1, 999) if sign_mixed(seed_of("alice"), mixed.signed_bytes(), n)[1] % 8 == 0)
    sig, _ = sign_mixed(seed_of("alice"), mixed.signed_bytes(), nonce)
    why = "a key of mixed order whose signature verifies without the cofactor passes A5 and A6; nobody admits it"
    cases.add("A8", why, replace(mixed, sig=sig).encode())


def codec_vector() -> Json:
    """Return values with their one encoding, for rule E2."""
    link = Cid.of(b"\xa0")
    values: Mapping[str, Value] = {
        "integers": [0, 23, 24, 255, 256, 65_535, 65_536, 2**32, 2**53, 2**64 - 1, -1, -24, -25, -(2**64)],
        "texts": ["", "a", "é", "日本", "\U0001f600", "a" * 24],
        "bytes": [b"", b"\0", hashlib.sha256(b"").digest()],
        "simple": [False, True, None],
        "links": [link, Cid.of_raw(b"")],
        "keys by length, then bytes": {"b": 1, "a": 2, "aa": 3, "": 4, "é": 5, "zz": 6},
        "empty": {"list": [], "map": {}},
    }
    return {
        "what": "Values as DAG-JSON and their one canonical DAG-CBOR encoding.",
        "rules": ["E2"],
        "cases": [
            {"what": what, "value": dag_json(value), "encoded": encode(value).hex()} for what, value in values.items()
        ],
    }
