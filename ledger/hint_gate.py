"""Which hints a reader listens to: those of members, of now, each once, and no more than it can bear.

Implements: specs/hints.md, rules H3 to H6. Pure: who is a member and what time it is are arguments. What it keeps is
bounded, whoever sends whatever. Leaves out what a hint is (ledger.hints) and what is done about one.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from ledger.cid import Cid
from ledger.hints import HINT_BYTES_MAX, Hint, HintError, check_signature, decode_hint
from ledger.keys import ActorKey

SENDER_BURST: Final = 64
"""Messages of one sender that are looked at without a pause, and ..."""
SENDER_PER_S: Final = 32
"""... how many of them each second after that."""
TOTAL_BURST: Final = 1_024
TOTAL_PER_S: Final = 256
"""The same for all senders together: a stranger can have many names."""
SENDERS_MAX: Final = 256
"""Senders whose rate is remembered; the longest silent is forgotten first."""
SPEAKERS_MAX: Final = 4_096
"""Pairs of actor and node whose last hint is remembered, the longest silent forgotten first."""


@dataclass(slots=True)
class Bucket:
    """So many at once, so many each second after that: tokens that refill with time, `left` at `at_ms`."""

    left: float
    at_ms: int

    def take(self, now_ms: int, burst: int, per_s: int) -> bool:
        """Take a token, as of `now_ms`; return whether there was one."""
        self.left = min(burst, self.left + max(0, now_ms - self.at_ms) * per_s / 1000)
        self.at_ms = now_ms
        if self.left < 1:
            return False
        self.left -= 1
        return True


class HintGate:
    """Judge hints one after the other.

    Args:
        ledger: hints of another one are refused.
        age_ms_max: how old a hint may be, two leases (S3): an older one says nothing of who is there.
        skew_ms: how far ahead of the local clock one may be.
    """

    def __init__(self, ledger: Cid, *, age_ms_max: int, skew_ms: int) -> None:
        self._ledger = ledger
        self._age_ms_max = age_ms_max
        self._skew_ms = skew_ms
        self._senders: OrderedDict[str, Bucket] = OrderedDict()
        self._total = Bucket(TOTAL_BURST, 0)
        self._latest: OrderedDict[tuple[ActorKey, str], int] = OrderedDict()

    def admit(self, data: bytes, sender: str, now_ms: int, is_member: Callable[[ActorKey], bool]) -> Hint:
        """Return the hint in `data`; raise HintError, naming the rule, for one that is to be dropped.

        Args:
            data: what came.
            sender: the peer id of the node that it came from first, as the carrier authenticates it; "" for none.
            now_ms: the local time, ms since 1970.
            is_member: tells whether an actor is an owner, or has a grant that stands.
        """
        self.check_rate(sender, now_ms)  # H5, before anything that costs
        if len(data) > HINT_BYTES_MAX:
            raise HintError("H1", f"{len(data)} bytes, at most {HINT_BYTES_MAX}")
        hint = decode_hint(data)  # H1
        self._check_words(hint, sender, now_ms)  # H3, H4
        if not is_member(hint.actor):
            raise HintError("H3", "the actor is no member of this ledger")
        check_signature(hint)  # H2, last: the only dear one
        self._remember(hint)
        return hint

    def check_rate(self, sender: str, now_ms: int) -> None:
        """Raise HintError (H5) for a message too many of this sender, or of all; `admit` does so by itself."""
        bucket = self._senders.pop(sender, None) or Bucket(SENDER_BURST, now_ms)
        self._senders[sender] = bucket
        if len(self._senders) > SENDERS_MAX:
            self._senders.popitem(last=False)
        if not bucket.take(now_ms, SENDER_BURST, SENDER_PER_S):
            raise HintError("H5", "too many hints of one sender")
        if not self._total.take(now_ms, TOTAL_BURST, TOTAL_PER_S):
            raise HintError("H5", "too many hints of all senders together")

    def _check_words(self, hint: Hint, sender: str, now_ms: int) -> None:
        if hint.ledger != self._ledger:
            raise HintError("H3", f"of ledger {hint.ledger}, not of this one")
        if sender and hint.peer_id != sender:
            raise HintError("H3", "it names another node than the one it came from")
        if hint.time > now_ms + self._skew_ms:
            raise HintError("H4", f"{hint.time - now_ms} ms ahead of the local clock")
        if hint.time < now_ms - self._age_ms_max:
            raise HintError("H4", f"{now_ms - hint.time} ms old")
        if hint.time <= self._latest.get((hint.actor, hint.peer_id or ""), 0):
            raise HintError("H4", "not later than the last one of this actor and node")

    def _remember(self, hint: Hint) -> None:
        speaker = (hint.actor, hint.peer_id or "")
        self._latest[speaker] = hint.time
        self._latest.move_to_end(speaker)
        if len(self._latest) > SPEAKERS_MAX:
            self._latest.popitem(last=False)


def differs(hint: Hint, clock: bytes, reducer: int, state_root: bytes) -> bool:
    """Return whether a hint contradicts this board: the same log, the same rules, another state root (H6)."""
    return hint.clock == clock and hint.reducer == reducer and hint.state_root != state_root
