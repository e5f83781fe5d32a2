"""A Kubo node in memory, for laws that need hundreds of nodes: it keeps blocks, pins and names, and can break off.

What a real node does is tested with real ones (tests/kubo).
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Sequence

from ledger.car import read_car
from ledger.cid import CODEC_RAW, Cid
from ledger.kubo import KuboClient
from ledger.kubo_errors import KuboNotFoundError, KuboNotRunningError


class MemoryNode(KuboClient):
    """Does for a publisher what a node does. With `calls_left` set, it is gone after so many calls that change it."""

    def __init__(self) -> None:
        self.blocks: dict[Cid, bytes] = {}
        self.pins: set[Cid] = set()
        self.names: dict[str, Cid] = {}
        self.imported = 0
        self.calls_left: int | None = None

    def _step(self) -> None:
        if self.calls_left is not None:
            self.calls_left -= 1
            if self.calls_left < 0:
                raise KuboNotRunningError("gone")

    def raw_blocks(self) -> set[Cid]:
        """Return the raw blocks that are here: segments and blobs."""
        return {cid for cid in self.blocks if cid.codec == CODEC_RAW}

    def lose_all(self) -> None:
        """Lose the repository."""
        self.__init__()  # type: ignore[misc]  # as if it were new

    def import_car(self, chunks: Iterable[bytes], *, timeout_s: float = 0) -> int:
        """Keep the blocks; where the node goes in the middle, the first half of them."""
        found = list(read_car(io.BytesIO(b"".join(chunks))))
        if self.calls_left is not None and self.calls_left <= 0:
            self.blocks |= dict(found[: len(found) // 2])
        self._step()
        self.blocks |= dict(found)
        self.imported += len(found)
        return len(found)

    def has_block(self, cid: Cid) -> bool:
        """Return whether the block is here."""
        return cid in self.blocks

    def get_block(
        self, cid: Cid, *, offline: bool = False, bytes_max: int = 0, timeout_s: float | None = None
    ) -> bytes:
        """Return the block."""
        if cid not in self.blocks:
            raise KuboNotFoundError(f"{cid} is not here")
        return self.blocks[cid]

    def pin(self, cid: Cid) -> None:
        """Pin a block."""
        self._step()
        self.pins.add(cid)

    def unpin(self, cid: Cid) -> None:
        """Pin it no more."""
        self._step()
        self.pins.discard(cid)

    def remove_blocks(self, cids: Sequence[Cid]) -> None:
        """Drop blocks that are not pinned."""
        self._step()
        for cid in set(cids) - self.pins:
            self.blocks.pop(cid, None)

    def ensure_key(self, name: str) -> str:
        """Return a name made of the key's."""
        return f"k51{name}"

    def publish_name(self, key_name: str, cid: Cid, *, lifetime_s: int = 0, ttl_s: int = 0) -> str:
        """Have a name lead to a block."""
        self._step()
        self.names[self.ensure_key(key_name)] = cid
        return self.ensure_key(key_name)

    def resolve_name(self, name: str, *, timeout_s: float | None = None) -> Cid:
        """Return what a name leads to."""
        if name not in self.names:
            raise KuboNotFoundError(name)
        return self.names[name]
