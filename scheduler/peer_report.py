"""What a home knows of its peers: who was heard of, how far behind each is, and whether it has the same board.

From the hints and endpoints that a daemon keeps in network.sqlite3, compared with the home as it is now. Leaves out how
it is shown (cli.commands_peer).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from crdt.clock import clock_root
from crdt.state_root import REDUCER_VERSION
from ledger.cid import Cid
from ledger.database import StoreError
from ledger.exchange_codec import decode_state
from ledger.keys import ActorKey
from ledger.network_tables import NETWORK_NAME, open_network
from ledger.replica import ExchangeError
from scheduler.endpoints import Endpoints, HeardPeer, KnownEndpoint
from scheduler.home import Home

FRESH_MS: Final = 90_000
"""How long after an exchange an endpoint counts as connected: longer than the longest pause between two."""


@dataclass(frozen=True, slots=True)
class Standing:
    """How another log stands to ours. None: not known."""

    lacks: int | None
    """Events of ours that it lacks."""
    ahead: int | None
    """Events that we lack of its; where that is not known exactly, the least that it can be."""
    same_root: bool | None
    """Whether its board is ours; None where logs or rules differ, so that there is nothing to compare."""


@dataclass(frozen=True, slots=True)
class PeerStanding:
    """An actor: when it was last heard of (ms), its node, whether we are in exchange with it, how it stands."""

    actor: ActorKey
    heard_ms: int | None
    peer_id: str | None
    is_connected: bool
    standing: Standing


@dataclass(frozen=True, slots=True)
class EndpointStanding:
    """An endpoint as the daemon found it, and how the log behind it stands, as it last said."""

    known: KnownEndpoint
    is_connected: bool
    standing: Standing


UNKNOWN: Final = Standing(None, None, None)


def peers_of(home: Home, now_ms: int) -> tuple[list[PeerStanding], list[EndpointStanding]]:
    """Return the other peers of a home, and its endpoints."""
    endpoints, heard = _kept(home.folder)
    root = home.state_root()
    own = set(home.keys.actors().values())
    met = {one.endpoint.peer_id for one in endpoints if one.endpoint.peer_id and _is_fresh(one, now_ms)}
    with home.reading():
        events = sum(home.board.vector.values())
        heard_of = home.heard_of()
        actors = (home.board.active_workers() | heard.keys()) - own
        peers = []
        for actor in sorted(actors):
            last = heard.get(actor)
            times = [at for at in (heard_of.get(actor), None if last is None else last.heard) if at is not None]
            peer_id = None if last is None else last.hint.peer_id
            standing = UNKNOWN if last is None else _of_hint(home, last, events, root)
            # A peer that dials us, by HTTP, is met in no exchange of ours: its hints come with its own.
            is_connected = last is not None and (last.hint.peer_id in met or now_ms - last.heard <= FRESH_MS)
            peers.append(PeerStanding(actor, max(times, default=None), peer_id, is_connected, standing))
        shown = [EndpointStanding(one, _is_fresh(one, now_ms), _of_said(home, one, events, root)) for one in endpoints]
    return peers, shown


def differing(folder: Path) -> list[ActorKey]:
    """Return the actors whose board is another than ours under the same log (H6), as the daemon found."""
    return [actor for actor, peer in _kept(folder)[1].items() if peer.differs]


def _kept(folder: Path) -> tuple[tuple[KnownEndpoint, ...], dict[ActorKey, HeardPeer]]:
    """Return what the network database holds, nothing where there is none; makes none."""
    if not (folder / NETWORK_NAME).exists():
        return (), {}
    try:
        with open_network(folder) as network:
            book = Endpoints(network)
            return book.known(), book.peers()
    except StoreError:
        return (), {}


def _is_fresh(known: KnownEndpoint, now_ms: int) -> bool:
    return known.met is not None and known.failures == 0 and now_ms - known.met <= FRESH_MS


def _of_hint(home: Home, peer: HeardPeer, events: int, root: bytes) -> Standing:
    hint = peer.hint
    found = _standing(home, hint.heads, hint.clock, hint.events, events)
    if found != (0, 0):
        return Standing(*found, False if peer.differs else None)
    same = hint.state_root == root if hint.reducer == REDUCER_VERSION else None
    return Standing(*found, same)


def _of_said(home: Home, known: KnownEndpoint, events: int, root: bytes) -> Standing:
    if known.said is None:
        return UNKNOWN
    try:
        state = decode_state(known.said)
    except ExchangeError:
        return UNKNOWN
    found = _standing(home, state.heads, clock_root(state.heads), state.events, events)
    comparable = found == (0, 0) and state.reducer == REDUCER_VERSION and state.state_root is not None
    return Standing(*found, state.state_root == root if comparable else None)


def _standing(home: Home, heads: Iterable[Cid], clock: bytes, theirs: int, ours: int) -> tuple[int | None, int | None]:
    """Return how many of our events another lacks, and how many of its we lack."""
    if clock == home.board.clock_root:
        return 0, 0
    named = tuple(heads)
    if named and all(cid == home.ledger or home.board.store.find_node(cid) is not None for cid in named):
        return max(0, ours - theirs), 0
    return None, max(1, theirs - ours)
