"""A Fibonacci heap that is stable on ties: the priority queue behind "which task next".

Implements the heap of DESIGN "Picking the next task". Structure and bounds are those of Fredman and Tarjan, *Fibonacci
heaps and their uses in improved network optimization algorithms*, J. ACM 34 (1987), and of CLRS, 3rd ed., ch. 19.
Amortised: insert, get_min, merge and decrease_key O(1), extract_min and delete O(log n). decrease_key and delete also
ask whether the node is in this heap: O(1) until heaps are merged, inverse Ackermann from then on (union-find).

Order. Keys are compared with `<` alone, which must order all of them (no NaN). Equal keys come out in the order of
insertion: every node gets the next number of one sequence shared by all heaps of the process. So the order is defined
after a merge, too: what was inserted first, into whichever heap, comes out first. decrease_key keeps the number: a node
lowered to a tie stands where it would, had it been inserted with that key.

Nothing here recurses. A dropped heap is cyclic garbage, which the collector takes; a node that left its heap links
nothing. Left out: raising a key (delete it and insert it again), iteration, locking.
"""

from __future__ import annotations

from typing import Generic

from scheduler.fibonacci_check import HeapInvariantError, check_heap
from scheduler.fibonacci_node import Family, FibonacciNode, K, V, join_rings, orphan, precedes, retire, unlink

__all__ = ["FibonacciHeap", "FibonacciNode", "HeapInvariantError", "NodeNotInHeapError"]


class NodeNotInHeapError(LookupError):
    """The node was extracted or deleted before, or is in another heap."""


class FibonacciHeap(Generic[K, V]):
    """A mergeable min-queue of `(key, data)` with decrease-key; the module says its order and its costs."""

    __slots__ = ("_family", "_min", "_size")

    def __init__(self) -> None:
        self._min: FibonacciNode[K, V] | None = None  # the way into the ring of roots, too
        self._size = 0
        self._family = Family()

    def __len__(self) -> int:
        return self._size

    def size(self) -> int:
        """Return the number of items."""
        return self._size

    def is_empty(self) -> bool:
        """Say whether there is no item."""
        return self._min is None

    def insert(self, key: K, data: V) -> FibonacciNode[K, V]:
        """Add an item and return its node, the handle for `decrease_key` and `delete`."""
        node = FibonacciNode(key, data, self._family)
        least = self._min
        if least is None:
            self._min = node
        else:
            is_least = key < least.key  # a comparison may raise: it comes before the first change, here and below
            node.left = last = least.left
            node.right = least
            last.right = least.left = node
            if is_least:
                self._min = node
        self._size += 1
        return node

    def get_min(self) -> tuple[K, V] | None:
        """Return the first item as `(key, data)` and leave it there; None if the heap is empty."""
        least = self._min
        return None if least is None else (least.key, least.data)

    def extract_min(self) -> tuple[K, V] | None:
        """Remove the first item and return it as `(key, data)`; None if the heap is empty."""
        least = self._min
        if least is None:
            return None
        roots = [] if least.child is None else orphan(least.child)
        node = least.right
        while node is not least:
            roots.append(node)
            node = node.right
        self._size -= 1
        self._min = _consolidate(roots, self._size)
        retire(least)
        return least.key, least.data

    def decrease_key(self, node: FibonacciNode[K, V], key: K) -> None:
        """Lower the key of `node`, which keeps its place of insertion among ties.

        Raises:
            ValueError: `key` is larger than the node's.
            NodeNotInHeapError: the node is not in this heap, or no more.
        """
        least = self._least_beside(node)
        if node.key < key:
            raise ValueError(
                f"key {key!r} is larger than the node's {node.key!r}: to raise it, delete and insert again"
            )
        parent = node.parent
        precedes_parent = parent is not None and precedes(key, node.number, parent)
        precedes_least = precedes(key, node.number, least)
        node.key = key
        if precedes_parent:
            _cut(node, least)
        if precedes_least:
            self._min = node

    def delete(self, node: FibonacciNode[K, V]) -> None:
        """Remove `node`, wherever it stands. It is cut out, so keys need no least value to be lowered to.

        Raises:
            NodeNotInHeapError: the node is not in this heap, or no more.
        """
        least = self._least_beside(node)
        if node is least:
            self.extract_min()
            return
        _cut(node, least)
        if node.child is not None:  # the children become roots; none precedes the minimum, so it stays
            orphan(node.child)
            join_rings(node, node.child)
        unlink(node)
        self._size -= 1
        retire(node)

    def merge(self, other: FibonacciHeap[K, V]) -> None:
        """Take over all items of `other`, which is empty afterwards and may be used anew.

        Nodes of `other` are nodes of this heap from then on. Ties keep the order of insertion across both.

        Raises:
            ValueError: `other` is this heap.
        """
        if other is self:
            raise ValueError("a heap cannot be merged into itself")
        mine, theirs = self._min, other._min
        if mine is None:
            self._min = theirs
        elif theirs is not None:
            is_least = precedes(theirs.key, theirs.number, mine)
            join_rings(mine, theirs)
            if is_least:
                self._min = theirs
        self._size += other._size
        self._family = self._family.join(other._family)
        other._min, other._size, other._family = None, 0, Family()

    def check_invariants(self) -> None:
        """Check links, heap order, degrees, marks, size and minimum in one walk without recursion: O(n).

        Raises:
            HeapInvariantError: something is broken; the message names what.
        """
        check_heap(self._min, self._size, self._family)

    def _least_beside(self, node: FibonacciNode[K, V]) -> FibonacciNode[K, V]:
        """Return the minimum of the heap, once it is clear that `node` is in it."""
        family, least = node.family, self._min
        if family is None:
            raise NodeNotInHeapError("the node has left its heap: it was extracted or deleted before")
        if least is None or (family is not self._family and family.root() is not self._family):
            raise NodeNotInHeapError("the node is in another heap")
        return least


