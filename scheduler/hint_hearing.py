"""What is done with hints that come: who is there, who has what we lack, who disagrees about what it means.

Implements: specs/hints.md, H3 to H6 as a home applies them. What was heard is kept in batches: heartbeats in the home,
the last hint of each peer in its network database. Leaves out the carriers (scheduler.peer_daemon).
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable
from contextlib import suppress

from crdt.state_root import REDUCER_VERSION
from ledger.acceptance import Refusal, check_alone
from ledger.cid import Cid
from ledger.database import Database, StoreFullError, StoreReadOnlyError
from ledger.hint_gate import HintGate, differs
from ledger.hints import Hint, HintError
from ledger.keys import ActorKey, did_key
from ledger.news import decode_news
from scheduler.assignment import LIVENESS_LEASES
from scheduler.endpoints import Endpoint, EndpointError, Endpoints, parse_endpoint
from scheduler.home import Home

Say = Callable[[str, str], None]
"""Tells the operator something: a stable word for programs, and words for people."""


class Hearing:
    """Hears hints for one home. Threads may share it: they take turns.

    Args:
        home: a home of its own, since hints come in a thread of their own.
        network: the network database, likewise.
        say: tells the operator of peers that disagree.
        want: called with where to ask: what a hint leads to that names heads not known here, and who sent news that
            links blobs that are not here.
    """

    def __init__(self, home: Home, network: Database, say: Say, want: Callable[[Endpoint], None]) -> None:
        self._home = home
        self._book = Endpoints(network)
        self._say = say
        self._want = want
        policy = home.policy
        age_ms_max = LIVENESS_LEASES * policy.lease_ms
        self._gate = HintGate(home.ledger, age_ms_max=age_ms_max, skew_ms=policy.skew_ms)
        self._heard: dict[ActorKey, tuple[Hint, int, bool]] = {}
        self._differing = {actor for actor, peer in self._book.peers().items() if peer.differs}
        self._turn = threading.Lock()
        self.dropped: Counter[str] = Counter()
        """How many hints were dropped, by rule."""

    def hear(self, data: bytes, sender: str) -> Hint | None:
        """Take a hint in; return it, or None for one that is dropped. `sender`: as HintGate.admit has it."""
        home = self._home
        with self._turn:
            now_ms = home.now_ms()
            with home.reading():
                try:
                    hint = self._gate.admit(data, sender, now_ms, self._is_member)
                except HintError as error:
                    self.dropped[error.rule] += 1
                    return None
                is_same = hint.clock == home.board.clock_root
                is_known = is_same or (bool(hint.heads) and all(map(self._is_here, hint.heads)))
                is_odd = is_same and differs(hint, hint.clock, REDUCER_VERSION, home.board.state_root())
            was_odd = hint.actor in self._differing
            self._tell_of(hint, is_odd=is_odd, is_same=is_same)
            # A hint of another log says nothing of whether the boards agree: what was found stands.
            self._heard[hint.actor] = (hint, now_ms, is_odd or (was_odd and not is_same))
            places = places_of(hint)
            # Which node it is says the hint; what is worth keeping is where that, or a URL, is dialled.
            with suppress(StoreFullError, StoreReadOnlyError):
                self._book.tell([place for place in places if place.peer_id is None or place.is_dialled], now_ms)
        if not is_known and places:
            self._want(places[0])
        return hint

    def hear_news(self, message: bytes, sender: str) -> bool:
        """Take in the events of a message, where it is news (H8); return whether it was, wanted or not."""
        home = self._home
        with self._turn:
            try:
                blocks = decode_news(message, home.ledger)
                if blocks is None:
                    return False
                self._gate.check_rate(sender, home.now_ms())
                signed = [check_alone(block, home.ledger) for block in blocks]
                with home.reading():
                    new = [one for one in signed if not self._is_here(one.cid)]
                    if not all(self._is_member(one.event.actor) for one in new):
                        raise HintError("H8", "an event in it is not of a member")
            except Refusal as refusal:
                self.dropped[refusal.rule] += 1
                return True
            except HintError as error:
                self.dropped[error.rule] += 1
                return True
            lacks = False
            if new:
                with home.writing():
                    home.intake.offer(new, home.now_ms())
                    lacks = home.intake.blobs.lacks(blob for one in new for blob in one.event.blobs)
        if lacks:  # news has no room for what its events link
            with suppress(EndpointError):
                self._want(parse_endpoint(f"/p2p/{sender}"))
        return True

    def _is_member(self, actor: ActorKey) -> bool:
        return self._home.members.grant_for(actor) is not None

    def _is_here(self, cid: Cid) -> bool:
        return cid == self._home.ledger or self._home.board.store.find_node(cid) is not None

    def _tell_of(self, hint: Hint, *, is_odd: bool, is_same: bool) -> None:
        """Say once that a peer's board is another, and once that it is the same again (H6)."""
        name = did_key(hint.actor)
        if is_odd and hint.actor not in self._differing:
            self._differing.add(hint.actor)
            self._say(
                "roots_differ",
                f"DEFECT: {name} has the same events under the same rules (reducer {hint.reducer}) and another state "
                f"root, {hint.state_root.hex()}: keep both homes, compare them with `verify`, and report it",
            )
        elif is_same and not is_odd and hint.actor in self._differing:
            self._differing.discard(hint.actor)
            self._say("roots_agree", f"{name} has the same state root again")

    def flush(self) -> None:
        """Keep what was heard since: heartbeats and last hints. Costs nothing where nothing was."""
        with self._turn:
            heard, self._heard = self._heard, {}
        if not heard:
            return
        with suppress(StoreFullError, StoreReadOnlyError):
            with self._home.writing():
                for actor, (hint, at, _) in heard.items():
                    self._home.beat(actor, min(at, hint.time))
            self._book.heard((hint.encode(), at, is_odd) for hint, at, is_odd in heard.values())


def places_of(hint: Hint) -> list[Endpoint]:
    """Return where a hint says its actor is reached: first its node, then addresses of that node, then URLs."""
    texts = [f"/p2p/{hint.peer_id}"] if hint.peer_id else []
    found = []
    for text in (*texts, *hint.addresses, *hint.urls):
        with suppress(EndpointError):
            place = parse_endpoint(text)
            if place.peer_id in (None, hint.peer_id):
                found.append(place)
    return found
