"""Pulling: take in what another side has and this one lacks.

Implements: specs/exchange.md, rules X6 to X11 and X16, of who asks. Nothing the other says is believed: it may only
make the way shorter. What is of no use here is dropped and counted, and beyond a bound the pull ends; all that was
accepted stays. Leaves out: carriers, and what the other lacks in turn is sent (ledger.pushing).
"""

from __future__ import annotations

import secrets
from bisect import bisect_left
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from typing import BinaryIO, Final

from ledger.ahead import Checked, check_ahead
from ledger.blobs import BLOB_BYTES_MAX, BlobFate
from ledger.car import CarFormatError, CarReader, CarTruncatedError, read_car
from ledger.carrier import Carrier, MisbehaviourError, Traffic, UnreachableError, read_message
from ledger.cid import CODEC_DAG_CBOR, CODEC_RAW, Cid
from ledger.codec import BLOCK_BYTES_MAX
from ledger.exchange_codec import (
    HEADS_MAX,
    IDS_MAX,
    Frontier,
    Opening,
    Want,
    decode_opening,
    decode_ranges,
    encode_frontier,
    encode_ranges,
    encode_want,
    require_ledger,
)
from ledger.ranges import SPANS_MAX, Fingerprint, Said, Span, Wanted, ask_about, check_spans, compare
from ledger.replica import BATCH_BLOCKS, BLOB_BATCH, ExchangeError, Replica, Totals, is_here, past_without, take_in

USELESS_MAX: Final = 4_096
"""Blocks that an answer may hold beside what is of use: altered, not asked for, refused, without room; or withheld."""
KNOWN_MAX: Final = 65_536
"""Blocks that may turn out to be known already, since others bring them meanwhile, or that wait."""
FRUITLESS_ROUNDS_MAX: Final = 64
"""Questions about spans, one after the other, from which nothing new comes."""
_UNKNOWN_ROUNDS_MAX: Final = 8
_BATCH_BYTES: Final = 8 * 1024 * 1024
_BLOB_PAGE: Final = 1_024
_ENOUGH_IDS: Final = IDS_MAX // 2


@dataclass(frozen=True, slots=True)
class Pulled:
    """What a pull brought, and what it tells of the other side.

    `missing_there` are events of the log here that the other lacks, in the linear order, as far as is known.
    """

    traffic: Traffic
    events: int
    """Event blocks that came."""
    taken: Totals
    heads: tuple[Cid, ...]
    """Heads of the other."""
    is_complete: bool
    """Whether all of them are accepted here now; else some wait, are held or were refused."""
    missing_there: tuple[Cid, ...]
    useless: int
    """Blocks that were altered, not asked for, refused, or withheld."""


def pull(into: Replica, carrier: Carrier, now_ms: Callable[[], int]) -> Pulled:
    """Bring to `into` what it lacks of the other's log, then the blobs it wants.

    What is taken in is durable in batches, so a pull that is broken off has brought something, and the next goes on
    there. `now_ms` tells the time as of which events are judged. Raises UnreachableError, MisbehaviourError, and
    ExchangeError where the other side has another ledger or refuses.
    """
    return _Pull(into, carrier, now_ms).run()


