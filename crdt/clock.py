"""The Merkle clock: heads whose hash is equal where histories are equal, and a vector to compare them by.

Implements: specs/clock.md, C2-C5, and `MerkleClock` of the quick start. A clock made by hand counts its own ticks; a
ledger's clock carries the heads of the log and moves by events alone.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from typing import Final, Self

from ledger.cid import Cid, CidError
from ledger.codec import encode

CLOCK_PREFIX: Final = b"p2p-workflow/clock/v1\0"
VECTOR_PREFIX: Final = b"p2p-workflow/vector/v1\0"


class ClockError(ValueError):
    """A clock's parts do not fit together, or a ledger's clock was moved by hand."""


def clock_root(heads: Iterable[Cid]) -> bytes:
    """Return the root of the clock whose heads are given (C3): equal roots mean equal histories."""
    return hashlib.sha256(CLOCK_PREFIX + b"".join(sorted(heads))).digest()


class MerkleClock:
    """Count events by node (`vector`), with a root over the heads of a ledger, or over the vector where there are none.

    `node_id` is whose clock it is; entries of 0 say nothing and are left out of root and comparison.
    """

    __slots__ = ("heads", "node_id", "vector")

    def __init__(self, node_id: str) -> None:
        if not node_id:
            raise ClockError("node_id: a non-empty text is wanted")
        self.node_id = node_id
        self.vector: dict[str, int] = {node_id: 0}
        self.heads: tuple[Cid, ...] = ()

    @classmethod
    def of_ledger(cls, node_id: str, vector: Mapping[str, int], heads: Iterable[Cid]) -> Self:
        """Return the clock of a ledger: how many events of each actor (by did:key), and the log's heads."""
        clock = cls(node_id)
        clock.vector = dict(vector)
        clock.heads = tuple(sorted(heads))
        return clock

    @property
    def merkle_root(self) -> str | None:
        """The root in hex; None before anything has happened."""
        if self.heads:
            return clock_root(self.heads).hex()
        return _vector_root(self.vector) if any(self.vector.values()) else None

    def get_hash(self) -> str:
        """Return the root in hex, of the empty vector where nothing has happened."""
        return self.merkle_root or _vector_root(self.vector)

    def tick(self) -> None:
        """Count one event of this node. ClockError for a ledger's clock."""
        self._by_hand()
        self.vector[self.node_id] = self.vector.get(self.node_id, 0) + 1

    def update(self, other: MerkleClock) -> None:
        """Take in what another clock has seen: the greater count of each node. ClockError for a ledger's clock."""
        self._by_hand()
        for node, count in other.vector.items():
            self.vector[node] = max(count, self.vector.get(node, 0))

    def compare(self, other: MerkleClock) -> int:
        """Return -1 where this clock is before the other, 1 after, 0 where they are equal or concurrent (C5)."""
        nodes = self.vector.keys() | other.vector.keys()
        less = any(self.vector.get(node, 0) < other.vector.get(node, 0) for node in nodes)
        more = any(self.vector.get(node, 0) > other.vector.get(node, 0) for node in nodes)
        return int(more) - int(less)

    def to_dict(self) -> dict[str, object]:
        """Return `node_id`, `vector`, `merkle_root`, and `heads` as CID texts where it is a ledger's clock."""
        fields: dict[str, object] = {
            "node_id": self.node_id,
            "vector": dict(self.vector),
            "merkle_root": self.merkle_root,
        }
        return fields | {"heads": [str(cid) for cid in self.heads]} if self.heads else fields

    @classmethod
    def from_dict(cls, fields: Mapping[str, object]) -> Self:
        """Return the clock in `fields`, sharing nothing with it.

        ClockError where it is malformed or its root is not the root of what it says: a forged clock is not a clock.
        """
        if not isinstance(fields, Mapping):
            raise ClockError(f"a clock's fields are wanted, not {type(fields).__name__}")
        node_id = fields.get("node_id")
        if not isinstance(node_id, str):
            raise ClockError("node_id: a non-empty text is wanted")
        vector, heads = fields.get("vector"), fields.get("heads", [])
        if not isinstance(vector, Mapping) or not all(
            isinstance(node, str) and type(count) is int and 0 <= count < 2**53 for node, count in vector.items()
        ):
            raise ClockError("vector: counts of 0 or more, by node, are wanted")
        if not isinstance(heads, list | tuple):
            raise ClockError("heads: a list of CIDs is wanted")
        try:
            parsed = [Cid.parse(str(head)) for head in heads]
        except CidError as error:
            raise ClockError(f"heads: {error}") from None
        clock = cls.of_ledger(node_id, vector, parsed)
        if clock.merkle_root != fields.get("merkle_root"):
            raise ClockError(f"merkle_root: {fields.get('merkle_root')!r} is not the root of this clock")
        return clock

    def _by_hand(self) -> None:
        if self.heads:
            raise ClockError("this is a ledger's clock: it moves by signed events alone")

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, MerkleClock):
            return NotImplemented
        return (self.node_id, self.vector, self.heads) == (other.node_id, other.vector, other.heads)

    __hash__ = None  # type: ignore[assignment]  # a clock moves, so it must not be a key

    def __repr__(self) -> str:
        return f"MerkleClock({self.node_id!r}, {self.vector!r}, root={self.merkle_root!r})"


def _vector_root(vector: Mapping[str, int]) -> str:
    counted = {node: count for node, count in vector.items() if count}
    return hashlib.sha256(VECTOR_PREFIX + encode(counted)).hexdigest()
