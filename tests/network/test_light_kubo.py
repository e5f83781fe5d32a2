"""`submit --via kubo:…` on a machine without a home: through a real IPFS node of its own to a real peer."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from ledger.events import Role
from ledger.hints import topic_of
from ledger.keys import SigningKey
from ledger.operations import Admit
from scheduler.light.token import read_ledger_token, write_ledger_token
from tests.cli.program import Program
from tests.support.kubo import address_of, wait_for
from tests.support.peers import Machine, Machines

SUBMIT = ("submit", "--workflow-id", "w", "--name", "n", "--json", "--task-id")


class Homeless(Program):
    """The program without a home."""

    def environment(self) -> dict[str, str]:
        found = super().environment()
        del found["P2P_WORKFLOW_HOME"]
        return found


def runner_of(runner: Machine, folder: Path, token: str, key: SigningKey) -> Homeless:
    """Return the program of a machine that has a node, and no home."""
    assert runner.node is not None
    pair = {"P2P_WORKFLOW_KEY": key.to_text(), "P2P_WORKFLOW_LEDGER": token}
    via = {"P2P_WORKFLOW_VIA": f"kubo:{runner.node.api}", "P2P_WORKFLOW_KUBO_TOKEN": runner.node._token()}
    return Homeless(folder / "none", extra=pair | via)


def test_a_node_reaches_the_peer_or_tells_it(machines: Machines, tmp_path: Path) -> None:
    """Where the token names a node, a peer has it; else the node keeps it and tells, and the peer hears; or nobody."""
    alice = machines.found("alice")
    alice.start()
    assert alice.node is not None
    key, owner = SigningKey.generate(), alice.home.members.owner_key()
    assert owner is not None
    alice.home.append(owner, (Admit(key.actor, (Role.SUBMITTER.value,), "ci"),))
    token = alice.program.json("members", "token", "ci")
    assert token["nodes"]
    runner = machines.entered("runner", alice, admit=False)
    assert runner.node is not None
    runner.node.start()
    program = runner_of(runner, tmp_path, token["token"], key)
    reached = program.json(*SUBMIT, "through")
    assert (reached["how"], reached["created"]) == ("accepted", True)
    assert "through" in alice.task_ids()
    # Who knows no node hands the block to its own, which tells those that listen.
    bare = write_ledger_token(replace(read_ledger_token(token["token"]), nodes=()))
    program = runner_of(runner, tmp_path, bare, key)
    topic = topic_of(alice.home.ledger)
    with runner.node.client() as client:
        client.connect(address_of(alice.node))
        wait_for("the peer is heard to listen", lambda: client.topic_peers(topic))
        told = program.ok(*SUBMIT, "told")
        assert told.json["how"] == "told"
        assert "no peer has confirmed it" in told.err
        assert client.has_block(alice.home.ledger) is False
    alice.until("it has heard of it", lambda: "told" in alice.task_ids())
    assert alice.daemon is not None
    alice.daemon.terminate()
    alice.node.stop()
    alone = program.run(*SUBMIT, "alone")
    assert (alone.code, alone.json["error"]["kind"]) == (11, "nobody_took_it")
    assert "no peer of the ledger listens there" in alone.json["error"]["message"]
