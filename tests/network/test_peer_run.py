"""`peer run`: homes on several machines are one scheduler, whatever dies on the way."""

from __future__ import annotations

import json
import random
from functools import partial

from tests.support.kubo import wait_for
from tests.support.peers import Machine, Machines


def agree(*machines: Machine) -> None:
    """Wait until all have the same state root."""
    wait_for("equal state roots", lambda: len({machine.state_root() for machine in machines}) == 1)


def test_the_quick_start_across_machines(machines: Machines) -> None:
    """Invited by a token and admitted, a second machine takes and completes what the first submits, which sees it."""
    alice = machines.found("alice")
    alice.start()
    token = alice.program.ok("peer", "invite").out.strip()
    bob = machines.bare("bob")
    connected = bob.program.json("peer", "connect", token)
    assert connected["entered"]
    assert not connected["member"]
    daemon = bob.start()
    daemon.said("node_up")
    daemon.said("not_served")
    alice.program.ok(
        "members", "admit", connected["peer_key"], "--name", "bob", "--role", "worker", "--role", "submitter"
    )
    daemon.said("connected")  # by itself, without a restart
    alice.program.ok(
        "submit", "--task-id", "t", "--workflow-id", "w", "--name", "n", "--tags", "p2p-only", "code-generation"
    )
    bob.until("the task is there", lambda: "t" in bob.task_ids())
    taken = wait_for("bob's turn", lambda: bob.program.json("next")["task"])
    assert taken["task_id"] == "t"
    bob.program.ok("complete", "--task-id", "t")
    alice.until("it is done", lambda: _done(alice) == 1)
    assert alice.program.json("status")["completed_tasks"] == 1
    agree(alice, bob)
    peers = wait_for("known as equal", lambda: _equal_peer(alice))
    assert peers
    assert peers["name"] == "bob"
    assert daemon.terminate() == 0


def test_what_events_link_comes_by_itself(machines: Machines) -> None:
    """Files, results and logs, though the events that link them come whole by the topic, again and again."""
    alice = machines.found("alice")
    alice.start()
    bob = machines.entered("bob", alice)
    bob.start()
    alice.until("bob is heard", lambda: _heard(alice, bob))
    bob.until("alice is heard", lambda: _heard(bob, alice))
    for number in range(3):
        name = f"t{number}"
        (alice.folder / "in").write_bytes(random.Random(number).randbytes(100_000))
        alice.program.ok(
            "submit", "--task-id", name, "--workflow-id", "w", "--name", "n", "--tags", "p2p-only",
            "--put", str(alice.folder / "in"), "--", "sha256sum", "in",
        )  # fmt: skip
        bob.until("all it links is there", partial(_has_whole, bob, name))
        (bob.folder / "out").write_bytes(random.Random(number).randbytes(200_000))
        wait_for("bob's turn", lambda: bob.program.json("next")["task"])
        bob.program.ok("complete", "--task-id", name, "--output", str(bob.folder / "out"))
        alice.until("the result is there", partial(_has_whole, alice, name, done=number + 1))


def _has_whole(machine: Machine, name: str, done: int = 0) -> bool:
    with machine.home.reading():
        lacks = machine.home.intake.blobs.wanted()
    return name in machine.task_ids() and _done(machine) >= done and not lacks


def _done(machine: Machine) -> int:
    with machine.home.reading():
        return machine.home.tasks.counts().get("done", 0)


def _equal_peer(machine: Machine) -> dict[str, object] | None:
    found = machine.program.json("peers")["peers"]
    return next((peer for peer in found if peer["connected"] and peer["same_root"]), None)


def test_without_nodes_plain_http_is_enough(machines: Machines) -> None:
    """One listens, the other knows its URL: events go both ways, and each knows that the other is there."""
    alice = machines.found("alice", node=False)
    alice.start("--listen", "127.0.0.1:0")
    (url,) = json.loads((alice.folder / "peer.json").read_text())["urls"]
    bob = machines.entered("bob", alice, node=False)
    bob.know(url)
    bob.start()
    bob.until("it has all", lambda: bob.state_root() == alice.state_root())
    alice.submit("from alice")
    bob.until("it comes", lambda: "from alice" in bob.task_ids())
    bob.submit("from bob")
    alice.until("it comes", lambda: "from bob" in alice.task_ids())
    wait_for("heard of", lambda: _heard(alice, bob) and _heard(bob, alice))


def _heard(machine: Machine, other: Machine) -> bool:
    with machine.home.reading():
        at = machine.home.heard_of().get(other.key.actor, 0)
    return machine.home.now_ms() - at < 2_000


def test_what_dies_is_started_again_and_nothing_is_lost(machines: Machines) -> None:
    """A node killed under its daemon comes back with it; a killed daemon is just started again."""
    alice, bob = machines.found("alice"), None
    alice.start()
    bob = machines.entered("bob", alice)
    daemon = bob.start()
    (first,) = alice.submit("before")
    bob.until("before", lambda: bob.has(first))
    assert bob.node is not None
    said = len(daemon.words)
    bob.node.kill()
    daemon.said("node_up", after=said)
    (second,) = alice.submit("after the node")
    bob.until("after the node", lambda: bob.has(second))
    daemon.kill()
    (third,) = alice.submit("meanwhile")
    bob.submit("offline")
    again = bob.start()
    bob.until("meanwhile", lambda: bob.has(third))
    alice.until("what was done offline", lambda: "offline" in alice.task_ids())
    agree(alice, bob)
    assert again.terminate() == 0
    assert alice.daemon is not None
    assert alice.daemon.terminate() == 0


def test_lost_hints_are_made_up_for_by_asking(machines: Machines) -> None:
    """Peers whose nodes carry no pubsub find all the same what is new."""
    alice = machines.found("alice")
    bob = machines.entered("bob", alice)
    for machine in (alice, bob):
        assert machine.node is not None
        config = machine.node.folder / "config"
        fields = json.loads(config.read_text())
        fields["Pubsub"] = {"Enabled": False}
        fields["Ipns"]["UsePubsub"] = False
        config.write_text(json.dumps(fields))
        machine.start()
    (first,) = alice.submit("one")
    bob.until("it comes", lambda: bob.has(first))
    bob.submit("two")
    alice.until("it comes", lambda: "two" in alice.task_ids())
    agree(alice, bob)
    assert "no_hints" in bob.daemon.kinds() if bob.daemon else False


def test_one_daemon_for_a_home(machines: Machines) -> None:
    """A second one is refused with a reason; the first goes on, and ends at once when it is asked to."""
    alice = machines.found("alice", node=False)
    daemon = alice.start()
    ran = alice.program.run("peer", "run")
    assert ran.code == 4
    assert "there for" in ran.err
    assert alice.program.json("peers")["running"]
    assert daemon.terminate() == 0
    assert not alice.program.json("peers")["running"]
