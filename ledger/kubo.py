"""`KuboClient`: what we ask of a Kubo node, each call bounded in time and size, each error told apart.

The local store is the durable truth; a node is how blocks and hints travel. So blocks go there in CAR batches, never
one call each, and pins are direct ones: `pin update` walks a growing log. Leaves out the calls' transport
(ledger.kubo_rpc), subscriptions (ledger.kubo_pubsub), and running a node (ledger.kubo_node).

Source: the Kubo RPC reference; LIBRARIES' measurements of it for what is fast and what is not.
"""

from __future__ import annotations

import ipaddress
import json
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final, Self
from urllib.parse import urlsplit

from ledger.car import CAR_BLOCK_BYTES_MAX
from ledger.cid import CODEC_DAG_CBOR, CODEC_RAW, Cid, CidError
from ledger.kubo_errors import KuboError, KuboNotFoundError, KuboRefusedError, KuboTooLargeError
from ledger.kubo_pubsub import MESSAGE_BYTES_MAX, Subscription, encode_topic
from ledger.kubo_rpc import KuboRpc

IMPORT_S: Final = 300.0
"""How long the import of one CAR may take."""
REMOVE_AT_ONCE: Final = 500
_MARK: Final = b"p2p-workflow"
_CODECS: Final = {CODEC_RAW: "raw", CODEC_DAG_CBOR: "dag-cbor"}


@dataclass(frozen=True, slots=True)
class Identity:
    """A node: its peer id, the addresses it is reached at (each ends in /p2p/ID), and what program it is."""

    peer_id: str
    addresses: tuple[str, ...]
    agent: str


@dataclass(frozen=True, slots=True)
class Connected:
    """A node that ours is connected to, and at which address."""

    peer_id: str
    address: str


