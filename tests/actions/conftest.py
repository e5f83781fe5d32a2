"""A ledger with a member for CI, a real peer that serves it, and a runner that has the member's secrets."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from crdt.records import TaskRecord
from ledger.events import Role
from ledger.keys import SigningKey
from ledger.operations import Admit
from tests.actions.runner import Runner
from tests.support.peers import Machine, Machines


@dataclass
class Team:
    """The peer, where it serves, and the runner."""

    peer: Machine
    url: str
    runner: Runner

    def task(self, task_id: str) -> TaskRecord | None:
        """Return a task on the peer's board by its name."""
        with self.peer.home.reading():
            found = self.peer.home.tasks.named(task_id)
        return found[0] if found else None


@pytest.fixture
def team(tmp_path: Path) -> Iterator[Team]:
    """Start the peer; end it afterwards."""
    with Machines(tmp_path) as machines:
        peer = machines.found("alice", node=False)
        key = SigningKey.generate()
        owner = peer.home.members.owner_key()
        assert owner is not None
        peer.home.append(owner, (Admit(key.actor, (Role.SUBMITTER.value,), "ci"),))
        ready = peer.start("--no-ipfs", "--listen", "127.0.0.1:0").said("ready")
        found = re.search(r"http://[0-9.:]+", ready["message"])
        assert found is not None
        token = peer.program.json("members", "token", "ci")
        assert token["urls"] == [found[0]]
        folder = tmp_path / "runner"
        folder.mkdir()
        secrets = {"P2P_WORKFLOW_KEY": key.to_text(), "P2P_WORKFLOW_LEDGER": token["token"]}
        yield Team(peer, found[0], Runner(folder, secrets))
