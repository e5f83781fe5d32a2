"""The Fibonacci heap against heapq as its oracle, and its promises one by one."""

from __future__ import annotations

import gc
import heapq
import random
import sys
import weakref
from dataclasses import dataclass

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, MultipleResults, RuleBasedStateMachine, consumes, invariant, multiple, rule

from scheduler.fibonacci_heap import FibonacciHeap, FibonacciNode, HeapInvariantError, NodeNotInHeapError

KEYS = st.integers(0, 12)  # few, so that ties abound


def drain(heap: FibonacciHeap[int, int]) -> list[tuple[int, int]]:
    """Extract all, checking the invariants on the way."""
    items = []
    while (item := heap.extract_min()) is not None:
        heap.check_invariants()
        items.append(item)
    return items


class HeapAgainstHeapq(RuleBasedStateMachine):
    """Two heaps and, for each, a heapq of (key, insertion number): the same answers after any sequence of calls."""

    nodes: Bundle[tuple[int, FibonacciNode[int, int]]] = Bundle("nodes")

    def __init__(self) -> None:
        super().__init__()
        self.heaps: list[FibonacciHeap[int, int]] = [FibonacciHeap(), FibonacciHeap()]
        self.oracles: list[list[tuple[int, int]]] = [[], []]
        self.inserted = 0

    def place(self, number: int) -> int | None:
        """Say which heap has the item, None if it left."""
        return next((i for i in (0, 1) if any(n == number for _, n in self.oracles[i])), None)

    @rule(target=nodes, which=st.integers(0, 1), keys=st.lists(KEYS, min_size=1, max_size=9))
    def insert(self, which: int, keys: list[int]) -> MultipleResults[tuple[int, FibonacciNode[int, int]]]:
        made = []
        for key in keys:
            made.append((self.inserted, self.heaps[which].insert(key, self.inserted)))
            heapq.heappush(self.oracles[which], (key, self.inserted))
            self.inserted += 1
        return multiple(*made)

    @rule(which=st.integers(0, 1), times=st.integers(1, 3))
    def extract_min(self, which: int, times: int) -> None:
        for _ in range(times):
            oracle = self.oracles[which]
            assert self.heaps[which].extract_min() == (heapq.heappop(oracle) if oracle else None)

    @rule(item=nodes, to=KEYS, other_way=st.booleans())
    def decrease_key(self, item: tuple[int, FibonacciNode[int, int]], to: int, other_way: bool) -> None:
        number, node = item
        place = self.place(number)
        if place is None or other_way:
            foreign = self.heaps[0 if place is None else 1 - place]
            with pytest.raises(NodeNotInHeapError):
                foreign.decrease_key(node, to)
        elif to > node.key:
            with pytest.raises(ValueError, match="larger"):
                self.heaps[place].decrease_key(node, to)
        else:
            self.oracles[place].remove((node.key, number))
            self.heaps[place].decrease_key(node, to)
            self.oracles[place].append((to, number))
            heapq.heapify(self.oracles[place])

    @rule(item=consumes(nodes))
    def delete(self, item: tuple[int, FibonacciNode[int, int]]) -> None:
        number, node = item
        place = self.place(number)
        if place is not None:
            self.heaps[place].delete(node)
            self.oracles[place].remove((node.key, number))
            heapq.heapify(self.oracles[place])
        for heap in self.heaps:
            with pytest.raises(NodeNotInHeapError):
                heap.delete(node)

    @rule(into=st.integers(0, 1))
    def merge(self, into: int) -> None:
        self.heaps[into].merge(self.heaps[1 - into])
        self.oracles[into] = list(heapq.merge(*map(sorted, self.oracles)))
        self.oracles[1 - into] = []

    @invariant()
    def agrees(self) -> None:
        for heap, oracle in zip(self.heaps, self.oracles, strict=True):
            heap.check_invariants()
            assert heap.get_min() == (oracle[0] if oracle else None)
            assert len(heap) == heap.size() == len(oracle)
            assert heap.is_empty() == (not oracle)


