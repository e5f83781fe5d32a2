"""The vectors of the exchange: specs/vectors/exchange.json (X6 to X19)."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any, Final

from ledger.aside import Refused
from ledger.challenge import NONCE_BYTES, Challenge, answer_challenge, encode_challenge, encode_proof, signed_bytes
from ledger.cid import Cid
from ledger.codec import Encodable, encode
from ledger.events import TaskKey
from ledger.exchange_codec import (
    Frontier,
    Opening,
    Receipt,
    Want,
    decode_frontier,
    decode_opening,
    decode_question,
    decode_ranges,
    decode_receipt,
    decode_state,
    decode_want,
    encode_frontier,
    encode_opening,
    encode_ranges,
    encode_receipt,
    encode_state,
    encode_want,
)
from ledger.exchange_server import PATH, SCHEME_PROOF, headers_of
from ledger.keys import ActorKey, SigningKey
from ledger.ranges import Fingerprint, Listed, Span, fingerprint, opening
from ledger.replica import State, Totals
from ledger.store import Bound, Item
from ledger.task_exchange import (
    TaskName,
    TaskQuestion,
    TaskTold,
    decode_task_question,
    decode_task_told,
    encode_task_question,
    encode_task_told,
)
from tests.support.logs import ListLog, reconcile
from tests.vectors.board_vector import Json, snapshot_of
from tests.vectors.scenes_apart import fences

MINE: Final = [*range(300), *range(1_000, 1_020)]
THEIRS: Final = [*range(70), *range(72, 300), *range(2_000, 2_040)]

DECODERS: Final[dict[str, Callable[[bytes, Cid], Any]]] = {
    "frontier": lambda message, _: decode_frontier(message),
    "opening": lambda message, _: decode_opening(message),
    "question": decode_question,
    "ranges": decode_ranges,
    "want": lambda message, _: decode_want(message),
    "receipt": lambda message, _: decode_receipt(message),
    "state": lambda message, _: decode_state(message),
    "task question": lambda message, _: decode_task_question(message),
    "task told": lambda message, _: decode_task_told(message),
}
ENCODERS: Final[dict[str, Callable[[Any, Cid], bytes]]] = {
    "frontier": lambda said, _: encode_frontier(said),
    "opening": lambda said, _: encode_opening(said),
    "question": lambda said, ledger: encode_ranges(ledger, said),
    "ranges": lambda said, ledger: encode_ranges(ledger, said),
    "want": lambda said, _: encode_want(said),
    "receipt": lambda said, _: encode_receipt(said),
    "state": lambda said, _: encode_state(said),
    "task question": lambda said, _: encode_task_question(said),
    "task told": lambda said, _: encode_task_told(said),
}


def place(number: int) -> Item:
    """Return where the event of a number stands."""
    digest = hashlib.sha256(b"p2p-workflow exchange event %d" % number).digest()
    return 1 + number // 2, Cid(b"\x01\x71\x12\x20" + digest)


def log_of(numbers: Iterable[int]) -> ListLog:
    """Return the log of some numbers."""
    return ListLog(list(map(place, numbers)))


def exchange_vector() -> Json:
    """Return the vector."""
    world = fences().world
    ledger, heads = world.ledger, tuple(snapshot_of(world).heads)
    common = log_of(range(300))
    spans = [Span((0, b""), (50, b"")), Span((50, b""), (50, b"\x01\x71\x12\x20\x80")), Span((151, b""), (160, b""))]
    run = reconcile(log_of(MINE), log_of(THEIRS), ledger)
    numbers = {place(number)[1]: number for number in (*MINE, *THEIRS)}
    return {
        "what": "Messages of an exchange on the ledger of boards/fences.json, and a reconciliation of two logs.",
        "rules": ["X6", "X7", "X9", "X10", "X11", "X12", "X13", "X14", "X15", "X16", "X17", "X18", "X19"],
        "ledger": str(ledger),
        "messages": [
            {"kind": kind, "what": what, "bytes": message.hex()} for kind, what, message in _messages(ledger, heads)
        ],
        "refused": [{"kind": kind, "why": why, "bytes": message.hex()} for kind, why, message in _refused(ledger)],
        "fingerprints": [
            {"span": [_told(span.low), _told(span.high)], "count": found.count, "digest": (found.digest or b"").hex()}
            for span in spans
            for found in [fingerprint(common, span)]
        ],
        "reconciliation": {
            "mine": list(MINE),
            "theirs": list(THEIRS),
            "opening": encode_ranges(ledger, opening(log_of(THEIRS))).hex(),
            "rounds": [{"question": question.hex(), "answer": answer.hex()} for question, answer in run.rounds],
            "wanted": sorted(numbers[cid] for cid in run.wanted),
            "lacking": sorted(numbers[cid] for cid in run.lacking),
        },
        "door": door_vector(ledger),
    }


def door_vector(ledger: Cid) -> Json:
    """Return a challenge, its answers for a key and for a peer id, and what lets nobody in."""
    server, member = key_of("server"), key_of("member")
    challenge = Challenge(ledger, server.actor, bytes(range(NONCE_BYTES)))
    proofs = {audience: answer_challenge(member, challenge, audience) for audience in (None, "12D3KooWpeer")}
    true = proofs[None]
    false = [
        ("of another key", replace(true, actor=server.actor)),
        ("for another audience", replace(true, audience="12D3KooWother")),
        ("over another nonce", replace(true, nonce=bytes(NONCE_BYTES))),
        ("over another ledger", answer_challenge(member, replace(challenge, ledger=Cid.of(b"other")))),
        ("a key of small order", replace(true, actor=ActorKey(b"\x01" + bytes(31)))),
    ]
    return {
        "server_seed": seed_of("server").hex(),
        "member_seed": seed_of("member").hex(),
        "challenge": encode_challenge(challenge).hex(),
        "signed": signed_bytes(ledger, true.nonce, true.audience, true.actor).hex(),
        "proofs": [
            {"audience": audience, "proof": encode_proof(proof).hex(), **headers_of(SCHEME_PROOF, encode_proof(proof))}
            for audience, proof in proofs.items()
        ],
        "refused": [{"why": why, "proof": encode_proof(proof).hex()} for why, proof in false],
        "path": PATH + "delta",
    }


def seed_of(name: str) -> bytes:
    """Return the seed of a name's key."""
    return hashlib.sha256(b"p2p-workflow exchange key " + name.encode()).digest()


