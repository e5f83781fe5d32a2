"""Where peers are reached, and what each last told: the tables `endpoints` and `peers` of network.sqlite3.

Shared by the processes of a home: `peer connect` and `bootstrap_peers` add endpoints, `peer run` dials them and keeps
what it hears, `peers` and `status` show it. All of it is disposable. Leaves out dialling (scheduler.peer_daemon).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from ledger.database import Database
from ledger.hints import Hint, HintError, decode_hint
from ledger.keys import ActorKey

ADDRESS_CHARS_MAX: Final = 256
TOLD_MAX: Final = 256
"""Endpoints that hints told, in all; the one longest unmet is forgotten first."""
GIVEN_MAX: Final = 1_024
"""Endpoints that users gave."""
PEERS_MAX: Final = 1_024
"""Actors whose last hint is kept, the longest silent forgotten first."""
_FAULT_CHARS_MAX: Final = 500
_KNOWN: Final = "SELECT address, is_given, wanted, met, failures, fault, said FROM endpoints ORDER BY address"
_NODE: Final = re.compile(
    r"(?:/(?:ip4|ip6|dns|dns4|dns6|tcp|udp)/[^/\s]+|/(?:quic-v1|ws|wss|tls))*/p2p/([0-9A-Za-z]{20,128})"
)


class EndpointError(ValueError):
    """The text is no address of a peer: a multiaddr that ends in /p2p/ID, or an http URL."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """An address of a peer: a multiaddr with the id of its node, or a URL, for which `peer_id` is None."""

    address: str
    peer_id: str | None

    @property
    def is_dialled(self) -> bool:
        """Whether the address says where the node is, not only which it is."""
        return self.peer_id is not None and not self.address.startswith("/p2p/")


@dataclass(frozen=True, slots=True)
class KnownEndpoint:
    """A row: the endpoint, whether a user gave it, and how it went. Times in ms since 1970.

    `wanted` is when it was last asked to be dialled at once; `met` when an exchange last worked, None for never;
    `failures` since then, with the last `fault`; `said` is what it last told of its state, opaque here.
    """

    endpoint: Endpoint
    is_given: bool
    wanted: int
    met: int | None
    failures: int
    fault: str | None
    said: bytes | None


@dataclass(frozen=True, slots=True)
class HeardPeer:
    """What an actor last told by a hint, when that came (ms since 1970), and whether its board is another (H6)."""

    hint: Hint
    heard: int
    differs: bool


def parse_endpoint(text: str) -> Endpoint:
    """Return the endpoint that `text` names; raise EndpointError, which says what is wanted, for anything else."""
    address = text.strip()
    if len(address) > ADDRESS_CHARS_MAX:
        raise EndpointError(f"an address of {len(address)} characters is longer than {ADDRESS_CHARS_MAX}")
    if address.startswith("/"):
        found = _NODE.fullmatch(address)
        if found is None:
            raise EndpointError(f"{address!r} is no address of a node: one ends in /p2p/ID, as `ipfs status` prints it")
        return Endpoint(address, found[1])
    try:
        url = urlsplit(address)
        is_url = url.scheme in ("http", "https") and bool(url.hostname) and (url.port or 1) > 0
    except ValueError:
        is_url = False
    if not is_url or any(char.isspace() or not char.isprintable() for char in address):
        raise EndpointError(f"{address!r} is no address of a peer: give /ip4/…/tcp/…/p2p/ID or http://HOST:PORT")
    return Endpoint(address.rstrip("/"), None)


def looks_like_address(text: str) -> bool:
    """Return whether `text` can only be meant as an address, and not as a peer's name."""
    return text.lstrip().startswith(("/", "http://", "https://"))