TestHeapAgainstHeapq = HeapAgainstHeapq.TestCase
TestHeapAgainstHeapq.settings = settings(max_examples=200, stateful_step_count=40, deadline=None)


def test_empty() -> None:
    """An empty heap answers None, and has no size."""
    heap: FibonacciHeap[int, str] = FibonacciHeap()
    assert heap.get_min() is None
    assert heap.extract_min() is None
    assert heap.is_empty()
    assert heap.size() == len(heap) == 0
    heap.check_invariants()


def test_ties_come_out_in_order_of_insertion() -> None:
    """Equal keys come out as they went in, through consolidations between."""
    heap: FibonacciHeap[int, int] = FibonacciHeap()
    for i in range(200):
        heap.insert(i % 2, i)
        if i % 50 == 49:
            heap.insert(-1, -1)
            assert heap.extract_min() == (-1, -1)
    assert [data for _, data in drain(heap)] == [*range(0, 200, 2), *range(1, 200, 2)]


def test_a_node_lowered_to_a_tie_keeps_its_place_of_insertion() -> None:
    """Lowered to a tie, the older node stands before the younger and the younger behind the older."""
    heap: FibonacciHeap[int, int] = FibonacciHeap()
    oldest = heap.insert(9, 0)
    heap.insert(5, 1)
    youngest = heap.insert(9, 2)
    heap.decrease_key(youngest, 5)
    assert heap.get_min() == (5, 1)
    heap.decrease_key(oldest, 5)
    assert drain(heap) == [(5, 0), (5, 1), (5, 2)]


def test_ties_after_a_merge_keep_the_order_of_insertion_across_heaps() -> None:
    """After a merge, what was inserted first comes first, whichever heap it was in."""
    one: FibonacciHeap[int, int] = FibonacciHeap()
    two: FibonacciHeap[int, int] = FibonacciHeap()
    for i in range(20):
        (one if i % 3 == 0 else two).insert(7, i)
    two.merge(one)
    assert [data for _, data in drain(two)] == list(range(20))


def test_keys_need_only_less_than() -> None:
    """Keys that tie under `<` but are unequal, as tasks of one priority are, come out in order of insertion."""

    @dataclass(frozen=True)
    class Key:
        level: int
        name: str

        def __lt__(self, other: Key) -> bool:
            return self.level < other.level

    heap: FibonacciHeap[Key, int] = FibonacciHeap()
    for i in range(30):
        heap.insert(Key(i % 3, str(i)), i)
    heap.check_invariants()
    items = [heap.extract_min() for _ in range(30)]
    assert [item[1] for item in items if item] == sorted(range(30), key=lambda i: i % 3)


def test_equal_data_is_never_compared() -> None:
    """Data takes no part in the order: what cannot be compared may be stored."""
    heap: FibonacciHeap[int, object] = FibonacciHeap()
    first, second = object(), object()
    heap.insert(1, first)
    heap.insert(1, second)
    assert heap.extract_min() == (1, first)
    assert heap.extract_min() == (1, second)


def test_nodes_that_left_and_nodes_of_others_are_refused() -> None:
    """Neither an extracted, a deleted nor a foreign node can be lowered or deleted, and the refusal changes nothing."""
    heap: FibonacciHeap[int, str] = FibonacciHeap()
    other: FibonacciHeap[int, str] = FibonacciHeap()
    extracted, deleted, foreign = heap.insert(1, "a"), heap.insert(2, "b"), other.insert(0, "c")
    heap.insert(3, "d")
    heap.extract_min()
    heap.delete(deleted)
    for node in (extracted, deleted, foreign):
        with pytest.raises(NodeNotInHeapError):
            heap.decrease_key(node, -1)
        with pytest.raises(NodeNotInHeapError):
            heap.delete(node)
    heap.check_invariants()
    other.check_invariants()
    assert (heap.get_min(), other.get_min()) == ((3, "d"), (0, "c"))