def key_of(name: str) -> SigningKey:
    """Return the key of a name."""
    return SigningKey.from_seed(seed_of(name))


def _told(bound: Bound | None) -> list[int | str]:
    assert bound is not None
    return [bound[0], bound[1].hex()]


def _messages(ledger: Cid, heads: tuple[Cid, ...]) -> list[tuple[str, str, bytes]]:
    span, top = Span((0, b""), (7, b"\x01")), Span((7, b"\x01"), None)
    digest = hashlib.sha256(b"").digest()
    said = (Fingerprint(span, 0, digest), Listed(top, tuple(place(n)[1] for n in (1, 2))))
    blobs = (Cid.of_raw(b"a blob"),)
    names = (TaskName(key_of("member").actor, "build", "flow"), TaskName(key_of("server").actor, "build"))
    taken = Totals(3, 1, 0, 0, 1, 0, 2, [Refused(heads[0], "A6", "the signature does not verify", 1_700_000_000_000)])
    return [
        ("frontier", "heads of a log", encode_frontier(Frontier(ledger, heads))),
        ("frontier", "an empty log", encode_frontier(Frontier(ledger, (ledger,)))),
        ("opening", "heads are known: 12 events follow", encode_opening(Opening(ledger, heads, 12))),
        (
            "opening",
            "heads are not known",
            encode_opening(Opening(ledger, heads, None, (Fingerprint(span, 0, None), Fingerprint(top, 2, digest)))),
        ),
        ("question", "two spans", encode_ranges(ledger, [Fingerprint(span, 0, digest), Fingerprint(top, 9, digest)])),
        ("ranges", "one split, one listed", encode_ranges(ledger, said)),
        ("want", "two events, a blob and a span", encode_want(Want(ledger, heads, blobs, (span,)))),
        ("receipt", "one refused, a blob wanted", encode_receipt(Receipt(ledger, taken, (), blobs))),
        ("state", "without a board", encode_state(State(ledger, heads, 12))),
        ("state", "with one", encode_state(State(ledger, heads, 12, 1, digest))),
        ("task question", "what is there", encode_task_question(TaskQuestion(ledger, TaskKey(digest)))),
        (
            "task question",
            "what is new, within 20 s; and what a key calls so",
            encode_task_question(TaskQuestion(ledger, TaskKey(digest), heads, 20_000, names)),
        ),
        ("task told", "all of three events, one void", encode_task_told(TaskTold(ledger, heads, False, 3, heads[:1]))),
        ("task told", "nothing new", encode_task_told(TaskTold(ledger, heads, True, 0))),
    ]


