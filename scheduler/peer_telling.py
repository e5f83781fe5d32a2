"""Telling others: news of what keys of this home have signed, at once; hints, when it is time.

Implements: specs/hints.md, H8 and "A peer that runs tells a hint …". Leaves out what a hint says
(scheduler.hint_making) and the node that carries it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from ledger.acceptance import unsafe_signed
from ledger.cid import Cid
from ledger.hint_gate import Bucket
from ledger.keys import SigningKey
from ledger.news import EVENTS_MAX, encode_news
from scheduler.hint_making import HintMaker, Reach, Rhythm
from scheduler.home import Home
from scheduler.home_keys import HomeKeys
from scheduler.published import arrivals

NEWS_BURST: Final = 32
NEWS_PER_S: Final = 16
"""Messages of news without a pause, and each second after that: half of what readers listen to (H5)."""
SPEAKERS_EVERY_MS: Final = 5_000
"""How often it is looked up with which keys hints are signed."""
HINTS_EVERY_LEASE: Final = 3


class Teller:
    """Tells of one home.

    Args:
        home: what is told of.
        peer_name: the name of the key it acts as.
        keys: the keys of the home.
        publish: sends a message to the topic, as far as there is a node.
        draw: a number from 0 to 1 by chance.
    """

    def __init__(
        self,
        home: Home,
        peer_name: str,
        keys: HomeKeys,
        publish: Callable[[bytes], None],
        draw: Callable[[], float],
    ) -> None:
        self._home = home
        self._keys = keys
        self._publish = publish
        self._maker = HintMaker(home, peer_name, keys)
        self._rhythm = Rhythm(home.policy.lease_ms // HINTS_EVERY_LEASE, draw)
        self._speakers: list[SigningKey] = []
        self._looked_up_ms = 0
        self._bucket = Bucket(NEWS_BURST, home.now_ms())
        with home.reading():
            self._seen_id = home.events.latest_id()
        self.hint = b""
        """The last hint of the home's own peer; empty before the first."""

    @property
    def speaker(self) -> SigningKey | None:
        """The key that speaks for the home; None as long as no key of it is a member."""
        return self._speakers[0] if self._speakers else None

    def hurry(self) -> None:
        """Tell hints again at the next look: somebody new can hear them."""
        self._rhythm.hurry()

    def tell_hints(self, heads: tuple[Cid, ...], reach: Reach, now_ms: int) -> int:
        """Tell hints where it is time, given the heads of the log; return when it is time next, ms.

        They are made also where no node carries them: exchanges do.
        """
        if self._rhythm.due_at(heads) <= now_ms:
            if now_ms - self._looked_up_ms >= SPEAKERS_EVERY_MS or not self._speakers:
                self._speakers, self._looked_up_ms = self._maker.speakers(), now_ms
            self._rhythm.told(heads, now_ms)
            if self._speakers:
                hints = self._maker.make(self._speakers, reach)
                self.hint = hints[0]
                self._home.beat(self._speakers[0].actor, now_ms)
                for hint in hints:
                    self._publish(hint)
        return self._rhythm.due_at(heads)

    def tell_news(self, now_ms: int, *, may_tell: bool) -> int | None:
        """Tell the events that keys of this home have signed since the last look (H8).

        Return when there is something to tell, ms, where it comes too soon after the last and is gathered. Where it may
        not be told, or is too much, the hint leads to it.
        """
        home = self._home
        with home.reading():
            latest = home.events.latest_id()
            if latest == self._seen_id:
                return None
            if may_tell and not self._bucket.take(now_ms, NEWS_BURST, NEWS_PER_S):
                return now_ms + 1000 // NEWS_PER_S
            first, self._seen_id = self._seen_id + 1, latest
            if not may_tell or latest - first >= EVENTS_MAX:
                return None
            own = {key.actor for key in self._keys.all().values()}
            mine = (one for one in arrivals(home, first) if unsafe_signed(one.block).event.actor in own)
            news = [one.block for one in mine if one.in_log]
        message = encode_news(home.ledger, news)
        if message is not None:
            self._publish(message)
        return None
