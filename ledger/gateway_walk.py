"""Getting a ledger's blocks from gateways that nobody trusts: segments side by side, a DAG by CARs and then by blocks.

Implements: specs/audit.md, section Fetching. Each gateway is asked for what the others failed to give. Only what is
wanted is kept: a block is wanted because its CID was named, by whoever asked or by a block that was wanted itself. So
what is kept is bounded by the ledger, whatever a gateway sends. Leaves out HTTP (ledger.gateway) and what blocks mean.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import Final

from ledger.acceptance import Refusal, unsafe_signed
from ledger.car import CAR_BLOCK_BYTES_MAX
from ledger.cid import Cid
from ledger.fetching import PARALLEL, UnavailableError, in_order
from ledger.gateway import Failure, Gateway, GatewayError
from ledger.segments import SEGMENT_BYTES_MAX
from ledger.spool import Spool

TOTAL_BYTES_MAX: Final = 8 * 1024**3
"""Most bytes that are read from all gateways together."""
EARLY_BYTES_MAX: Final = 8 * 1024**2
"""Blocks of a CAR that come before what names them, in bytes: more than that is dropped."""
UNASKED_MAX: Final = 4_096
"""Blocks nobody asked for, of one CAR, after which it is broken off."""
KNOWN_MAX: Final = 1_024
"""Blocks of one CAR that are here already, beyond those that are new, after which it is broken off."""
WORTH_BLOCKS: Final = 16
"""A CAR with fewer new blocks was not worth it: what lacks is asked for block by block then."""

Step = Callable[[int], None]


class Walk:
    """Fetches from `gateways` into `blocks`; `missing` says what none of them gave, and why, gateway by gateway."""

    def __init__(
        self,
        gateways: Sequence[Gateway],
        blocks: Spool,
        *,
        parallel: int = PARALLEL,
        bytes_max: int = TOTAL_BYTES_MAX,
        step: Step = lambda more: None,
    ) -> None:
        self.gateways = tuple(gateways)
        self.blocks = blocks
        self.missing: dict[Cid, tuple[str, ...]] = {}
        self.unasked = 0
        """Blocks that came and nobody had asked for; dropped."""
        self._parallel = parallel
        self._bytes_max = bytes_max
        self.step = step
        self._blobs: set[Cid] = set()
        self._is_car_worth = True

    # ---- one block

    def get(self, cid: Cid, bytes_max: int = CAR_BLOCK_BYTES_MAX) -> bytes:
        """Return the block of a CID from the first gateway that gives it; raise UnavailableError with what each said.

        Gateways take turns at being asked first. Called from several threads.
        """
        said: list[str] = []
        first = cid[-1] % len(self.gateways) if self.gateways else 0
        for gateway in (*self.gateways[first:], *self.gateways[:first]):
            if self._is_spent():
                said.append(f"the limit of {self._bytes_max} bytes in all is reached")
                break
            try:
                return gateway.block(cid, bytes_max)
            except GatewayError as error:
                said.append(f"{gateway.url}: {error}")
        raise UnavailableError("\n".join(said) or "no gateway to ask")

    def fetch(self, wanted: Iterable[tuple[Cid, int]]) -> Iterator[tuple[Cid, bytes | None]]:
        """Yield blocks of at most so many bytes in the order asked for, a few fetched side by side; None: missing."""
        wants = list(wanted)
        with ThreadPoolExecutor(self._parallel, "p2p-workflow-gateway") as pool:
            for (cid, _), block in zip(wants, in_order(pool, self._get_or_note, wants, self._parallel), strict=True):
                yield cid, block

    def _get_or_note(self, cid: Cid, bytes_max: int) -> bytes:
        try:
            return self.get(cid, bytes_max)
        except UnavailableError as error:
            self.missing[cid] = tuple(str(error).split("\n"))
            raise

    def segments(self, cids: Iterable[Cid]) -> Iterator[tuple[Cid, bytes | None]]:
        """Yield segments in the order asked for, as `fetch` does."""
        yield from self.fetch((cid, SEGMENT_BYTES_MAX) for cid in cids)

    # ---- a DAG

    def dag(self, heads: Iterable[Cid]) -> None:
        """Fetch events and all they reach by grant, parents and cites; what is here already is not asked for again."""
        wanted = _Wanted(self.blocks, self._blobs)
        wanted.want(heads)
        tried: set[Cid] = set()
        while left := wanted.first(self.missing):
            if self._is_car_worth and left not in tried:
                tried.add(left)
                self._is_car_worth = self._by_car(left, wanted) >= WORTH_BLOCKS
                continue
            self._by_blocks(wanted)

    def _by_blocks(self, wanted: _Wanted) -> None:
        """Fetch what is wanted now, a round of it, block by block."""
        turn = list(islice((cid for cid in wanted.cids if cid not in self.missing), 8 * self._parallel))
        for cid, block in self.fetch((cid, CAR_BLOCK_BYTES_MAX) for cid in turn):
            if block is None:
                continue
            wanted.take(cid, block)
            self.step(1)

    def _by_car(self, root: Cid, wanted: _Wanted) -> int:
        """Ask one gateway after the other for all that `root` reaches, until one gives enough; count what was new."""
        new = 0
        for gateway in self.gateways:
            if root not in wanted.cids and new >= WORTH_BLOCKS:
                break
            if self._is_spent():
                break
            try:
                new += self._read_car(gateway, root, wanted)
            except GatewayError:
                continue  # it has been counted with the gateway
            if root not in wanted.cids:
                break
        return new

    def _read_car(self, gateway: Gateway, root: Cid, wanted: _Wanted) -> int:
        """Take what is wanted out of a CAR; raise GatewayError where it broke off before anything new came."""
        new = known = unasked = early_bytes = 0
        early: dict[Cid, bytes] = {}
        blocks = gateway.car(root, self._bytes_max)
        try:
            for cid, block in blocks:
                if cid in wanted.cids:
                    turn = [(cid, block)]
                    while turn:
                        taken, data = turn.pop()
                        named = wanted.take(taken, data)
                        new += 1
                        self.step(1)
                        for link in early.keys() & named if early else ():
                            early_bytes -= len(early[link])
                            turn.append((link, early.pop(link)))
                elif cid in self.blocks or cid in early:
                    known += 1
                elif cid in self._blobs:
                    continue  # a payload; no rule needs it
                elif cid.is_event and early_bytes + len(block) <= EARLY_BYTES_MAX:
                    early[cid] = block
                    early_bytes += len(block)
                else:
                    unasked += 1
                if known > new + KNOWN_MAX or unasked + len(early) > new + UNASKED_MAX:
                    break
        except GatewayError:
            if not new:
                raise
        finally:
            blocks.close()
            unasked += len(early)
            if unasked:
                self.unasked += unasked
                gateway.note(Failure.UNASKED, f"{unasked} in the CAR of {root}")
        return new

    def _is_spent(self) -> bool:
        return sum(gateway.bytes for gateway in self.gateways) >= self._bytes_max


class _Wanted:
    """CIDs that were named and are not here; what is taken names more."""

    def __init__(self, blocks: Spool, blobs: set[Cid]) -> None:
        self.cids: dict[Cid, None] = {}
        self._blocks = blocks
        self._blobs = blobs
        self._reached: set[Cid] = set()

    def first(self, missing: dict[Cid, tuple[str, ...]]) -> Cid | None:
        """Return a CID that is wanted and was not asked for in vain."""
        return next((cid for cid in self.cids if cid not in missing), None)

    def want(self, cids: Iterable[Cid]) -> set[Cid]:
        """Want what is not here of `cids` and of all that what is here reaches; return what is wanted anew."""
        fresh: set[Cid] = set()
        stack = list(cids)
        while stack:
            cid = stack.pop()
            if cid in self._reached:
                continue
            self._reached.add(cid)
            if cid in self._blocks:
                stack += self._links(self._blocks.get(cid))
            else:
                self.cids[cid] = None
                fresh.add(cid)
        return fresh

    def take(self, cid: Cid, block: bytes) -> set[Cid]:
        """Keep a block that was wanted; return what it names and is wanted anew."""
        self._blocks.put(cid, block)
        self.cids.pop(cid, None)
        return self.want(self._links(block))

    def _links(self, block: bytes) -> tuple[Cid, ...]:
        """Return what an event links; a genesis, or what is no event, leads nowhere."""
        try:
            event = unsafe_signed(block).event
        except Refusal:
            return ()
        self._blobs.update(event.blobs)
        return event.links()
