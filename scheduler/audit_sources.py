"""What an auditor starts from: names resolved, manifests read, segments unpacked, the DAG fetched; from gateways alone.

Implements: specs/audit.md, sections Starting and Fetching. All manifests that any gateway leads to are used, and all
that their heads reach: a manifest can withhold, but hide nothing that another source has. Leaves out judging
(scheduler.audit).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from ledger.acceptance import Refusal, unsafe_signed, verify_genesis
from ledger.car import CAR_BLOCK_BYTES_MAX
from ledger.cid import Cid
from ledger.gateway import Failure, Gateway, GatewayError
from ledger.gateway_walk import Walk
from ledger.ipns import IpnsError, IpnsRecord, canonical_name, parse_name, verify_record
from ledger.manifest import MANIFEST_BYTES_MAX, Manifest, ManifestError, decode_manifest
from ledger.segments import unpack
from ledger.spool import Spool


class NothingToAuditError(Exception):
    """No gateway led to a ledger: name another gateway, or another head."""


@dataclass(frozen=True, slots=True)
class Resolution:
    """Where one gateway says a name leads. `record` is the signed proof; without it, that is the gateway's word."""

    url: str
    cid: Cid | None
    record: IpnsRecord | None
    words: str


@dataclass(slots=True)
class FoundManifest:
    """A manifest with its CID and who led to it; what is wrong with its segments; events they hold."""

    cid: Cid
    manifest: Manifest
    via: list[str]
    faults: list[str] = field(default_factory=list)
    missing: int = 0
    """Segments that no gateway gave."""
    packed: set[Cid] = field(default_factory=set)


@dataclass(slots=True)
class Collected:
    """All that was found. `blocks` holds it, the genesis included unless it is missing."""

    ledger: Cid
    blocks: Spool
    walk: Walk
    heads: tuple[Cid, ...]
    manifests: list[FoundManifest]
    resolutions: list[Resolution]
    notes: list[str]
    strangers: frozenset[Cid]
    """Blocks that names or heads lead to and that are no part of this ledger."""


def collect(
    gateways: Sequence[Gateway],
    blocks: Spool,
    *,
    name: str | None = None,
    head: Cid | None = None,
    ledger: Cid | None = None,
    step: Callable[[int], None] = lambda more: None,
) -> Collected:
    """Fetch a ledger from gateways: by an IPNS `name` of a manifest, by `head` (an event or a manifest), or by both.

    Args:
        gateways: all distrusted.
        blocks: where to put what was asked for.
        name: an IPNS name; each gateway is asked where it leads.
        head: where to begin, too.
        ledger: the ledger it must be; without it the one that a signed record leads to, else the first found.
        step: told how many more blocks have come.

    Raises:
        NothingToAuditError: nothing leads to a ledger, or its genesis cannot be fetched.
        IpnsError: the name is none of an Ed25519 key.

    """
    walk = Walk(gateways, blocks, step=step)
    resolutions = resolve_name(gateways, walk, name, blocks) if name is not None else []
    if head is not None and (block := _get(walk, head, CAR_BLOCK_BYTES_MAX)) is not None:
        blocks.put(head, block)
    starts = {one.cid: None for one in sorted(resolutions, key=_trust) if one.cid is not None}
    if head is not None:
        starts = {head: None} | starts
    found = _Starts(ledger)
    for cid in starts:
        if cid in blocks:
            found.read(cid, blocks.get(cid), [one.url for one in resolutions if one.cid == cid])
    if found.ledger is None:
        said = [line for reasons in walk.missing.values() for line in reasons]
        raise NothingToAuditError(
            "\n".join(["no gateway leads to a ledger", *found.notes, *_words(resolutions), *said])
        )
    for one in found.manifests:
        _unpack(one, walk, blocks)
    heads = {found.ledger, *found.heads}.union(*(one.manifest.heads for one in found.manifests))
    walk.dag(sorted(heads))
    return Collected(
        found.ledger,
        blocks,
        walk,
        tuple(sorted(heads)),
        found.manifests,
        resolutions,
        found.notes,
        frozenset(found.strangers),
    )


def _get(walk: Walk, cid: Cid, bytes_max: int) -> bytes | None:
    """Return a block, None where no gateway gives it, which is noted then."""
    (_, block) = next(walk.fetch([(cid, bytes_max)]))
    return block


def _trust(one: Resolution) -> tuple[bool, int]:
    return (one.record is None, -one.record.sequence if one.record else 0)


