"""The graph of accepted events: which of them count, which are the log, its heads, and who has seen what.

Implements: specs/authority.md R4 and R6, specs/clock.md C2, C4, C7. Nothing here walks far on a hot path: a new event
touches its links, and each worker's bit is set once on each event. Only a revocation that voids something looks at all.
"""

from __future__ import annotations

from crdt.board_store import BoardStore, Node
from crdt.members import Revocation
from ledger.cid import Cid
from ledger.events import VerifiedEvent
from ledger.keys import ActorKey


class Graph:
    """Keep the graph facts of a board's events in `store`."""

    def __init__(self, store: BoardStore, ledger: Cid) -> None:
        self._store = store
        self._ledger = ledger

    def new_node(self, event: VerifiedEvent) -> Node:
        """Return the node of a newly accepted event, with what its links and the known revocations say of it."""
        links = tuple(cid for cid in event.event.links() if cid != self._ledger)
        node = Node(event.cid, event.event.height, event.event.actor, event.event.grant, links)
        for cid in links:
            linked = self.node(cid)
            node.revocations |= linked.revocations | linked.own_revocations
        # A revocation's `keep` was accepted before it, so what comes after a revocation lies beyond its fence.
        node.fenced_by = self._store.state.roster.fences_against(node.actor, node.grant)
        return node

    def node(self, cid: Cid) -> Node:
        """Return the node of an accepted event; KeyError for any other."""
        node = self._store.find_node(cid)
        if node is None:
            raise KeyError(cid)
        return node

    def counts(self, cid: Cid) -> bool:
        """Return whether an accepted event counts (R4)."""
        return not self.node(cid).fenced_by

    def enter(self, node: Node, event: VerifiedEvent) -> None:
        """Take a new node into the log where it counts; keep it aside where it does not."""
        self._store.put_node(node)
        state = self._store.state
        if not node.counts:
            state.voided = True
            return
        self._take_in(node)
        state.heads.add(node.cid)
        if node.actor in state.workers:
            self._mark_seen(node, 1 << state.workers[node.actor])
        elif node.actor in state.roster.presences:
            self._number_worker(node.actor)

    def _number_worker(self, actor: ActorKey) -> None:
        """Give an actor its bit, when it first joins, and set it on what it saw before."""
        workers = self._store.state.workers
        bit = 1 << workers.setdefault(actor, len(workers))
        for node in self._store.nodes_of(actor):
            if node.counts:
                self._mark_seen(node, bit)

    def _take_in(self, node: Node) -> None:
        """Put `node` into the log, and what it links that was outside (R6)."""
        state = self._store.state
        stack = [node]
        while stack:
            taken = stack.pop()
            taken.in_log = True
            self._store.put_node(taken)
            self._store.add_to_vector(taken.actor, 1)
            state.heads.difference_update(taken.links)
            if state.voided:
                outside = (self.node(cid) for cid in taken.links)
                fresh = [linked for linked in outside if not linked.in_log]
                for linked in fresh:
                    linked.in_log = True
                stack.extend(fresh)

    def _mark_seen(self, node: Node, bit: int) -> None:
        """Push a worker's bit backwards, stopping where it stands already (C7)."""
        stack = [node]
        while stack:
            seen = stack.pop()
            if seen.seen & bit:
                continue
            seen.seen |= bit
            self._store.put_node(seen)
            stack.extend(linked for linked in map(self.node, seen.links) if not linked.seen & bit)

    def fence(self, revocation: Revocation, number: int) -> list[Cid]:
        """Mark what lies beyond a new revocation; return the events that counted until now."""
        candidates = self._store.nodes_of(revocation.actor, revocation.grant)
        if not candidates:
            return []
        kept = self._past(revocation.keep, min(node.height for node in candidates))
        voided: list[Cid] = []
        for node in candidates:
            if node.cid not in kept:
                if node.counts:
                    voided.append(node.cid)
                node.fenced_by |= 1 << number
                self._store.put_node(node)
        return voided

    def _past(self, cids: tuple[Cid, ...], height_min: int) -> set[Cid]:
        """Return `cids` and their causal past down to a height."""
        past: set[Cid] = set()
        stack = [cid for cid in cids if cid != self._ledger]
        while stack:
            cid = stack.pop()
            if cid in past:
                continue
            node = self.node(cid)
            if node.height >= height_min:
                past.add(cid)
                stack.extend(link for link in node.links if link not in past)
        return past

    def survey(self) -> None:
        """Derive log, heads, vector and seen anew, after a revocation has voided events."""
        state = self._store.state
        state.voided = True
        self._store.reset_vector()
        linked: set[Cid] = set()
        heads: set[Cid] = set()
        seen: dict[Cid, int] = {}
        # Children come before what they link, so one pass suffices.
        for node in self._store.nodes_downwards():
            node.in_log = node.counts or node.cid in linked
            node.seen = seen.pop(node.cid, 0)
            if node.counts and node.actor in state.workers:
                node.seen |= 1 << state.workers[node.actor]
            self._store.put_node(node)
            if not node.in_log:
                continue
            self._store.add_to_vector(node.actor, 1)
            if node.cid not in linked:
                heads.add(node.cid)
            linked.update(node.links)
            for cid in node.links:
                seen[cid] = seen.get(cid, 0) | node.seen
        state.heads = heads