class Endpoints:
    """The endpoints and peers in the network database of a home."""

    def __init__(self, network: Database) -> None:
        self._network = network

    # ---- endpoints

    def give(self, endpoints: Iterable[Endpoint], now_ms: int) -> None:
        """Keep what a user gave, to be dialled at once by a `peer run`. Beyond 1,024 the longest unmet goes."""
        with self._network.transaction() as connection:
            connection.executemany(
                "INSERT INTO endpoints VALUES (?, 1, ?, ?, NULL, 0, NULL, NULL)"
                " ON CONFLICT (address) DO UPDATE SET is_given = 1, wanted = excluded.wanted, failures = 0",
                [(one.address, now_ms, now_ms) for one in endpoints],
            )
        self._bound(is_given=True, most=GIVEN_MAX)

    def tell(self, endpoints: Iterable[Endpoint], now_ms: int) -> bool:
        """Keep what a hint told, if it is new; return whether anything was."""
        with self._network.reading() as connection:
            known = "SELECT 1 FROM endpoints WHERE address = ?"
            new = [one for one in endpoints if connection.execute(known, (one.address,)).fetchone() is None]
        if not new:
            return False
        with self._network.transaction() as connection:
            connection.executemany(
                "INSERT OR IGNORE INTO endpoints VALUES (?, 0, ?, ?, NULL, 0, NULL, NULL)",
                [(one.address, now_ms, now_ms) for one in new],
            )
        self._bound(is_given=False, most=TOLD_MAX)
        return True

    def _bound(self, *, is_given: bool, most: int) -> None:
        counted = "SELECT count(*) FROM endpoints WHERE is_given = ?"
        with self._network.reading() as connection:
            over = connection.execute(counted, (is_given,)).fetchone()[0] - most
        if over > 0:
            with self._network.transaction() as connection:
                connection.execute(
                    "DELETE FROM endpoints WHERE address IN (SELECT address FROM endpoints WHERE is_given = ?"
                    " ORDER BY coalesce(met, 0), added LIMIT ?)",
                    (is_given, over),
                )

    def want(self, now_ms: int) -> None:
        """Ask a `peer run` to dial every endpoint at once."""
        with self._network.transaction() as connection:
            connection.execute("UPDATE endpoints SET wanted = ?", (now_ms,))

    def known(self) -> tuple[KnownEndpoint, ...]:
        """Return all endpoints, by address."""
        with self._network.reading() as connection:
            rows = connection.execute(_KNOWN).fetchall()
        found = []
        for address, is_given, *rest in rows:
            with suppress(EndpointError):  # written by another version of this program
                found.append(KnownEndpoint(parse_endpoint(address), bool(is_given), *rest))
        return tuple(found)

    def met(self, endpoint: Endpoint, now_ms: int, said: bytes | None) -> None:
        """Note that an exchange with an endpoint worked, and what it told of its state, where it was asked."""
        with self._network.transaction() as connection:
            connection.execute(
                "UPDATE endpoints SET met = ?, failures = 0, fault = NULL, said = ? WHERE address = ?",
                (now_ms, said, endpoint.address),
            )

    def failed(self, endpoint: Endpoint, fault: str) -> None:
        """Note that an endpoint could not be reached, or did not answer as it must."""
        with self._network.transaction() as connection:
            connection.execute(
                "UPDATE endpoints SET failures = failures + 1, fault = ? WHERE address = ?",
                (fault[:_FAULT_CHARS_MAX], endpoint.address),
            )

    # ---- peers

    def heard(self, hints: Iterable[tuple[bytes, int, bool]]) -> None:
        """Keep the last hint of each actor: its verified bytes, when it came (ms), whether it differs (H6)."""
        with self._network.transaction() as connection:
            connection.executemany(
                "INSERT INTO peers VALUES (?, ?, ?, ?) ON CONFLICT (actor) DO UPDATE SET"
                " heard = excluded.heard, hint = excluded.hint, differs = excluded.differs",
                [(decode_hint(data).actor, at, data, differs) for data, at, differs in hints],
            )
            over = connection.execute("SELECT count(*) FROM peers").fetchone()[0] - PEERS_MAX
            if over > 0:
                connection.execute(
                    "DELETE FROM peers WHERE actor IN (SELECT actor FROM peers ORDER BY heard LIMIT ?)", (over,)
                )

    def peers(self) -> dict[ActorKey, HeardPeer]:
        """Return what each actor last told."""
        with self._network.reading() as connection:
            rows = connection.execute("SELECT actor, heard, hint, differs FROM peers ORDER BY actor").fetchall()
        found = {}
        for actor, heard, data, differs in rows:
            with suppress(HintError):
                found[ActorKey(actor)] = HeardPeer(decode_hint(data), heard, bool(differs))
        return found
