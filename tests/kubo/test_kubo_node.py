"""A node's life: made, started, killed, started again; and whom it lets in."""

from __future__ import annotations

import json
import os
import signal
import socket
import stat
import subprocess
import sys
import threading
from contextlib import closing
from pathlib import Path

import pytest

from ledger.kubo import KuboClient
from ledger.kubo_config import new_swarm_key
from ledger.kubo_errors import KuboError, KuboNotRunningError, KuboTimeoutError
from ledger.kubo_node import ManagedNode, NodeError, State
from tests.support.kubo import Nodes, binary, wait_for


def port_of(address: str) -> int:
    """Return the port that a multiaddr or a URL ends with."""
    return int(address.replace("/", ":").rpartition(":")[2])


def test_a_node_survives_its_death_and_starts_again(nodes: Nodes) -> None:
    """After kill −9 what it left prevents nothing; identity, ports and blocks stay; stopping twice is fine."""
    (node,) = nodes.start()
    client = nodes.client(node)
    first = node.status()
    assert first.running
    cid = client.put_block(b"kept")
    client.make_durable()
    node.start()  # runs already
    assert node.status().pid == first.pid
    node.kill()
    assert node.status().state is State.STOPPED
    with pytest.raises(KuboNotRunningError, match="ipfs start"):
        client.version()
    node.start()
    again = node.status()
    assert (again.peer_id, again.api, again.gateway) == (first.peer_id, first.api, first.gateway)
    assert again.pid != first.pid
    assert client.get_block(cid, offline=True) == b"kept"  # the same client finds it again
    node.stop()
    node.stop()
    assert not node.status().running


def test_what_a_dead_node_left_is_no_hindrance(nodes: Nodes) -> None:
    """Locks, a pid that is somebody else's now, and addresses of an earlier run mislead nobody."""
    (node,) = nodes.start()
    node.kill()
    (node.folder / "repo.lock").touch()
    (node.folder / "daemon.alive").write_text(f"{os.getpid()}\n")
    (node.folder / "api").write_text("/ip4/127.0.0.1/tcp/1")
    assert not node.is_running()
    node.kill()  # not us
    node.start()
    assert node.status().running


def test_a_node_outlives_the_process_that_starts_it(nodes: Nodes) -> None:
    """Whoever starts a node may end, be killed or get Ctrl-C: the node goes on."""
    node = nodes.make()
    program = f"""
import os, signal, sys
from pathlib import Path
from ledger.kubo_node import ManagedNode
ManagedNode(Path({str(node.folder)!r}), binary=Path({str(binary())!r})).start()
os.killpg(0, signal.SIGKILL)
"""
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, start_new_session=True, check=False, cwd=Path(__file__).parents[2])
    assert done.returncode == -signal.SIGKILL
    assert node.status().running


