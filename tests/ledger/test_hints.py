"""Hints as bytes, and the gate that drops what nobody should listen to (specs/hints.md)."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crdt.clock import CLOCK_PREFIX
from ledger.cid import Cid
from ledger.hint_gate import SENDER_BURST, SENDERS_MAX, SPEAKERS_MAX, TOTAL_BURST, HintGate
from ledger.hints import HEADS_MAX, Hint, HintError, check_signature, decode_hint, sign_hint, topic_of
from ledger.keys import SigningKey

LEDGER = Cid.of(b"a ledger")
KEY = SigningKey.from_seed(bytes(32))
NOW = 1_800_000_000_000


def signed(at: int = NOW, key: SigningKey = KEY, node: str | None = "node") -> bytes:
    """Return a hint of an empty log."""
    clock = hashlib.sha256(CLOCK_PREFIX + LEDGER).digest()
    return sign_hint(key, Hint(LEDGER, key.actor, at, (LEDGER,), clock, 0, 1, bytes(32), node))


def gate() -> HintGate:
    """Return a gate with the numbers of the default policy."""
    return HintGate(LEDGER, age_ms_max=120_000, skew_ms=10_000)


def test_what_is_signed_is_read_back() -> None:
    """Decoding is the inverse of signing, and the topic names the ledger."""
    hint = decode_hint(signed())
    check_signature(hint)
    assert (hint.actor, hint.time, hint.heads, hint.peer_id) == (KEY.actor, NOW, (LEDGER,), "node")
    assert hint.encode() == signed()
    assert topic_of(LEDGER) == f"p2p-workflow/hints/v1/{LEDGER}"


def test_of_many_heads_the_root_alone_is_told() -> None:
    """A hint of a log with more than 64 heads names none of them."""
    many = tuple(sorted(Cid.of(bytes((n,))) for n in range(HEADS_MAX + 1)))
    told = sign_hint(KEY, Hint(LEDGER, KEY.actor, NOW, many, bytes(32), 65, 1, bytes(32)))
    assert decode_hint(told).heads == ()


def test_what_could_not_be_read_is_not_signed() -> None:
    """A hint that breaks H1 is an error of who makes it."""
    with pytest.raises(HintError, match="H1"):
        sign_hint(KEY, Hint(LEDGER, KEY.actor, 0, (LEDGER,), bytes(32), 0, 1, bytes(32)))


@given(at=st.integers(0, len(signed()) - 1), change=st.integers(1, 255), keep=st.integers(0, len(signed())))
def test_no_changed_byte_passes(at: int, change: int, keep: int) -> None:
    """Whatever is changed or cut off, the gate raises HintError and nothing else."""
    data = signed()
    changed = data[:at] + bytes((data[at] ^ change,)) + data[at + 1 :]
    for odd in (changed, data[:keep], changed[:keep]):
        if odd != data:
            with pytest.raises(HintError):
                gate().admit(odd, "node", NOW, lambda actor: True)


@given(st.binary(max_size=200))
def test_any_bytes_are_a_hint_or_an_error(data: bytes) -> None:
    """No other exception leaves the gate."""
    with pytest.raises(HintError):
        gate().admit(data, "", NOW, lambda actor: True)


def test_h5_many_names() -> None:
    """Under however many names a flood comes, it is bounded, and over when it stops; a member is heard again."""
    found = gate()
    verdicts = [_verdict(found, b"", f"node {n}", NOW) for n in range(2 * TOTAL_BURST)]
    assert verdicts.count("H1") == TOTAL_BURST
    assert verdicts.count("H5") == TOTAL_BURST
    assert len(found._senders) <= SENDERS_MAX
    assert _verdict(found, signed(NOW + 1000), "node", NOW + 1000) == "taken"


def test_a_flood_of_one_sender_hides_no_other() -> None:
    """Who sends too much is dropped alone, and forged hints in a member's name do not silence the member."""
    found = gate()
    other = SigningKey.from_seed(b"\1" * 32)
    forged = decode_hint(signed(NOW + 5_000, node="evil"))
    flood = [Hint(**{name: getattr(forged, name) for name in Hint.__slots__} | {"sig": other.sign(b"")}).encode()]
    assert {_verdict(found, data, "evil", NOW) for data in flood * SENDER_BURST} == {"H2"}
    assert _verdict(found, flood[0], "evil", NOW) == "H5"
    assert _verdict(found, signed(), "node", NOW) == "taken"


def test_what_is_remembered_is_bounded() -> None:
    """Nodes without end in the name of one member take no memory without end."""
    found = gate()
    for n in range(3):
        found._latest.update({(KEY.actor, f"{n} {m}"): 1 for m in range(SPEAKERS_MAX)})
    for n in range(20):
        _verdict(found, signed(node=f"node {n}"), f"node {n}", NOW)
    before = len(found._latest)
    _verdict(found, signed(node="one more"), "one more", NOW)
    assert len(found._latest) <= before


def _verdict(found: HintGate, data: bytes, sender: str, now_ms: int) -> str:
    try:
        found.admit(data, sender, now_ms, lambda actor: actor == KEY.actor)
    except HintError as error:
        return error.rule
    return "taken"
