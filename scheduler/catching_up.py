"""A whole ledger by its name: where an IPNS name leads, and all that its manifests lead to, into a home.

From HTTP gateways or from the home's own IPFS node; nobody is believed (specs/segments.md, G7): a name counts by the
record that its key has signed, every event is verified, and what a manifest says that is not so is told. Leaves out
fetching (ledger.cold_start), gateways (ledger.gateway), and the exchange with peers (ledger.exchange).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from typing import Final

from ledger.car import CAR_BLOCK_BYTES_MAX
from ledger.cid import Cid
from ledger.cold_start import FaultKind, Fetched, fetch_segments
from ledger.fetching import Get, UnavailableError, fetch_blobs, from_node
from ledger.gateway import Gateway
from ledger.gateway_walk import Walk
from ledger.ipns import canonical_name, parse_name
from ledger.kubo import KuboClient
from ledger.kubo_errors import KuboNotFoundError
from ledger.manifest import MANIFEST_BYTES_MAX, Manifest, ManifestError, decode_manifest
from ledger.replica import ExchangeError, Totals, is_here
from ledger.segments import SEGMENT_BYTES_MAX, unpack
from ledger.spool import Spool
from scheduler.audit_sources import resolve_name
from scheduler.home import Home
from scheduler.replica import replica_of

RESOLVE_S: Final = 60.0
"""How long our own node may look for what a name leads to."""
BLOCK_S: Final = 30.0
"""How long our own node may look for a block."""


class NoLedgerError(Exception):
    """No source led from the name to a ledger; the message says what each said. Name another source, or try later."""


@dataclass(frozen=True, slots=True)
class Found:
    """A manifest that the name leads to: who says so, and whether the name's key has signed that."""

    cid: Cid
    manifest: Manifest
    via: tuple[str, ...]
    is_signed: bool


@dataclass(frozen=True, slots=True)
class Named:
    """What a name leads to, the most trusted first, with what blocks are got from; `notes` says what else was told."""

    get: Get
    found: tuple[Found, ...]
    notes: tuple[str, ...]


@dataclass(slots=True)
class CaughtUp:
    """What each manifest brought, what became of all events, and blobs that came and that no source has."""

    fetched: list[tuple[Found, Fetched]]
    taken: Totals
    blobs: int
    blobs_lacking: int

    @property
    def is_complete(self) -> bool:
        """Whether every segment that a manifest names was got."""
        return all(fault.kind is not FaultKind.MISSING for _, fetched in self.fetched for fault in fetched.faults)

    @property
    def has_lies(self) -> bool:
        """Whether a manifest or a segment is not as it should be, beside segments that nobody gave."""
        return any(_lies(fetched) for _, fetched in self.fetched)


def _lies(fetched: Fetched) -> bool:
    kinds = {fault.kind for fault in fetched.faults}
    # Heads that are not reached because segments lack are nobody's lie, as far as can be told.
    return bool(kinds - ({FaultKind.MISSING, FaultKind.HEADS} if FaultKind.MISSING in kinds else set()))


def named_by_gateways(gateways: Sequence[Gateway], name: str) -> Named:
    """Return what gateways say that an IPNS name leads to; each is asked.

    Raises IpnsError for what is no name of an Ed25519 key, NoLedgerError where no gateway leads to a manifest.
    """
    parse_name(name)
    with Spool() as blocks:
        walk = Walk(gateways, blocks)
        resolutions = resolve_name(gateways, walk, name, blocks)
        notes = [f"{one.url}: {one.words}" for one in resolutions if one.cid is None]
        trusted = sorted(resolutions, key=lambda one: (one.record is None, -one.record.sequence if one.record else 0))
        found = []
        for cid in dict.fromkeys(one.cid for one in trusted if one.cid is not None):
            via = [one for one in resolutions if one.cid == cid]
            urls = tuple(one.url for one in via)
            if cid not in blocks:
                notes += walk.missing.get(cid, ())
                continue
            try:
                manifest = decode_manifest(blocks.get(cid))
            except ManifestError as error:
                notes.append(f"{cid} is no manifest ({error}); led to by {', '.join(urls)}")
                continue
            found.append(Found(cid, manifest, urls, any(one.record for one in via)))
    return _named(name, walk.get, found, notes)


