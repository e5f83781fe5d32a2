"""Who may come in over HTTP: judged by Host, Origin and bearer token, before anything of a request is read.

A web page that a browser has open can reach a server on this machine, under a name of its own (DNS rebinding); so Host
must be one of ours, and an Origin, which browsers send, must have been allowed. Pure. Leaves out HTTP (cli.mcp.gate).
"""

from __future__ import annotations

import hmac
from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Final

_LOOPBACK_NAMES: Final = ("127.0.0.1", "localhost", "[::1]")

Headers = Iterable[tuple[bytes, bytes]]
"""Names in lower case and values, as ASGI has them."""


@dataclass(frozen=True, slots=True)
class Turned:
    """A request turned away: HTTP status, words, and what `WWW-Authenticate` is to say."""

    status: int
    words: str
    challenge: str | None = None


@dataclass(frozen=True, slots=True)
class Door:
    """What is asked of a request.

    Args:
        hosts: what Host may be, lower case; None: anything, since a token is asked for.
        origins: what Origin may be, where there is one.
        token: what must stand behind `Bearer`; None: nothing is asked for.
    """

    hosts: frozenset[str] | None
    origins: frozenset[str]
    token: str | None = None

    def turns_away(self, headers: Headers) -> Turned | None:
        """Return why a request from here or there is not wanted, None where it is."""
        hosts, origins = _values(headers, b"host"), _values(headers, b"origin")
        if len(hosts) != 1 or len(origins) > 1:
            return Turned(400, "exactly one Host header is wanted, and at most one Origin")
        if self.hosts is not None and hosts[0].lower() not in self.hosts:
            return Turned(421, "this server is not known by that Host")
        if origins and origins[0] not in self.origins:
            return Turned(403, "pages of that Origin may not use this server: see --allow-origin")
        return None

    def lacks_token(self, headers: Headers) -> Turned | None:
        """Return what a request without the token is told, None where it has it. Takes the same time for all."""
        if self.token is None:
            return None
        given = _values(headers, b"authorization")
        scheme, _, token = (given[0] if len(given) == 1 else "").partition(" ")
        right = hmac.compare_digest(token.strip().encode(), self.token.encode())
        if right and scheme.lower() == "bearer":
            return None
        error = ', error="invalid_token"' if given else ""
        return Turned(401, "a bearer token is wanted", f'Bearer realm="p2p-workflow"{error}')


def is_loopback(host: str) -> bool:
    """Return whether only this machine reaches an address."""
    try:
        return ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def door_of(host: str, port: int, token: str | None, origins: Iterable[str]) -> Door:
    """Return the door of a server at this address: of a loopback one only the machine's own names are known."""
    allowed = frozenset(origins)
    if not is_loopback(host):
        return Door(None, allowed, token)
    own = host if ":" not in host or host.startswith("[") else f"[{host}]"
    names = {f"{name}:{port}" for name in (*_LOOPBACK_NAMES, own.lower())}
    return Door(frozenset(names), allowed | {f"http://{name}" for name in names}, token)


def _values(headers: Headers, name: bytes) -> list[str]:
    return [value.decode("latin-1") for key, value in headers if key == name]