class KuboClient:
    """One node, by the address of its RPC. Threads may share it. A context manager.

    Args:
        address: a multiaddr, `/ip4/127.0.0.1/tcp/5001`, or a URL, `http://127.0.0.1:5001`. Another text: ValueError.
        token: the bearer secret that the RPC asks for; None where it asks for none.
        timeout_s: how long a call may take, unless it says otherwise.

    Every method raises KuboError by its kinds: not running, refused, not found, too large, timed out.
    """

    def __init__(self, address: str, token: str | None = None, *, timeout_s: float = 30.0) -> None:
        self._host, self._port = split_address(address)
        self.address = address
        self._token = token
        self._rpc = KuboRpc(_multiaddr(self._host, self._port), token, timeout_s=timeout_s)

    def close(self) -> None:
        """Close the connections."""
        self._rpc.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # ---- the node

    def identity(self) -> Identity:
        """Return who the node is and where it is reached."""
        found = self._rpc.ask("id")
        addresses = tuple(str(address) for address in found.get("Addresses") or ())
        return Identity(_text(found, "ID"), addresses, str(found.get("AgentVersion", "")))

    def version(self) -> str:
        """Return the node's version, `0.43.0`."""
        return _text(self._rpc.ask("version"), "Version")

    def setting(self, name: str) -> Any:
        """Return a value of the node's configuration, None where it is not set."""
        with suppress(KuboNotFoundError, KuboRefusedError):
            return self._rpc.ask("config", name).get("Value")
        return None

    def repo_size(self) -> int:
        """Return how much the node stores, in bytes."""
        return int(self._rpc.ask("repo/stat", options={"size-only": "true"}).get("RepoSize", 0))

    def collect_garbage(self, *, timeout_s: float = IMPORT_S) -> None:
        """Have the node drop all blocks that are not pinned."""
        self._rpc.call("repo/gc", options={"quiet": "true"}, timeout_s=timeout_s, bytes_max=256 * 1024 * 1024)

    def shut_down(self) -> None:
        """Have the node end itself."""
        self._rpc.call("shutdown")

    # ---- blocks

    def import_car(self, chunks: Iterable[bytes], *, timeout_s: float = IMPORT_S) -> int:
        """Import the blocks of a CAR that comes in pieces, pinning nothing; return how many blocks there were.

        Once it returns, they are on the node's disk.
        """
        options = {"pin-roots": "false", "stats": "true", "silent": "true"}
        answer = self._rpc.call("dag/import", options=options, body=chunks, timeout_s=timeout_s)
        count = None
        for line in answer.splitlines():
            with suppress(ValueError, KeyError, TypeError):
                count = int(json.loads(line)["Stats"]["BlockCount"])
        if count is None:
            raise KuboError(f"dag/import at the IPFS node {self.address} does not say how many blocks it took")
        self.make_durable()
        return count

    def make_durable(self) -> None:
        """Have the node write to its disk all it has taken so far.

        A node that is killed loses blocks it has answered for: its store writes them when it likes. A pin makes it
        write all that came before, so a small block of ours is stored and pinned, each time the same.
        """
        options = {"cid-codec": "raw", "mhtype": "sha2-256", "pin": "true"}
        self._rpc.call("block/put", options=options, body=(_MARK,))

    def put_block(self, data: bytes, *, codec: int = CODEC_RAW, pin: bool = False) -> Cid:
        """Store a block, with `pin` directly pinned and on the disk, and return its CID.

        Raises KuboTooLargeError beyond 2 MiB, before it is sent.
        """
        if len(data) > CAR_BLOCK_BYTES_MAX:  # Kubo says no to it, and stores it all the same
            raise KuboTooLargeError(f"a block of {len(data):,} bytes; IPFS passes on at most {CAR_BLOCK_BYTES_MAX:,}")
        options = {"cid-codec": _CODECS[codec], "mhtype": "sha2-256"}
        cid = _cid(_text(_object(self._rpc.call("block/put", options=options, body=(data,))), "Key"))
        if not cid.names(data):
            raise KuboError(f"the IPFS node {self.address} stored other bytes than it was given")
        if pin:  # its own option pins what the block links, too, and would fetch all that first
            self.pin(cid)
        return cid

    def get_block(
        self,
        cid: Cid,
        *,
        offline: bool = False,
        bytes_max: int = CAR_BLOCK_BYTES_MAX,
        timeout_s: float | None = None,
    ) -> bytes:
        """Return a block whose bytes its CID names; `offline`: only if the node has it, without asking others."""
        data = self._rpc.call(
            "block/get", str(cid), options={"offline": _flag(offline)}, bytes_max=bytes_max, timeout_s=timeout_s
        )
        if not cid.names(data):
            raise KuboError(f"the IPFS node {self.address} gave other bytes than {cid} names")
        return data

    def has_block(self, cid: Cid) -> bool:
        """Return whether the node itself has the block."""
        try:
            self._rpc.call("block/stat", str(cid), options={"offline": "true"})
        except KuboNotFoundError:
            return False
        return True

    def remove_blocks(self, cids: Sequence[Cid]) -> None:
        """Drop blocks from the node; those it does not have, or has pinned, are passed over."""
        for start in range(0, len(cids), REMOVE_AT_ONCE):
            some = map(str, cids[start : start + REMOVE_AT_ONCE])
            self._rpc.call("block/rm", *some, options={"force": "true", "quiet": "true"})

    def pin(self, cid: Cid) -> None:
        """Keep one block, not what it links, from the node's garbage collection."""
        self._rpc.call("pin/add", str(cid), options={"recursive": "false"})

    def unpin(self, cid: Cid) -> None:
        """Pin a block no more; one that is not pinned is none."""
        with suppress(KuboNotFoundError):
            self._rpc.call("pin/rm", str(cid), options={"recursive": "false"})

    def dag_get(self, path: str) -> Any:
        """Return what a path leads to, `CID` or `CID/parents/0`, as DAG-JSON."""
        try:
            return json.loads(self._rpc.call("dag/get", path, options={"output-codec": "dag-json"}))
        except ValueError:
            raise KuboError(f"dag/get at the IPFS node {self.address} answers with no JSON") from None

    # ---- names

    def ensure_key(self, name: str) -> str:
        """Return the IPNS name (`k51…`) of the node's key `name`, which is made where there is none."""
        for _ in range(2):
            for key in self._rpc.ask("key/list", options={"l": "true"}).get("Keys") or ():
                if key.get("Name") == name:
                    return str(key["Id"])
            with suppress(KuboRefusedError):  # another was faster
                return _text(self._rpc.ask("key/gen", name, options={"type": "ed25519"}), "Id")
        raise KuboError(f"the IPFS node {self.address} has no key {name!r} and makes none")

    def publish_name(self, key_name: str, cid: Cid, *, lifetime_s: int = 172_800, ttl_s: int = 60) -> str:
        """Have the name of key `key_name` lead to `cid` for so long; return the name."""
        options = {
            "key": key_name,
            "lifetime": f"{lifetime_s}s",
            "ttl": f"{ttl_s}s",
            "allow-offline": "true",  # a node without company publishes too
            "resolve": "false",
        }
        return _text(self._rpc.ask("name/publish", f"/ipfs/{cid}", options=options), "Name")

    def resolve_name(self, name: str, *, timeout_s: float | None = None) -> Cid:
        """Return what an IPNS name leads to, as far as this node can find out."""
        found = self._rpc.ask("name/resolve", name, options={"nocache": "true"}, timeout_s=timeout_s)
        return _cid(_text(found, "Path").removeprefix("/ipfs/").split("/")[0])

    # ---- pubsub

    def publish(self, topic: str, data: bytes) -> None:
        """Tell a topic; raise KuboTooLargeError for more than MESSAGE_BYTES_MAX bytes."""
        if len(data) > MESSAGE_BYTES_MAX:
            raise KuboTooLargeError(f"a message of {len(data):,} bytes; at most {MESSAGE_BYTES_MAX:,}")
        self._rpc.call("pubsub/pub", encode_topic(topic), body=(data,))

    def subscribe(self, topic: str, *, timeout_s: float = 10.0) -> Subscription:
        """Return the messages of a topic from now on."""
        return Subscription(self._host, self._port, self._token, topic, timeout_s=timeout_s)

    def topic_peers(self, topic: str) -> tuple[str, ...]:
        """Return the peer ids that this node shares a topic with."""
        return tuple(map(str, self._rpc.ask("pubsub/peers", encode_topic(topic)).get("Strings") or ()))

    def reset_pubsub(self) -> None:
        """Forget others' message numbers: else a node restored from a backup is taken for an old one, for ever."""
        self._rpc.call("pubsub/reset")

    # ---- other nodes

    def connect(self, address: str, *, timeout_s: float = 10.0) -> None:
        """Connect to a node by a multiaddr that ends in /p2p/ID."""
        try:
            self._rpc.call("swarm/connect", address, timeout_s=timeout_s)
        except KuboError as error:
            if "negotiate security" in str(error):  # what a swarm key that is another, or none, looks like
                raise KuboRefusedError(
                    f"the node at {address} is in another network: its swarm key is not that of {self.address}"
                ) from None
            raise

    def disconnect(self, address: str) -> None:
        """Close the connections to a node."""
        self._rpc.call("swarm/disconnect", address)

    def connected(self) -> tuple[Connected, ...]:
        """Return the nodes that ours is connected to."""
        peers = self._rpc.ask("swarm/peers").get("Peers") or ()
        return tuple(Connected(str(peer["Peer"]), str(peer["Addr"])) for peer in peers)

    # ---- streams

    def listen_streams(self, protocol: str, target: str) -> None:
        """Carry streams of `protocol` (`/p2pwf/…`) that other nodes open to a local TCP port (`/ip4/…/tcp/N`).

        Replaces what listened for this protocol before.
        """
        for listener in self._listeners():
            if listener.get("Protocol") == protocol and listener.get("ListenAddress", "").startswith("/p2p/"):
                if listener.get("TargetAddress") == target:
                    return
                self._rpc.call("p2p/close", options={"protocol": protocol, "listen-address": listener["ListenAddress"]})
        self._rpc.call("p2p/listen", protocol, target, options={"allow-custom-protocol": "true"})

    def forward_streams(self, protocol: str, peer_id: str) -> int:
        """Return a loopback port from which TCP connections are carried to a node's listener for `protocol`."""
        found = self.find_forward(protocol, peer_id)
        if found is None:
            options = {"allow-custom-protocol": "true"}
            self._rpc.call("p2p/forward", protocol, "/ip4/127.0.0.1/tcp/0", f"/p2p/{peer_id}", options=options)
            found = self.find_forward(protocol, peer_id)
        if found is None:
            raise KuboError(f"the IPFS node {self.address} forwards nothing to {peer_id}")
        return found

    def close_streams(self, protocol: str, peer_id: str | None = None) -> None:
        """Forward no more of `protocol`: to a node, or without one listen no more either."""
        options = {"protocol": protocol}
        if peer_id is not None:
            options["target-address"] = f"/p2p/{peer_id}"
        self._rpc.call("p2p/close", options=options)

    def find_forward(self, protocol: str, peer_id: str) -> int | None:
        """Return the loopback port that leads to a node's listener for `protocol`, None where none does."""
        for listener in self._listeners():
            if (listener.get("Protocol"), listener.get("TargetAddress")) == (protocol, f"/p2p/{peer_id}"):
                return split_address(str(listener["ListenAddress"]))[1]
        return None

    def _listeners(self) -> list[dict[str, Any]]:
        return self._rpc.ask("p2p/ls", options={"headers": "true"}).get("Listeners") or []


