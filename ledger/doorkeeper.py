"""Who is let in to an exchange: challenges that cost nothing until they are answered, and sessions.

Implements: specs/exchange.md, rules X17 and X18. A nonce holds the time and a tag under the server's secret, so nothing
is kept of the challenges that a stranger asks for. An answer counts once; what is remembered of answers is bounded,
since only those of keys that are let in are. Threads may share it. Leaves out who is admitted, which is asked for each
request anew: a revoked member is out at once, whatever its session.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import threading
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final

from ledger.challenge import NONCE_BYTES, Challenge, ChallengeError, Proof, verify_proof
from ledger.cid import Cid
from ledger.keys import ActorKey, did_key

CHALLENGE_MS: Final = 60_000
"""How long a challenge can be answered."""
SESSION_MS: Final = 15 * 60_000
"""How long a session lasts."""
SESSIONS_MAX: Final = 1_024
SESSIONS_EACH_MAX: Final = 16
"""Sessions of one key; its oldest makes room."""
_TIME_BYTES: Final = 8
_RANDOM_BYTES: Final = 16
_TAG_BYTES: Final = NONCE_BYTES - _TIME_BYTES - _RANDOM_BYTES


class NotAdmittedError(Exception):
    """The key is no member here: an owner must admit it, or has revoked it."""

    def __init__(self, actor: ActorKey) -> None:
        super().__init__(f"{did_key(actor)} is not admitted to this ledger here")


@dataclass(frozen=True, slots=True)
class _Session:
    actor: ActorKey
    until: int


class Doorkeeper:
    """Lets members in.

    Args:
        ledger: whose members.
        server: the key this server goes by.
        admits: tells whether a key may ask now.
        now_ms: tells the time.
        audiences: what else this server may be called by whoever dials it: peer ids.
    """

    def __init__(
        self,
        ledger: Cid,
        server: ActorKey,
        admits: Callable[[ActorKey], bool],
        now_ms: Callable[[], int],
        audiences: Iterable[str] = (),
    ) -> None:
        self._ledger = ledger
        self._server = server
        self._admits = admits
        self._now_ms = now_ms
        self._audiences = {did_key(server), *audiences}
        self._secret = secrets.token_bytes(32)
        self._turn = threading.Lock()
        self._sessions: OrderedDict[str, _Session] = OrderedDict()
        self._used: OrderedDict[bytes, int] = OrderedDict()

    def add_audience(self, name: str) -> None:
        """Be called so, too, from now on."""
        with self._turn:
            self._audiences.add(name)

    def challenge(self) -> Challenge:
        """Return a new challenge; nothing is remembered of it."""
        body = self._now_ms().to_bytes(_TIME_BYTES, "big") + secrets.token_bytes(_RANDOM_BYTES)
        return Challenge(self._ledger, self._server, body + self._tag(body))

    def open_session(self, proof: Proof) -> str:
        """Return the token of a new session for who has answered a challenge.

        Raises ChallengeError for an answer that is none of ours, too late, made for another server, or used before;
        NotAdmittedError for the true answer of a key that is not let in.
        """
        now = self._now_ms()
        body, tag = proof.nonce[:-_TAG_BYTES], proof.nonce[-_TAG_BYTES:]
        if not hmac.compare_digest(tag, self._tag(body)):
            raise ChallengeError("the challenge is not one of this server, or of before it was started anew")
        made = int.from_bytes(body[:_TIME_BYTES], "big")
        if not made <= now <= made + CHALLENGE_MS:
            raise ChallengeError("the challenge is too old")
        with self._turn:
            if proof.audience not in self._audiences:
                raise ChallengeError(f"the answer is meant for {proof.audience}, which is not this server")
        verify_proof(proof, self._ledger)
        if not self._admits(proof.actor):
            raise NotAdmittedError(proof.actor)
        token = secrets.token_urlsafe(32)
        with self._turn:
            if proof.nonce in self._used:
                raise ChallengeError("the challenge was answered before")
            self._used[proof.nonce] = now
            while self._used and next(iter(self._used.values())) + CHALLENGE_MS < now:
                self._used.popitem(last=False)  # too old by now to be answered at all
            self._sessions[token] = _Session(proof.actor, now + SESSION_MS)
            self._make_room(proof.actor)
        return token

    def actor_of(self, token: str) -> ActorKey | None:
        """Return whose session it is, None where there is none; raise NotAdmittedError where the key is out by now."""
        with self._turn:
            session = self._sessions.get(token)
            if session is None or session.until < self._now_ms():
                self._sessions.pop(token, None)
                return None
        if not self._admits(session.actor):
            with self._turn:
                self._sessions.pop(token, None)
            raise NotAdmittedError(session.actor)
        return session.actor

    def _make_room(self, actor: ActorKey) -> None:
        count = Counter(session.actor for session in self._sessions.values())
        for token, session in list(self._sessions.items()):
            crowded = session.actor == actor and count[actor] > SESSIONS_EACH_MAX
            if crowded or len(self._sessions) > SESSIONS_MAX:
                del self._sessions[token]
                count[session.actor] -= 1

    def _tag(self, body: bytes) -> bytes:
        return hmac.new(self._secret, body, hashlib.sha256).digest()[:_TAG_BYTES]
