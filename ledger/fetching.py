"""Getting blocks by CID from sources that nobody trusts: several at once, in order, by hash.

Implements: specs/segments.md, rule G7, a block is what its CID names. Leaves out: HTTP gateways (ledger.gateway), and
what the blocks hold (ledger.cold_start for segments).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import Final

from ledger.blobs import BLOB_BYTES_MAX, BlobFate
from ledger.cid import Cid
from ledger.kubo import KuboClient
from ledger.kubo_errors import KuboError
from ledger.replica import Replica

PARALLEL: Final = 8
"""Blocks that are fetched at once."""
BLOBS_AT_ONCE: Final = 64


class UnavailableError(Exception):
    """No source has the block, or none gave the bytes that its CID names; the message says who said what."""


Get = Callable[[Cid, int], bytes]
"""Returns the block of a CID, of so many bytes at most; raises UnavailableError. Called from several threads."""


def from_sources(sources: Sequence[Get]) -> Get:
    """Return a `Get` that asks one source after the other, and takes only what hashes to the CID."""

    def get(cid: Cid, bytes_max: int) -> bytes:
        said: list[str] = []
        for source in sources:
            try:
                data = source(cid, bytes_max)
            except UnavailableError as error:
                said.append(str(error))
                continue
            if len(data) <= bytes_max and cid.names(data):
                return data
            said.append("other bytes than the CID names")
        raise UnavailableError("; ".join(said) or "no source to ask")

    return get


def from_node(client: KuboClient, *, timeout_s: float | None = None) -> Get:
    """Return a `Get` that asks a Kubo node, and by it those the node is connected to."""

    def get(cid: Cid, bytes_max: int) -> bytes:
        try:
            return client.get_block(cid, bytes_max=bytes_max, timeout_s=timeout_s)
        except KuboError as error:
            raise UnavailableError(str(error)) from error

    return get


def fetch_blobs(into: Replica, get: Get, *, parallel: int = PARALLEL) -> tuple[int, int]:
    """Fetch the blobs that are wanted and not here; return how many came, and how many no source has."""
    came = lacking = 0
    after: Cid | None = None
    with ThreadPoolExecutor(parallel, "p2p-workflow-fetch") as pool:
        while True:
            with into.reading():
                wanted = into.intake.blobs.wanted(after, BLOBS_AT_ONCE)
            if not wanted:
                return came, lacking
            after = wanted[-1]
            for some in in_order(pool, get, [(cid, BLOB_BYTES_MAX) for cid in wanted], parallel):
                if some is None:
                    lacking += 1
                    continue
                with into.writing():
                    came += into.intake.offer_blobs([some])[BlobFate.KEPT]


def in_order(
    pool: ThreadPoolExecutor, get: Get, wanted: Iterable[tuple[Cid, int]], parallel: int
) -> Iterator[bytes | None]:
    """Yield the blocks in order, None for each that no source has; a few are fetched ahead, not more."""
    left = iter(wanted)
    turn: deque[Future[bytes | None]] = deque()

    def one(cid: Cid, bytes_max: int) -> bytes | None:
        try:
            return get(cid, bytes_max)
        except UnavailableError:
            return None

    try:
        while True:
            turn.extend(pool.submit(one, *want) for want in islice(left, parallel - len(turn)))
            if not turn:
                return
            yield turn.popleft().result()
    finally:
        for waiting in turn:
            waiting.cancel()
