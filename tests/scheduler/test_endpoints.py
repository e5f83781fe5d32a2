"""Endpoints and peers of a home: shared by its processes, bounded, and gone without harm."""

from __future__ import annotations

from pathlib import Path

import pytest

from ledger.cid import Cid
from ledger.hints import Hint, sign_hint
from ledger.keys import SigningKey
from ledger.network_tables import open_network
from scheduler.endpoints import TOLD_MAX, EndpointError, Endpoints, looks_like_address, parse_endpoint

NODE = "12D3KooWD3eckifWpRn9wQpMG9R9hX3sD158z7EqHWmweQAJU5SA"


@pytest.mark.parametrize(
    ("text", "peer_id", "is_dialled"),
    [
        (f"/ip4/192.0.2.1/tcp/4001/p2p/{NODE}", NODE, True),
        (f"/dns4/peer.example/udp/4001/quic-v1/p2p/{NODE}", NODE, True),
        (f"/p2p/{NODE}", NODE, False),
        ("http://192.0.2.1:8080", None, False),
        ("https://peer.example/base/", None, False),
    ],
)
def test_addresses(text: str, peer_id: str | None, is_dialled: bool) -> None:
    """An address is a node's multiaddr or a URL."""
    endpoint = parse_endpoint(f" {text} ")
    assert (endpoint.address, endpoint.peer_id, endpoint.is_dialled) == (text.rstrip("/"), peer_id, is_dialled)
    assert looks_like_address(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "worker-1",
        "/ip4/192.0.2.1/tcp/4001",
        "ftp://a",
        "http://",
        "http://h:99999",
        f"/p2p/{NODE}/x",
        "http://a b",
        "/" * 300,
    ],
)
def test_no_addresses(text: str) -> None:
    """What is none is refused in words."""
    with pytest.raises(EndpointError):
        parse_endpoint(text)


def test_what_is_known_of_an_endpoint(tmp_path: Path) -> None:
    """What a user gave stays given; success forgets failures; another process sees it."""
    with open_network(tmp_path) as network, open_network(tmp_path) as elsewhere:
        book = Endpoints(network)
        one, two = parse_endpoint(f"/p2p/{NODE}"), parse_endpoint("http://192.0.2.1")
        assert book.tell([one], 1)
        assert not book.tell([one], 2)
        book.give([two, one], 3)
        book.failed(two, "refused")
        book.met(one, 5, b"state")
        found = Endpoints(elsewhere).known()
        assert [(k.endpoint, k.is_given, k.wanted, k.met, k.failures, k.fault, k.said) for k in found] == [
            (one, True, 3, 5, 0, None, b"state"),
            (two, True, 3, None, 1, "refused", None),
        ]


def test_what_hints_tell_is_bounded(tmp_path: Path) -> None:
    """The longest unmet goes; what users gave does not."""
    with open_network(tmp_path) as network:
        book = Endpoints(network)
        given, good = parse_endpoint("http://given"), parse_endpoint("http://good")
        book.give([given], 0)
        book.tell([good], 0)
        book.met(good, 1, None)
        book.tell([parse_endpoint(f"http://h{n}") for n in range(2 * TOLD_MAX)], 2)
        found = {known.endpoint for known in book.known()}
        assert {given, good} <= found
        assert len(found) == TOLD_MAX + 1


def test_the_last_hint_of_each_peer_is_kept(tmp_path: Path) -> None:
    """With when it came and whether it differs."""
    key = SigningKey.from_seed(bytes(32))
    hints = [sign_hint(key, Hint(Cid.of(b""), key.actor, at, (), bytes(32), 1, 1, bytes(32))) for at in (1, 2)]
    with open_network(tmp_path) as network:
        book = Endpoints(network)
        book.heard([(hints[0], 10, True)])
        book.heard([(hints[1], 20, False)])
        (kept,) = book.peers().values()
        assert (kept.hint.time, kept.heard, kept.differs) == (2, 20, False)