def _words(resolutions: Sequence[Resolution]) -> list[str]:
    return [f"{one.url}: {one.words}" for one in resolutions if one.cid is None]


# ---- names


def resolve_name(gateways: Sequence[Gateway], walk: Walk, name: str, blocks: Spool) -> list[Resolution]:
    """Ask every gateway where a name leads, side by side; put the blocks it leads to into `blocks`."""
    with ThreadPoolExecutor(max(1, len(gateways)), "p2p-workflow-name") as pool:
        answers = list(pool.map(lambda gateway: _resolve(gateway, name), gateways))
    for resolution, block in answers:
        if resolution.cid is not None and resolution.cid not in blocks:
            found = _get(walk, resolution.cid, MANIFEST_BYTES_MAX) if block is None else block
            if found is not None:
                blocks.put(resolution.cid, found)
    return [resolution for resolution, _ in answers]


def _resolve(gateway: Gateway, name: str) -> tuple[Resolution, bytes | None]:
    """Return where one gateway says a name leads, by its record if it has one, else by its word with the block."""
    key = parse_name(name)
    name = canonical_name(key)
    try:
        record = verify_record(gateway.ipns_record(name), key)
    except IpnsError as error:
        gateway.note(Failure.MALFORMED, f"IPNS: {error}")
        return Resolution(gateway.url, None, None, f"its record of the name is false: {error}"), None
    except GatewayError as error:
        why = f"it gives no record of the name ({error})"
    else:
        return Resolution(gateway.url, record.cid, record, "by a record that the name's key has signed"), None
    try:
        block = gateway.ipns_block(name, MANIFEST_BYTES_MAX)
    except GatewayError as error:
        return Resolution(gateway.url, None, None, f"the name is not resolved: {error}"), None
    return Resolution(gateway.url, Cid.of(block), None, f"by the gateway's word alone: {why}"), block


# ---- manifests


class _Starts:
    """Sorts what names and heads lead to: manifests and events of one ledger."""

    def __init__(self, ledger: Cid | None) -> None:
        self.ledger = ledger
        self._is_given = ledger is not None
        self.manifests: list[FoundManifest] = []
        self.heads: list[Cid] = []
        self.notes: list[str] = []
        self.strangers: set[Cid] = set()

    def read(self, cid: Cid, block: bytes, via: list[str]) -> None:
        """Take one block for what it is."""
        try:
            manifest = decode_manifest(block)
        except ManifestError as error:
            self._read_event(cid, block, via, str(error))
            return
        if self._is_ours(manifest.ledger, cid, via):
            self.manifests.append(FoundManifest(cid, manifest, via or ["--head"]))

    def _read_event(self, cid: Cid, block: bytes, via: list[str], why: str) -> None:
        try:
            ledger = unsafe_signed(block).event.ledger
        except Refusal:
            try:
                ledger, _ = verify_genesis(block)
            except Refusal:
                self.strangers.add(cid)
                self.notes.append(f"{cid} is neither a manifest nor an event ({why}){_from(via)}")
                return
        if self._is_ours(ledger, cid, via):
            self.heads.append(cid)

    def _is_ours(self, ledger: Cid, cid: Cid, via: list[str]) -> bool:
        if self.ledger is None:
            self.ledger = ledger
        if self.ledger != ledger:
            wanted = "the one asked for" if self._is_given else "the ledger audited"
            self.strangers.add(cid)
            self.notes.append(f"{cid} is of ledger {ledger}, not of {wanted}, {self.ledger}{_from(via)}")
        return self.ledger == ledger


def _from(via: list[str]) -> str:
    return f"; led to by {', '.join(via)}" if via else ""


def _unpack(found: FoundManifest, walk: Walk, blocks: Spool) -> None:
    """Fetch the segments of a manifest and keep the events in them; note what is not as it says (G7)."""
    entries = {entry.cid: entry for entry in found.manifest.segments}
    for cid, data in walk.segments(entries):
        if data is None:
            found.missing += 1
            continue
        held = unpack(data, found.manifest.ledger)
        if held.fault is not None:
            found.faults.append(f"segment {cid}: {held.fault}")
        entry = entries[cid]
        if (len(held.events), len(data)) != (entry.events, entry.size):
            found.faults.append(
                f"segment {cid} holds {len(held.events)} events in {len(data)} bytes,"
                f" not {entry.events} in {entry.size} as the manifest says"
            )
        if held.genesis is not None:
            blocks.put(found.manifest.ledger, held.genesis)
        for event, block in held.events.items():
            blocks.put(event, block)
        found.packed.update(held.events)
        walk.step(len(held.events))
