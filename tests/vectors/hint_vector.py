"""hints.json: hints as they come to a reader, boards that differ, reasons to witness."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import Final

from crdt.board import Board
from crdt.board_store import MemoryBoardStore
from crdt.clock import CLOCK_PREFIX, clock_root
from ledger.cid import Cid
from ledger.codec import encode
from ledger.events import SIGNATURE_BYTES
from ledger.hint_gate import SENDER_BURST, differs
from ledger.hints import Hint, sign_hint
from ledger.news import encode_news
from scheduler.witness import has_reason
from tests.vectors.board_vector import Json
from tests.vectors.scenes_saying import life
from tests.vectors.world import START_MS, key_of

NODE: Final = "12D3KooWD3eckifWpRn9wQpMG9R9hX3sD158z7EqHWmweQAJU5SA"
OTHER: Final = "12D3KooWJbJFaZ1dwpuu9tQY3ELCKCpWMJc1dSRVbcMwhiLiFq7q"
AGE_MS_MAX: Final = 120_000
SKEW_MS: Final = 10_000
NOW: Final = START_MS + 1_000_000


def hints_vector() -> Json:
    """Return the vector."""
    return {
        "what": "Hints, one after the other, as they come to a reader of the ledger of boards/life.json.",
        "rules": ["H1", "H2", "H3", "H4", "H5", "H6", "H7", "H8"],
        "ledger": str(life().world.ledger),
        "members": ["owner", "alice", "w1", "w2"],
        "age_ms_max": AGE_MS_MAX,
        "skew_ms": SKEW_MS,
        "readings": _readings(),
        "roots": roots_cases(),
        "witness": witness_cases(),
        "news": _news(),
    }


def _news() -> list[Json]:
    """Return messages as news: how many events each tells, None where it is of another kind, or the rule it breaks."""
    world = life().world
    blocks = [said.block for said in world.events()[:2]]
    good = encode_news(world.ledger, blocks)
    assert good is not None
    cases: list[tuple[str, bytes, int | str | None]] = [
        ("two events", good, 2),
        ("a hint", _signed(), None),
        ("no message at all", b"", None),
        ("of another ledger", encode_news(Cid.of(b"\xa0"), blocks) or b"", "H8"),
        ("no event", _news_of(world.ledger, []), "H8"),
        ("17 events", _news_of(world.ledger, [b"\xa0"] * 17), "H8"),
        ("another field", encode({"v": 1, "kind": "news", "ledger": world.ledger, "events": [b""], "x": 1}), "H8"),
        ("too large", _news_of(world.ledger, [bytes(32_768)]), None),
    ]
    return [{"what": what, "message": message.hex(), "told": told} for what, message, told in cases]


def _news_of(ledger: Cid, blocks: list[bytes]) -> bytes:
    return encode({"v": 1, "kind": "news", "ledger": ledger, "events": blocks})


def _hint(who: str = "w1", at: int = NOW, **more: object) -> Hint:
    world = life().world
    heads = world.cids("complete")
    hint = Hint(world.ledger, key_of(who).actor, at, heads, clock_root(heads), 8, 1, bytes(32), NODE)
    return replace(hint, **more)  # type: ignore[arg-type]  # fields of a hint


def _signed(who: str = "w1", at: int = NOW, **more: object) -> bytes:
    return sign_hint(key_of(who), _hint(who, at, **more))


def _unchecked(hint: Hint, who: str = "w1") -> bytes:
    """Return the bytes of a hint that breaks H1, signed all the same."""
    return replace(hint, sig=key_of(who).sign(hint.signed_bytes())).encode()


def _readings() -> list[Json]:
    first = _signed()
    world = life().world
    two = tuple(sorted(world.cids("complete", "witness")))
    falling = hashlib.sha256(CLOCK_PREFIX + b"".join(two[::-1])).digest()
    many = tuple(sorted(Cid.of(bytes((n,))) for n in range(65)))
    whole = _signed(
        "w2",
        addresses=(f"/ip4/192.0.2.1/tcp/4001/p2p/{NODE}",),
        urls=("http://192.0.2.1:8080",),
        manifest="k51qzi5uqu5dlvj2baxnqndepeb86cbk3ng7n3i46uzyxzyqj2xjonzllnv0v8",
    )
    cases: list[tuple[str, bytes, str, int, str]] = [
        ("a worker's hint", first, NODE, NOW, "taken"),
        ("the same again", first, NODE, NOW + 1, "H4"),
        ("the same from another node", first, OTHER, NOW + 1, "H3"),
        ("a later one, the carrier does not tell its node", _signed(at=NOW + 2), "", NOW + 2, "taken"),
        ("an earlier one", _signed(at=NOW + 1), NODE, NOW + 3, "H4"),
        ("the same actor at another node", _signed(at=NOW + 1, peer_id=OTHER), OTHER, NOW + 3, "taken"),
        ("everything that can stand in it", whole, NODE, NOW + 3, "taken"),
        ("more heads than it can name", _signed("alice", heads=many, clock=clock_root(many)), NODE, NOW, "taken"),
        ("as far ahead as may be", _signed("owner", NOW + SKEW_MS), NODE, NOW, "taken"),
        ("further ahead", _signed("owner", NOW + SKEW_MS + 1), NODE, NOW, "H4"),
        ("too old", _signed("alice", NOW + 1), NODE, NOW + AGE_MS_MAX + 2, "H4"),
        ("a stranger's", _signed("stranger"), NODE, NOW, "H3"),
        ("of another ledger", _signed(at=NOW + 9, ledger=Cid.of(b"\xa0")), NODE, NOW, "H3"),
        ("another's signature", _unchecked(_hint("w1", NOW + 9), "w2"), NODE, NOW + 9, "H2"),
        ("no signature", replace(_hint(at=NOW + 9), sig=bytes(SIGNATURE_BYTES)).encode(), NODE, NOW + 9, "H2"),
        ("one bit of it another", _flipped(_signed(at=NOW + 9)), NODE, NOW + 9, "H2"),
        (
            "heads that do not ascend",
            _unchecked(_hint(at=NOW + 9, heads=two[::-1], clock=falling)),
            NODE,
            NOW + 9,
            "H1",
        ),
        ("another root than that of its heads", _unchecked(_hint(at=NOW + 9, clock=bytes(32))), NODE, NOW + 9, "H1"),
        ("65 heads", _unchecked(_hint(at=NOW + 9, heads=many, clock=clock_root(many))), NODE, NOW + 9, "H1"),
        ("nine URLs", _unchecked(_hint(at=NOW + 9, urls=("http://192.0.2.1",) * 9)), NODE, NOW + 9, "H1"),
        ("a byte after it", _signed(at=NOW + 9) + b"\0", NODE, NOW + 9, "H1"),
        ("nothing", b"", NODE, NOW + 9, "H1"),
        ("no map", b"\x80", NODE, NOW + 9, "H1"),
        ("too large", b"\x59\x20\x00" + bytes(8_192), NODE, NOW + 9, "H1"),
    ]
    told: list[Json] = [
        {"what": what, "hint": data.hex(), "sender": sender, "now": now, "verdict": verdict}
        for what, data, sender, now, verdict in cases
    ]
    flood = {"hint": b"".hex(), "sender": OTHER, "now": NOW + 60_000}
    told.append({"what": "as many as one sender may", **flood, "times": SENDER_BURST, "verdict": "H1"})
    told.append({"what": "one more", **flood, "verdict": "H5"})
    told.append({"what": "another sender's, meanwhile", **flood, "sender": NODE, "verdict": "H1"})
    told.append({"what": "a thirty-second of a second later", **flood, "now": NOW + 60_032, "verdict": "H1"})
    return told


def _flipped(data: bytes) -> bytes:
    """Return the bytes with the last bit of the signed time changed."""
    at = data.index(b"dtime\x1b") + len(b"dtime\x1b") + 7
    return data[:at] + bytes((data[at] ^ 1,)) + data[at + 1 :]


def roots_cases() -> list[Json]:
    """Return when a hint's state root contradicts that of a board."""
    clock, root = clock_root(_hint().heads), bytes(32)
    cases = (
        ("the same", clock, 1, root),
        ("the same log and rules, another root", clock, 1, b"\1" * 32),
        ("other rules", clock, 2, b"\1" * 32),
        ("another log", clock_root(life().world.cids("claim")), 1, b"\1" * 32),
    )
    hint = _hint()
    return [
        {
            "what": what,
            "told": {"clock": hint.clock.hex(), "reducer": hint.reducer, "state_root": hint.state_root.hex()},
            "ours": {"clock": ours.hex(), "reducer": reducer, "state_root": other.hex()},
            "differs": differs(hint, ours, reducer, other),
        }
        for what, ours, reducer, other in cases
    ]


def witness_cases() -> list[Json]:
    """Return after each event of a life which workers have a reason to witness."""
    world = life().world
    store = MemoryBoardStore()
    board = Board(world.ledger, world.genesis, store)
    cases: list[Json] = []
    for number, said in enumerate(world.events(), 1):
        event = world.verified[said.cid]
        store.add_event(event)
        board.apply(event)
        reasons = [name for name in ("alice", "w1", "w2") if has_reason(board, key_of(name).actor)]
        cases.append({"events": number, "last": said.name, "reasons": reasons})
    return cases
