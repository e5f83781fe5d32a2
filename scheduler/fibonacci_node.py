"""The nodes of a Fibonacci heap: their order, their rings, and which heap they are in.

The parts under `scheduler.fibonacci_heap`, which says what they are for and where they come from. Siblings, and the
roots likewise, form a ring of `left` and `right`. Left out: minimum and size, which are the heap's.
"""

from __future__ import annotations

from itertools import count
from typing import Any, Final, Generic, Protocol, TypeVar


class SupportsLess(Protocol):
    """What a key must support."""

    def __lt__(self, other: Any, /) -> bool: ...


K = TypeVar("K", bound=SupportsLess)
V = TypeVar("V")

_insertions: Final = count()


class Family:
    """Which heap a node is in: merging joins two families in O(1) (union by rank, path halving)."""

    __slots__ = ("joined", "rank")

    def __init__(self) -> None:
        self.joined: Family | None = None
        self.rank = 0

    def root(self) -> Family:
        """Return the family this one is part of by now."""
        family = self
        while (above := family.joined) is not None:
            if above.joined is not None:
                family.joined = above.joined
            family = above
        return family

    def join(self, other: Family) -> Family:
        """Make one family of two roots and return its root."""
        greater, lesser = (self, other) if self.rank >= other.rank else (other, self)
        if greater.rank == lesser.rank:
            greater.rank += 1
        lesser.joined = greater
        return greater


class FibonacciNode(Generic[K, V]):
    """An item's handle for `decrease_key` and `delete`. Read `key` and `data`; the rest belongs to the heap."""

    __slots__ = ("child", "data", "degree", "family", "key", "left", "marked", "number", "parent", "right")

    def __init__(self, key: K, data: V, family: Family) -> None:
        self.key = key
        self.data = data
        self.number = next(_insertions)
        self.family: Family | None = family  # None once the node left its heap
        self.parent: FibonacciNode[K, V] | None = None
        self.child: FibonacciNode[K, V] | None = None  # the one linked first; the ring goes on in the order of linking
        self.left: FibonacciNode[K, V] = self
        self.right: FibonacciNode[K, V] = self
        self.degree = 0  # how many children
        self.marked = False  # it lost a child since it became one itself; roots are never marked


def precedes(key: K, number: int, node: FibonacciNode[K, V]) -> bool:
    """Say whether an item of this key and insertion number comes out before `node`. Asks for nothing but `<`."""
    return key < node.key or (number < node.number and not node.key < key)


def join_rings(one: FibonacciNode[K, V], two: FibonacciNode[K, V]) -> None:
    """Put the whole ring of `two`, beginning with `two`, before `one` in its ring."""
    one_last, two_last = one.left, two.left
    one_last.right, two.left = two, one_last
    two_last.right, one.left = one, two_last


def unlink(node: FibonacciNode[K, V]) -> None:
    """Take `node` out of its ring; it is a ring of one then."""
    node.left.right, node.right.left = node.right, node.left
    node.left = node.right = node


def orphan(first: FibonacciNode[K, V]) -> list[FibonacciNode[K, V]]:
    """Make the ring of children that begins with `first` fit to be roots, and list it."""
    children = []
    node = first
    while True:
        node.parent = None
        node.marked = False
        children.append(node)
        node = node.right
        if node is first:
            return children


def retire(node: FibonacciNode[K, V]) -> None:
    """Make a node that left its heap refer to no node, not even itself: so it is freed without the collector."""
    node.family = node.child = None
    node.degree = 0
    del node.left, node.right
