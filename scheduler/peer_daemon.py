"""`peer run`: one process that keeps a home in touch with its peers, until it is told to end.

What it joins, each in a module and, where it waits for something, in threads of its own: the IPFS node
(scheduler.peer_node), the exchange server (scheduler.peer_serving), links to other peers (scheduler.linking), the topic
(scheduler.topic), what is told on it and heard (scheduler.peer_telling, scheduler.hint_hearing), publishing
(scheduler.peer_publishing), witnesses (scheduler.witness). The loop here waits for appends in the home (scheduler.wake)
and for whatever is due, and tells the others. All that counts is in the home's store, so it can be killed at any moment
and started again.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Iterable
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

from ledger.cid import Cid
from ledger.database import StoreBusyError, StoreError, StoreFullError, StoreReadOnlyError
from ledger.hints import topic_of
from ledger.kubo import KuboClient
from ledger.kubo_errors import KuboError
from ledger.kubo_node import ManagedNode
from ledger.network_tables import open_network
from scheduler.assignment import LIVENESS_LEASES
from scheduler.dialling import STREAM_PROTOCOL
from scheduler.endpoints import Endpoint, EndpointError, Endpoints, parse_endpoint
from scheduler.hint_hearing import Hearing, Say
from scheduler.hint_making import Reach
from scheduler.home import Home
from scheduler.home_keys import HomeKeys
from scheduler.linking import Dial, Linker
from scheduler.links import Links
from scheduler.node import Node
from scheduler.peer_node import NodeKeeper
from scheduler.peer_publishing import PublishLoop
from scheduler.peer_serving import PeerServer
from scheduler.peer_telling import Teller
from scheduler.place import Clock, HomeError, wall_clock_ms
from scheduler.pulse import Pulse
from scheduler.topic import Topic
from scheduler.wake import Watch
from scheduler.witness import Witnesses

LOOK_S: Final = 1.0
"""How often the home is looked at, though nobody woke the daemon."""
STORE_AGAIN_S: Final = 5.0
"""How long it waits where the store cannot be read or written now."""
FLUSH_MS: Final = 1_000
"""How often what was heard is written to the home."""


@dataclass(frozen=True, slots=True)
class Options:
    """How a daemon runs.

    `listen`: host and port where the exchange is served beside loopback, None for nowhere; `urls`: where others reach
    that, to be told in hints; `public`: whether everybody may read.
    """

    listen: tuple[str, int] | None = None
    urls: tuple[str, ...] = ()
    public: bool = False


class Part(Protocol):
    """What runs beside the loop."""

    def start(self) -> None:
        """Begin."""

    def close(self) -> None:
        """End."""


class PeerDaemon:
    """Keeps the home in `folder` in touch with its peers, from `run` to `stop`.

    Args:
        folder: the home.
        peer_name: the name of the key it acts as.
        node: the home's IPFS node, None to do without.
        say: tells the operator what matters, from any thread.
        options: how it runs.
        clock: tells the time, ms.
        pulse: is beaten each time its loop comes round.
    """

    def __init__(
        self,
        folder: Path,
        peer_name: str,
        node: Node | None,
        say: Say,
        options: Options = Options(),
        clock: Clock = wall_clock_ms,
        pulse: Pulse | None = None,
    ) -> None:
        self._say = say
        self._pulse = pulse or Pulse()
        self.urls = options.urls
        """Where others reach the server of `listen`, to be told in hints."""
        self._stopping = threading.Event()
        self._node: KuboClient | None = None
        self._node_id: str | None = None
        self._addresses: tuple[str, ...] = ()
        self._heads: tuple[Cid, ...] = ()
        self._wanted: dict[str, int] = {}
        self._flushed_ms = 0
        # Elsewhere anybody can hear the topic; the exchange serves members only, unless everybody may read.
        self._tells_news = options.public or (isinstance(node, ManagedNode) and node.swarm_key is not None)
        with ExitStack() as stack:
            self._home = stack.enter_context(Home.open(folder, clock=clock))
            self._book = Endpoints(stack.enter_context(open_network(folder)))
            self._watch = stack.enter_context(Watch(folder))
            hearing_home = stack.enter_context(Home.open(folder, clock=clock))
            hearing_network = stack.enter_context(open_network(folder))
            policy, keys = self._home.policy, HomeKeys(self._home)
            self._own_key = self._home.members.find_key(peer_name) or self._home.keys.ensure(peer_name)
            self._topic = Topic(topic_of(self._home.ledger), self._hear_message, self._on_heard, say)
            self._teller = Teller(self._home, peer_name, keys, self._topic.publish, random.random)
            self._witnesses = Witnesses(self._home, keys, random.random)
            self._links = Links(random.random, LIVENESS_LEASES * policy.lease_ms / 1000)
            self._hearing = Hearing(hearing_home, hearing_network, say, self._want)
            self._linker = Linker(folder, self._links, self._dial, lambda data: self._hear(data, ""), say, clock)
            self._publishing = PublishLoop(folder, clock, lambda: self._teller.speaker, say)
            places = [("127.0.0.1", 0), *(() if options.listen is None else (options.listen,))]
            self._servers = [
                PeerServer(folder, self._own_key, self._swap, host=host, port=port, public=options.public, clock=clock)
                for host, port in places
            ]
            self._keeper = None if node is None else NodeKeeper(node, say, self._node_up, self._node_down)
            self._stack = stack.pop_all()

    @property
    def ports(self) -> tuple[int, ...]:
        """The ports of its servers: loopback, and that of `listen` where it was given."""
        return tuple(server.port for server in self._servers)

    # ---- running

    def run(self) -> None:
        """Run until `stop`. Call it once; it leaves everything closed."""
        parts: list[Part] = [*self._servers, self._linker, self._publishing, self._topic]
        if self._keeper is not None:
            parts.append(self._keeper)  # last: it closes what the others use
        with ExitStack() as ending:
            ending.callback(self._stack.close)
            ending.callback(self._flush)
            for part in reversed(parts):
                ending.callback(part.close)
            for part in parts:
                part.start()
            try:
                self._loop()
            finally:
                self._stopping.set()

    def stop(self) -> None:
        """Have `run` return soon; from any thread, or a signal handler."""
        self._stopping.set()
        self._watch.poke()

    def _loop(self) -> None:
        pause_s = 0.0
        while not self._stopping.is_set():
            self._watch.wait(pause_s)
            self._pulse.beat()
            try:
                pause_s = 0.0 if self._stopping.is_set() else self._look()
            except (StoreBusyError, StoreFullError, StoreReadOnlyError, HomeError) as error:
                self._say("store", str(error))  # it may pass: another process is long at it, the disk is full, …
                pause_s = STORE_AGAIN_S

    def _look(self) -> float:
        """Do what is due; return in how many seconds something may be due again."""
        home = self._home
        now_ms = home.now_ms()
        due = [now_ms + round(LOOK_S * 1000)]
        # First of all: somebody waits for it.
        due.append(self._teller.tell_news(now_ms, may_tell=self._tells_news and self._node is not None) or due[0])
        with home.reading():
            heads = home.board.heads
        if heads != self._heads:
            self._heads = heads
            self._publishing.changed()
            self._push()
        reach = Reach(self._node_id, self._addresses, self.urls, self._publishing.name)
        due.append(self._teller.tell_hints(heads, reach, now_ms))
        self._read_endpoints()
        due.append(self._witnesses.look(now_ms) or due[0])
        if now_ms - self._flushed_ms >= FLUSH_MS:
            self._flushed_ms = now_ms
            self._hearing.flush()
        return max(0.0, (min(due) - home.now_ms()) / 1000)

    def _flush(self) -> None:
        with suppress(StoreError):
            self._hearing.flush()

    # ---- hearing

    def _hear_message(self, message: bytes, sender: str) -> None:
        """Take what came by the topic."""
        try:
            is_news = self._hearing.hear_news(message, sender)
        except StoreError as error:
            self._say("store", str(error))
            return
        if not is_news:
            self._hear(message, sender)

    def _hear(self, data: bytes, sender: str) -> None:
        try:
            hint = self._hearing.hear(data, sender)
        except StoreError as error:
            self._say("store", str(error))
            return
        if hint is not None and hint.peer_id is not None:
            self._links.heard(hint.peer_id, time.monotonic())

    def _on_heard(self) -> None:
        self._teller.hurry()
        self._watch.poke()

    def _swap(self, data: bytes) -> bytes:
        """Hear a hint that came with an exchange, and return ours."""
        if data:
            self._hear(data, "")
        return self._teller.hint

    # ---- links

    def _want(self, endpoint: Endpoint) -> None:
        """Ask a peer at once for what a hint says it has."""
        now_s = time.monotonic()
        for link in self._links.add([endpoint], now_s):
            self._links.want(link, now_s)

    def _push(self) -> None:
        """Have the peers that cannot hear us (URLs: no pubsub leads there) take what is new."""
        now_s = time.monotonic()
        for link in self._links.all():
            if link.peer_id is None and link.has_met and link.failures == 0:
                self._links.want(link, now_s)

    def _read_endpoints(self) -> None:
        """Dial what other processes of this home have added, or want dialled at once; never ourselves."""
        now_s = time.monotonic()
        known = [one for one in self._book.known() if not self._is_own(one.endpoint)]
        for one in known:
            (link,) = self._links.add([one.endpoint], now_s)
            if self._wanted.get(one.endpoint.address) != one.wanted:
                self._links.want(link, now_s)
        self._wanted = {one.endpoint.address: one.wanted for one in known}

    def _is_own(self, endpoint: Endpoint) -> bool:
        return endpoint.address in self.urls or (endpoint.peer_id is not None and endpoint.peer_id == self._node_id)

    def _dial(self) -> Dial:
        return Dial(self._teller.speaker or self._own_key, self._node, self._teller.hint)

    # ---- the node

    def _node_up(self, client: KuboClient, peer_id: str) -> None:
        for server in self._servers:
            server.doorkeeper.add_audience(peer_id)
        with suppress(KuboError):  # a node whose pubsub is off has none to reset
            client.reset_pubsub()  # one restored from a backup would be muted by its sequence numbers
        client.listen_streams(STREAM_PROTOCOL, f"/ip4/127.0.0.1/tcp/{self.ports[0]}")
        self._addresses = tuple(reachable(client.identity().addresses, peer_id))
        self._node_id, self._node = peer_id, client
        self._topic.use(client, peer_id)
        self._publishing.use(client)
        now_s = time.monotonic()
        for link in self._links.all():
            if link.peer_id is not None:
                self._links.want(link, now_s)
        self._on_heard()

    def _node_down(self) -> None:
        self._node = None
        self._topic.use(None, None)
        self._publishing.use(None)


def reachable(addresses: Iterable[str], peer_id: str) -> list[str]:
    """Return which addresses of our node to tell others, with its id, those that lead beyond this machine first."""
    found = []
    for address in addresses:
        whole = address if "/p2p/" in address else f"{address}/p2p/{peer_id}"
        with suppress(EndpointError):
            found.append(parse_endpoint(whole).address)
    return sorted(found, key=lambda address: address.startswith(("/ip4/127.", "/ip6/::1/")))
