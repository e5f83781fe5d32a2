"""Peers on real nodes under hardship: each ends in equal state roots, nothing acknowledged lost, memory bounded."""

from __future__ import annotations

import json
import os
import random
import shutil
import subprocess
import sys
from contextlib import suppress
from functools import partial
from pathlib import Path
from threading import Thread

import pytest

from ledger.answerer import Answerer
from ledger.car import car_head, car_section
from ledger.carrier import CallCarrier
from ledger.cid import Cid
from ledger.events import task_key
from ledger.exchange import pull
from ledger.exchange_client import HttpCarrier, NotServedError
from ledger.hints import topic_of
from ledger.keys import SigningKey
from ledger.kubo_errors import KuboError
from ledger.network_tables import open_network
from ledger.operation_writing import write_spec
from ledger.operations import Revoke, Spec, Submit
from ledger.replica import ExchangeError
from ledger.signing import sign_event
from scheduler import actions
from scheduler.action_errors import ActionError
from scheduler.dialling import STREAM_PROTOCOL
from scheduler.home import Home
from scheduler.place import wall_clock_ms
from scheduler.replica import replica_of
from scheduler.tags import WorkflowTag
from scheduler.task import P2PTask
from tests.network.hardship import agree, bounded, links
from tests.support.kubo import address_of, wait_for
from tests.support.peers import Daemon, Machine, Machines

pytestmark = pytest.mark.timeout(240)


def many(machine: Machine, count: int, name: str) -> Cid:
    """Append `count` submits of one peer, an event each, a hundred to a transaction; return the last."""
    home, last = machine.home, None
    for start in range(0, count, 100):
        with home.writing() as writing:
            for number in range(start, min(start + 100, count)):
                fields = write_spec(spec := Spec(f"{name}-{number}", "w", "n", ("p2p-only",)))
                key = task_key(home.ledger, machine.key.actor, fields)
                last = writing.append(machine.key, (Submit(key, spec, 5, home.now_ms(), fields),)).cid
    assert last is not None
    return last


def a_team(machines: Machines, count: int) -> list[Machine]:
    """Return an owner and members, whose nodes know each other only by the owner."""
    owner = machines.found("alice")
    members = [machines.entered(name, owner) for name in ("bob", "carol", "dave", "erin")[: count - 1]]
    source = CallCarrier(Answerer(replica_of(owner.home), owner.home.now_ms))
    for member in members:  # each has its admission, as if it had been there once
        pull(replica_of(member.home), source, member.home.now_ms)
    return [owner, *members]


def test_five_peers_converge(machines: Machines) -> None:
    """Five peers submit, claim and complete at once; all end with one board on which every event stands."""
    team = a_team(machines, 5)
    for machine in team:
        machine.start()
    agree(*team)
    said = [cid for machine in team for cid in machine.submit(*(f"{machine.name}-{number}" for number in range(5)))]
    agree(*team, holding=said)
    failed: list[Exception] = []

    def work(machine: Machine) -> None:
        """Take and complete until nothing is left that this peer may take now."""
        try:
            with Home.open(machine.folder) as home:
                while (taken := actions.take(home, machine.key, lease_ms=4_000)) is not None:
                    actions.complete(home, machine.key, taken.record.key)
        except ActionError:  # another was faster, and was heard of in between: that task is done
            return
        except Exception as error:  # noqa: BLE001  # told by the test's own thread
            failed.append(error)

    threads = [Thread(target=work, args=(machine,)) for machine in team]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not failed
    agree(*team)
    with team[0].home.reading():
        assert team[0].home.tasks.counts().get("done", 0) > 0
    bounded(*team)


