"""A real daemon on a real topic: strangers, forgeries and floods change nothing; a false root is told loudly."""

from __future__ import annotations

import time
from dataclasses import replace

from ipfs_accelerate_py import MerkleClock, P2PWorkflowScheduler
from ledger.cid import Cid
from ledger.hints import decode_hint, sign_hint, topic_of
from ledger.keys import SigningKey
from ledger.news import decode_news
from scheduler.hint_making import HintMaker, Reach
from scheduler.peer_report import differing
from tests.support.kubo import address_of, wait_for
from tests.support.peers import Machine, Machines


def hint_of(machine: Machine, key: SigningKey, node: str, **more: object) -> bytes:
    """Return a hint about a machine's home, signed by `key` as from a node, with fields changed."""
    made = decode_hint(HintMaker(machine.home, machine.name).make([key], Reach(node))[0])
    return sign_hint(key, replace(made, **more))  # type: ignore[arg-type]  # fields of a hint


def test_what_is_sent_to_the_topic_is_heard_only_from_members(machines: Machines) -> None:
    """Strangers', forged, repeated hints, a flood: dropped, the next event comes as ever. A false root is said."""
    alice = machines.found("alice")
    daemon = alice.start()
    bob = machines.entered("bob", alice)
    bob.start()
    bob.until("it has all", lambda: bob.state_root() == alice.state_root())
    mallory = machines.entered("mallory", alice, admit=False)
    assert mallory.node is not None
    assert alice.node is not None
    assert bob.node is not None
    mallory.node.start()
    topic = topic_of(alice.home.ledger)
    with mallory.node.client() as evil, evil.subscribe(topic) as heard:
        evil.connect(address_of(alice.node))
        evil.connect(address_of(bob.node))
        with alice.node.client() as client:
            wait_for(
                "alice's node sees the other on the topic", lambda: evil.identity().peer_id in client.topic_peers(topic)
            )
        repeated = next(message.data for message in heard if decode_news(message.data, alice.home.ledger) is None)
        stranger = SigningKey.generate()
        forged = replace(decode_hint(repeated), time=alice.home.now_ms(), peer_id=evil.identity().peer_id).encode()
        # Nobody's key, another's hint, a signature that does not fit; and more than anybody may send.
        for data in (hint_of(alice, stranger, mallory.node.peer_id, state_root=bytes(32)), repeated, forged):
            evil.publish(topic, data)
        for n in range(200):
            evil.publish(topic, n.to_bytes(2) * 50)
        (cid,) = alice.submit("after the flood")
        bob.until("it comes", lambda: bob.has(cid))
        assert "roots_differ" not in daemon.kinds()
        with alice.home.reading():
            assert stranger.actor not in alice.home.heard_of()
        # The node of a member: what it says is heard, and said aloud where it contradicts.
        said = len(daemon.words)
        alice.admit(mallory)
        mallory_key, evil_id = mallory.key, mallory.node.peer_id
        bob.until("the admission", lambda: bob.state_root() == alice.state_root())

        def speaks() -> bool:
            evil.publish(topic, hint_of(alice, mallory_key, evil_id, state_root=bytes(32)))
            time.sleep(0.5)  # between two tries of a condition with a deadline: its flood has used up its share
            return "roots_differ" in daemon.kinds()

        wait_for("it is said", speaks)
        word = daemon.said("roots_differ", after=said)
        assert "DEFECT" in word["message"]
        wait_for("it is kept", lambda: differing(alice.folder) == [mallory_key.actor])
        status = alice.program.ok("status", "--json")
        assert [one["name"] for one in status.json["roots_differ"]] == ["mallory"]
        assert "DEFECT" in status.err
        assert alice.state_root() == bob.state_root()


def test_the_python_api_reaches_a_running_daemon(machines: Machines) -> None:
    """An address in bootstrap_peers is dialled at once; hints are heartbeats; unknown heads in a clock are fetched."""
    alice = machines.found("alice")
    alice.start()
    bob = machines.entered("bob", alice)
    bob.start()
    bob.until("admitted", lambda: bob.state_root() == alice.state_root())
    assert alice.node is not None
    with P2PWorkflowScheduler("bob", bootstrap_peers=[address_of(alice.node), "somebody"], home=bob.folder) as peer:
        assert "somebody" in peer.known_peers
        wait_for("alice is heard of", lambda: not peer.check_peer_failure("alice", timeout_seconds=5))
        (cid,) = alice.submit("task")
        with P2PWorkflowScheduler("alice", home=alice.folder) as other:
            peer.update_peer_state("alice", other.clock)
        bob.until("it comes", lambda: bob.has(cid))
        peer.update_peer_state("alice", MerkleClock.of_ledger("alice", {"alice": 1}, [Cid.of(b"nowhere")]))
        assert peer.check_peer_failure("somebody")
