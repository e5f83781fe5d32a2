"""A Kubo node that belongs to a home: its repository, its process, and how to talk to it.

The folder is the node's repository (IPFS_PATH) and holds nothing of ours but the swarm key, the secret of the RPC
(`rpc.token`, readable by its owner only) and the log of its last run. It can be thrown away: what was published is
published again. Leaves out building Kubo (ledger.kubo_build), the configuration (ledger.kubo_config), calls
(ledger.kubo).
"""

from __future__ import annotations

import ipaddress
import json
import os
import random
import secrets
import shutil
import signal
import socket
import subprocess
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

from ledger.kubo import KuboClient, split_address
from ledger.kubo_config import EVERYWHERE, LOOPBACK, Mode, Ports, check_swarm_key, new_swarm_key, quiet_config
from ledger.kubo_errors import KuboError, KuboNotRunningError, KuboTimeoutError
from ledger.kubo_process import DetachedProcess, only_one, wait_until

START_S: Final = 60.0
"""How long a node may take to answer after its start, in seconds: on a busy machine, with a large repository."""
STOP_S: Final = 20.0
_PORTS: Final = (15_000, 32_000)  # below those that systems give to outgoing connections, so that ours are free again
_STARTS_MAX: Final = 3


class NodeError(KuboError):
    """The node cannot be made, configured or started; the message says why."""


class State(StrEnum):
    """What a node does."""

    NOT_MADE = "not made"
    STOPPED = "stopped"
    SILENT = "silent"
    RUNNING = "running"


@dataclass(frozen=True, slots=True)
class NodeStatus:
    """What is known of a node; what only a running one tells is empty else."""

    state: State
    mode: str = ""
    api: str = ""
    gateway: str = ""
    peer_id: str = ""
    pid: int | None = None
    version: str = ""
    addresses: tuple[str, ...] = ()
    connected: int = 0
    repo_bytes: int = 0

    @property
    def running(self) -> bool:
        """Whether it answers."""
        return self.state is State.RUNNING


