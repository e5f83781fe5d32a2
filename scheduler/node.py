"""The IPFS node of a home: one that we manage, in the home, or one that runs already; or none.

The choice stands in HOME/ipfs.json for an existing node (its address, and the file with its bearer secret), else the
repository in HOME/ipfs says it. Leaves out what a node is asked (ledger.kubo) and how it is run (ledger.kubo_node).
"""

from __future__ import annotations

import ipaddress
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from ledger.keyring import read_private
from ledger.kubo import KuboClient, split_address
from ledger.kubo_build import find_or_none
from ledger.kubo_errors import KuboError
from ledger.kubo_node import ManagedNode

FOLDER: Final = "ipfs"
CHOICE: Final = "ipfs.json"
_NEEDED: Final[tuple[tuple[str, str, Callable[[Any], bool]], ...]] = (
    ("Pubsub.Enabled", "hints", bool),
    ("Ipns.UsePubsub", "names without public routing", bool),
    ("Experimental.Libp2pStreamMounting", "exchange over libp2p", bool),
)


class NodeChoiceError(KuboError):
    """The choice of a node cannot be as it is; the message says what to change."""


@dataclass(frozen=True, slots=True)
class ExistingNode:
    """A node that somebody else runs: the multiaddr of its RPC, and the file with its bearer secret."""

    api: str
    token_file: Path | None

    def client(self, *, timeout_s: float = 30.0) -> KuboClient:
        """Return a client of the node; raise KeyringError where others could read its secret."""
        token = None if self.token_file is None else read_private(self.token_file).strip()
        return KuboClient(self.api, token, timeout_s=timeout_s)

    def lacks(self) -> list[str]:
        """Return the settings that peers need and this node has not, each with what it is for."""
        with self.client() as client:
            return [f"{name} ({use})" for name, use, is_set in _NEEDED if not is_set(client.setting(name))]


Node = ManagedNode | ExistingNode


def managed_node(home: Path) -> ManagedNode:
    """Return the node that is managed in a home, whether it was made or not."""
    return ManagedNode(home.absolute() / FOLDER, binary=find_or_none)


def node_of(home: Path) -> Node | None:
    """Return the node that a home has chosen; None where it has none. Raises NodeChoiceError for a broken choice."""
    path = home / CHOICE
    if path.exists():
        try:
            fields = json.loads(path.read_text(encoding="utf-8"))
            token_file = fields.get("token_file")
            return ExistingNode(str(fields["api"]), None if token_file is None else Path(token_file))
        except (ValueError, KeyError, AttributeError, OSError) as error:
            raise NodeChoiceError(f"{path} does not name a node ({error}): choose one with `ipfs start`") from None
    managed = managed_node(home)
    return managed if managed.exists else None


def choose_existing(home: Path, api: str, token_file: Path | None, *, allow_remote: bool) -> ExistingNode:
    """Have a home use a node that runs already, and return it; its RPC must answer.

    Raises NodeChoiceError for an address that is no loopback one, unless `allow_remote`: who reaches a node's RPC owns
    the node, and what is said to it passes the network in the clear.
    """
    try:
        host, _ = split_address(api)
    except ValueError as error:
        raise NodeChoiceError(str(error)) from None
    if not allow_remote and not _is_loopback(host):
        raise NodeChoiceError(
            f"{api} is not on this machine, and whoever is on the way could use the node: say --allow-remote if you "
            "mean it"
        )
    node = ExistingNode(api, None if token_file is None else token_file.absolute())
    with node.client(timeout_s=10) as client:
        client.identity()
    fields = {"api": api, "token_file": None if token_file is None else str(token_file.absolute())}
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    (home / CHOICE).write_text(json.dumps(fields) + "\n", encoding="utf-8")
    return node


def choose_managed(home: Path) -> ManagedNode:
    """Have a home use the node that is managed in it, and return it."""
    (home / CHOICE).unlink(missing_ok=True)
    return managed_node(home)


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
