"""Writing a log to a CAR file, whole or in part, and finding the genesis in one.

Implements: specs/car.md, rules X1 to X3 and X8. An export has the genesis first and then each event after all it links,
so that a reader with nothing takes it in as it streams by; blobs come last. Leaves out: the file format (ledger.car),
import (ledger.car_import) and files that several replicas write (ledger.car_sync).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import BinaryIO

from ledger.acceptance import Refusal, unsafe_signed, verify_genesis
from ledger.car import read_car, write_car
from ledger.cid import Cid
from ledger.replica import BLOB_BATCH, Replica, batches, block_of, past_without

Seen = Callable[[Cid], None]


def export_car(
    replica: Replica,
    stream: BinaryIO,
    *,
    heads: Iterable[Cid] | None = None,
    since: Iterable[Cid] = (),
    seen: Seen = lambda _: None,
) -> int:
    """Write the log of `replica` to `stream` as a CAR and return the number of events in it.

    With `heads` only their causal past (one task: its events); with `since` less the causal past of those, and less the
    genesis if one of them is an event known here. The roots are the heads. `seen` is told each block's CID. Raises
    KeyError for unknown heads.
    """
    with replica.reading():
        roots = replica.heads() if heads is None else tuple(heads)
        for root in roots:
            if root != replica.intake.ledger:
                block_of(replica, root)
        known = [cid for cid in since if replica.intake.events.find_link(cid) is not None]
        cids = past_without(replica, roots, known)
        write_car(stream, sorted(roots), _told(blocks_of(replica, cids, genesis=not known), seen))
    return len(cids)


def read_genesis(stream: BinaryIO, ledger: Cid | None = None) -> bytes:
    """Return the first genesis block in a CAR, or that of `ledger`; raise LookupError where there is none."""
    for cid, block in read_car(stream):
        if not cid.is_event or (ledger is not None and cid != ledger):
            continue
        try:
            verify_genesis(block)
        except Refusal:
            continue
        return block
    raise LookupError("the CAR holds no genesis block" + (f" of ledger {ledger}" if ledger else ""))


def _told(blocks: Iterator[tuple[Cid, bytes]], seen: Seen) -> Iterator[tuple[Cid, bytes]]:
    for cid, block in blocks:
        seen(cid)
        yield cid, block


def blocks_of(replica: Replica, cids: list[Cid], *, genesis: bool = True) -> Iterator[tuple[Cid, bytes]]:
    """Yield the genesis, the events `cids`, and then the blobs they link and that are here."""
    if genesis:
        block = replica.intake.events.find_genesis()
        assert block is not None  # noqa: S101  # an Intake is of a founded store
        yield replica.intake.ledger, block
    blobs: dict[Cid, None] = {}
    for cid in cids:
        block = block_of(replica, cid)
        blobs |= dict.fromkeys(unsafe_signed(block).event.blobs)
        yield cid, block
    for some in batches(sorted(blobs), BLOB_BATCH):
        yield from sorted(replica.intake.blobs.get_many(some).items())
