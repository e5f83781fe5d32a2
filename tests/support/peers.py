"""Peers as machines would be: each with a home, a node of its own where it has one, and a real `peer run` process.

    with Machines(tmp_path) as machines:
        alice = machines.found("alice"); alice.start(); bob = machines.invited("bob", alice); ...

A daemon's words are read as they come: `said` waits for one of a kind. Homes are also opened here, to look and to act
where starting a program for each step would only cost time. All nodes and daemons are ended and removed.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Self

from ledger.cid import Cid
from ledger.events import Policy, Role
from ledger.keys import SigningKey
from ledger.kubo_config import LOOPBACK
from ledger.kubo_node import ManagedNode
from ledger.network_tables import open_network
from ledger.operations import Admit
from scheduler.actions import request_of, submit
from scheduler.endpoints import Endpoints, parse_endpoint
from scheduler.home import Home
from scheduler.node import managed_node
from scheduler.tags import WorkflowTag
from scheduler.task import P2PTask
from scheduler.wake import Watch, wake
from tests.cli.program import Program
from tests.support.kubo import Nodes, address_of, binary, wait_for

DEADLINE_S: Final = 60.0
END_S: Final = 15.0
POLICY: Final = Policy(lease_ms=4_000, skew_ms=1_000, grace_ms=100)
"""Short leases, so that hints come often and silence is noticed soon."""


class Daemon:
    """A running `peer run`, and what it says."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.words: list[dict[str, Any]] = []
        self._came = threading.Condition()
        self._readers = [
            threading.Thread(target=read, args=(stream,), daemon=True)
            for read, stream in ((self._read, process.stdout), (self._read_errors, process.stderr))
        ]
        self.errors = ""
        self.is_over = False
        for reader in self._readers:
            reader.start()

    def _read(self, stream: Any) -> None:
        for line in stream:
            with self._came:
                self.words.append(json.loads(line))
                self._came.notify_all()
        with self._came:
            self._came.notify_all()

    def _read_errors(self, stream: Any) -> None:
        for line in stream:
            self.errors += line

    def said(self, kind: str, *, after: int = 0, deadline_s: float = DEADLINE_S) -> dict[str, Any]:
        """Wait for a word of this kind, after the first `after` words; return it."""

        def find() -> dict[str, Any] | None:
            return next((word for word in self.words[after:] if word["event"] == kind), None)

        with self._came:
            found = self._came.wait_for(lambda: find() or self.process.poll() is not None, deadline_s) and find()
        assert found, f"it did not say {kind!r}: {self.words} {self.errors}"
        return found

    def kinds(self) -> list[str]:
        """Return the kinds of what it said so far."""
        return [word["event"] for word in self.words]

    def terminate(self) -> int:
        """End it gently; return its exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self._end()

    def kill(self) -> None:
        """End it as a power cut would."""
        self.process.kill()
        self._end()

    def _end(self) -> int:
        code = self.process.wait(END_S)
        self.is_over = True
        for reader in self._readers:
            reader.join(END_S)
        for stream in (self.process.stdout, self.process.stderr, self.process.stdin):
            if stream is not None:
                stream.close()
        assert "Traceback" not in self.errors, self.errors
        return code


@dataclass
class Machine:
    """A peer: its home, the name of its key, its node and its daemon, where it has them."""

    name: str
    folder: Path
    node: ManagedNode | None = None
    daemon: Daemon | None = None
    _stack: ExitStack = field(default_factory=ExitStack)
    _home: Home | None = None

    @property
    def program(self) -> Program:
        """The command line on this machine."""
        return Program(
            self.folder, self.name, extra={"P2P_WORKFLOW_IPFS": str(binary()), "P2P_WORKFLOW_IPFS_LISTEN": LOOPBACK}
        )

    @property
    def home(self) -> Home:
        """The home, opened in this process."""
        if self._home is None:
            self._home = self._stack.enter_context(Home.open(self.folder))
        return self._home

    @property
    def key(self) -> SigningKey:
        """The peer's key."""
        return self.home.keys.ensure(self.name)

    def start(self, *options: str) -> Daemon:
        """Start `peer run`, and wait until it is ready, with its node where it has one."""
        command = [sys.executable, "-m", "cli", "peer", "run", "--json", *options]
        environment = self.program.environment()
        process = subprocess.Popen(
            command,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=Path(__file__).parents[2],
        )
        self.daemon = Daemon(process)
        self.daemon.said("ready")
        if self.node is not None and "--no-ipfs" not in options:
            self.daemon.said("node_up")
        return self.daemon

    # ---- acting on the home

    def submit(self, *task_ids: str) -> list[Cid]:
        """Submit tasks, an event each; return the events."""
        found: list[Cid] = []
        for task_id in task_ids:
            task = P2PTask(task_id, "w", f"name of {task_id}", [WorkflowTag.P2P_ONLY])
            (submitted,) = submit(self.home, self.key, request_of(task))
            assert submitted.event is not None
            found.append(submitted.event)
        return found

    def admit(self, other: Machine) -> None:
        """Admit another machine's peer, as the owner."""
        owner = self.home.members.owner_key()
        assert owner is not None
        self.home.append(owner, (Admit(other.key.actor, (Role.SUBMITTER.value, Role.WORKER.value), other.name),))

    def know(self, *addresses: str) -> None:
        """Give the home addresses of peers."""
        with open_network(self.folder) as network:
            Endpoints(network).give(map(parse_endpoint, addresses), self.home.now_ms())
        wake(self.folder)

    # ---- looking

    def task_ids(self) -> set[str]:
        """Return the ids of the tasks on the board."""
        with self.home.reading():
            return {task.spec.task_id for key in ("open", "done", "over") for task in self.home.tasks.standing(key)}

    def has(self, cid: Cid) -> bool:
        """Return whether an event is on the board."""
        with self.home.reading():
            return self.home.board.store.find_node(cid) is not None

    def state_root(self) -> bytes:
        """Return the state root."""
        return self.home.state_root()

    def until(self, what: str, condition: Callable[[], object], *, deadline_s: float = DEADLINE_S) -> None:
        """Wait until a condition of this home holds, looking whenever somebody has appended to it."""
        with Watch(self.folder) as watch:
            wait_for(
                f"{self.name}: {what}", lambda: condition() or (watch.wait(0.2) and condition()), deadline_s=deadline_s
            )

    def close(self) -> None:
        """End the daemon, close the home."""
        try:
            if self.daemon is not None and not self.daemon.is_over:
                assert self.daemon.terminate() == 0, self.daemon.errors
        finally:
            self._stack.close()