def _refused(ledger: Cid) -> list[tuple[str, str, bytes]]:
    """Messages that are none, each of its kind; the reason is for people."""
    digest = b"d" * 32
    low: list[Encodable] = [0, b""]
    high: list[Encodable] = [9, b""]
    base: dict[str, Encodable] = {"v": 1, "ledger": ledger}
    a, b = sorted((Cid.of(b"a"), Cid.of(b"b")))
    span: list[Encodable] = [low, high, 1, digest]

    def ranges(*said: Encodable) -> bytes:
        return encode(base | {"ranges": list(said)})

    return [
        ("frontier", "version 2", encode(base | {"v": 2, "heads": [a]})),
        ("frontier", "no heads", encode(base | {"heads": []})),
        ("frontier", "heads not ascending", encode(base | {"heads": [b, a]})),
        ("frontier", "a field too many", encode(base | {"heads": [a], "samples": []})),
        ("frontier", "not canonical", encode(base | {"heads": [a]}) + b"\0"),
        ("frontier", "a head that is a blob", encode(base | {"heads": [Cid.of_raw(b"a")]})),
        ("opening", "neither events nor ranges", encode(base | {"heads": [a]})),
        ("opening", "both", encode(base | {"heads": [a], "events": 1, "ranges": []})),
        (
            "opening",
            "a rest that is not the first",
            encode(base | {"heads": [a], "ranges": [span, [high, None, 0, None]]}),
        ),
        ("ranges", "overlapping spans", ranges(span, [low, None, 1, digest])),
        ("ranges", "a span that ends before it begins", ranges([high, low, 1, digest])),
        ("ranges", "a digest of 31 bytes", ranges([low, high, 1, b"d" * 31])),
        ("ranges", "a bound of 37 bytes", ranges([low, [9, b"x" * 37], 1, digest])),
        ("ranges", "half a hash", ranges([low, high, b"h" * 48])),
        ("ranges", "a hash twice", ranges([low, high, b"h" * 64])),
        ("question", "a list is no question", ranges([low, high, b"h" * 32])),
        ("question", "no digest", ranges([low, high, 0, None])),
        ("question", "513 spans", ranges(*_adjoining(513, digest))),
        ("question", "another ledger", encode({"v": 1, "ledger": a, "ranges": [span]})),
        ("want", "4,097 events", encode(base | _want([], _many(4_097)))),
        (
            "want",
            "spans not ascending",
            encode(base | _want([[high, None], [low, high]])),
        ),
        ("receipt", "a count that is negative", encode({**base, **_receipt(), "known": -1})),
        ("task question", "a wait of more than 20 s", encode(base | _task_question(wait_ms=20_001))),
        ("task question", "heads not ascending", encode(base | _task_question(heads=[b, a]))),
        ("task question", "a key of 31 bytes", encode(base | _task_question(task=b"t" * 31))),
        ("task question", "17 names", encode(base | _task_question(names=[[b"k" * 32, "t", None]] * 17))),
        ("task question", "a name without a submitter", encode(base | _task_question(names=[[b"", "t", None]]))),
        ("task told", "since is a number", encode(base | {"heads": [a], "since": 1, "events": 0, "void": b""})),
        ("task told", "half a hash", encode(base | {"heads": [], "since": False, "events": 0, "void": b"h" * 48})),
        ("state", "a state root without a version", encode(base | {"heads": [a], "events": 1, "state_root": digest})),
    ]


def _task_question(**fields: Encodable) -> dict[str, Encodable]:
    return {"task": b"t" * 32, "heads": [], "wait_ms": 0, "names": [], **fields}


def _many(count: int) -> bytes:
    return b"".join(n.to_bytes(32, "big") for n in range(count))


def _receipt() -> dict[str, Encodable]:
    counts = dict.fromkeys(("accepted", "known", "waiting", "held", "refused", "evicted", "blobs"), 0)
    return {"reasons": [], "events": b"", "wanted": b"", **counts}


def _want(spans: list[Encodable], events: bytes = b"") -> dict[str, Encodable]:
    return {"events": events, "blobs": b"", "spans": spans}


def _adjoining(count: int, digest: bytes) -> list[Encodable]:
    """Return fingerprints of so many spans, each of one height."""
    said: list[Encodable] = []
    for height in range(count):
        low: list[Encodable] = [height, b""]
        high: list[Encodable] = [height + 1, b""]
        said.append([low, high, 1, digest])
    return said
