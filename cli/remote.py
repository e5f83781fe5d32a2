"""`sync` and `init --from` beyond this machine: a peer by URL or node address, a ledger by its IPNS name.

Leaves out the exchange (ledger.exchange) and the fetching (scheduler.catching_up).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from cli.carrying import taken_document, taken_lines
from cli.errors import InputError, UnreachedError
from cli.exit_codes import ExitCode
from cli.session import Session

if TYPE_CHECKING:
    from ledger.kubo import KuboClient
    from scheduler.catching_up import CaughtUp, Named
    from scheduler.home import Home

_ADDRESS: Final = re.compile(r"https?://|/(?:p2p|ip4|ip6|dns|dns4|dns6)/")
_NAME: Final = re.compile(r"(?:ipns:(?://)?|/ipns/)(.*)", re.DOTALL)
_GET_NODE: Final = "`ipfs start` makes and starts one in this home (`ipfs install` where there is no Kubo)"


def is_address(place: str) -> bool:
    """Return whether a place is a peer's address: an http URL, or a multiaddr, unless a file is called so."""
    return _ADDRESS.match(place) is not None and not Path(place).exists()


def find_name(place: str) -> str | None:
    """Return the IPNS name in `ipns:NAME`, `ipns://NAME` or `/ipns/NAME`; None for any other place."""
    found = _NAME.fullmatch(place)
    return None if found is None else found[1].rstrip("/")


def no_gateways(gateways: Sequence[str] | None) -> None:
    """Raise InputError where gateways were named for a place that is no IPNS name."""
    if gateways:
        raise InputError("--gateway goes with an IPNS name", "write the place as ipns:NAME")


# ---- peers


def sync_peer(session: Session, home: Home, place: str) -> tuple[dict[str, Any], list[str], ExitCode]:
    """Exchange with the peer at an address; return the document, the lines, and how it went."""
    from ledger.carrier import UnreachableError
    from ledger.exchange import sync_with
    from scheduler.dialling import carrier_to
    from scheduler.endpoints import parse_endpoint
    from scheduler.replica import replica_of

    endpoint = parse_endpoint(place)
    key = session.find_key(home) or home.members.owner_key()
    with _node(home.folder, needed=endpoint.peer_id is not None, why=f"{place} is reached through one") as node:
        try:
            with (
                session.output.progress("exchanging events") as step,
                carrier_to(endpoint, home.ledger, key, node) as carrier,
            ):
                both = sync_with(replica_of(home, step), carrier, home.now_ms)
                traffic = carrier.traffic
        except UnreachableError as error:
            if endpoint.peer_id is None:
                raise
            words = f"{place} does not answer: {error}"
            raise UnreachedError(words, "see that the address is right and `peer run` runs there") from None
    pulled, pushed = both.pulled, both.pushed
    if pulled.useless:
        session.output.note(f"{place} sent {pulled.useless:,} blocks of no use, or held back what it had listed")
    document = {
        "place": place,
        "received": taken_document(pulled.taken),
        "sent": taken_document(pushed.taken),
        "round_trips": traffic.round_trips,
        "bytes": {"received": traffic.bytes_received, "sent": traffic.bytes_sent},
    }
    lines = [f"received: {taken_lines(pulled.taken)[0]}", f"sent: {taken_lines(pushed.taken)[0]}"]
    lines += taken_lines(pulled.taken)[1:] + taken_lines(pushed.taken)[1:]
    lines.append(
        f"{traffic.round_trips} round trips, {traffic.bytes_received:,} bytes received, {traffic.bytes_sent:,} sent"
    )
    faulty = bool(pulled.taken.refused or pushed.taken.refused)
    return document, lines, ExitCode.INVALID if faulty else ExitCode.OK


@contextmanager
def _node(folder: Path, *, needed: bool, why: str) -> Iterator[KuboClient | None]:
    """Give the home's IPFS node where it is needed; raise UnreachedError where there is none."""
    from scheduler.node import node_of

    if not needed:
        yield None
        return
    node = node_of(folder)
    if node is None:
        raise UnreachedError(f"there is no IPFS node in this home, and {why}", _GET_NODE)
    with node.client() as client:
        yield client


# ---- names


@contextmanager
def resolved(session: Session, name: str, gateways: Sequence[str] | None) -> Iterator[Named]:
    """Give what an IPNS name leads to, by gateways where these are named, else by the home's own node."""
    from ledger.gateway import Gateway
    from scheduler.catching_up import named_by_gateways, named_by_node

    if not gateways:
        with _node(session.folder, needed=True, why="no gateway is named by --gateway URL") as client:
            assert client is not None  # noqa: S101 — it was needed
            yield named_by_node(client, name)
        return
    opened = [Gateway(url) for url in dict.fromkeys(gateways)]
    try:
        named = named_by_gateways(opened, name)
        for words in named.notes:
            session.output.note(words)
        yield named
        for one in opened:
            for failure, words in one.words.items():
                session.output.note(f"{one.url}: {one.failures[failure]} × {words}")
    finally:
        for one in opened:
            one.close()


def sync_name(
    session: Session, home: Home, place: str, name: str, gateways: Sequence[str] | None
) -> tuple[dict[str, Any], list[str], ExitCode]:
    """Take in what an IPNS name leads to; return the document, the lines, and how it went."""
    from scheduler.catching_up import catch_up

    with resolved(session, name, gateways) as named, session.output.progress("taking in events") as step:
        done = catch_up(home, named, step)
    document = {"place": place, "received": taken_document(done.taken)} | caught_up_document(done)
    lines = [f"received: {taken_lines(done.taken)[0]}", *taken_lines(done.taken)[1:], *caught_up_lines(done)]
    return document, lines, exit_code_of(done)


def caught_up_document(done: CaughtUp) -> dict[str, Any]:
    """Return what manifests led to, as JSON."""
    from ledger.keys import did_key

    return {
        "complete": done.is_complete,
        "blobs_lacking": done.blobs_lacking,
        "manifests": [
            {
                "cid": str(found.cid),
                "publisher": did_key(found.manifest.publisher),
                "via": list(found.via),
                "signed": found.is_signed,
                "events": found.manifest.events,
                "segments": fetched.segments,
                "bytes": fetched.bytes,
                "root_agrees": fetched.root_agrees,
                "faults": [
                    {"kind": fault.kind.name.lower(), "words": fault.words, "cid": fault.cid and str(fault.cid)}
                    for fault in fetched.faults
                ],
            }
            for found, fetched in done.fetched
        ],
    }


def caught_up_lines(done: CaughtUp) -> list[str]:
    """Return the same for people."""
    lines = []
    for found, fetched in done.fetched:
        how = "signed by the name's key" if found.is_signed else "by its word alone"
        lines.append(
            f"Manifest: {found.cid} by way of {', '.join(found.via)}, {how}: {fetched.segments} segments, "
            f"{fetched.bytes:,} bytes"
        )
        lines += [f"  ✗ {fault.kind}: {fault.words}" for fault in fetched.faults]
    if done.blobs_lacking:
        lines.append(f"Blobs: {done.blobs_lacking:,} are linked here and were nowhere")
    return lines


def exit_code_of(done: CaughtUp) -> ExitCode:
    """Return how a command ends: 6 where something is not as it should be, 11 where something was not to be had."""
    if done.has_lies:
        return ExitCode.INVALID
    return ExitCode.OK if done.is_complete else ExitCode.UNREACHABLE