class Machines:
    """The peers of one test. A context manager."""

    def __init__(self, folder: Path, policy: Policy = POLICY) -> None:
        self._folder = folder
        self._policy = policy
        self._nodes = Nodes(folder / "nodes")
        self._all: list[Machine] = []

    def found(self, name: str, *, node: bool = True) -> Machine:
        """Return a machine that owns a new ledger, its peer at work in it."""
        machine = self._machine(name)
        Home.found(machine.folder, name="team", policy=self._policy).close()
        machine.home.members.peer_key(name)
        self._give_node(machine, node=node)
        return machine

    def entered(self, name: str, owner: Machine, *, node: bool = True, admit: bool = True) -> Machine:
        """Return a machine that has entered an owner's ledger, without its events, and knows the owner's node."""
        machine = self._machine(name)
        Home.enter(machine.folder, owner.home.genesis.encode()).close()
        machine.key  # noqa: B018 — made now
        self._give_node(machine, node=node)
        if owner.node is not None and node:
            machine.know(address_of(owner.node))
        if admit:
            owner.admit(machine)
        return machine

    def _machine(self, name: str) -> Machine:
        machine = Machine(name, self._folder / name)
        self._all.append(machine)
        return machine

    def _give_node(self, machine: Machine, *, node: bool) -> None:
        if node:
            machine.node = self._nodes.make(managed_node(machine.folder).folder)

    def adopt(self, machine: Machine) -> None:
        """End a machine that was made elsewhere with the others."""
        self._all.append(machine)

    def bare(self, name: str) -> Machine:
        """Return a machine with nothing on it."""
        return self._machine(name)

    def close(self) -> None:
        """End everything."""
        with ExitStack() as stack:
            stack.callback(self._nodes.close)
            for machine in self._all:
                stack.callback(_kill_node, machine)  # which a daemon or a command may have made
            for machine in self._all:
                stack.callback(machine.close)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _kill_node(machine: Machine) -> None:
    node = managed_node(machine.folder)
    if node.exists and node.is_running():
        node.kill()
