"""`peer invite`, `peer connect`, `peers`, and what `peer run` refuses: words, codes, JSON. Daemons: tests/network."""

from __future__ import annotations

from pathlib import Path

import pytest

from scheduler.node import managed_node
from tests.cli.program import Program
from tests.support.kubo import address_of, binary

URL = "http://192.0.2.1:8765"


@pytest.fixture
def owner(tmp_path: Path) -> Program:
    """Return a program whose home owns a ledger."""
    program = Program(tmp_path / "owner", "alice")
    program.ok("init", "--name", "team")
    return program


@pytest.fixture
def guest(tmp_path: Path) -> Program:
    """Return a program without a home."""
    return Program(tmp_path / "guest", "bob")


def test_an_invitation_leads_into_the_ledger(owner: Program, guest: Program) -> None:
    """The guest enters it, keeps where the owner is reached, and prints the key to admit; again changes nothing."""
    invited = owner.json("peer", "invite", "--url", URL)
    assert (invited["urls"], invited["nodes"], invited["private"], invited["inviter"]) == ([URL], [], False, "alice")
    ran = guest.ok("peer", "connect", invited["token"])
    key = guest.json("keys", "show", "bob")["key"]
    assert f"Peer: bob {key}" in ran.out
    assert f"p2p-workflow members admit {key} --name bob" in ran.err
    again = guest.json("peer", "connect", "-", text=f"  {invited['token'].upper()}\n")
    assert (again["entered"], again["member"], again["peer_key"], again["ledger"]) == (
        False,
        False,
        key,
        invited["ledger"],
    )
    peers = guest.json("peers")
    assert not peers["running"]
    assert [(one["address"], one["given"], one["connected"]) for one in peers["endpoints"]] == [(URL, True, False)]
    assert "No `peer run` is there" in guest.ok("peers").err


def test_an_invitation_without_addresses_says_so(owner: Program) -> None:
    """It is made all the same: it names the ledger."""
    ran = owner.ok("peer", "invite")
    assert ran.out.startswith("p2pwf1-")
    assert "not where its peers are" in ran.err


def test_without_a_ledger_there_is_nobody_to_invite_to_or_to_run_for(guest: Program) -> None:
    """A mistyped home makes no ledger by the way, and no token that looks like one."""
    for words in (("peer", "invite"), ("peer", "run")):
        ran = guest.run(*words)
        assert ran.code == 3
        assert "init" in ran.err
    assert not (guest.home / "ledger.sqlite3").exists()


def test_a_node_that_was_made_too_early_comes_into_the_network(owner: Program, guest: Program) -> None:
    """Who has started a node before connecting gets the key printed, and the node, which holds nothing, made anew."""
    extra = {"P2P_WORKFLOW_IPFS": str(binary()), "P2P_WORKFLOW_IPFS_LISTEN": "127.0.0.1"}
    owner, guest = (Program(one.home, one.peer, extra=extra) for one in (owner, guest))
    try:
        for one in (owner, guest):
            one.ok("ipfs", "start")
        token = owner.json("peer", "invite")["token"]
        ran = guest.ok("peer", "connect", token)
        assert "did:key:z6Mk" in ran.out
        assert "made anew" in ran.err
        nodes = [managed_node(one.home) for one in (owner, guest)]
        assert nodes[0].swarm_key == nodes[1].swarm_key
        assert nodes[1].is_running()
        with nodes[1].client() as client:
            client.connect(address_of(nodes[0]))
    finally:
        for one in (owner, guest):
            managed_node(one.home).kill()


def test_what_is_wrong_with_a_token_is_said(owner: Program, guest: Program) -> None:
    """And no home is made."""
    token = owner.json("peer", "invite", "--url", URL)["token"]
    for text, words in ((token[:-9], "cut off"), (token[:60] + "a" + token[61:], "mistyped"), ("bob", "begins with")):
        ran = guest.run("peer", "connect", text)
        assert ran.code == 2
        assert words in ran.err or token[60] == "a"
        assert "copy the whole token" in ran.err or token[60] == "a"
    assert not (guest.home / "ledger.sqlite3").exists()


def test_one_home_is_one_ledger(owner: Program, guest: Program) -> None:
    """An invitation to another ledger is refused."""
    guest.ok("init")
    ran = guest.run("peer", "connect", owner.json("peer", "invite", "--url", URL)["token"])
    assert ran.code == 6
    assert "the invitation is to" in ran.err


@pytest.mark.parametrize("listen", ["", "8765", "host:", "host:http", "host:99999", ":1"])
def test_where_to_listen_is_a_host_and_a_port(listen: str, owner: Program) -> None:
    """Anything else is refused before anything runs."""
    ran = owner.run("peer", "run", "--no-ipfs", "--listen", listen)
    assert ran.code == 2
    assert "HOST:PORT" in ran.err


def test_a_port_that_is_taken_is_said(owner: Program) -> None:
    """With what to do."""
    import socket

    with socket.create_server(("127.0.0.1", 0)) as taken:
        ran = owner.run("peer", "run", "--no-ipfs", "--listen", f"127.0.0.1:{taken.getsockname()[1]}")
    assert ran.code == 2
    assert "cannot listen at" in ran.err
