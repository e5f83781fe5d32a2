"""Witnessing: an idle worker says that it has seen what others did, so that it becomes stable.

Implements: specs/hints.md, H7. When to witness is pure; reading whether there is a reason, and signing, go through the
home. A witness is no reason for a witness: however many idle workers meet, each adds at most one to a burst of events,
and then everything is stable. Leaves out who asks, and how often (scheduler.peer_daemon).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Final

from crdt.board import Board
from ledger.cid import Cid
from ledger.events import Policy, Role, VerifiedEvent
from ledger.keys import ActorKey, SigningKey
from scheduler.home import Home
from scheduler.home_keys import HomeKeys

QUIET_MS_MIN: Final = 1_000
"""Shortest quiet time before a witness, ms, where the ledger's grace is shorter."""


@dataclass(slots=True)
class Patience:
    """When a worker that has a reason to witness does so: after a quiet time, at the latest after `most_ms`.

    Args:
        quiet_ms: the least quiet time; each one is drawn between this and twice this.
        most_ms: how long after the first reason it waits at most, however busy the others are.
        draw: a number from 0 to 1 by chance.
    """

    quiet_ms: int
    most_ms: int
    draw: Callable[[], float]
    _since: int | None = field(default=None, init=False)
    _quiet_until: int = field(default=0, init=False)
    _heads: tuple[Cid, ...] = field(default=(), init=False)

    @classmethod
    def of(cls, policy: Policy, draw: Callable[[], float]) -> Patience:
        """Return the patience that a ledger's policy asks for (H7)."""
        return cls(max(policy.grace_ms, QUIET_MS_MIN), policy.lease_ms, draw)

    def due_at(self, heads: tuple[Cid, ...], now_ms: int, *, has_reason: bool) -> int | None:
        """Return when to witness (ms since 1970, may be past), None where there is nothing to witness.

        Told of the log's heads whenever they may have changed; what moved them starts the quiet time anew.
        """
        if not has_reason:
            self._since = None
            self._quiet_until = 0
            return None
        if self._since is None:
            self._since = now_ms
        if heads != self._heads or self._quiet_until == 0:
            self._heads = heads
            self._quiet_until = now_ms + round(self.quiet_ms * (1 + self.draw()))
        return min(self._quiet_until, self._since + self.most_ms)


class Witnesses:
    """Witnesses for the idle workers of a home, when it is time."""

    def __init__(self, home: Home, keys: HomeKeys, draw: Callable[[], float]) -> None:
        self._home = home
        self._keys = keys
        self._patience = Patience.of(home.policy, draw)

    def look(self, now_ms: int) -> int | None:
        """Witness where it is time; return when it may be time next (ms since 1970), None for no reason at all."""
        home = self._home
        with home.reading():
            asked = [key for key in self._keys.all().values() if has_reason(home.board, key.actor)]
            at = self._patience.due_at(home.board.heads, now_ms, has_reason=bool(asked))
        if at is not None and at <= now_ms:
            witness(home, asked)
            return now_ms
        return at


def has_reason(board: Board, actor: ActorKey) -> bool:
    """Return whether an active worker has not yet seen, by an event of its own, some event with operations (H7).

    Within a reading or writing. Costs a look at the events that came since the worker's own last one, at most; it ends
    at the first with operations.
    """
    if actor not in board.active_workers():
        return False
    number = board.store.state.workers.get(actor)
    if number is None:
        return False
    bit = 1 << number
    met: set[Cid] = set()
    stack = [cid for cid in board.heads if cid != board.ledger]
    while stack:
        cid = stack.pop()
        if cid in met:
            continue
        met.add(cid)
        node = board.graph.node(cid)
        if node.seen & bit:
            continue
        if board.store.event(cid).ops:
            return True
        stack.extend(node.links)
    return False


def witness(home: Home, keys: Iterable[SigningKey]) -> list[VerifiedEvent]:
    """Sign one witness for each key that has a reason, in one transaction; return them. None at all costs no write."""
    asked = list(keys)
    with home.reading():
        asked = [key for key in asked if has_reason(home.board, key.actor)]
    if not asked:
        return []
    with home.writing() as writing:
        return [
            writing.append(key, (), Role.WORKER)
            for key in asked
            if has_reason(home.board, key.actor)  # another process of this home may have been faster
        ]
