"""Taking blocks in: acceptance, waiting room, held and refused events over one store, in the caller's transaction.

Implements: specs/acceptance.md, section Verdicts. Blocks may come in any order and more than
once. What is accepted is handed on in causal order, in the same transaction, so that store and board never part.
Leaves out: the rules themselves (ledger.acceptance) and where blocks come from (ledger.exchange).
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from ledger.acceptance import (
    REFUSED,
    Admissions,
    Linked,
    MissingLinks,
    Refusal,
    SignedEvent,
    admissions,
    check_alone,
    linked_genesis,
    unsafe_signed,
    verify_event,
    verify_genesis,
)
from ledger.ahead import Checked
from ledger.aside import HeldEvents, Refused, RefusedRing
from ledger.blobs import BlobFate, SqliteBlocks
from ledger.cid import Cid
from ledger.database import Database
from ledger.events import VerifiedEvent
from ledger.keys import ActorKey
from ledger.store import EventStore
from ledger.waiting import WaitingRoom

_LINKS_CACHED_MAX: Final = 50_000

OnAccept = Callable[[VerifiedEvent], None]


@dataclass(frozen=True, slots=True)
class IntakeReport:
    """What became of the blocks of one `offer`, each block once.

    `accepted` is in causal order and holds events that had waited, too. `known` were accepted before; `waiting` and
    `held` stay to be asked again; `evicted` found no room and may be sent again.
    """

    accepted: tuple[Cid, ...] = ()
    known: tuple[Cid, ...] = ()
    waiting: tuple[Cid, ...] = ()
    held: tuple[Cid, ...] = ()
    refused: tuple[Refused, ...] = ()
    evicted: tuple[Cid, ...] = ()


class Intake:
    """What takes blocks into the store of one ledger.

    Args:
        database: where the ledger is founded (`EventStore.put_genesis`). Every method takes part in the transaction or
            reading its caller has opened, this constructor too, and a rollback undoes all of it.
        on_accept: called with each accepted event, after those it links.

    """

    def __init__(self, database: Database, on_accept: OnAccept) -> None:
        self.database = database
        self._on_accept = on_accept
        self.events = EventStore(database)
        self.blobs = SqliteBlocks(database)
        self.waiting = WaitingRoom(database)
        self.held = HeldEvents(database)
        self.refused = RefusedRing(database)
        block = self.events.find_genesis()
        if block is None:
            raise ValueError(f"{database.path} holds no ledger yet")
        self.ledger, self.genesis = verify_genesis(block)
        self._turn = 0
        self._links: dict[Cid, Linked] = {}  # of this transaction only: a rollback may undo them
        self._admissions: dict[Cid, Admissions] = {}  # what one block admits never changes
        self._trusted: set[ActorKey] = set()

    def offer(self, blocks: Iterable[Checked], now_ms: int) -> IntakeReport:
        """Take in event blocks, in any order, as of `now_ms`, and what had waited for them.

        A block is its bytes, or an event of this ledger that `check_alone` has passed (ledger.ahead).
        """
        self._begin()
        tally = _Tally()
        for block in blocks:
            self._offer(block, now_ms, tally)
        return tally.report()

    def offer_blobs(self, blobs: Iterable[bytes]) -> Counter[BlobFate]:
        """Keep the raw blocks that accepted events link; count what became of each. Raises BlockError if too large."""
        return Counter(map(self.blobs.put_wanted, blobs))

    def release_held(self, now_ms: int) -> IntakeReport:
        """Take in the held events whose time has come."""
        self._begin()
        tally = _Tally()
        while due := self.held.take_due(now_ms + self.genesis.policy.skew_ms):
            for block in due:
                self._settle(unsafe_signed(block), now_ms, tally)
        return tally.report()

    def recompute_held(self, now_ms: int) -> bool:
        """Hold again the accepted events that are ahead of a clock set back; return whether the board is to be rebuilt.

        As times never decrease along links (A10), whatever links one of them is held as well.
        """
        ahead = self.held.take_back(now_ms + self.genesis.policy.skew_ms)
        self._links.clear()
        return ahead > 0

    def accepted(self) -> Iterator[VerifiedEvent]:
        """Yield every accepted event in order of arrival, without verifying signatures again: to rebuild a board."""
        self._begin()
        for _, _, block in self.events.in_order_of_arrival():
            yield verify_event(unsafe_signed(block), self.ledger, self.genesis, self.find)

    def get(self, cid: Cid) -> VerifiedEvent:
        """Return an accepted event; raise KeyError where it is not accepted here."""
        block = self.events.find_block(cid)
        if block is None:
            raise KeyError(f"{cid} is not accepted here")
        return verify_event(unsafe_signed(block), self.ledger, self.genesis, self.find)

    def find(self, cid: Cid) -> Linked | None:
        """Return what acceptance asks of `cid`: None where it is neither accepted nor refused here."""
        self._begin()
        known = self._links.get(cid)
        if known is not None:
            return known
        row = self.events.find_link(cid)
        if cid == self.ledger:
            linked = linked_genesis(self.genesis)
        elif row is not None:
            linked = Linked(*row, admissions=lambda: self._admitted_by(cid))
        elif self.refused.find(cid) is not None:
            linked = REFUSED
        else:
            return None
        self._links[cid] = linked
        return linked

    # ---- one block

    def _begin(self) -> None:
        """Forget what was read in an earlier transaction: others have written since, and a rollback undoes ours."""
        if self._turn != self.database.turn:
            self._turn = self.database.turn
            self._links.clear()
            self._trusted.clear()
            self.waiting.begin()
        elif len(self._links) > _LINKS_CACHED_MAX:
            self._links.clear()

    def _offer(self, block: Checked, now_ms: int, tally: _Tally) -> None:
        """Sort out what is known already, check the rest alone, and settle it with what waited for it."""
        cid = Cid.of(block) if isinstance(block, bytes) else block.cid
        linked = self.find(cid)
        if linked is not None:
            noted = self.refused.find(cid) if linked.refused else None
            tally.say(cid, noted or "known")
        elif self.waiting.has(cid):
            tally.say(cid, "waiting")
        elif self.held.has(cid):
            tally.say(cid, "held")
        else:
            try:
                signed = check_alone(block, self.ledger) if isinstance(block, bytes) else block
            except Refusal as refusal:
                self._refuse(cid, refusal, now_ms, tally)
                for waiter in self.waiting.take_all(cid):
                    self._settle(unsafe_signed(waiter), now_ms, tally)
            else:
                self._settle(signed, now_ms, tally)

    def _settle(self, signed: SignedEvent, now_ms: int, tally: _Tally) -> None:
        """Judge `signed` and then, one after the other, all that its verdict wakes."""
        queue = deque((signed,))
        while queue:
            one = queue.popleft()
            try:
                event = verify_event(one, self.ledger, self.genesis, self.find)
            except MissingLinks as waits:
                tally.say(one.cid, "waiting")
                for cid in self.waiting.put(one, waits.missing, now_ms, self._is_known):
                    tally.say(cid, "evicted")
            except Refusal as refusal:
                self._refuse(one.cid, refusal, now_ms, tally)
                queue.extend(map(unsafe_signed, self.waiting.take_all(one.cid)))
            else:
                if event.event.time > now_ms + self.genesis.policy.skew_ms:
                    held = self.held.put(event.cid, event.event.time, event.block)
                    tally.say(event.cid, "held" if held else "evicted")
                    continue
                self._accept(event, tally)
                queue.extend(map(unsafe_signed, self.waiting.take_ready(event.cid)))

    def _accept(self, event: VerifiedEvent, tally: _Tally) -> None:
        said = event.event
        if not self._is_known(said.actor):
            self.waiting.trust(said.actor)
        self.events.add(event)
        self._trusted.add(said.actor)
        self.blobs.want(said.blobs)
        cid = event.cid
        self._links[cid] = Linked(said.height, said.time, admissions=lambda: self._admitted_by(cid))
        tally.say(cid, "accepted")
        self._on_accept(event)

    def _refuse(self, cid: Cid, refusal: Refusal, now_ms: int, tally: _Tally) -> None:
        refused = Refused(cid, refusal.rule, refusal.words, now_ms)
        self.refused.put(refused)
        self._links[cid] = REFUSED
        tally.say(cid, refused)

    def _admitted_by(self, cid: Cid) -> Admissions:
        """Return whom an accepted event admits; its block is read once."""
        found = self._admissions.get(cid)
        if found is None:
            block = self.events.find_block(cid)
            found = {} if block is None else admissions(unsafe_signed(block).event, self.genesis)
            self._admissions[cid] = found
        return found

    def _is_known(self, actor: ActorKey) -> bool:
        return actor in self._trusted or actor in self.genesis.owners or self.events.has_actor(actor)


class _Tally:
    """The last word on each block of one offer."""

    def __init__(self) -> None:
        self._words: dict[Cid, str | Refused] = {}

    def say(self, cid: Cid, word: str | Refused) -> None:
        # What is offered twice in one go keeps its verdict; a verdict moves the block to the end: order of acceptance.
        if word == "known" and self._words.get(cid) is not None:
            return
        self._words.pop(cid, None)
        self._words[cid] = word

    def report(self) -> IntakeReport:
        def those(word: str) -> tuple[Cid, ...]:
            return tuple(cid for cid, said in self._words.items() if said == word)

        return IntakeReport(
            accepted=those("accepted"),
            known=those("known"),
            waiting=those("waiting"),
            held=those("held"),
            refused=tuple(said for said in self._words.values() if isinstance(said, Refused)),
            evicted=those("evicted"),
        )
