"""Who is let in: answers to challenges count once, here, in time, and only for who is admitted."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import pytest

from ledger.challenge import (
    Challenge,
    ChallengeError,
    Proof,
    answer_challenge,
    decode_challenge,
    decode_proof,
    encode_challenge,
    encode_proof,
    verify_proof,
)
from ledger.cid import Cid
from ledger.doorkeeper import (
    CHALLENGE_MS,
    SESSION_MS,
    SESSIONS_EACH_MAX,
    SESSIONS_MAX,
    Doorkeeper,
    NotAdmittedError,
)
from ledger.keys import ActorKey, did_key
from tests.support.worlds import signing_key

LEDGER = Cid.of(b"a ledger")
SERVER, MEMBER, STRANGER = map(signing_key, ("server", "member", "stranger"))


@dataclass
class Door:
    """A door with a clock of its own."""

    now: int = 1_000_000
    members: set[ActorKey] = field(default_factory=lambda: {MEMBER.actor})

    def __post_init__(self) -> None:
        self.keeper = Doorkeeper(
            LEDGER, SERVER.actor, lambda actor: actor in self.members, lambda: self.now, ("12D3peer",)
        )


def test_a_member_gets_a_session_that_ends() -> None:
    """The answer of a member opens a session; it tells who has it until its time is over."""
    door = Door()
    token = door.keeper.open_session(answer_challenge(MEMBER, door.keeper.challenge()))
    assert door.keeper.actor_of(token) == MEMBER.actor
    assert door.keeper.actor_of("another") is None
    door.now += SESSION_MS + 1
    assert door.keeper.actor_of(token) is None


def test_who_dials_a_peer_id_signs_for_it() -> None:
    """A server is called by its key or its peer id; an answer for another server is of no use here (X14)."""
    door = Door()
    door.keeper.open_session(answer_challenge(MEMBER, door.keeper.challenge(), "12D3peer"))
    with pytest.raises(ChallengeError, match="not this server"):
        door.keeper.open_session(answer_challenge(MEMBER, door.keeper.challenge(), "12D3other"))
    door.keeper.add_audience("12D3other")
    door.keeper.open_session(answer_challenge(MEMBER, door.keeper.challenge(), "12D3other"))


def test_an_answer_counts_once_and_in_time() -> None:
    """An answer that was used, is late, or is to no challenge of this server lets nobody in (X17)."""
    door = Door()
    proof = answer_challenge(MEMBER, door.keeper.challenge())
    door.keeper.open_session(proof)
    with pytest.raises(ChallengeError, match="before"):
        door.keeper.open_session(proof)
    late = answer_challenge(MEMBER, door.keeper.challenge())
    door.now += CHALLENGE_MS + 1
    with pytest.raises(ChallengeError, match="too old"):
        door.keeper.open_session(late)
    early = answer_challenge(MEMBER, door.keeper.challenge())
    door.now -= 1
    with pytest.raises(ChallengeError, match="too old"):
        door.keeper.open_session(early)
    invented = Challenge(LEDGER, SERVER.actor, b"\0" * len(proof.nonce))
    with pytest.raises(ChallengeError, match="not one of this server"):
        door.keeper.open_session(answer_challenge(MEMBER, invented))
    with pytest.raises(ChallengeError, match="not one of this server"):  # another server under the same key
        Door().keeper.open_session(answer_challenge(MEMBER, door.keeper.challenge()))


def test_only_the_key_itself_answers_and_in_this_ledger() -> None:
    """A signature of another key, over another ledger, or with odd points is none."""
    door = Door()
    challenge = door.keeper.challenge()
    proof = answer_challenge(STRANGER, challenge)
    forged = [
        replace(proof, actor=MEMBER.actor),
        replace(answer_challenge(MEMBER, challenge), signature=bytes(64)),
        replace(answer_challenge(MEMBER, challenge), actor=ActorKey(bytes(31) + b"\x80")),
        answer_challenge(MEMBER, replace(challenge, ledger=Cid.of(b"another ledger"))),
    ]
    for one in forged:
        with pytest.raises(ChallengeError):
            door.keeper.open_session(one)
    with pytest.raises(NotAdmittedError, match=did_key(STRANGER.actor)):
        door.keeper.open_session(proof)


def test_a_revoked_member_is_out_at_once() -> None:
    """A session is worth nothing from the moment its key is not admitted any more (X18)."""
    door = Door()
    token = door.keeper.open_session(answer_challenge(MEMBER, door.keeper.challenge()))
    door.members.clear()
    with pytest.raises(NotAdmittedError):
        door.keeper.actor_of(token)
    door.members.add(MEMBER.actor)
    assert door.keeper.actor_of(token) is None  # a new challenge is asked for


def test_a_flood_costs_bounded_memory() -> None:
    """Challenges are not remembered; sessions are bounded, in all and each key's; used answers, while they count."""
    door = Door()
    for _ in range(1_000):
        door.keeper.challenge()
    assert not door.keeper._used
    tokens = [
        door.keeper.open_session(answer_challenge(MEMBER, door.keeper.challenge()))
        for _ in range(3 * SESSIONS_EACH_MAX)
    ]
    live = [token for token in tokens if door.keeper.actor_of(token) is not None]
    assert live == tokens[-SESSIONS_EACH_MAX:]
    keys = [signing_key(f"member {number}") for number in range(SESSIONS_MAX // 8)]
    door.members |= {key.actor for key in keys}
    for key in keys * 10:
        door.keeper.open_session(answer_challenge(key, door.keeper.challenge()))
    assert len(door.keeper._sessions) == SESSIONS_MAX
    door.now += CHALLENGE_MS + 1
    door.keeper.open_session(answer_challenge(MEMBER, door.keeper.challenge()))
    assert len(door.keeper._used) == 1


def test_messages_come_back_as_they_were_and_nothing_else_does() -> None:
    """Challenge and answer round-trip; cut, extended, or of other fields they are refused."""
    challenge = Door().keeper.challenge()
    proof = answer_challenge(MEMBER, challenge)
    assert decode_challenge(encode_challenge(challenge)) == challenge
    assert decode_proof(encode_proof(proof)) == proof
    verify_proof(proof, LEDGER)
    for block in (
        b"",
        encode_challenge(challenge)[:-1],
        encode_challenge(challenge) + b"\0",
        encode_proof(proof),
        b"\xa0",
    ):
        with pytest.raises(ChallengeError):
            decode_challenge(block)
    for block in (b"", encode_proof(proof)[:-1], encode_challenge(challenge), b"\x80"):
        with pytest.raises(ChallengeError):
            decode_proof(block)
    assert isinstance(proof, Proof)
