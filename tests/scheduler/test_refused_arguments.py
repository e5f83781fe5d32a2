"""`P2PWorkflowScheduler` says at once what it cannot take: no task, no peer id, another peer's clock."""

from __future__ import annotations

from typing import Any

import pytest

from crdt.clock import ClockError, MerkleClock
from ledger.keys import did_key
from scheduler.scheduler import P2PWorkflowScheduler


def test_a_peers_clock_is_its_own(pair: tuple[P2PWorkflowScheduler, P2PWorkflowScheduler]) -> None:
    """A clock is taken for a peer where it is called as that peer is, here or by its key, and never for another."""
    a, b = pair
    did = did_key(b._session.key.actor)
    stranger = MerkleClock("someone")
    for peer, node in (("b", "b"), ("b", did), (did, "b"), (did, did), ("other-peer", "other-peer")):
        a.update_peer_state(peer, MerkleClock(node_id=node))
        with pytest.raises(ValueError, match="someone"):
            a.update_peer_state(peer, stranger)
        assert a.known_peers[peer]["clock"].node_id == node
    with pytest.raises(ClockError):
        a.update_peer_state("b", MerkleClock("a"))


@pytest.mark.parametrize("junk", [None, "junk", {"task_id": "a"}])
def test_what_is_no_task_is_told_so(peer: P2PWorkflowScheduler, junk: Any) -> None:
    """Only a P2PTask is submitted."""
    with pytest.raises(TypeError, match="P2PTask is wanted"):
        peer.submit_task(junk)


@pytest.mark.parametrize("junk", [None, 3, b"peer"])
def test_a_peer_id_is_text(junk: Any) -> None:
    """A peer is named by text, and by nothing else."""
    with pytest.raises(TypeError, match="peer_id must be text"):
        P2PWorkflowScheduler(junk)
