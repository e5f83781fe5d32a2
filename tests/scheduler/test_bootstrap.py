"""`bootstrap_peers` and `update_peer_state` where a daemon may run: names stay names, addresses are dialled."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from ipfs_accelerate_py import MerkleClock, P2PWorkflowScheduler
from ledger.cid import Cid
from ledger.network_tables import NETWORK_NAME, open_network
from scheduler.endpoints import Endpoints
from scheduler.home import Home
from scheduler.invite import Invite, write_token
from scheduler.membership import NotAMemberError
from scheduler.wake import Watch
from tests.scheduler.guide import NO_WAIT

NODE = "/ip4/192.0.2.1/tcp/4001/p2p/12D3KooWD3eckifWpRn9wQpMG9R9hX3sD158z7EqHWmweQAJU5SA"
URL = "http://192.0.2.1:8080"


@pytest.fixture
def watch(home_folder: Path) -> Iterator[Watch]:
    """Watch the home of the test, as a daemon does."""
    with Watch(home_folder) as watch:
        yield watch


def addresses(folder: Path) -> dict[str, int]:
    """Return the endpoints of a home, and when each was wanted."""
    with open_network(folder) as network:
        return {one.endpoint.address: one.wanted for one in Endpoints(network).known()}


def test_addresses_become_endpoints_and_names_stay_names(home_folder: Path, watch: Watch) -> None:
    """And a daemon is woken for them."""
    with P2PWorkflowScheduler("a", bootstrap_peers=["worker-2", NODE, URL + "/", "worker-2"]) as peer:
        assert set(peer.known_peers) == {"worker-2"}
        assert addresses(home_folder).keys() == {NODE, URL}
        assert watch.wait(0)


def test_names_alone_touch_no_network(home_folder: Path) -> None:
    """Who works alone has no network database."""
    with P2PWorkflowScheduler("a", bootstrap_peers=["worker-2"]) as peer:
        peer.update_peer_state("worker-2", MerkleClock("worker-2"))
        assert not (home_folder / NETWORK_NAME).exists()


def test_a_token_enters_its_ledger(home_folder: Path, tmp_path: Path) -> None:
    """A new home holds the ledger of the invitation, and the error names the key that an owner is to admit."""
    with Home.found(tmp_path / "owner", policy=NO_WAIT) as owner:
        token = write_token(Invite(owner.genesis.encode(), "owner", (NODE,)))
        with pytest.raises(NotAMemberError, match="did:key:z6Mk"):
            P2PWorkflowScheduler("a", bootstrap_peers=[token])
        with Home.open(home_folder) as home:
            assert home.ledger == owner.ledger
        assert addresses(home_folder).keys() == {NODE}


def test_a_token_of_another_ledger_is_refused(home_folder: Path, tmp_path: Path) -> None:
    """One home is one ledger."""
    Home.found(home_folder).close()
    with Home.found(tmp_path / "owner") as owner:
        token = write_token(Invite(owner.genesis.encode(), "owner", (NODE,)))
    with pytest.raises(ValueError, match="the invitation is to ledger"):
        P2PWorkflowScheduler("a", bootstrap_peers=[token])


@pytest.mark.parametrize("entry", ["/ip4/192.0.2.1", "http://", "p2pwf1-abc", ""])
def test_what_is_no_peer_is_refused(entry: str, home_folder: Path) -> None:
    """In words, before a ledger is founded."""
    with pytest.raises(ValueError, match=r"."):
        P2PWorkflowScheduler("a", bootstrap_peers=[entry])
    assert not home_folder.exists()


def test_unknown_heads_in_a_clock_have_the_peers_asked(home_folder: Path, watch: Watch) -> None:
    """A clock of what is known here asks nobody."""
    with P2PWorkflowScheduler("a", bootstrap_peers=[NODE]) as peer:
        before = addresses(home_folder)[NODE]
        known = MerkleClock.of_ledger("b", peer.clock.vector, peer.clock.heads)
        peer.update_peer_state("b", known)
        assert addresses(home_folder)[NODE] == before
        while watch.wait(0):
            pass
        unknown = MerkleClock.of_ledger("b", {"b": 3}, [Cid.of(b"unknown")])
        peer.update_peer_state("b", unknown)
        assert addresses(home_folder)[NODE] > before
        assert watch.wait(0)
