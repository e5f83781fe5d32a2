"""`submit --via kubo:…` on a machine without a home: through a real IPFS node of its own to a real peer."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from crdt.view import Status
from ledger.events import Role
from ledger.hints import topic_of
from ledger.keys import SigningKey, did_key
from ledger.kubo_node import ManagedNode
from ledger.operations import Admit, Attachment, Report
from scheduler.actions import complete, take
from scheduler.dialling import STREAM_PROTOCOL
from scheduler.light.token import read_ledger_token, write_ledger_token
from tests.cli.program import Program
from tests.support.kubo import address_of, wait_for
from tests.support.peers import DEADLINE_S, Machine, Machines

SUBMIT = ("submit", "--workflow-id", "w", "--name", "n", "--json", "--task-id")
WAIT = (*SUBMIT[:-2], "--max-attempts", "1", "--wait=50s", "--task-id")
"""The same for people, waiting until the one attempt is over."""


class Homeless(Program):
    """The program without a home."""

    def environment(self) -> dict[str, str]:
        found = super().environment()
        del found["P2P_WORKFLOW_HOME"]
        return found


@dataclass
class Pair:
    """A peer, and a runner that has a node and no home; the runner's token names the peer's node, and no URL."""

    peer: Machine
    peer_node: ManagedNode
    runner: Homeless
    node: ManagedNode
    key: SigningKey
    token: str

    def forward(self) -> int | None:
        """Return the port by which the runner's node leads to the peer, if it does."""
        with self.node.client() as client:
            return client.find_forward(STREAM_PROTOCOL, self.peer_node.peer_id)

    @contextmanager
    def waiting(self, task_id: str) -> Iterator[subprocess.Popen[str]]:
        """Start the runner's program, give it once it is asking about the task, and end it whatever happens."""
        process = self.runner.start(*WAIT, task_id)
        try:
            self.peer.until("it has the task", lambda: task_id in self.peer.task_ids())
            assert process.stdout is not None
            assert process.stdout.readline() == "✓ Task submitted successfully\n"
            wait_for("it asks", self.forward, deadline_s=DEADLINE_S)
            yield process
        finally:
            process.kill()
            process.communicate()


@pytest.fixture
def pair(machines: Machines, tmp_path: Path) -> Pair:
    """Start the peer and the runner's node."""
    alice = machines.found("alice")
    alice.start()
    key, owner = SigningKey.generate(), alice.home.members.owner_key()
    assert owner is not None
    alice.home.append(owner, (Admit(key.actor, (Role.SUBMITTER.value,), "ci"),))
    token = alice.program.json("members", "token", "ci")
    assert token["nodes"]
    assert token["urls"] == []
    runner = machines.entered("runner", alice, admit=False)
    assert runner.node is not None
    assert alice.node is not None
    runner.node.start()
    program = runner_of(runner.node, tmp_path, token["token"], key)
    return Pair(alice, alice.node, program, runner.node, key, token["token"])


def runner_of(node: ManagedNode, folder: Path, token: str, key: SigningKey) -> Homeless:
    """Return the program of a machine that has a node, and no home."""
    pair = {"P2P_WORKFLOW_KEY": key.to_text(), "P2P_WORKFLOW_LEDGER": token}
    via = {"P2P_WORKFLOW_VIA": f"kubo:{node.api}", "P2P_WORKFLOW_KUBO_TOKEN": node._token()}
    return Homeless(folder / "none", extra=pair | via)


