"""What must hold in a Fibonacci heap between two calls, checked in one walk without recursion.

Implements the checkable half of `scheduler.fibonacci_heap`, for tests and for suspicion. The degree bound is checked at
its root (CLRS, 3rd ed., lemma 19.1): when a node got its i-th child, counted from 0, it had at least i children, and so
had the child. Since then the child lost at most one, and is marked if it did. Hence a subtree of degree d has at least
F(d + 2) nodes, which is checked as well, and no degree exceeds log_phi(n).
"""

from __future__ import annotations

from typing import Any

from scheduler.fibonacci_node import Family, FibonacciNode, precedes

Node = FibonacciNode[Any, Any]


class HeapInvariantError(AssertionError):
    """A Fibonacci heap is broken; the message names the invariant."""


def check_heap(least: Node | None, size: int, family: Family) -> None:
    """Check a heap given as its minimum, its size and its family: O(n).

    Raises:
        HeapInvariantError: something is broken; the message says what.
    """
    if least is None:
        _require(size == 0, "size", f"{size} in a heap without minimum")
        return
    order = _walk(least, size, family)
    _require(len(order) == size, "size", f"{size} stated, {len(order)} found")
    _check_subtree_sizes(order)


def _walk(least: Node, size: int, family: Family) -> list[Node]:
    """Check each node where it stands, and list them, parents before their children."""
    order = _ring(least, None, size)
    for root in order:
        _require(not root.marked, "mark", f"the root {root.key!r} is marked")
        is_least = root is least or precedes(least.key, least.number, root)
        _require(is_least, "min pointer", f"{root.key!r} precedes {least.key!r}")
    for node in order:  # grows while it is walked
        _require(node.family is not None and node.family.root() is family, "family", f"{node.key!r} is of another heap")
        children = [] if node.child is None else _ring(node.child, node, size)
        _require(node.degree == len(children), "degree", f"{node.key!r} states {node.degree}, has {len(children)}")
        for i, child in enumerate(children):
            _require(precedes(node.key, node.number, child), "heap order", f"{child.key!r} under {node.key!r}")
            _require(
                child.degree >= i - child.marked, "mark", f"child {i}, {child.key!r}, lost more than its mark says"
            )
        order.extend(children)
        _require(len(order) <= size, "size", f"{size} stated, more found")
    return order


def _ring(first: Node, parent: Node | None, size: int) -> list[Node]:
    """List a ring of siblings, checking its links and their parent."""
    ring = []
    node = first
    while True:
        _require(node.right.left is node, "sibling links", f"right of {node.key!r} does not link back")
        _require(node.parent is parent, "parent link", f"{node.key!r} names another parent than the one it hangs under")
        ring.append(node)
        _require(len(ring) <= size, "size", f"{size} stated, a ring has more")
        node = node.right
        if node is first:
            return ring


def _check_subtree_sizes(order: list[Node]) -> None:
    """Check that each subtree has at least F(degree + 2) nodes, from the leaves upwards."""
    fibonacci = [0, 1]
    while fibonacci[-1] <= len(order):
        fibonacci.append(fibonacci[-2] + fibonacci[-1])
    sizes = {id(node): 1 for node in order}
    for node in reversed(order):
        needed = fibonacci[min(node.degree + 2, len(fibonacci) - 1)]
        _require(sizes[id(node)] >= needed, "degree bound", f"degree {node.degree} over {sizes[id(node)]} nodes")
        if node.parent is not None:
            sizes[id(node.parent)] += sizes[id(node)]


def _require(holds: bool, invariant: str, detail: str) -> None:
    if not holds:
        raise HeapInvariantError(f"{invariant}: {detail}")