def test_partition_and_heal(machines: Machines) -> None:
    """Both sides of a cut go on, take the same task even; healed they agree, and have each event of either side."""
    team = a_team(machines, 3)
    alice, bob, carol = team
    with links(team) as between:
        for machine in team:
            machine.start()
        (shared,) = alice.submit("shared")
        agree(*team, holding=[shared])
        between.part((alice, bob), (carol,))
        here = alice.submit("here")
        bob.until("its own side's events come", lambda: bob.has(here[0]))
        there = carol.submit("there")
        for machine in (bob, carol):  # each takes what it sees as free, as the design allows under partition
            actions.complete(machine.home, machine.key, actions.resolve(machine.home, machine.key, "shared").key)
        assert not carol.has(here[0])
        assert not alice.has(there[0])
        between.heal()
        agree(*team, holding=[*here, *there])
        record = actions.resolve(alice.home, alice.key, "shared")
        assert len(record.completions) == 2  # executed twice, recorded once
        bounded(*team)


def test_a_peer_that_was_offline_for_thousands_of_events(machines: Machines) -> None:
    """Away while others append 3,000 events and appending its own, a peer catches up and gives what it has."""
    alice, bob = a_team(machines, 2)
    alice.start()
    last = many(alice, 3_000, "away")
    mine = bob.submit("offline")
    bob.start()
    agree(alice, bob, holding=[last, *mine])
    bounded(alice, bob)


