"""Which peer to ask next: every endpoint again and again, sooner where there is a reason, later where it fails.

Implements: specs/hints.md, asking "at intervals with jitter". Time is an argument, chance too; what is dialled,
and how, is scheduler.linking. Threads share it: they take turns.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Final

from scheduler.endpoints import Endpoint

POLL_S: Final = 10.0
"""How often a peer is asked of which hints come."""
SILENT_POLL_S: Final = 2.0
"""How often one is asked of which none come: they do not reach us, or it sends none."""
RETRY_S: Final = 0.5
RETRY_S_MAX: Final = 60.0
"""First and longest pause after a failure; each one is twice the last."""
LINKS_MAX: Final = 2_048
"""Most links; beyond that the idle one that has failed most often, and never worked, makes room."""


@dataclass(slots=True, eq=False)
class Link:
    """A peer to exchange with: the node `name` with all its addresses, or the one URL `name`."""

    name: str
    peer_id: str | None
    endpoints: dict[str, Endpoint] = field(default_factory=dict)
    due_s: float = 0.0
    failures: int = 0
    heard_s: float = float("-inf")
    is_busy: bool = False
    is_wanted: bool = False
    """Whether something new is known to be there, so that asking for its state first would only cost time."""
    has_met: bool = False
    fault: str = ""
    """What is wrong with it, a stable word; "" while it works."""


class Links:
    """All links, by when each is due.

    Args:
        draw: a number from 0 to 1 by chance.
        silent_after_s: a peer whose last hint is older than this is polled more often.
    """

    def __init__(self, draw: Callable[[], float], silent_after_s: float) -> None:
        self._draw = draw
        self._silent_after_s = silent_after_s
        self._links: dict[str, Link] = {}
        self._changed = threading.Condition()
        self._is_closed = False

    def add(self, endpoints: Iterable[Endpoint], now_s: float) -> list[Link]:
        """Add endpoints, due at once where they are new; return their links."""
        found = []
        with self._changed:
            for endpoint in endpoints:
                name = endpoint.peer_id or endpoint.address
                link = self._links.get(name)
                if link is None:
                    self._make_room()
                    link = self._links[name] = Link(name, endpoint.peer_id, due_s=now_s)
                    self._changed.notify()
                if endpoint.address not in link.endpoints:
                    link.endpoints[endpoint.address] = endpoint
                    link.due_s = min(link.due_s, now_s)
                    self._changed.notify()
                found.append(link)
        return found

    def _make_room(self) -> None:
        """Forget a link where there are too many: members can name peers without end."""
        if len(self._links) >= LINKS_MAX:
            idle = [link for link in self._links.values() if not link.is_busy]
            worst = max(idle, key=lambda link: (not link.has_met, link.failures, link.due_s), default=None)
            if worst is not None:
                del self._links[worst.name]

    def want(self, link: Link, now_s: float) -> None:
        """Ask a peer at once: there is something new at either side."""
        with self._changed:
            link.is_wanted = True
            link.due_s = now_s
            self._changed.notify()

    def heard(self, name: str, now_s: float) -> None:
        """Note that a hint came from a node."""
        with self._changed:
            link = self._links.get(name)
            if link is not None:
                link.heard_s = now_s

    def all(self) -> list[Link]:
        """Return all links."""
        with self._changed:
            return list(self._links.values())

    def next(self, now_s: Callable[[], float]) -> Link | None:
        """Wait for a link that is due, and have it for oneself until `done`; None once this is closed."""
        with self._changed:
            while not self._is_closed:
                at = now_s()
                idle = [link for link in self._links.values() if not link.is_busy]
                link = min(idle, key=lambda one: (one.due_s, not one.is_wanted), default=None)
                if link is not None and link.due_s <= at:
                    link.is_busy = True
                    return link
                self._changed.wait(1.0 if link is None else min(1.0, link.due_s - at))
            return None

    def take(self, link: Link) -> bool:
        """Note, at the beginning of a turn, that what was wanted until now is seen to; return whether it was."""
        with self._changed:
            wanted, link.is_wanted = link.is_wanted, False
            return wanted

    def done(self, link: Link, now_s: float, *, worked: bool) -> None:
        """Give a link back; say when it is due next."""
        with self._changed:
            link.is_busy = False
            jitter = 0.5 + self._draw()
            if worked:
                link.failures = 0
                link.has_met = True
                is_silent = now_s - link.heard_s > self._silent_after_s
                link.due_s = now_s + jitter * (SILENT_POLL_S if is_silent else POLL_S)
            else:
                link.failures += 1
                link.due_s = now_s + jitter * min(RETRY_S_MAX, RETRY_S * 2 ** min(link.failures - 1, 16))
            if link.is_wanted and link.failures <= 1:  # wanted again meanwhile
                link.due_s = now_s
            self._changed.notify()

    def close(self) -> None:
        """Let everybody who waits go."""
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()