def test_two_starts_at_once_make_one_node(nodes: Nodes) -> None:
    """Of several that start it at once each finds it running, and it runs once."""
    node = nodes.make()
    failed: list[Exception] = []

    def start() -> None:
        try:
            ManagedNode(node.folder, binary=binary()).start()
        except KuboError as error:
            failed.append(error)

    threads = [threading.Thread(target=start) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not failed
    assert node.status().running
    assert (node.folder / "daemon.log").read_text().count("Initializing daemon") == 1


def test_the_secrets_of_a_node_are_its_owners_alone(nodes: Nodes) -> None:
    """Files with secrets are 0600 in a folder of 0700; RPC and gateway listen on loopback, with no public service."""
    node = nodes.make()
    assert stat.S_IMODE(node.folder.stat().st_mode) == 0o700
    for name in ("config", "rpc.token", "swarm.key"):
        assert stat.S_IMODE((node.folder / name).stat().st_mode) == 0o600
    settings = json.loads((node.folder / "config").read_text())
    assert settings["Addresses"]["API"].startswith("/ip4/127.0.0.1/")
    assert settings["Addresses"]["Gateway"].startswith("/ip4/127.0.0.1/")
    assert settings["Bootstrap"] == []
    assert settings["Routing"]["Type"] == "none"
    assert settings["Discovery"]["MDNS"]["Enabled"] is False
    before = settings["Identity"], settings["Addresses"]
    node.init(listen="127.0.0.1")  # again: identity and ports stay
    settings = json.loads((node.folder / "config").read_text())
    assert (settings["Identity"], settings["Addresses"]) == before


def test_another_user_of_this_machine_cannot_use_the_node(nodes: Nodes) -> None:
    """Without the secret nothing of the RPC answers; the gateway gives what is public by its hash, and no more."""
    (node,) = nodes.start()
    stranger = socket.create_connection(("127.0.0.1", port_of(node.api)), 10)
    with closing(stranger):
        stranger.sendall(b"POST /api/v0/config/show HTTP/1.0\r\nHost: 127.0.0.1\r\n\r\n")
        answer = b"".join(iter(lambda: stranger.recv(65_536), b""))
    assert b" 403 " in answer.splitlines()[0]
    assert b"PrivKey" not in answer


def test_a_node_without_the_key_is_turned_away(nodes: Nodes, tmp_path: Path) -> None:
    """Nodes of two private networks do not connect."""
    (one,) = nodes.start()
    with Nodes(tmp_path / "others") as others:
        (stranger,) = others.start()
        with pytest.raises(KuboError, match="another network"):
            others.connect(stranger, one)
        assert nodes.client(one).connected() == ()


def test_a_local_node_has_no_key_and_looks_for_others(nodes: Nodes) -> None:
    """Mode lan: no swarm key, found by mDNS, still nothing public."""
    node = nodes.make(mode="lan")
    settings = json.loads((node.folder / "config").read_text())
    assert settings["Discovery"]["MDNS"]["Enabled"] is True
    assert (settings["Routing"]["Type"], settings["Bootstrap"]) == ("none", [])
    assert node.swarm_key is None
    node.start()
    assert node.status().mode == "lan"


def test_a_port_that_is_taken_meanwhile_is_replaced(nodes: Nodes) -> None:
    """Where another program listens on one of its ports, the node moves."""
    node = nodes.make()
    before = port_of(node.api), node.swarm_port, port_of(node.gateway_url)
    with socket.create_server(("127.0.0.1", before[0])), socket.create_server(("127.0.0.1", before[1])):
        node.start()
        assert node.status().running
        after = port_of(node.api), node.swarm_port, port_of(node.gateway_url)
        assert after[0] != before[0]
        assert after[1] != before[1]
        assert after[2] == before[2]


def test_the_network_of_a_node_is_not_changed_by_the_way(nodes: Nodes) -> None:
    """A repository of one network is not brought into another, and no key is invented."""
    node = nodes.make()
    for other in (("private", new_swarm_key()), ("lan", None)):
        with pytest.raises(NodeError, match="another network"):
            node.init(*other, listen="127.0.0.1")
    with pytest.raises(ValueError, match="swarm key"):
        node.init("private", "no key")
    with pytest.raises(ValueError, match="public"):
        node.init("public")


def test_a_node_whose_making_was_broken_off_is_made(nodes: Nodes) -> None:
    """What a broken-off making left is no node and does not start; made again, it is one."""
    node = nodes.make()
    (node.folder / "config").rename(node.folder / "making.config")
    (node.folder / "making").mkdir()
    (node.folder / "making" / "config").write_text("{")
    assert not node.exists
    with pytest.raises(NodeError, match="there is no IPFS node"):
        node.start()
    node.init("private", nodes.swarm_key, listen="127.0.0.1")
    node.start()
    assert node.status().running


def test_a_node_that_runs_is_not_configured(nodes: Nodes) -> None:
    """A configuration is changed while nobody uses it."""
    (node,) = nodes.start()
    with pytest.raises(NodeError, match="stop it"):
        node.init("private", nodes.swarm_key)


def test_a_node_that_cannot_start_says_why(nodes: Nodes, tmp_path: Path) -> None:
    """No repository, no program, a damaged configuration, a repository that does not open: a sentence each."""
    nowhere = ManagedNode(tmp_path / "none", binary=binary())
    for ask in (nowhere.start, nowhere.client):
        with pytest.raises(KuboError, match="there is no IPFS node"):
            ask()
    node = nodes.make()
    with pytest.raises(NodeError, match="ipfs install"):
        ManagedNode(node.folder, binary=None).start()
    (node.folder / "datastore_spec").write_text("{}")
    with pytest.raises(NodeError, match=r"does not start: .*datastore"):
        node.start()
    (node.folder / "config").write_text("{")
    with pytest.raises(KuboError, match="is damaged"):
        node.start()


def test_a_node_that_hangs_is_told_and_ended(nodes: Nodes) -> None:
    """One that lives and does not answer is neither running nor stopped, and can be stopped all the same."""
    (node,) = nodes.start()
    pid = node.status().pid
    assert pid is not None
    os.kill(pid, signal.SIGSTOP)
    with node.client(timeout_s=0.2) as client:
        said = wait_for("the signal has reached it", _silence, client)
    assert "no answer within 0.2 s" in said
    node.stop(timeout_s=1.0)
    wait_for("it is gone", lambda: not node.is_running())


def _silence(client: KuboClient) -> str:
    """Return what is said of a node that does not answer, '' while it does."""
    try:
        client.version()
    except KuboTimeoutError as error:
        return str(error)
    return ""
