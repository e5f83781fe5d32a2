"""`sync` and `init --from` through real nodes: a peer by the id of its node, a ledger by its name."""

from __future__ import annotations

from ledger.network_tables import open_network
from scheduler.published import publisher_of
from tests.support.kubo import address_of, wait_for
from tests.support.peers import Machine, Machines


def test_one_exchange_with_a_peer_by_its_nodes_address(machines: Machines) -> None:
    """Connected by the address, then by the id alone; without a node, without a peer: what to do about it."""
    alice = machines.found("alice")
    daemon = alice.start()
    alice.submit("from alice")
    bob = machines.entered("bob", alice)
    assert alice.node is not None
    assert bob.node is not None
    place = address_of(alice.node)
    stopped = bob.program.run("sync", place)
    assert stopped.code == 11
    assert "ipfs start" in stopped.out + stopped.err
    bob.node.start()
    done = bob.program.json("sync", place)
    assert done["received"]["accepted"] >= 2
    assert done["state_root"] == alice.state_root().hex()
    bob.submit("from bob")
    again = bob.program.json("sync", f"/p2p/{alice.node.peer_id}")
    assert again["sent"]["accepted"] == 1
    assert 2 <= again["round_trips"] <= 8  # a challenge; and her peer may have witnessed something meanwhile
    alice.until("it is there", lambda: "from bob" in alice.task_ids())
    assert daemon.terminate() == 0
    alice.node.start()  # the node is there, and nobody who answers
    ran = bob.program.run("sync", address_of(alice.node))
    assert ran.code == 11, ran.err
    assert "`peer run`" in ran.err


def publish(machine: Machine) -> str:
    """Publish a machine's home to its own node, and return the name."""
    assert machine.node is not None
    with open_network(machine.folder) as network, machine.node.client() as client:
        publisher = publisher_of(machine.home, network, client, machine.key)
        publisher.publish_events()
        assert publisher.publish_segments() is not None
        assert publisher.name is not None
        return publisher.name


def test_a_ledger_is_entered_by_name_from_a_real_gateway_and_from_ones_own_node(machines: Machines) -> None:
    """All of it, once over HTTP without a node, once through a node that is connected; then what is new."""
    alice = machines.found("alice")
    assert alice.node is not None
    alice.node.start()
    alice.submit(*(f"task {number}" for number in range(20)))
    name = publish(alice)
    assert alice.program.json("ipfs", "status")["ipns"] == name
    cy = machines.bare("cy")
    entered = cy.program.json("init", "--from", f"ipns:{name}", "--gateway", alice.node.gateway_url)
    assert (entered["complete"], entered["manifests"][0]["root_agrees"]) == (True, True)
    assert cy.state_root() == alice.state_root()
    bob = machines.entered("bob", alice)
    assert bob.node is not None
    bob.node.start()
    with bob.node.client() as client:
        client.connect(address_of(alice.node))
    name = publish(alice)
    wait_for("the name is known at the other node", lambda: bob.program.run("sync", f"ipns:{name}").code == 0)
    assert bob.state_root() == alice.state_root()
