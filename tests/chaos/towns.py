"""What carries events between the places of a chaos run: syncs of homes side by side, or daemons on real nodes."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from itertools import combinations
from pathlib import Path
from typing import Final, Protocol, Self

from ledger.answerer import Answerer
from ledger.carrier import CallCarrier
from ledger.database import StoreError
from ledger.exchange import pull, sync_stores
from scheduler.home import Home
from scheduler.place import wall_clock_ms
from scheduler.replica import replica_of
from tests.chaos.fate import POLICY
from tests.chaos.news import News, Span
from tests.network.hardship import agree, bounded, links
from tests.support.peers import Machine, Machines

PLACES: Final = ("ada", "bert", "cleo")
_ROUND_S: Final = 0.2
_END_S: Final = 60.0
_MET_MS: Final = 5_000
_HEARD_MS: Final = 6_000
"""Within how long news has surely come, of homes and of daemons, where nothing stands still: within a second mostly,
later on a machine with too much to do. Twice the slack of events' times (tests.chaos.news) is in it."""
_HELD_MS: Final = 1_000
_STILL_MS: Final = 20_000
"""A sync that takes longer than the first waits for a worker that stands still in the midst of writing, or for a turn
on a machine with too much to do; none does so longer than the second: it writes to two homes."""
_MENDED_MS: Final = 15_000
"""How long daemons on a machine with too much to do do not try a link again."""


class Town(Protocol):
    """Machines and what is between them; the first one owns the ledger. A context manager that ends all of it."""

    machines: list[Machine]
    others: dict[str, Callable[[random.Random], str]]
    """What can befall it beside what befalls workers and paths (tests.chaos.fate)."""

    news: News
    """How news goes between them."""

    def start(self) -> None:
        """Begin to carry events."""

    def part(self, here: Sequence[str], there: Sequence[str]) -> None:
        """Cut places off from others."""

    def is_parted(self, pair: frozenset[str]) -> bool:
        """Return whether nothing comes across between two any more: what was under way has come to its end."""

    def heal(self) -> None:
        """Let all meet again."""

    def agree(self) -> None:
        """Come back when all have everything; fail where they do not."""

    def __enter__(self) -> Self: ...

    def __exit__(self, *_: object) -> None: ...


class SyncedTown:
    """Homes side by side: a thread for each two of them syncs these again and again, unless they are parted."""

    def __init__(self, folder: Path) -> None:
        self._stack = ExitStack()
        machines = self._stack.enter_context(Machines(folder, POLICY))
        first = machines.found(PLACES[0], node=False)
        self.machines = [first, *(machines.entered(name, first, node=False) for name in PLACES[1:])]
        self.others: dict[str, Callable[[random.Random], str]] = {}
        self.news = News(takes_ms=_MET_MS)
        self._parted: frozenset[frozenset[str]] = frozenset()
        self._syncing: set[frozenset[str]] = set()
        self._over = threading.Event()
        self._threads = [
            threading.Thread(target=self._carry, args=pair, daemon=True) for pair in combinations(self.machines, 2)
        ]
        self._failure: BaseException | None = None

    def start(self) -> None:
        """Begin to carry events, the first ones at once."""
        self._meet()
        for thread in self._threads:
            thread.start()

    def part(self, here: Sequence[str], there: Sequence[str]) -> None:
        """Sync none of these with any of those; what is under way comes to its end."""
        self._parted = frozenset(frozenset((one, other)) for one in here for other in there)

    def is_parted(self, pair: frozenset[str]) -> bool:
        """Return whether two are cut off, and not in the midst of a sync, which waits where a writer stands still."""
        return pair in self._parted - self._syncing

    def is_carried(self, pair: frozenset[str]) -> bool:
        """Return whether two homes are synced."""
        return pair not in self._parted

    def heal(self) -> None:
        """Sync all again."""
        self._parted = frozenset()

    def agree(self) -> None:
        """Sync all with all, and see that they are at one."""
        self._end()
        assert self._failure is None, f"a sync failed: {self._failure!r}"
        self._meet()
        agree(*self.machines, deadline_s=1.0)

    def _meet(self) -> None:
        for _ in range(2):
            for one, other in combinations(self.machines, 2):
                sync_stores(replica_of(one.home), replica_of(other.home), one.home.now_ms)

    def _end(self) -> None:
        self._over.set()
        for thread in self._threads:
            if thread.ident is not None:
                thread.join(_END_S)

    def _carry(self, one: Machine, other: Machine) -> None:
        pair = frozenset((one.name, other.name))
        try:
            with Home.open(one.folder) as here, Home.open(other.folder) as there:
                while not self._over.wait(_ROUND_S):
                    self._syncing.add(pair)  # said before it is asked what is parted
                    begin = wall_clock_ms()
                    have_met = self.is_carried(pair) and _sync(here, there)
                    end = wall_clock_ms()
                    self._syncing.discard(pair)
                    if have_met:
                        self.news.meetings.append(Span(pair, begin, end))
                    if end - begin >= _HELD_MS:
                        self.news.holds.append(Span(pair, begin, min(end, begin + _STILL_MS)))
        except BaseException as error:  # noqa: BLE001  # told by the test's own thread
            self._failure = error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._end()
        self._stack.close()


def _sync(one: Home, other: Home) -> bool:
    try:
        sync_stores(replica_of(one), replica_of(other), one.now_ms)
    except StoreError:  # a worker was stopped in the midst of a transaction: the next round is soon
        return False
    return True


class IpfsTown:
    """Machines with `peer run` daemons and Kubo nodes of their own, in a private network, behind links that are cut."""

    def __init__(self, folder: Path) -> None:
        self._stack = ExitStack()
        machines = self._stack.enter_context(Machines(folder, POLICY))
        first = machines.found(PLACES[0])
        self.machines = [first, *(machines.entered(name, first) for name in PLACES[1:])]
        self.others: dict[str, Callable[[random.Random], str]] = {"daemon": self._kill_daemon}
        self.news = News(takes_ms=_HEARD_MS, mends_ms=_MENDED_MS)

    def start(self) -> None:
        """Give each machine its admission, start the daemons."""
        source = CallCarrier(Answerer(replica_of(self.machines[0].home), self.machines[0].home.now_ms))
        for machine in self.machines[1:]:
            pull(replica_of(machine.home), source, machine.home.now_ms)
        self._links = self._stack.enter_context(links(self.machines))
        for machine in self.machines:
            machine.start()

    def part(self, here: Sequence[str], there: Sequence[str]) -> None:
        """Cut the links between these and those."""
        groups = [[machine for machine in self.machines if machine.name in names] for names in (here, there)]
        self._links.part(*groups)

    def is_parted(self, pair: frozenset[str]) -> bool:
        """Return True: connections break at once."""
        return True

    def heal(self) -> None:
        """Mend all links."""
        self._links.heal()

    def agree(self) -> None:
        """Wait until all have one history and one state root."""
        agree(*self.machines)
        bounded(*self.machines)

    def _kill_daemon(self, chance: random.Random) -> str:
        """Kill a daemon, now and then with its node, and start it again."""
        machine = chance.choice(self.machines)
        assert machine.daemon is not None
        assert machine.node is not None
        began = wall_clock_ms()
        machine.daemon.kill()
        if with_node := chance.random() < 0.3:
            machine.node.kill()
        machine.start()
        self.news.downs.append(Span(frozenset((machine.name,)), began, wall_clock_ms()))
        return f"{machine.name}'s daemon{' and node' if with_node else ''} killed and started again"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()