def _cut(node: FibonacciNode[K, V], root: FibonacciNode[K, V]) -> None:
    """Make `node` a root beside `root`, and so each ancestor in turn that thereby loses its second child."""
    parent = node.parent
    while parent is not None:
        if parent.degree == 1:
            parent.child = None
        elif parent.child is node:
            parent.child = node.right
        parent.degree -= 1
        unlink(node)
        join_rings(root, node)
        node.parent = None
        node.marked = False
        if parent.parent is None:
            return
        if not parent.marked:
            parent.marked = True
            return
        node, parent = parent, parent.parent


def _consolidate(roots: list[FibonacciNode[K, V]], size: int) -> FibonacciNode[K, V] | None:
    """Link trees of equal degree until there is one of each, make a ring of them, and return the least."""
    if not roots:
        return None
    # A degree is at most log_phi(size) < 1.4405 × log2(size): one place for each, and one for luck with rounding.
    by_degree: list[FibonacciNode[K, V] | None] = [None] * (size.bit_length() * 1441 // 1000 + 2)
    for root in roots:
        upper = root
        key = upper.key
        degree = upper.degree
        while (lower := by_degree[degree]) is not None:
            by_degree[degree] = None
            other = lower.key
            if other < key or (lower.number < upper.number and not key < other):
                upper, lower, key = lower, upper, other
            lower.parent = upper
            if (first := upper.child) is None:
                upper.child = lower.left = lower.right = lower
            else:
                last = first.left
                last.right = first.left = lower
                lower.left = last
                lower.right = first
            degree += 1
            upper.degree = degree
        by_degree[degree] = upper
    trees = [tree for tree in by_degree if tree is not None]
    least = left = trees[-1]
    least_key = least.key
    for tree in trees:
        left.right = tree
        tree.left = left
        left = tree
        key = tree.key
        if key < least_key or (tree.number < least.number and not least_key < key):
            least, least_key = tree, key
    return least
