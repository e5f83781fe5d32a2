"""The quiet configuration of a managed Kubo node: a pure function from the one `ipfs init` wrote to ours.

Quiet: it asks nobody on the internet for anything and tells nobody anything. No bootstrap, no public routing, no
telemetry, no automatic certificates; the RPC and the gateway listen on loopback only, and the RPC asks for a secret,
since every local user can reach a loopback port. A private network has a swarm key besides: a node without it is turned
away at the handshake. Leaves out files and processes (ledger.kubo_node).

Source: Kubo's docs/config.md; the swarm key of go-libp2p's private networks (`/key/swarm/psk/1.0.0/`).
"""

from __future__ import annotations

import ipaddress
import re
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

LOOPBACK: Final = "127.0.0.1"
EVERYWHERE: Final = "0.0.0.0"  # noqa: S104  # whoever wants peers on other machines must be reachable there
_SWARM_KEY: Final = re.compile(r"/key/swarm/psk/1\.0\.0/\n/base16/\n[0-9a-f]{64}\n?")


class Mode(StrEnum):
    """Who may connect: whoever has the swarm key; or whoever is on the local network, which is searched for peers."""

    PRIVATE = "private"
    LAN = "lan"


@dataclass(frozen=True, slots=True)
class Ports:
    """The three TCP ports of a node. They are kept, so that addresses stay good over a restart."""

    swarm: int
    rpc: int
    gateway: int


def new_swarm_key() -> str:
    """Return a new secret of a private network, as the text of the file `swarm.key`."""
    return swarm_key_text(secrets.token_bytes(32))


def swarm_key_text(secret: bytes) -> str:
    """Return the text of the file `swarm.key` for a secret of 32 bytes."""
    return f"/key/swarm/psk/1.0.0/\n/base16/\n{secret.hex()}\n"


def swarm_key_secret(text: str) -> bytes:
    """Return the secret in the text of a `swarm.key`; raise ValueError where it is no swarm key."""
    return bytes.fromhex(check_swarm_key(text).split()[-1])


def check_swarm_key(text: str) -> str:
    """Return `text` ended by one line end; raise ValueError where it is no swarm key."""
    if not _SWARM_KEY.fullmatch(text):
        raise ValueError("not a swarm key: three lines, /key/swarm/psk/1.0.0/, /base16/ and 64 hexadecimal digits")
    return text.rstrip("\n") + "\n"


def quiet_config(
    made: Mapping[str, Any], *, mode: Mode, ports: Ports, token: str, listen: str, announce: Sequence[str]
) -> dict[str, Any]:
    """Return the configuration `made` with ours in it.

    Args:
        made: what `ipfs init` wrote, or an earlier result of this.
        mode: who may connect.
        ports: where swarm, RPC and gateway listen.
        token: the bearer secret of the RPC.
        listen: the IP address at which other nodes connect; `0.0.0.0` is every interface, IPv6 too.
        announce: multiaddrs to tell others besides those of the interfaces, such as that of a router before us.
    """
    swarm = [f"/ip{ipaddress.ip_address(listen).version}/{listen}/tcp/{ports.swarm}"]
    if listen == EVERYWHERE:
        swarm.append(f"/ip6/::/tcp/{ports.swarm}")
    ours: dict[str, Any] = {
        "Addresses": {
            "Swarm": swarm,
            "AppendAnnounce": list(announce),
            "API": f"/ip4/{LOOPBACK}/tcp/{ports.rpc}",
            "Gateway": f"/ip4/{LOOPBACK}/tcp/{ports.gateway}",
        },
        "API": {"Authorizations": {"p2p-workflow": {"AuthSecret": f"bearer:{token}", "AllowedPaths": ["/api/v0"]}}},
        "Bootstrap": [],
        "Routing": {"Type": "none"},
        "AutoTLS": {"Enabled": False},
        "AutoConf": {"Enabled": False},
        "Discovery": {"MDNS": {"Enabled": mode is Mode.LAN}},
        "Swarm": {
            # A private network knows TCP only; and one transport is one port to open.
            "Transports": {
                "Network": dict.fromkeys(("QUIC", "Relay", "WebTransport", "WebRTCDirect", "Websocket"), False)
            },
            "DisableNatPortMap": True,
            "RelayClient": {"Enabled": False},
            "RelayService": {"Enabled": False},
            "EnableHolePunching": False,
        },
        # A gateway that fetches nothing resolves no IPNS names either, and manifests are found by name. What it fetches
        # comes from the peers of this network, and what none of them has is absent after seconds, not half a minute.
        "Gateway": {"NoFetch": False, "NoDNSLink": True, "RetrievalTimeout": "3s"},
        "Pubsub": {"Enabled": True, "Router": "gossipsub"},
        "Ipns": {"UsePubsub": True},
        "Experimental": {"Libp2pStreamMounting": True},
    }
    return _merged(made, ours)


def _merged(old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, Any]:
    """Return `old` with what `new` says, map by map."""
    result = dict(old)
    for name, value in new.items():
        before = result.get(name)
        result[name] = _merged(before, value) if isinstance(before, dict) and isinstance(value, dict) else value
    return result