@pytest.mark.parametrize("seed", [1, 2])
def test_killed_in_the_midst_of_publishing_and_fetching(machines: Machines, seed: int) -> None:
    """Daemons and nodes are killed −9 at random moments while a log is published and fetched; then all is there."""
    chance = random.Random(seed)
    alice, bob = a_team(machines, 2)
    last = many(alice, 2_000, "long")
    for _ in range(4):
        for machine in (alice, bob):
            if machine.daemon is None or machine.daemon.process.poll() is not None:
                machine.start()
        victim = chance.choice((alice, bob))
        progress = partial(_count, bob) if victim is bob else partial(_published, alice)
        before = progress()
        with suppress(AssertionError):  # it may be through already: it is killed all the same
            wait_for("some more", lambda progress=progress, before=before: progress() > before, deadline_s=3)
        assert victim.node is not None
        assert victim.daemon is not None
        if chance.random() < 0.5:
            victim.node.kill()
        victim.daemon.kill()
    for machine in (alice, bob):
        if machine.daemon is None or machine.daemon.process.poll() is not None:
            machine.start()
    agree(alice, bob, holding=[last])
    wait_for("all is published", lambda: _node_has(alice, last), deadline_s=60)
    with alice.home.reading():
        cids = [cid for _, cid in alice.home.events.in_linear_order()]
    assert alice.node is not None
    with alice.node.client() as client:
        assert all(client.has_block(cid) for cid in cids[:: max(1, len(cids) // 100)])
    bounded(alice, bob)


def _count(machine: Machine) -> int:
    with machine.home.reading():
        return machine.home.events.count()


def _published(machine: Machine) -> int:
    from ledger.outbox import Outbox

    with open_network(machine.folder) as network, network.reading():
        return Outbox(network).size()


def _node_has(machine: Machine, cid: Cid) -> bool:
    assert machine.node is not None
    try:
        with machine.node.client() as client:
            return client.has_block(cid)
    except KuboError:
        return False


def test_a_lost_repository_is_published_again(machines: Machines) -> None:
    """A node that lost all it stored, its name too, has everything again, and its peers find it."""
    alice, bob = a_team(machines, 2)
    alice.start()
    bob.start()
    last = many(alice, 300, "kept")
    agree(alice, bob, holding=[last])
    wait_for("published", lambda: _node_has(alice, last))
    assert alice.daemon is not None
    assert alice.node is not None
    alice.daemon.terminate()
    key, node = alice.node.swarm_key, alice.node
    node.kill()
    shutil.rmtree(node.folder)
    node.init("private", key, listen="127.0.0.1")
    alice.start()
    wait_for("published again", lambda: _node_has(alice, last), deadline_s=60)
    after = alice.submit("after the loss")
    agree(alice, bob, holding=[last, *after])


def test_a_home_restored_from_an_old_backup(machines: Machines, tmp_path: Path) -> None:
    """Home and node of yesterday catch up with today, their own lost events included, and go on."""
    alice, bob = a_team(machines, 2)
    alice.start()
    daemon = bob.start()
    first = bob.submit("before the backup")
    agree(alice, bob, holding=first)
    daemon.terminate()
    assert bob.node is not None
    bob.node.stop()
    bob.close()
    backup = tmp_path / "backup"
    shutil.copytree(bob.folder, backup)
    bob = _opened_again(machines, bob)
    bob.start()
    later = bob.submit("after the backup")
    agree(alice, bob, holding=later)
    assert bob.daemon is not None
    assert bob.node is not None
    bob.daemon.kill()
    bob.node.kill()
    bob.close()
    shutil.rmtree(bob.folder)
    shutil.copytree(backup, bob.folder)
    bob = _opened_again(machines, bob)
    assert not bob.has(later[0])
    forked = bob.submit("it does not know what it said")
    bob.start()
    agree(alice, bob, holding=[*first, *later, *forked])


def _opened_again(machines: Machines, machine: Machine) -> Machine:
    """Return the machine with nothing of it open in this process; its daemon is ended with the test's others."""
    again = Machine(machine.name, machine.folder, machine.node)
    machines.adopt(again)
    return again


def test_skewed_clocks(machines: Machines) -> None:
    """A clock that is late, and one ahead beyond the skew: what is ahead is held, then counts; all agree in the end."""
    team = a_team(machines, 3)
    alice, bob, carol = team
    alice.start()
    for machine, skew_ms in ((bob, -3_000), (carol, 4_000)):
        _start_skewed(machine, skew_ms)
    said = alice.submit("on time")
    with Home.open(carol.folder, clock=lambda: wall_clock_ms() + 4_000) as ahead:
        actions.submit(ahead, carol.key, actions.request_of(P2PTask("ahead", "w", "n", [WorkflowTag.P2P_ONLY])))
        with ahead.reading():
            early = ahead.board.heads
    with Home.open(bob.folder, clock=lambda: wall_clock_ms() - 3_000) as late:
        wait_for("its admission is not ahead of its clock any more", partial(_is_admitted, late, bob.key))
        actions.submit(late, bob.key, actions.request_of(P2PTask("late", "w", "n", [WorkflowTag.P2P_ONLY])))
    agree(alice, bob, carol, holding=[*said, *early])
    assert {"on time", "ahead", "late"} <= alice.task_ids()


def _is_admitted(home: Home, key: SigningKey) -> bool:
    with home.reading():
        return home.members.grant_for(key.actor) is not None


def _start_skewed(machine: Machine, skew_ms: int) -> None:
    environment = machine.program.environment() | {"SKEW_MS": str(skew_ms)}
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.network.hardship", str(machine.folder), machine.name],
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[2],
    )
    machine.daemon = Daemon(process)
    machine.daemon.said("node_up")


def test_a_revoked_member_that_goes_on_sending(machines: Machines) -> None:
    """Whatever a revoked member appends and offers changes no honest board; it is served no more."""
    team = a_team(machines, 3)
    alice, bob, mallory = team
    for machine in team:
        machine.start()
    agree(*team)
    (kept,) = mallory.submit("before")
    agree(*team, holding=[kept])
    with alice.home.reading():
        grant = alice.home.members.grant_for(mallory.key.actor)
    assert grant is not None
    owner = alice.home.members.owner_key()
    assert owner is not None
    assert mallory.daemon is not None
    mallory.daemon.terminate()  # it does not hear of the revocation, and goes on as if there were none
    alice.home.append(owner, (Revoke(grant, mallory.key.actor, (kept,)),))
    bad = mallory.submit("after", "and more")
    mallory.start()
    mallory.daemon.said("not_served")
    after = alice.submit("honest")
    agree(alice, bob, holding=after)
    for honest in (alice, bob):
        assert not {"after", "and more"} & honest.task_ids()
        assert "before" in honest.task_ids()
    assert all(mallory.has(cid) for cid in bad)


def test_a_flood_of_blocks_that_are_refused(machines: Machines) -> None:
    """Thousands of blocks that break rules, offered by a member and by a stranger: the rest goes on, memory bounded."""
    team = a_team(machines, 3)
    alice, bob, mallory = team
    alice.start()
    bob.start()
    agree(alice, bob)
    assert mallory.node is not None
    assert alice.node is not None
    mallory.node.start()
    with mallory.node.client() as client:
        client.connect(address_of(alice.node))
        port = client.forward_streams(STREAM_PROTOCOL, alice.node.peer_id)
        with HttpCarrier(
            f"http://127.0.0.1:{port}", alice.home.ledger, mallory.key, audience=alice.node.peer_id
        ) as carrier:
            for turn in range(20):
                with carrier.ask("offer", _rubbish(mallory, turn, 500)) as stream:
                    stream.read()
        with HttpCarrier(f"http://127.0.0.1:{port}", alice.home.ledger, SigningKey.generate()) as carrier:
            for turn in range(3):
                with pytest.raises(NotServedError), carrier.ask("offer", _rubbish(mallory, turn, 500)):
                    pass
    after = alice.submit("all the same")
    agree(alice, bob, holding=after)
    bounded(alice, bob)
    with alice.home.reading():
        assert alice.home.intake.waiting.count() <= 10_000


def _rubbish(machine: Machine, turn: int, count: int) -> bytes:
    """Return an offer: events with a broken signature, with parents nobody has, in another ledger, and no events."""
    home, key, pieces = machine.home, machine.key, [car_head((machine.home.ledger,))]
    for number in range(count):
        lost = Cid.of(f"{turn} {number}".encode())
        block = sign_event(
            key,
            ledger=home.ledger if number % 4 else lost,
            grant=home.ledger,
            parents=[lost],
            cites=(),
            blobs=(),
            height=2,
            time=wall_clock_ms(),
            ops=(),
        )
        if number % 4 == 1:
            block = block[:-1] + bytes((block[-1] ^ 1,))
        if number % 4 == 2:
            block = os.urandom(200)
        pieces.append(car_section(Cid.of(block), block))
    return b"".join(pieces)


def test_a_stranger_on_the_network(machines: Machines) -> None:
    """A node in the network whose key no ledger knows is served nothing, and what it says on the topic is dropped."""
    team = a_team(machines, 2)
    alice = team[0]
    for machine in team:
        machine.start()
    agree(*team)
    stranger = machines.found("stranger")  # of a ledger of its own
    assert stranger.node is not None
    assert alice.node is not None
    key = alice.node.swarm_key
    stranger.node.kill()
    shutil.rmtree(stranger.node.folder)
    stranger.node.init("private", key, listen="127.0.0.1")
    stranger.node.start()
    with stranger.node.client() as client:
        client.connect(address_of(alice.node))
        topic = topic_of(alice.home.ledger)
        with client.subscribe(topic):
            wait_for("it is on the topic", lambda: client.topic_peers(topic))
            for number in range(300):
                client.publish(topic, os.urandom(50 + number))
        port = client.forward_streams(STREAM_PROTOCOL, alice.node.peer_id)
        for asked in (SigningKey.generate(), stranger.key, None):
            with HttpCarrier(f"http://127.0.0.1:{port}", alice.home.ledger, asked) as carrier:
                for path in ("state", "delta", "offer"):
                    with pytest.raises(ExchangeError), carrier.ask(path, b""):
                        pass
    after = alice.submit("undisturbed")
    agree(*team, holding=after)
    bounded(*team)
    known = json.dumps(alice.program.json("peers"))
    assert stranger.node.peer_id not in known