def named_by_node(client: KuboClient, name: str) -> Named:
    """Return what our own node says that an IPNS name leads to: it checks the record itself.

    Raises IpnsError, NoLedgerError, and KuboError where the node cannot find out.
    """
    name = canonical_name(parse_name(name))
    try:
        cid = client.resolve_name(name, timeout_s=RESOLVE_S)
    except KuboNotFoundError as error:
        raise NoLedgerError(f"this home's IPFS node does not find where {name} leads: {error}") from None
    get = from_node(client, timeout_s=BLOCK_S)
    try:
        manifest = decode_manifest(get(cid, MANIFEST_BYTES_MAX))
    except (UnavailableError, ManifestError) as error:
        raise NoLedgerError(f"{name} leads to {cid}, and that to no ledger: {error}") from None
    return Named(get, (Found(cid, manifest, ("this home's IPFS node",), is_signed=True),), ())


def _named(name: str, get: Get, found: list[Found], notes: list[str]) -> Named:
    if not found:
        raise NoLedgerError("\n".join([f"no gateway leads from {name} to a ledger", *notes]))
    return Named(get, tuple(found), tuple(notes))


def genesis_of(named: Named, ledger: Cid | None) -> bytes:
    """Return the genesis block of `ledger`, without one that of the first manifest that the name's key stands for.

    Raises NoLedgerError where nobody has it, and where only gateways, and no signature, say which ledger it is.
    """
    if ledger is None:
        signed = next((one for one in named.found if one.is_signed), None)
        if signed is None:
            said = named.found[0]
            raise NoLedgerError(
                f"{', '.join(said.via)} leads to ledger {said.manifest.ledger} by its own word alone, without a record "
                "that the name's key has signed"
            )
        ledger = signed.manifest.ledger
    try:
        return named.get(ledger, CAR_BLOCK_BYTES_MAX)
    except UnavailableError as error:
        said_words = str(error)
    for one in named.found:  # it stands at the beginning of the first segment, too
        if one.manifest.ledger != ledger:
            continue
        try:
            genesis = unpack(named.get(one.manifest.segments[0].cid, SEGMENT_BYTES_MAX), ledger).genesis
        except UnavailableError:
            continue
        if genesis is not None:
            return genesis
    raise NoLedgerError("\n".join([f"the genesis of ledger {ledger} is nowhere", *said_words.split("\n")]))


def catch_up(home: Home, named: Named, step: Callable[[int], None] = lambda more: None) -> CaughtUp:
    """Take in all that the manifests of a name lead to; a manifest whose heads are here is only checked.

    What is taken in is durable in batches: broken off, the next time goes on. `step` is told how many more events the
    log holds. Raises ExchangeError where the name leads to other ledgers only.
    """
    ours = [one for one in named.found if one.manifest.ledger == home.ledger]
    if not ours:
        others = ", ".join(sorted({str(one.manifest.ledger) for one in named.found}))
        raise ExchangeError(f"the name leads to ledger {others}, not to {home.ledger}")
    replica = replica_of(home, step)
    fetched: list[tuple[Found, Fetched]] = []
    total = Totals()
    for one in named.found:
        with home.reading():
            has_all = all(is_here(replica, head) for head in one.manifest.heads)
        manifest = replace(one.manifest, segments=()) if has_all else one.manifest
        result = fetch_segments(replica, manifest, named.get, home.now_ms)
        fetched.append((one, result))
        _add(total, result.taken)
    came, lacking = fetch_blobs(replica, named.get)
    total.blobs += came
    return CaughtUp(fetched, total, came, lacking)


def _add(total: Totals, more: Totals) -> None:
    for one in fields(Totals):
        setattr(total, one.name, getattr(total, one.name) + getattr(more, one.name))
