"""Where a home is reached, for tokens that people hand over: its node's addresses and its network's key.

Leaves out the URLs of a running peer, which it says itself (scheduler.peer_presence).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cli.session import Session

if TYPE_CHECKING:
    from scheduler.node import Node


def reach(session: Session, node: Node | None) -> tuple[list[str], bytes | None]:
    """Return the addresses of a home's node, best first, and its network's key."""
    from ledger.kubo_config import swarm_key_secret
    from ledger.kubo_errors import KuboError
    from ledger.kubo_node import ManagedNode
    from scheduler.peer_daemon import reachable

    if node is None:
        return [], None
    text = node.swarm_key if isinstance(node, ManagedNode) else None
    if not isinstance(node, ManagedNode):
        session.output.note("The node is not managed here: if its network is private, hand its swarm key over as well.")
    swarm_key = None if text is None else swarm_key_secret(text)
    try:
        with node.client(timeout_s=10.0) as client:
            identity = client.identity()
            found = reachable(identity.addresses, identity.peer_id)
    except KuboError as error:
        session.output.note(f"The token has no addresses of the IPFS node: {error}")
        return [], swarm_key
    beyond = [one for one in found if not one.startswith(("/ip4/127.", "/ip6/::1/"))]
    return beyond or found, swarm_key
