"""Reaching one peer: a URL as it is, a node through our own IPFS node; both carry the same HTTP.

Forwards of our node stay when a carrier is closed: they are shared with whatever else of this machine talks to that
node, one for each. Who comes once, with a node that is perhaps not its own, takes its forward back (`carried_through`).
Leaves out keeping in touch (scheduler.linking), and what is exchanged (ledger.exchange).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Final

from ledger.carrier import UnreachableError
from ledger.cid import Cid
from ledger.exchange_client import HttpCarrier
from ledger.keys import SigningKey
from ledger.kubo import KuboClient
from ledger.kubo_errors import KuboError
from scheduler.endpoints import Endpoint

STREAM_PROTOCOL: Final = "/p2pwf/exchange/1"
"""Name of the libp2p streams that carry an exchange."""


def forward_to(node: KuboClient, peer_id: str, addresses: Sequence[str], *, timeout_s: float) -> int:
    """Return a loopback port that leads to the exchange of a node; connect to it first where that lacks.

    Args:
        node: our own.
        peer_id: the other.
        addresses: where it may be; each is tried.
        timeout_s: how long each, in seconds.

    Raises:
        UnreachableError: it is not connected, and cannot be by any of the addresses.
        KuboError: our own node failed.

    """
    if all(found.peer_id != peer_id for found in node.connected()):
        faults = []
        for address in addresses:
            try:
                node.connect(address, timeout_s=timeout_s)
                break
            except KuboError as error:
                faults.append(str(error))
        else:
            raise UnreachableError(faults[-1] if faults else "our IPFS node is not connected to it")
    return node.forward_streams(STREAM_PROTOCOL, peer_id)


def carrier_to(
    endpoint: Endpoint, ledger: Cid, key: SigningKey | None, node: KuboClient | None, *, timeout_s: float = 15.0
) -> HttpCarrier:
    """Return a carrier of exchanges to `endpoint`, to be closed by the caller; a URL is asked only when it is used.

    A bare /p2p/ID is tried, too: our node may remember where that is. Raises what `forward_to` raises.
    """
    if endpoint.peer_id is None:
        return HttpCarrier(endpoint.address, ledger, key)
    if node is None:
        raise UnreachableError("it is reached through an IPFS node, and ours is not there")
    port = forward_to(node, endpoint.peer_id, [endpoint.address], timeout_s=timeout_s)
    return HttpCarrier(f"http://127.0.0.1:{port}", ledger, key, audience=endpoint.peer_id)


@contextmanager
def carried_through(
    node: KuboClient, peer_id: str, addresses: Sequence[str], ledger: Cid, key: SigningKey | None, *, timeout_s: float
) -> Iterator[HttpCarrier]:
    """Give a carrier to a node, and leave ours as it was: a forward that was not there before is closed at the end.

    Another that came to share it meanwhile has to dial again, as after any break. Raises what `forward_to` raises.
    """
    was_there = node.find_forward(STREAM_PROTOCOL, peer_id) is not None
    try:
        port = forward_to(node, peer_id, addresses, timeout_s=timeout_s)
        with HttpCarrier(f"http://127.0.0.1:{port}", ledger, key, audience=peer_id) as carrier:
            yield carrier
    finally:
        if not was_there:
            with suppress(KuboError):  # with a node that has stopped its forwards are gone
                node.close_streams(STREAM_PROTOCOL, peer_id)
