"""What this home tells others: signed hints of its log, its board and where it is reached, at once but never too often.

Implements: specs/hints.md, "A peer that runs tells a hint …". Leaves out how hints travel (scheduler.peer_daemon) and
what is done with those that come (scheduler.hint_hearing).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from crdt.clock import clock_root
from crdt.state_root import REDUCER_VERSION
from ledger.cid import Cid
from ledger.hints import ADDRESSES_MAX, Hint, sign_hint
from ledger.keys import ActorKey, SigningKey
from scheduler.assignment import LIVENESS_LEASES
from scheduler.home import Home
from scheduler.home_keys import HomeKeys

GAP_MS: Final = 125
"""Least time between two hints of one key."""
SPEAKERS_MAX: Final = 16
"""Most keys of a home that hints are signed with: its own, and those of workers that were heard of in it lately."""


@dataclass(frozen=True, slots=True)
class Reach:
    """Where this peer is reached: its node's id and addresses, URLs of its exchange, and the name of its manifest."""

    peer_id: str | None = None
    addresses: tuple[str, ...] = ()
    urls: tuple[str, ...] = ()
    manifest: str | None = None


@dataclass(slots=True)
class Rhythm:
    """When to tell: at once where the log has changed, but with a gap; else now and then, with jitter.

    Args:
        every_ms: how often where nothing changes; each pause is a quarter longer or shorter by chance.
        draw: a number from 0 to 1 by chance.
    """

    every_ms: int
    draw: Callable[[], float]
    _told: tuple[Cid, ...] = field(default=(), init=False)
    _told_ms: int = field(default=0, init=False)
    _next_ms: int = field(default=0, init=False)

    def due_at(self, heads: tuple[Cid, ...]) -> int:
        """Return when to tell next (ms, may be past), given the heads of the log as they are now."""
        return self._told_ms + GAP_MS if heads != self._told else self._next_ms

    def told(self, heads: tuple[Cid, ...], now_ms: int) -> None:
        """Note that these heads were told."""
        self._told, self._told_ms = heads, now_ms
        self._next_ms = now_ms + round(self.every_ms * (0.75 + self.draw() / 2))

    def hurry(self) -> None:
        """Tell again at the next look: somebody new can hear it."""
        self._next_ms = 0


class HintMaker:
    """Makes the hints of a home: one of its own peer, and one of each worker that was at work in it lately."""

    def __init__(self, home: Home, peer_name: str, keys: HomeKeys | None = None) -> None:
        self._home = home
        self._peer_name = peer_name
        self._keys = keys or HomeKeys(home)
        self._times: dict[ActorKey, int] = {}

    def speakers(self) -> list[SigningKey]:
        """Return the keys to sign with, the home's own peer first; none where no key of the home is a member.

        The peer is the key that commands act with; where that is no member (yet), the first of the home's keys that is.
        """
        home = self._home
        own = home.members.find_key(self._peer_name)
        others = self._keys.all().values()
        with home.reading():
            members = [key for key in others if home.members.grant_for(key.actor) is not None]
            if own is not None and home.members.grant_for(own.actor) is not None:
                members.insert(0, own)
            heard, workers = home.heard_of(), home.board.active_workers()
        since = home.now_ms() - LIVENESS_LEASES * home.policy.lease_ms
        found: dict[ActorKey, SigningKey] = {}
        for key in members:
            if not found or (key.actor in workers and heard.get(key.actor, 0) >= since):
                found.setdefault(key.actor, key)
        return list(found.values())[:SPEAKERS_MAX]

    def make(self, keys: list[SigningKey], reach: Reach) -> list[bytes]:
        """Return a hint signed by each of `keys` about one state of the home. Not to be called within a reading."""
        home = self._home
        home.state_root()  # hashes what is new, and keeps it
        with home.reading():
            heads, events, root = home.board.heads, sum(home.board.vector.values()), home.board.state_root()
        made = []
        for key in keys:
            at = self._times[key.actor] = max(home.now_ms(), self._times.get(key.actor, 0) + 1)
            hint = Hint(
                ledger=home.ledger,
                actor=key.actor,
                time=at,
                heads=heads,
                clock=clock_root(heads),
                events=events,
                reducer=REDUCER_VERSION,
                state_root=root,
                peer_id=reach.peer_id,
                addresses=reach.addresses[:ADDRESSES_MAX],
                urls=reach.urls[:ADDRESSES_MAX],
                manifest=reach.manifest,
            )
            made.append(sign_hint(key, hint))
        return made
