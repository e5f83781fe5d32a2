"""Dialling peers: a few threads that take the link that is due, exchange over it, and keep what it taught.

A node is reached through our own node's libp2p forward, a URL directly; both carry the same HTTP
(ledger.exchange_client). Forwards, connections and sessions are kept open, so that what a hint tells of costs one round
trip. Leaves out when a link is due (scheduler.links) and what an exchange is (ledger.exchange).
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from crdt.state_root import REDUCER_VERSION
from ledger.carrier import MisbehaviourError, UnreachableError
from ledger.database import StoreError
from ledger.exchange import fetch_state, sync_with
from ledger.exchange_client import HttpCarrier, NotServedError
from ledger.exchange_codec import encode_state
from ledger.hints import HINT_BYTES_MAX
from ledger.keys import SigningKey
from ledger.kubo import KuboClient
from ledger.kubo_errors import KuboError
from ledger.network_tables import open_network
from ledger.replica import ExchangeError, Replica, State
from scheduler.dialling import forward_to
from scheduler.endpoints import Endpoint, Endpoints
from scheduler.hint_hearing import Say
from scheduler.home import Home
from scheduler.links import Link, Links
from scheduler.replica import replica_of

HINT_PATH: Final = "hint"
"""Request by which two daemons tell each other a hint where pubsub does not reach."""
WORKERS: Final = 4
_DIAL_S: Final = 5.0
_STOP_S: Final = 3.0


@dataclass(frozen=True, slots=True)
class Dial:
    """What dialling needs, as it is at the moment: who asks, and our node where it is up."""

    key: SigningKey | None
    node: KuboClient | None
    hint: bytes


class Linker:
    """Exchanges with every link, in threads of its own.

    Args:
        folder: the home; each thread opens it for itself.
        links: what is due when.
        dial: gives what dialling needs.
        hear: takes a hint that came over a link.
        say: tells the operator.
    """

    def __init__(
        self,
        folder: Path,
        links: Links,
        dial: Callable[[], Dial],
        hear: Callable[[bytes], object],
        say: Say,
        clock: Callable[[], int],
    ) -> None:
        self._folder = folder
        self._links = links
        self._dial = dial
        self._hear = hear
        self._say = say
        self._clock = clock
        self._carriers: dict[str, tuple[HttpCarrier, tuple[object, ...]]] = {}
        self._turn = threading.Lock()
        self._threads = [threading.Thread(target=self._work, name=f"link-{n}", daemon=True) for n in range(WORKERS)]

    def start(self) -> None:
        """Begin."""
        for thread in self._threads:
            thread.start()

    def close(self) -> None:
        """Stop; what is on its way is given a moment, then left: it is durable in batches, or not there at all."""
        self._links.close()
        deadline = time.monotonic() + _STOP_S
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))

    def _work(self) -> None:
        with Home.open(self._folder, clock=self._clock) as home, open_network(self._folder) as network:
            book = Endpoints(network)
            replica = replica_of(home)
            while (link := self._links.next(time.monotonic)) is not None:
                worked = False
                try:
                    worked = self._exchange(link, home, replica, book)
                except StoreError as error:
                    self._say("store", str(error))
                finally:
                    self._links.done(link, time.monotonic(), worked=worked)

    def _exchange(self, link: Link, home: Home, replica: Replica, book: Endpoints) -> bool:
        """Exchange over a link; return whether that worked, and keep how it went."""
        is_wanted = self._links.take(link)
        dial = self._dial()
        if link.peer_id is not None and dial.node is None:
            return False  # our own node is not up (yet), which is said elsewhere; all are wanted again once it is
        endpoints = list(link.endpoints.values())
        try:
            carrier = self._carrier(link, dial, home)
            state, fault = self._meet(carrier, home, replica, dial, is_wanted=is_wanted)
        except (ExchangeError, KuboError) as error:
            self._fail(link, error, book, endpoints)
            return False
        for endpoint in endpoints:
            book.met(endpoint, home.now_ms(), None if state is None else encode_state(state))
        if fault:
            self._fault_once(link, *fault)
        elif link.fault or not link.has_met:
            link.fault = ""
            self._say("connected", f"in exchange with {link.name}")
        return True

    def _meet(
        self, carrier: HttpCarrier, home: Home, replica: Replica, dial: Dial, *, is_wanted: bool
    ) -> tuple[State | None, tuple[str, str] | None]:
        """Take and give what lacks; return the other's state where it was asked for, and what was odd about it."""
        state = odd = None
        if not is_wanted:
            self._swap_hints(carrier, dial)
            state = fetch_state(carrier, replica)
            with home.reading():
                if state.heads == home.board.heads:
                    odd = _contradiction(state, carrier.url, home.board.state_root())
                    # Events come by the topic alone, too; what they link comes by asking only.
                    if not home.intake.blobs.wanted(most=1):
                        return state, odd
        done = sync_with(replica, carrier, home.now_ms)
        refused, useless = done.pulled.taken.refused, done.pulled.useless
        words = f"{carrier.url}: {refused} events refused, {useless} blocks of no use"
        return state, ("refused", words) if refused or useless else odd

    def _swap_hints(self, carrier: HttpCarrier, dial: Dial) -> None:
        """Tell a peer our hint, and hear its own: so who is there is known where pubsub does not reach."""
        with suppress(ExchangeError), carrier.ask(HINT_PATH, dial.hint) as stream:
            answer = stream.read(HINT_BYTES_MAX + 1)
            if answer:
                self._hear(answer)

    def _fail(self, link: Link, error: Exception, book: Endpoints, endpoints: list[Endpoint]) -> None:
        with self._turn:
            kept = self._carriers.pop(link.name, None)
        if kept is not None:
            kept[0].close()
        for endpoint in endpoints:
            book.failed(endpoint, str(error))
        if isinstance(error, NotServedError):
            self._fault_once(link, "not_served", f"{link.name}: not served yet, an owner must admit this key")
        elif isinstance(error, UnreachableError | KuboError):
            self._fault_once(link, "unreachable", f"{link.name} is not reached: {error}")
        elif isinstance(error, MisbehaviourError):
            self._fault_once(link, "misbehaves", f"{link.name}: {error}")
        else:
            self._fault_once(link, "no_exchange", f"{link.name}: {error}")

    def _fault_once(self, link: Link, kind: str, words: str) -> None:
        """Say what is wrong with a link, once until it works again or is wrong in another way."""
        if link.fault != kind:
            link.fault = kind
            self._say(kind, words)

    # ---- carriers

    def _carrier(self, link: Link, dial: Dial, home: Home) -> HttpCarrier:
        """Return what carries to a link, kept from the last time where nothing has changed since."""
        mark = (dial.node, None if dial.key is None else dial.key.actor)
        with self._turn:
            kept = self._carriers.get(link.name)
        if kept is not None and kept[1] == mark:
            return kept[0]
        if kept is not None:
            kept[0].close()
        if link.peer_id is None:
            carrier = HttpCarrier(link.name, home.ledger, dial.key)
        else:
            port = self._forward(link, dial.node)
            carrier = HttpCarrier(f"http://127.0.0.1:{port}", home.ledger, dial.key, audience=link.peer_id)
        with self._turn:
            self._carriers[link.name] = (carrier, mark)
        return carrier

    def _forward(self, link: Link, node: KuboClient | None) -> int:
        """Return a local port that leads to a node; connect to it first where its addresses say how."""
        if node is None or link.peer_id is None:
            raise UnreachableError("it is reached through an IPFS node, and ours is not there")
        addresses = [one.address for one in link.endpoints.values() if one.is_dialled]
        return forward_to(node, link.peer_id, addresses, timeout_s=_DIAL_S)


def _contradiction(state: State, place: str, root: bytes) -> tuple[str, str] | None:
    """Return what to say of a state with our heads whose board is another under the same rules (H6)."""
    if state.reducer != REDUCER_VERSION or state.state_root in (None, root):
        return None
    return "roots_differ", f"DEFECT: {place} has the same events under the same rules and another state root"