def test_a_node_reaches_the_peer_or_tells_it(pair: Pair, tmp_path: Path) -> None:
    """Where the token names a node, a peer has it; else the node keeps it and tells, and the peer hears; or nobody."""
    alice, program = pair.peer, pair.runner
    reached = program.json(*SUBMIT, "through")
    assert (reached["how"], reached["created"]) == ("accepted", True)
    assert "through" in alice.task_ids()
    assert pair.forward() is None
    # Who knows no node hands the block to its own, which tells those that listen.
    bare = write_ledger_token(replace(read_ledger_token(pair.token), nodes=()))
    program = runner_of(pair.node, tmp_path, bare, pair.key)
    topic = topic_of(alice.home.ledger)
    with pair.node.client() as client:
        client.connect(address_of(pair.peer_node))
        wait_for("the peer is heard to listen", lambda: client.topic_peers(topic))
        told = program.ok(*SUBMIT, "told")
        assert told.json["how"] == "told"
        assert "no peer has confirmed it" in told.err
        assert client.has_block(alice.home.ledger) is False
    alice.until("it has heard of it", lambda: "told" in alice.task_ids())
    assert alice.daemon is not None
    alice.daemon.terminate()
    pair.peer_node.stop()
    alone = program.run(*SUBMIT, "alone")
    assert (alone.code, alone.json["error"]["kind"]) == (11, "nobody_took_it")
    assert "no peer of the ledger listens there" in alone.json["error"]["message"]


def test_who_waits_through_a_node_ends_as_a_real_worker_s_command(pair: Pair, tmp_path: Path) -> None:
    """Log and exit code come by libp2p alone, for `submit --wait` and for the action; the node is left as it was."""
    peer = pair.peer.program
    peer.ok("worker", "policy", "init")
    rule = ("[[allow]]", 'name = "ci"', f'submitters = ["{did_key(pair.key.actor)}"]', 'payloads = ["command"]')
    policy = pair.peer.folder / "worker.toml"
    policy.write_text("\n".join((*rule, 'programs = ["sh"]', "")), encoding="utf-8")
    worker = subprocess.Popen(
        peer.command("worker", "run"), env=peer.environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        failed = pair.runner.run(*WAIT, "fails", "--", "sh", "-c", "echo working; exit 7")
        assert failed.code == 7, failed
        assert "working\n" in failed.out
        assert "Status: dead" in failed.out
        assert pair.forward() is None
        # Another's forward is shared, and stays.
        with pair.node.client() as client:
            port = client.forward_streams(STREAM_PROTOCOL, pair.peer_node.peer_id)
        names = {"TASK_ID": "done", "WORKFLOW_ID": "w", "NAME": "n", "COMMAND": "sh -c 'echo working'", "WAIT": "true"}
        outputs = tmp_path / "outputs"
        extra = {f"P2P_ACTION_{name}": value for name, value in names.items()} | {"GITHUB_OUTPUT": str(outputs)}
        done = replace(pair.runner, extra=pair.runner.extra | extra).ok("github", "submit")
        assert "working\n" in done.out
        assert "exit-code" in outputs.read_text(encoding="utf-8")
        assert pair.forward() == port
    finally:
        worker.terminate()
        worker.wait(60)


def test_a_peer_and_a_node_may_go_away_and_come_back(pair: Pair) -> None:
    """Each attempt dials anew: what was done meanwhile is heard once both are there again."""
    alice = pair.peer
    with pair.waiting("t") as process:
        assert alice.daemon is not None
        alice.daemon.terminate()
        pair.peer_node.stop()
        pair.node.kill()
        taken = take(alice.home, alice.key)
        assert taken is not None
        log = Attachment("text/plain", data=b"all is well\n")
        complete(alice.home, alice.key, taken.record.key, report=Report(exit_code=0), log=log)
        alice.start()
        pair.node.start()
        out, err = process.communicate(timeout=DEADLINE_S)
    assert process.returncode == 0, err
    assert "all is well\n" in out
    assert f"Status: {Status.DONE}" in out
    assert pair.forward() is None


def test_ctrl_c_leaves_the_task_and_no_forward(pair: Pair) -> None:
    """As where it waits for a peer by HTTP; the node forwards nothing then."""
    with pair.waiting("t") as process:
        process.send_signal(signal.SIGINT)
        said = process.communicate(timeout=DEADLINE_S)
    assert process.returncode == 130, said
    assert pair.forward() is None
    assert "t" in pair.peer.task_ids()


def test_a_wait_that_is_over_leaves_no_forward(pair: Pair) -> None:
    """Nor does one that ends by an error."""
    late = pair.runner.run(*SUBMIT, "t", "--wait=1s")
    assert (late.code, late.json["error"]["exit_code"]) == (13, 13)
    assert pair.forward() is None