class _Pull:
    """One pull on its way."""

    def __init__(self, into: Replica, carrier: Carrier, now_ms: Callable[[], int]) -> None:
        self._into = into
        self._ledger = into.intake.ledger
        self._carrier = carrier
        self._now_ms = now_ms
        self._before = carrier.traffic.copy()
        self._totals = Totals()
        self._events = 0
        self._useless = 0
        self._lacking: list[Cid] = []
        self._fruitless = 0
        self._waited: set[Cid] = set()

    def run(self) -> Pulled:
        """Do all of it."""
        with self._into.reading():
            mine = _frontier_heads(self._into)
        opening = self._delta(mine)
        if opening.events is None:
            self._reconcile(opening)
        self._ask_for_unknown(opening.heads)
        self._pull_blobs()
        with self._into.reading():
            is_complete = all(is_here(self._into, cid) for cid in opening.heads)
            if opening.events is not None:  # the other knows what was said to it, and what it said
                missing = past_without(self._into, self._into.heads(), (*opening.heads, *mine))
            elif is_complete:
                missing = past_without(self._into, self._into.heads(), opening.heads)
            else:
                missing = self._lacking
            self._totals.waiting = sum(map(self._into.intake.waiting.has, self._waited))  # the others woke meanwhile
        traffic = self._carrier.traffic.since(self._before)
        return Pulled(traffic, self._events, self._totals, opening.heads, is_complete, tuple(missing), self._useless)

    # ---- where heads are known

    def _delta(self, heads: tuple[Cid, ...]) -> Opening:
        with self._carrier.ask("delta", encode_frontier(Frontier(self._ledger, heads))) as stream:
            opening = decode_opening(read_message(stream))
            require_ledger(self._ledger, opening.ledger)
            if opening.events is not None:
                self._take_events(stream, opening.events, lambda _: True)
        return opening

    # ---- where they are not

    def _reconcile(self, opening: Opening) -> None:
        """Find out what differs, ask for it, and look at the rest where that does not explain the other's heads."""
        with self._into.reading():
            found = compare(self._into.log, opening.said, self._is_empty)
            ask, rest = found.ask, found.rest
            if rest is not None and found.is_rest_suspect(opening.said):
                ask, rest = [*ask_about(self._into.log, rest), *ask], None
        self._lacking += found.lacking
        self._settle(ask, found.wanted)
        if rest is not None and self._unknown(opening.heads):
            with self._into.reading():
                ask = ask_about(self._into.log, rest)
            self._settle(ask, [])

    def _settle(self, ask: list[Fingerprint], wanted: list[Wanted]) -> None:
        """Ask about spans until none is open, the lowest first, and for what is wanted once nothing open lies below."""
        before = self._events
        while True:
            self._fetch_below(wanted, ask[0].span if ask else None)
            if not ask:
                return
            some = ask[:SPANS_MAX]
            said = self._ask_about(some)
            with self._into.reading():
                found = compare(self._into.log, said, self._is_empty)
            came, before = self._events > before, self._events
            self._fruitless = 0 if came or any(one.cids for one in found.wanted) else self._fruitless + 1
            if self._fruitless > FRUITLESS_ROUNDS_MAX:
                raise MisbehaviourError(f"{FRUITLESS_ROUNDS_MAX} questions about what differs, and no answer in them")
            ask = [*found.ask, *ask[SPANS_MAX:]]
            wanted += found.wanted
            wanted.sort(key=lambda one: one.span.low)
            self._lacking += found.lacking

    def _ask_about(self, ask: list[Fingerprint]) -> tuple[Said, ...]:
        with self._carrier.ask("ranges", encode_ranges(self._ledger, ask)) as stream:
            said = decode_ranges(read_message(stream), self._ledger)
        check_spans(said, ask)
        if any(isinstance(one, Fingerprint) and one.digest is None for one in said):
            raise MisbehaviourError("an answer about spans leaves one out")
        return said

    def _fetch_below(self, wanted: list[Wanted], lowest: Span | None) -> None:
        """Ask for what is wanted below the lowest open span, and take it off the list; a little of it can wait."""
        while wanted:
            below = len(wanted) if lowest is None else bisect_left(wanted, lowest.low, key=lambda one: one.span.low)
            some: list[Wanted] = []
            room = IDS_MAX
            for one in wanted[: min(below, SPANS_MAX)]:
                if len(one.cids) > room:
                    break
                room -= len(one.cids)
                some.append(one)
            if not some:
                if not below:
                    return
                one = wanted[0]  # a list of more than one request holds
                some, wanted[0] = [Wanted(one.span, one.cids[:IDS_MAX])], Wanted(one.span, one.cids[IDS_MAX:])
                self._want([], list(some[0].cids))
                continue
            is_little = len(some) == below and IDS_MAX - room < _ENOUGH_IDS and not any(one.whole for one in some)
            if lowest is not None and is_little:
                return
            del wanted[: len(some)]
            self._want([one.span for one in some if one.whole], [cid for one in some for cid in one.cids])

    def _want(self, spans: list[Span], cids: list[Cid], *, is_listed: bool = True) -> None:
        """Ask for blocks and take them in; what is here in any form is not asked for."""
        intake = self._into.intake
        with self._into.reading():
            new = (cid for cid in cids if intake.find(cid) is None)
            asked = {cid for cid in new if not intake.waiting.has(cid) and not intake.held.has(cid)}
        if not asked and not spans:
            return
        before = self._events
        message = encode_want(Want(self._ledger, tuple(cid for cid in cids if cid in asked), (), tuple(spans)))
        with self._carrier.ask("want", message) as stream:
            self._take_events(stream, None if spans else len(asked), (lambda _: True) if spans else asked.__contains__)
        if is_listed:
            self._useless += max(0, len(asked) - (self._events - before))
            self._require_use("withholds events that it listed")

    def _ask_for_unknown(self, heads: tuple[Cid, ...]) -> None:
        """Ask for heads of the other that did not come, and for what then is missing."""
        for _ in range(_UNKNOWN_ROUNDS_MAX):
            unknown = self._unknown(heads)
            before = self._totals.accepted, self._totals.waiting
            if not unknown:
                return
            self._want([], unknown, is_listed=False)
            if (self._totals.accepted, self._totals.waiting) == before:
                return

    def _unknown(self, heads: tuple[Cid, ...]) -> list[Cid]:
        """Return the heads that are here in no form, and if any waits, what is waited for."""
        intake = self._into.intake
        with self._into.reading():
            strange = [cid for cid in heads if intake.find(cid) is None and not intake.held.has(cid)]
            unknown = [cid for cid in strange if not intake.waiting.has(cid)]
            if len(unknown) < len(strange):
                unknown += (cid for cid in intake.waiting.wanted(IDS_MAX - HEADS_MAX // 2) if cid.is_event)
        return unknown[:IDS_MAX]

    def _is_empty(self, span: Span) -> bool:
        return not self._into.intake.events.count_between(span.low, span.high)

    # ---- taking in

    def _take_events(self, stream: BinaryIO, most: int | None, is_asked: Callable[[Cid], bool]) -> None:
        """Take in the events of a CAR, in batches; only those asked for, and not more than `most`."""
        reading = _Reading(stream, most, is_asked)
        try:
            with closing(check_ahead(reading.events(), self._ledger)) as checked:
                batch: list[Checked] = []
                size = 0
                for block in checked:
                    batch.append(block)
                    size += len(block if isinstance(block, bytes) else block.block)
                    if len(batch) >= BATCH_BLOCKS or size >= _BATCH_BYTES:
                        self._take(batch)
                        batch, size = [], 0
                if batch:
                    self._take(batch)
        finally:
            self._useless += reading.strays
        reading.require_sound()
        self._require_use("alters blocks, or sends others than were asked for")

    def _take(self, batch: list[Checked]) -> None:
        self._events += len(batch)
        report = take_in(self._into, batch, self._now_ms(), self._totals)
        self._waited.update(report.waiting)
        self._useless += len(report.refused) + len(report.evicted)
        self._require_use("sends events that are refused here")
        if self._totals.known + self._totals.waiting > KNOWN_MAX:
            raise MisbehaviourError(f"more than {KNOWN_MAX:,} events that are known, or wait for others")

    def _require_use(self, what: str) -> None:
        if self._useless > USELESS_MAX:
            raise MisbehaviourError(f"more than {USELESS_MAX:,} blocks of no use: the other side {what}")

    # ---- blobs

    def _pull_blobs(self) -> None:
        """Ask for the blobs that are wanted here: for all where events came, else for some, not always the same."""
        if not self._totals.accepted:
            page = self._wanted_blobs(Cid.of_raw(secrets.token_bytes(16)))
            if len(page) < _BLOB_PAGE:  # round to the first
                page = tuple(dict.fromkeys((*page, *self._wanted_blobs(None))))[:_BLOB_PAGE]
            if page:
                self._take_blobs(page)
            return
        after: Cid | None = None
        while page := self._wanted_blobs(after):
            self._take_blobs(page)
            after = page[-1]

    def _wanted_blobs(self, after: Cid | None) -> tuple[Cid, ...]:
        with self._into.reading():
            return self._into.intake.blobs.wanted(after, _BLOB_PAGE)

    def _take_blobs(self, page: tuple[Cid, ...]) -> None:
        asked = set(page)
        batch: list[bytes] = []
        with self._carrier.ask("want", encode_want(Want(self._ledger, (), page))) as stream:
            reading = _Reading(stream, len(page), asked.__contains__)
            for block in reading.blobs():
                batch.append(block)
                if len(batch) >= BLOB_BATCH:
                    self._keep_blobs(batch)
                    batch = []
            if batch:
                self._keep_blobs(batch)
        self._useless += reading.strays
        reading.require_sound()
        self._require_use("alters blobs, or sends others than were asked for")

    def _keep_blobs(self, blobs: list[bytes]) -> None:
        with self._into.writing():
            self._totals.blobs += self._into.intake.offer_blobs(blobs)[BlobFate.KEPT]


class _Reading:
    """A CAR that is read to where it ends, breaks off or goes wrong; what comes before that is taken in."""

    def __init__(self, stream: BinaryIO, most: int | None, is_asked: Callable[[Cid], bool]) -> None:
        self._stream = stream
        self._most = most
        self._is_asked = is_asked
        self._fault: Exception | None = None
        self.strays = 0
        """Blocks that were altered or not asked for."""

    def events(self) -> Iterator[bytes]:
        """Yield the events that were asked for."""
        return self._blocks(CODEC_DAG_CBOR, BLOCK_BYTES_MAX)

    def blobs(self) -> Iterator[bytes]:
        """Yield the raw blocks that were asked for."""
        return self._blocks(CODEC_RAW, BLOB_BYTES_MAX)

    def require_sound(self) -> None:
        """Raise what went wrong: UnreachableError where the answer breaks off, else MisbehaviourError."""
        if isinstance(self._fault, CarTruncatedError):
            raise UnreachableError(f"the answer breaks off: {self._fault}") from self._fault
        if isinstance(self._fault, CarFormatError):
            raise MisbehaviourError(f"the answer is no CAR: {self._fault}") from self._fault
        if self._fault is not None:
            raise self._fault

    def _blocks(self, codec: int, bytes_max: int) -> Iterator[bytes]:
        reader: CarReader | None = None
        others = count = 0
        try:
            reader = read_car(self._stream, strays_max=USELESS_MAX)
            for cid, block in reader:
                if cid.codec != codec or len(block) > bytes_max or not self._is_asked(cid):
                    others += 1
                    if others > USELESS_MAX:
                        raise MisbehaviourError(f"more than {USELESS_MAX:,} blocks that nobody asked for")
                    continue
                count += 1
                if self._most is not None and count > self._most:
                    raise MisbehaviourError(f"the answer holds more than the {self._most:,} blocks it is to hold")
                yield block
        except (CarFormatError, ExchangeError) as error:
            self._fault = error
        finally:
            self.strays = others + (0 if reader is None else reader.bad_count + reader.foreign)


def _frontier_heads(replica: Replica) -> tuple[Cid, ...]:
    """Return the heads to say: of more than a message holds, any are right, since they only make the answer shorter."""
    return tuple(sorted(replica.heads())[:HEADS_MAX])