def test_a_merged_heap_is_empty_and_usable_and_its_nodes_belong_to_the_other() -> None:
    """Merging empties the other heap, moves its nodes through several merges, and leaves it fit for new items."""
    heaps: list[FibonacciHeap[int, int]] = [FibonacciHeap() for _ in range(16)]
    nodes = [heap.insert(100 + i, i) for i, heap in enumerate(heaps)]
    for step in (1, 2, 4, 8):
        for i in range(0, 16, 2 * step):
            heaps[i].merge(heaps[i + step])
    whole = heaps[0]
    fresh = heaps[15].insert(0, 99)
    with pytest.raises(NodeNotInHeapError):
        whole.delete(fresh)
    with pytest.raises(NodeNotInHeapError):
        heaps[15].decrease_key(nodes[15], 1)
    with pytest.raises(ValueError, match="itself"):
        whole.merge(whole)
    whole.delete(nodes[5])
    whole.decrease_key(nodes[15], 1)
    whole.check_invariants()
    assert [heap.size() for heap in heaps] == [15, *[0] * 14, 1]
    assert [data for _, data in drain(whole)] == [15, *(i for i in range(15) if i != 5)]


def full_tree(count: int) -> tuple[FibonacciHeap[int, int], list[FibonacciNode[int, int]]]:
    """Make one binomial tree of `count` nodes (a power of two), by one extraction."""
    heap: FibonacciHeap[int, int] = FibonacciHeap()
    heap.insert(-1, -1)
    nodes = [heap.insert(1000 + i, i) for i in range(count)]
    heap.extract_min()
    assert sum(node.parent is None for node in nodes) == 1
    return heap, nodes


def test_cuts_cascade() -> None:
    """A node that loses a second child is cut, and so on upwards to the first unmarked ancestor, which is marked."""
    heap, nodes = full_tree(32)
    path = [nodes[0]]
    while (child := path[-1].child) is not None:
        path.append(child.left)  # the child linked last has the most children
    _root, top, upper, lower, last, _leaf = path
    for parent, key in ((upper, 1), (lower, 2)):  # each loses one child
        assert parent.child is not None
        heap.decrease_key(parent.child, key)
        heap.check_invariants()
    assert [node.marked for node in path] == [False, False, True, True, False, False]
    heap.decrease_key(last, 3)
    heap.check_invariants()
    assert [node.marked for node in path] == [False, True, False, False, False, False]
    assert [node.parent is None for node in path] == [True, False, True, True, True, False]
    assert top.degree == 3
    assert len(drain(heap)) == 32


def test_a_lowering_that_keeps_the_heap_order_cuts_nothing() -> None:
    """A node still behind its parent stays where it is."""
    heap, nodes = full_tree(8)
    node = nodes[-1]
    parent = node.parent
    heap.decrease_key(node, node.key)
    assert node.parent is parent
    heap.check_invariants()


def test_delete_wherever_a_node_stands() -> None:
    """Deleting minimum, inner node, leaf and root leaves exactly the others, in order."""
    for victim in range(16):
        heap, nodes = full_tree(16)
        heap.insert(5000, 16)
        heap.delete(nodes[victim])
        heap.check_invariants()
        assert [data for _, data in drain(heap)] == [i for i in range(17) if i != victim]


