"""The other peers as this one knows them: their names, when each was heard of, and the clock it last told.

Implements: `known_peers`, `update_peer_state` and `check_peer_failure` of the Python contract. A clock that was told is
a hint, kept while the process lives: it moves neither ours nor the board. Leaves out who ranks (scheduler.assignment).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from crdt.clock import ClockError, MerkleClock
from ledger.cid import Cid
from ledger.keys import ActorKey, KeyFormatError, did_key, parse_did_key
from scheduler.bootstrap import ask_now
from scheduler.home import Home


@dataclass(frozen=True, slots=True)
class Told:
    """A clock that a peer told, and when (ms since 1970)."""

    clock: MerkleClock
    at_ms: int


class KnownPeers:
    """The peers of a home beside `me`. Its methods but `update` are called within a reading or writing of the home.

    Args:
        home: whose ledger, names and heartbeats count.
        me: this peer.
        bootstrap: names of peers known from the start.
    """

    def __init__(self, home: Home, me: ActorKey, bootstrap: Iterable[str]) -> None:
        self._home = home
        self._me = me
        self._bootstrap = tuple(dict.fromkeys(bootstrap))
        if isinstance(bootstrap, str) or not all(self._bootstrap):
            raise ValueError("bootstrap_peers must be a list of names that are not empty")
        self._told: dict[str, Told] = {}
        self._names: dict[ActorKey, str] = {}
        self._names_mark: object = None

    def name_of(self, actor: ActorKey) -> str:
        """Return the name of an actor as the contract shows it."""
        return self._known_names().get(actor) or did_key(actor)

    def find_actor(self, peer: str) -> ActorKey | None:
        """Return whom a name, or a did:key, means in this ledger; None for a stranger's name."""
        try:
            return parse_did_key(peer)
        except KeyFormatError:
            return next((actor for actor, name in self._known_names().items() if name == peer), None)

    def _known_names(self) -> Mapping[ActorKey, str]:
        roster = (
            self._home.board.store.state.roster
        )  # both only grow, so their sizes tell whether names may have changed
        mark = (len(roster.admissions), len(roster.revocations))
        if mark != self._names_mark:
            self._names = self._home.members.names()
            self._names_mark = mark
        return self._names

    def heard_ms(self, peer: str) -> int | None:
        """Return when a peer was last heard of, ms since 1970: an event, a heartbeat or a clock; None for never."""
        actor = self.find_actor(peer)
        told = self._told.get(peer)
        heard = [] if actor is None else [self._home.heard_of().get(actor)]
        heard.append(None if told is None else told.at_ms)
        return max((at for at in heard if at is not None), default=None)

    def entries(self) -> dict[str, dict[str, Any]]:
        """Return by name each other peer's `clock` as last told, before that an empty one, and `last_seen` in s."""
        workers = sorted(self.name_of(actor) for actor in self._home.board.active_workers() if actor != self._me)
        found = {}
        for name in dict.fromkeys((*workers, *self._bootstrap, *self._told)):
            told, heard_ms = self._told.get(name), self.heard_ms(name)
            found[name] = {
                "clock": MerkleClock(name) if told is None else told.clock,
                "last_seen": None if heard_ms is None else heard_ms / 1000,
            }
        return found

    def update(self, peer: str, clock: MerkleClock | Mapping[str, object]) -> None:
        """Keep the clock a peer tells; raise ClockError, and keep what was, where it cannot be true or is another's.

        Where it has heads that are not known here, a running daemon asks the peers for them at once.
        """
        if not peer:
            raise ClockError("peer_id: a name is wanted")
        # Through the dict: it is checked, and what the caller changes later in its clock does not change ours.
        checked = MerkleClock.from_dict(clock.to_dict() if isinstance(clock, MerkleClock) else clock)
        with self._home.reading():
            self._check_counts(checked)
            actor = self.find_actor(peer)
            if checked.node_id not in self._called(peer, actor):
                raise ClockError(f"node_id: this is the clock of {checked.node_id!r}, not of {peer!r}")
        if actor is not None:
            with self._home.writing() as writing:
                writing.heard(actor)
        self._told[peer] = Told(checked, self._home.now_ms())
        with self._home.reading():
            is_behind = not all(map(self._is_here, checked.heads))
        if is_behind:
            ask_now(self._home)

    def _called(self, peer: str, actor: ActorKey | None) -> set[str]:
        """Return what a peer may be called in its clock: as here, by its did:key, by a name it was admitted under."""
        if actor is None:
            return {peer}
        admitted = {member.name for member in self._home.board.roster().members if member.actor == actor}
        return {peer, did_key(actor), self.name_of(actor)} | {name for name in admitted if name is not None}

    def _is_here(self, cid: Cid) -> bool:
        return cid == self._home.ledger or self._home.board.store.find_node(cid) is not None

    def _check_counts(self, clock: MerkleClock) -> None:
        """Raise where a clock counts more events than its heads hold, as far as these heads are known here."""
        board = self._home.board
        if not clock.heads or not all(map(self._is_here, clock.heads)):
            return
        ours = {did_key(actor): count for actor, count in board.vector.items()}
        counted = {node: count for node, count in clock.vector.items() if count}
        inflated = sorted(node for node, count in counted.items() if count > ours.get(node, 0))
        if inflated:
            raise ClockError(f"vector: more events of {inflated[0]} than the heads of this clock hold")
        if clock.heads == board.heads and counted != ours:
            raise ClockError("vector: it is not that of the heads of this clock")
