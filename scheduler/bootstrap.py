"""`bootstrap_peers` of the Python API: names of peers, and addresses at which some are reached.

Implements: what the Python contract says of them; a plain name stays a name. An address (a multiaddr that ends in
/p2p/ID, an http URL, or an invitation) becomes an endpoint of the home, which a running `peer run` dials at once.
Leaves out dialling.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from ledger.network_tables import NETWORK_NAME, open_network
from scheduler.endpoints import Endpoint, Endpoints, looks_like_address, parse_endpoint
from scheduler.home import Home
from scheduler.invite import Invite, looks_like_token, read_token
from scheduler.place import HomeExistsError, holds_ledger
from scheduler.wake import wake


@dataclass(frozen=True, slots=True)
class Bootstrap:
    """What a list of `bootstrap_peers` says."""

    names: tuple[str, ...]
    endpoints: tuple[Endpoint, ...]
    invites: tuple[Invite, ...]


def read_bootstrap(entries: Sequence[str]) -> Bootstrap:
    """Return what `entries` say; raise ValueError (EndpointError, InviteError) for what is no list of such texts."""
    if isinstance(entries, str) or not all(entries):
        raise ValueError("bootstrap_peers must be a list of names that are not empty")
    tokens = [entry for entry in entries if looks_like_token(entry)]
    addresses = [entry for entry in entries if looks_like_address(entry)]
    invites = tuple(map(read_token, tokens))
    told = [parse_endpoint(text) for invite in invites for text in (*invite.nodes, *invite.urls)]
    names = [entry for entry in entries if not looks_like_token(entry) and not looks_like_address(entry)]
    return Bootstrap(
        tuple(dict.fromkeys(names)), tuple(dict.fromkeys((*map(parse_endpoint, addresses), *told))), invites
    )


def enter_invited(folder: Path, bootstrap: Bootstrap) -> None:
    """Enter the ledger of an invitation where the home in `folder` holds none yet; else one's own would be founded."""
    if bootstrap.invites and not holds_ledger(folder):
        with suppress(HomeExistsError):  # another process was faster
            Home.enter(folder, bootstrap.invites[0].genesis_block).close()


def keep_endpoints(home: Home, bootstrap: Bootstrap) -> None:
    """Keep the endpoints in the home, and have a running daemon dial them at once.

    Raises ValueError for an invitation to another ledger than the home's.
    """
    for invite in bootstrap.invites:
        if invite.ledger != home.ledger:
            raise ValueError(f"the invitation is to ledger {invite.ledger}, {home.folder} holds {home.ledger}")
    if bootstrap.endpoints:
        with open_network(home.folder) as network:
            Endpoints(network).give(bootstrap.endpoints, home.now_ms())
        wake(home.folder)


def ask_now(home: Home) -> None:
    """Have a running daemon of the home ask every endpoint at once; without one, or any endpoint, nothing happens."""
    if (home.folder / NETWORK_NAME).exists():
        with open_network(home.folder) as network:
            Endpoints(network).want(home.now_ms())
        wake(home.folder)