def test_large_heap_without_recursion() -> None:
    """100,000 items, half of them lowered and a tenth deleted, come out in order under a small recursion limit."""
    rng = random.Random(7)
    heap: FibonacciHeap[int, int] = FibonacciHeap()
    nodes = [heap.insert(rng.randrange(10**6), i) for i in range(100_000)]
    limit = sys.getrecursionlimit()
    depth = 0
    frame = sys._getframe()
    while frame.f_back is not None:
        frame, depth = frame.f_back, depth + 1
    sys.setrecursionlimit(depth + 40)
    try:
        heap.extract_min()
        for node in nodes[::2]:
            if node.family is not None:
                heap.decrease_key(node, node.key // 2)
        for node in nodes[1::10]:
            if node.family is not None:
                heap.delete(node)
        heap.check_invariants()
        left = sorted((node.key, node.data) for node in nodes if node.family is not None)
        came = [heap.extract_min() for _ in range(len(heap))]
    finally:
        sys.setrecursionlimit(limit)
    assert came == left
    assert heap.is_empty()


class Marker:
    """Something a weak reference can watch."""


def test_a_dropped_heap_is_collected() -> None:
    """The collector takes a dropped heap with all it held."""
    heap: FibonacciHeap[int, Marker] = FibonacciHeap()
    watched = []
    for i in range(20):
        marker = Marker()
        watched.append(weakref.ref(marker))
        heap.insert(i, marker)
        del marker
    heap.extract_min()
    del heap
    gc.collect()
    assert all(reference() is None for reference in watched)


@pytest.mark.parametrize("leave", ["extract", "delete"])
def test_what_left_the_heap_is_freed_at_once(leave: str) -> None:
    """A node that left is in no cycle: its data is freed with the last reference, and it keeps no other node alive."""
    heap: FibonacciHeap[int, Marker] = FibonacciHeap()
    nodes = [heap.insert(i, Marker()) for i in range(9)]
    heap.extract_min()
    node = nodes[1] if leave == "extract" else nodes[5]
    watched = weakref.ref(node.data)
    nodes.clear()
    gc.disable()
    try:
        if leave == "extract":
            heap.extract_min()
        else:
            heap.delete(node)
        assert watched() is not None
        del node
        assert watched() is None
    finally:
        gc.enable()


def test_a_key_that_cannot_be_compared_leaves_the_heap_as_it_was() -> None:
    """A comparison that raises changes nothing."""
    heap: FibonacciHeap[object, int] = FibonacciHeap()  # type: ignore[type-var]  # object is the point of the test
    node = heap.insert(1, 1)
    heap.insert(2, 2)
    with pytest.raises(TypeError):
        heap.insert("x", 3)
    with pytest.raises(TypeError):
        heap.decrease_key(node, "x")
    heap.check_invariants()
    assert [heap.extract_min(), heap.extract_min(), heap.extract_min()] == [(1, 1), (2, 2), None]


def _break(heap: FibonacciHeap[int, int], what: str) -> None:
    """Damage one thing in a heap of one tree of 16 and one root beside it."""
    least = heap._min
    assert least is not None
    assert least.child is not None
    deep = least.child.left
    match what:
        case "heap order":
            deep.key = -5
        case "parent link":
            deep.parent = None
        case "sibling links":
            deep.left = deep
        case "degree":
            deep.degree += 1
        case "mark":
            least.marked = True
        case "size":
            heap._size += 1
        case "min pointer":
            heap._min = least.right
        case _:
            deep.family = None


@pytest.mark.parametrize(
    "what", ["heap order", "parent link", "sibling links", "degree", "mark", "size", "min pointer", "family"]
)
def test_check_names_what_broke(what: str) -> None:
    """Each kind of damage is found and named."""
    heap, _nodes = full_tree(16)
    heap.insert(5000, 16)
    heap.check_invariants()
    _break(heap, what)
    with pytest.raises(HeapInvariantError, match=f"^{what}:"):
        heap.check_invariants()


def test_check_finds_children_lost_without_a_mark() -> None:
    """A child that lost more children than its mark admits breaks the degree bound, and is found."""
    heap, nodes = full_tree(16)
    assert nodes[0].child is not None
    bereft = nodes[0].child.left
    assert bereft.child is not None
    heap.decrease_key(bereft.child, 0)
    assert bereft.marked
    bereft.marked = False
    with pytest.raises(HeapInvariantError, match=r"^mark:"):
        heap.check_invariants()
