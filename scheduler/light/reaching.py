"""Reaching peers without a replica: by URL, or through a Kubo node to the nodes that the token names.

A place is opened for each attempt anew, its forward with it, so a peer, or the node at hand, may go away and come back.
Leaves out handing over (scheduler.light.handing) and asking (scheduler.light.waiting).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from typing import Final

from ledger.carrier import Carrier, UnreachableError
from ledger.exchange_client import HttpCarrier
from ledger.keys import SigningKey
from ledger.kubo import KuboClient
from ledger.kubo_errors import KuboError
from scheduler.dialling import carried_through
from scheduler.endpoints import EndpointError, parse_endpoint
from scheduler.light.token import LedgerToken
from scheduler.light.via import Via
from scheduler.light.waiting import Open

DIAL_S: Final = 10.0


@dataclass(frozen=True, slots=True)
class NodePeer:
    """A peer that is reached by its node, and the addresses where that may be."""

    peer_id: str
    addresses: tuple[str, ...]

    def __str__(self) -> str:
        return self.addresses[0]


def node_peers(token: LedgerToken) -> tuple[NodePeer, ...]:
    """Return the nodes of peers that a token names; what is no address of one names nobody."""
    found: dict[str, list[str]] = {}
    for text in token.nodes:
        with suppress(EndpointError):
            endpoint = parse_endpoint(text)
            if endpoint.peer_id is not None:
                found.setdefault(endpoint.peer_id, []).append(endpoint.address)
    return tuple(NodePeer(peer_id, tuple(addresses)) for peer_id, addresses in found.items())


def reached(
    node: KuboClient, peer: NodePeer, token: LedgerToken, key: SigningKey
) -> AbstractContextManager[HttpCarrier]:
    """Give a carrier to a peer through a node, which is left as it was; raises UnreachableError, KuboError."""
    return carried_through(node, peer.peer_id, peer.addresses, token.ledger, key, timeout_s=DIAL_S)


def places(token: LedgerToken, key: SigningKey, vias: Sequence[Via], kubo_token: str | None = None) -> list[Open]:
    """Return how each peer is reached that can be asked about a task: URLs first, then through nodes.

    Args:
        token: the token of the ledger.
        key: who asks.
        vias: where is handed over to; a file answers nothing.
        kubo_token: the bearer secret of a node's RPC, where it asks for one.
    """
    urls = dict.fromkeys([*(via.place for via in vias if via.kind == "http"), *token.urls])
    nodes = dict.fromkeys(via.place for via in vias if via.kind == "kubo")
    return [
        *(partial(HttpCarrier, url, token.ledger, key) for url in urls),
        *(partial(_through, rpc, kubo_token, peer, token, key) for rpc in nodes for peer in node_peers(token)),
    ]


@contextmanager
def _through(
    rpc: str, kubo_token: str | None, peer: NodePeer, token: LedgerToken, key: SigningKey
) -> Iterator[Carrier]:
    """Give a carrier through the node at `rpc`; UnreachableError whatever the node says, since it may be starting."""
    try:
        with KuboClient(rpc, kubo_token, timeout_s=DIAL_S) as node, reached(node, peer, token, key) as carrier:
            yield carrier
    except KuboError as error:
        raise UnreachableError(f"{peer} through the IPFS node {rpc}: {error}") from error