def split_address(address: str) -> tuple[str, int]:
    """Return host and port of a TCP multiaddr or of an http URL; raise ValueError for another text."""
    if address.startswith("http://"):
        parts = urlsplit(address)
        if not parts.hostname or parts.path not in ("", "/") or parts.username:
            raise ValueError(f"{address} is no address of the form http://127.0.0.1:5001")
        return parts.hostname, parts.port or 80
    words = address.split("/")
    if len(words) < 5 or words[1] not in ("ip4", "ip6", "dns", "dns4", "dns6") or words[3] != "tcp":
        raise ValueError(f"{address} is no address of the form /ip4/127.0.0.1/tcp/5001")
    if not words[4].isdecimal() or int(words[4]) > 65535:
        raise ValueError(f"{address}: {words[4]} is no port")
    if words[1].startswith("ip") and ipaddress.ip_address(words[2]).version != int(words[1][2]):
        raise ValueError(f"{address}: {words[2]} is no address of {words[1]}")
    return words[2], int(words[4])


def _multiaddr(host: str, port: int) -> str:
    try:
        kind = f"ip{ipaddress.ip_address(host).version}"
    except ValueError:
        kind = "dns"
    return f"/{kind}/{host}/tcp/{port}"


def _flag(value: bool) -> str:
    return "true" if value else "false"


def _object(answer: bytes) -> dict[str, Any]:
    try:
        found = json.loads(answer)
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise KuboError("the IPFS node answers with no JSON object")
    return found


def _text(fields: dict[str, Any], name: str) -> str:
    found = fields.get(name)
    if not isinstance(found, str):
        raise KuboError(f"the IPFS node's answer lacks {name}: is this the RPC of a Kubo node?")
    return found


def _cid(text: str) -> Cid:
    try:
        return Cid.parse(text)
    except CidError:
        raise KuboError(f"the IPFS node names a block {text!r:.80}, which is not a CID of ours") from None