class ManagedNode:
    """The node whose repository is `folder`.

    Args:
        folder: IPFS_PATH, made by `init`.
        binary: the program `ipfs`, or what finds it (ledger.kubo_build.find_or_none); only `init` and `start` need it.
    """

    def __init__(self, folder: Path, *, binary: Path | Callable[[], Path | None] | None) -> None:
        self.folder = folder
        self.binary = binary
        self._process = DetachedProcess(folder, "daemon")

    # ---- making it

    @property
    def exists(self) -> bool:
        """Whether the node has been made."""
        return (self.folder / "config").is_file()

    def init(
        self,
        mode: str = "private",
        swarm_key: str | None = None,
        announce: Sequence[str] = (),
        *,
        listen: str = EVERYWHERE,
    ) -> None:
        """Make the repository, or configure again one that is stopped; peer id, ports and blocks stay.

        Args:
            mode: `private` (whoever has the swarm key) or `lan` (whoever is on the local network, searched for peers).
            swarm_key: the text of a `swarm.key`. Without one a private node keeps its own, or makes one.
            announce: multiaddrs to tell others besides those of the interfaces.
            listen: the IP address to listen at for other nodes; every interface, unless said.

        Raises NodeError where the node runs, is in another network, or `ipfs init` fails; ValueError for a mode, a key
        or an address that is none.
        """
        wanted = Mode(mode)
        ipaddress.ip_address(listen)
        for address in announce:
            split_address(address)
        key = None if swarm_key is None else check_swarm_key(swarm_key)
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.folder.chmod(0o700)
        with self._turn():
            if self._process.is_alive():
                raise NodeError(f"the IPFS node in {self.folder} runs: stop it before it is configured anew")
            if self.exists:
                self._check_network(wanted, key)
                made, ports = self._config(), self._ports()
            else:
                made, ports = self._make_repository(), new_ports(listen)
            if wanted is Mode.PRIVATE and self.swarm_key is None:
                write_private(self.folder / "swarm.key", key or new_swarm_key())
            # Last, since it says that there is a node: none ever starts with another configuration than ours.
            self._write_config(
                quiet_config(made, mode=wanted, ports=ports, token=self._token(), listen=listen, announce=announce)
            )

    def _make_repository(self) -> dict[str, Any]:
        """Have a repository made, all but its configuration, which is returned; what was broken off goes."""
        making = self.folder / "making"
        shutil.rmtree(making, ignore_errors=True)
        self._run("init", "--profile=test,pebbleds", "--empty-repo", repository=making)
        config = json.loads((making / "config").read_text(encoding="utf-8"))
        (making / "config").unlink()
        for made in making.iterdir():
            target = self.folder / made.name
            if target.is_dir():
                shutil.rmtree(target)
            made.replace(target)
        making.rmdir()
        return dict(config)

    def _check_network(self, mode: Mode, key: str | None) -> None:
        """Raise NodeError for another network: what a private node stores must not get into another by the way."""
        if mode != self.mode or (key is not None and key != self.swarm_key):
            raise NodeError(
                f"the IPFS node in {self.folder} is in another network ({self.mode}): move that folder away, and a new "
                "node is made and filled from the ledger"
            )

    @property
    def swarm_key(self) -> str | None:
        """The secret of the private network that the node is in; None in the local network."""
        with suppress(FileNotFoundError):
            return (self.folder / "swarm.key").read_text(encoding="ascii")
        return None

    @property
    def mode(self) -> str:
        """`private` or `lan`."""
        return Mode.LAN if self.swarm_key is None else Mode.PRIVATE

    # ---- its process

    def start(self, *, timeout_s: float = START_S) -> None:
        """Start the node, and return once it answers; one that runs is left as it is.

        Two starts at once give one node, and it outlives whoever started it. What a killed node left behind (locks,
        pids, addresses) is no hindrance; a port that something else took is replaced. Raises NodeError with the node's
        last words where it ends, KuboTimeoutError where it does not answer.
        """
        if not self.exists:
            raise NodeError(f"there is no IPFS node in {self.folder}: make it with `p2p-workflow ipfs start`")
        with self._turn(timeout_s):
            for attempt in range(_STARTS_MAX):
                if not self._process.is_alive():
                    self._move_from_taken_ports()
                    self._launch()
                if self._wait_for_answer(timeout_s):
                    return
                if not self._has_taken_port() or attempt == _STARTS_MAX - 1:
                    break
        words = self._process.last_words()
        raise NodeError(f"the IPFS node in {self.folder} does not start: {words or 'it says nothing'}")

    def _launch(self) -> None:
        for left in ("api", "gateway"):  # the addresses of the last run
            (self.folder / left).unlink(missing_ok=True)
        self._process.start([str(self._program()), "daemon"], self._environment())

    def _wait_for_answer(self, timeout_s: float) -> bool:
        """Return True once the node answers, False where its process has ended."""
        with self.client(timeout_s=5.0) as client:

            def is_settled() -> bool:
                return self._answers(client) or not self._process.is_alive()

            if not wait_until(is_settled, timeout_s):
                raise KuboTimeoutError(f"the IPFS node in {self.folder} does not answer within {timeout_s:.0f} s")
            return self._process.is_alive()

    def _answers(self, client: KuboClient) -> bool:
        """Return whether the RPC answers, and is ours: another node may have taken the port."""
        with suppress(KuboError):
            return client.identity().peer_id == self.peer_id
        return False

    def stop(self, *, timeout_s: float = STOP_S) -> None:
        """End the node, gently if it listens; returns once it has ended. One that is stopped is left so."""
        if not self._process.is_alive():
            return
        with suppress(KuboError), self.client(timeout_s=min(5.0, timeout_s / 2)) as client:
            client.shut_down()
        if not self._process.wait_for_end(timeout_s / 2):
            self._process.signal(signal.SIGTERM)
            if not self._process.wait_for_end(timeout_s / 2):
                self.kill()

    def kill(self) -> None:
        """End the node as a power cut would (SIGKILL), and wait until it is gone."""
        self._process.signal(signal.SIGKILL)
        if not self._process.wait_for_end(STOP_S):
            raise KuboTimeoutError(f"the IPFS node in {self.folder} (process {self._process.pid}) cannot be ended")

    def is_running(self) -> bool:
        """Return whether the process lives; it need not answer yet."""
        return self._process.is_alive()

    def status(self) -> NodeStatus:
        """Return what is known of the node, without starting it."""
        if not self.exists:
            return NodeStatus(State.NOT_MADE)
        known: dict[str, Any] = {
            "mode": str(self.mode),
            "api": self.api,
            "gateway": self.gateway_url,
            "peer_id": self.peer_id,
        }
        pid = self._process.pid
        if pid is None:
            return NodeStatus(State.STOPPED, **known)
        try:
            with self.client(timeout_s=5.0) as client:
                return NodeStatus(
                    State.RUNNING,
                    **known,
                    pid=pid,
                    version=client.version(),
                    addresses=client.identity().addresses,
                    connected=len(client.connected()),
                    repo_bytes=client.repo_size(),
                )
        except KuboError:
            return NodeStatus(State.SILENT, **known, pid=pid)

    # ---- talking to it

    def client(self, *, timeout_s: float = 30.0) -> KuboClient:
        """Return a client; its calls raise KuboNotRunningError while the node does not run."""
        return KuboClient(self.api, self._token(), timeout_s=timeout_s)

    @property
    def peer_id(self) -> str:
        """The node's peer id, `12D3Koo…`."""
        return str(self._config()["Identity"]["PeerID"])

    @property
    def api(self) -> str:
        """Where the RPC listens, as a multiaddr."""
        return str(self._config()["Addresses"]["API"])

    @property
    def gateway_url(self) -> str:
        """Where the gateway listens, `http://127.0.0.1:PORT`. It serves what the node or its peers have."""
        return f"http://{LOOPBACK}:{self._ports().gateway}"

    @property
    def listen(self) -> str:
        """The IP address at which it listens for other nodes."""
        return split_address(self._config()["Addresses"]["Swarm"][0])[0]

    @property
    def swarm_port(self) -> int:
        """The TCP port at which other nodes connect."""
        return self._ports().swarm

    # ---- files

    def _turn(self, timeout_s: float = START_S) -> Any:
        return only_one(self.folder / "start.lock", timeout_s + START_S)

    def _config(self) -> dict[str, Any]:
        try:
            found = json.loads((self.folder / "config").read_text(encoding="utf-8"))
            found["Identity"]["PeerID"], found["Addresses"]["API"]
        except FileNotFoundError:
            raise KuboNotRunningError(
                f"there is no IPFS node in {self.folder}: make it with `p2p-workflow ipfs start`"
            ) from None
        except (ValueError, KeyError, TypeError):
            raise KuboError(
                f"{self.folder / 'config'} is damaged: move {self.folder} away, and a new node is made and filled again"
            ) from None
        return dict(found)

    def _write_config(self, config: Mapping[str, Any]) -> None:
        write_private(self.folder / "config", json.dumps(config, indent=2) + "\n")

    def _token(self) -> str:
        path = self.folder / "rpc.token"
        try:
            return path.read_text(encoding="ascii").strip()
        except FileNotFoundError:
            token = secrets.token_urlsafe(32)
            write_private(path, token + "\n")
            return token

    def _ports(self) -> Ports:
        addresses = self._config()["Addresses"]
        swarm, rpc, gateway = (split_address(text)[1] for text in self._addresses(addresses))
        return Ports(swarm, rpc, gateway)

    @staticmethod
    def _addresses(addresses: Mapping[str, Any]) -> tuple[str, str, str]:
        return addresses["Swarm"][0], addresses["API"], addresses["Gateway"]

    def _has_taken_port(self) -> bool:
        addresses = self._addresses(self._config()["Addresses"])
        return not all(is_free(*split_address(text)) for text in addresses)

    def _move_from_taken_ports(self) -> None:
        """Replace each port that something else has taken meanwhile."""
        config = self._config()
        for text in self._addresses(config["Addresses"]):
            host, port = split_address(text)
            if not is_free(host, port):
                moved = json.dumps(config).replace(f"/tcp/{port}", f"/tcp/{new_ports(host).rpc}")
                config = json.loads(moved)
        self._write_config(config)

    # ---- the program

    def _program(self) -> Path:
        found = self.binary() if callable(self.binary) else self.binary
        if found is None:
            raise NodeError("there is no program `ipfs` on this machine: get it with `p2p-workflow ipfs install`")
        return found

    def _environment(self) -> dict[str, str]:
        own = {name: value for name, value in os.environ.items() if not name.startswith(("IPFS_", "LIBP2P_", "GOLOG_"))}
        own |= {"IPFS_PATH": str(self.folder), "IPFS_TELEMETRY": "off"}
        if self.swarm_key is not None:
            own["LIBP2P_FORCE_PNET"] = "1"  # rather no node than one without the key
        return own

    def _run(self, *words: str, repository: Path) -> None:
        program = self._program()
        try:
            done = subprocess.run(  # noqa: S603 — the words are ours
                [str(program), *words],
                env=self._environment() | {"IPFS_PATH": str(repository)},
                capture_output=True,
                text=True,
                timeout=START_S,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise NodeError(f"{program} {words[0]} cannot be run: {error}") from None
        if done.returncode:
            raise NodeError(f"{program} {words[0]} fails: {done.stderr.strip()[-400:]}")


def new_ports(host: str) -> Ports:
    """Return three different ports that nothing listens on now."""
    draw = random.SystemRandom()
    found: set[int] = set()
    while len(found) < 3:
        port = draw.randrange(*_PORTS)
        if is_free(host, port) and is_free(LOOPBACK, port):
            found.add(port)
    swarm, rpc, gateway = found
    return Ports(swarm, rpc, gateway)


def is_free(host: str, port: int) -> bool:
    """Return whether a TCP port can be listened on."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with closing(socket.socket(family, socket.SOCK_STREAM)) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True


def write_private(path: Path, text: str) -> None:
    """Write a file that its owner alone can read, whole or not at all."""
    part = path.with_name(f".{path.name}.{os.getpid()}")
    part.unlink(missing_ok=True)
    with open(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:  # noqa: PTH123 — with its mode
        file.write(text)
    part.replace(path)
