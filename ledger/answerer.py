"""The side of an exchange that is asked: six requests, each answered out of one replica.

Implements: specs/exchange.md, rules X6 to X13 and X19 of who answers. Whoever carries a request (a function call, HTTP,
a libp2p stream) hands its path and body here and sends back what comes out. Long answers are read from the store page
by page: nothing is locked while somebody reads slowly, and memory holds a page. Leaves out: who may ask
(ledger.challenge), and time (ledger.exchange_server).
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain
from typing import BinaryIO, Final

from ledger.blobs import BLOB_BYTES_MAX, BlobFate
from ledger.car import CarFormatError, car_head, car_section, read_car
from ledger.cid import CODEC_RAW, Cid
from ledger.exchange_codec import (
    FRAME,
    HEADS_MAX,
    MESSAGE_BYTES_MAX,
    Frontier,
    Opening,
    Receipt,
    Want,
    decode_frontier,
    decode_question,
    decode_want,
    encode_opening,
    encode_ranges,
    encode_receipt,
    encode_state,
    require_ledger,
)
from ledger.ranges import Span, answer, opening
from ledger.replica import (
    BATCH_BLOCKS,
    BLOB_BATCH,
    LOWEST,
    ExchangeError,
    Replica,
    State,
    Totals,
    batches,
    is_here,
    past_without,
    take_in,
)
from ledger.store import Bound, Item
from ledger.task_exchange import TASK_BLOB_BYTES, TaskTold, decode_task_question, encode_task_told

OFFER_BYTES_MAX: Final = 16 * 1024 * 1024
"""Largest body of a request, in bytes: an offer."""
OFFER_BLOCKS_MAX: Final = 16 * BATCH_BLOCKS
_BATCH_BYTES: Final = 4 * 1024 * 1024
_CHUNK_BYTES: Final = 64 * 1024


class UnknownPathError(ExchangeError):
    """There is no such request."""


class Answerer:
    """Answers requests about one replica, one at a time.

    Args:
        replica: what is asked about, and given to.
        now_ms: tells the time (ms) as of which offers are judged.

    """

    def __init__(self, replica: Replica, now_ms: Callable[[], int]) -> None:
        self._replica = replica
        self._ledger = replica.intake.ledger
        self._now_ms = now_ms
        self._requests: dict[str, Callable[[BinaryIO], Iterator[bytes]]] = {
            "state": self._state,
            "delta": self._delta,
            "ranges": self._ranges,
            "want": self._want,
            "offer": self._offer,
            "task": self._task,
        }

    def answer(self, path: str, body: BinaryIO) -> Iterator[bytes]:
        """Return the answer to the request `path` ("delta", …) in pieces, to be read to the end or closed.

        What is wrong with the request is raised here, not by the iterator: ExchangeError, UnknownPathError. Both may be
        called in several threads, one at a time.
        """
        request = self._requests.get(path)
        if request is None:
            raise UnknownPathError(f"there is no request {path!r:.40}")
        return request(body)

    # ---- the six requests

    def _state(self, body: BinaryIO) -> Iterator[bytes]:
        _message(body)
        replica = self._replica
        if replica.state is not None:
            state = replica.state()
        else:
            with replica.reading():
                state = State(self._ledger, replica.heads(), replica.log.count(LOWEST, None))
        with replica.reading():
            heads = self._some(state.heads)
        return _framed(encode_state(State(self._ledger, heads, state.events, state.reducer, state.state_root)))

    def _delta(self, body: BinaryIO) -> Iterator[bytes]:
        frontier = decode_frontier(_message(body))
        require_ledger(self._ledger, frontier.ledger)
        replica = self._replica
        with replica.reading():
            heads = self._some(replica.heads())
            if not all(is_here(replica, cid) for cid in frontier.heads):
                return _framed(encode_opening(Opening(self._ledger, heads, None, tuple(opening(replica.log)))))
            if frontier.heads == (self._ledger,):
                arrived = replica.intake.events.latest_id()
                count, sections = replica.log.count(LOWEST, None), self._span_sections(Span(LOWEST, None), arrived)
            else:
                missing = self._missing(heads, frontier)
                count, sections = len(missing), self._event_sections(missing)
        return _framed(encode_opening(Opening(self._ledger, heads, count)), self._car(sections))

    def _missing(self, heads: tuple[Cid, ...], frontier: Frontier) -> list[Cid]:
        return [] if heads == frontier.heads else past_without(self._replica, heads, frontier.heads)

    def _ranges(self, body: BinaryIO) -> Iterator[bytes]:
        asked = decode_question(_message(body), self._ledger)
        with self._replica.reading():
            said = answer(self._replica.log, asked)
        return _framed(encode_ranges(self._ledger, said))

    def _want(self, body: BinaryIO) -> Iterator[bytes]:
        want = decode_want(_message(body))
        require_ledger(self._ledger, want.ledger)
        with self._replica.reading():
            items = sorted(item for cid in want.events if (item := self._in_log(cid)) is not None)
            arrived = self._replica.intake.events.latest_id()
            genesis = self._replica.intake.events.find_genesis() if self._ledger in want.events else None
        return self._car(self._wanted_sections(genesis, items, want, arrived))

    def _offer(self, body: BinaryIO) -> Iterator[bytes]:
        totals = Totals()
        fault: CarFormatError | None = None
        events: list[bytes] = []
        blobs: list[bytes] = []
        size = 0

        def settle() -> None:
            nonlocal size
            if events:
                take_in(self._replica, events, self._now_ms(), totals)
            if blobs:
                with self._replica.writing():
                    totals.blobs += self._replica.intake.offer_blobs(blobs)[BlobFate.KEPT]
            events.clear()
            blobs.clear()
            size = 0

        try:
            for count, (cid, block) in enumerate(read_car(body, strays_max=BATCH_BLOCKS)):
                if count >= OFFER_BLOCKS_MAX:
                    raise CarFormatError(0, f"more than {OFFER_BLOCKS_MAX} blocks in one offer")
                if cid.is_event and cid != self._ledger:
                    events.append(block)
                elif cid.codec == CODEC_RAW and len(block) <= BLOB_BYTES_MAX:
                    blobs.append(block)
                size += len(block)
                if len(events) >= BATCH_BLOCKS or size >= _BATCH_BYTES:
                    settle()
        except CarFormatError as error:
            fault = error
        settle()
        if fault is not None:
            raise ExchangeError(f"the offer is no CAR, or breaks off: {fault}; what was whole before is kept")
        intake = self._replica.intake
        with self._replica.reading():
            events_wanted = tuple(cid for cid in intake.waiting.wanted(BATCH_BLOCKS) if cid.is_event)
            blobs_wanted = intake.blobs.wanted(most=BATCH_BLOCKS)
        return _framed(encode_receipt(Receipt(self._ledger, totals, events_wanted, blobs_wanted)))

    def _task(self, body: BinaryIO) -> Iterator[bytes]:
        question = decode_task_question(_message(body))
        require_ledger(self._ledger, question.ledger)
        if self._replica.tasks is None:
            raise UnknownPathError("there is no board here that knows tasks")
        found = self._replica.tasks.find(question)
        told = TaskTold(self._ledger, found.heads, found.since, len(found.events), found.void)
        sections = chain(self._event_sections(found.events), self._some_blobs(found.blobs))
        return _framed(encode_task_told(told), self._car(sections))

    # ---- blocks

    def _some(self, heads: tuple[Cid, ...]) -> tuple[Cid, ...]:
        """Return the heads, or of too many the last in the linear order; within a reading."""
        if len(heads) <= HEADS_MAX:
            return tuple(sorted(heads))
        places = [(found[0], cid) for cid in heads if (found := self._replica.log.links(cid)) is not None]
        return tuple(sorted(cid for _, cid in sorted(places)[-HEADS_MAX:]))

    def _in_log(self, cid: Cid) -> Item | None:
        """Return height and CID of an event of the log, None for any other block (X8)."""
        found = self._replica.log.links(cid)
        if found is None or not self._replica.log.count((found[0], cid), _after((found[0], cid))):
            return None
        return found[0], cid

    def _wanted_sections(
        self, genesis: bytes | None, items: Sequence[Item], want: Want, arrived: int
    ) -> Iterator[tuple[Cid, bytes]]:
        """Yield the genesis, the events wanted one by one and those of whole spans in the linear order, then blobs."""
        if genesis is not None:
            yield self._ledger, genesis
        at = 0
        for span in want.spans:
            before = at
            while at < len(items) and items[at] < span.low:
                at += 1
            yield from self._event_sections([cid for _, cid in items[before:at]])
            yield from self._span_sections(span, arrived)
        yield from self._event_sections([cid for _, cid in items[at:]])
        for some in batches(want.blobs, BLOB_BATCH):
            with self._replica.reading():
                found = self._replica.intake.blobs.get_many(some)
            yield from sorted(found.items())

    def _span_sections(self, span: Span, arrived: int) -> Iterator[tuple[Cid, bytes]]:
        low = span.low
        while True:
            with self._replica.reading():
                page = list(self._replica.log.items(low, span.high, most=BATCH_BLOCKS, arrived=arrived))
                blocks = self._replica.intake.events.find_blocks([cid for _, cid in page])
            yield from ((cid, blocks[cid]) for _, cid in page if cid in blocks)
            if len(page) < BATCH_BLOCKS:
                return
            low = _after(page[-1])

    def _event_sections(self, cids: Iterable[Cid]) -> Iterator[tuple[Cid, bytes]]:
        for some in batches(cids, BATCH_BLOCKS):
            with self._replica.reading():
                blocks = self._replica.intake.events.find_blocks(some)
            yield from ((cid, blocks[cid]) for cid in some if cid in blocks)

    def _some_blobs(self, cids: Iterable[Cid]) -> Iterator[tuple[Cid, bytes]]:
        """Yield blobs that are here while they fit into an answer about a task, the small ones before a large one."""
        room = TASK_BLOB_BYTES
        for some in batches(cids, BLOB_BATCH):
            with self._replica.reading():
                found = self._replica.intake.blobs.get_many(some)
            for cid, data in sorted(found.items(), key=lambda item: (len(item[1]), item[0])):
                if len(data) <= room:
                    room -= len(data)
                    yield cid, data

    def _car(self, sections: Iterator[tuple[Cid, bytes]]) -> Iterator[bytes]:
        """Yield a CAR, in pieces of some size: each piece costs a carrier something."""
        pieces = [car_head((self._ledger,))]
        size = 0
        for cid, block in sections:
            pieces.append(car_section(cid, block))
            size += len(block)
            if size >= _CHUNK_BYTES:
                yield b"".join(pieces)
                pieces.clear()
                size = 0
        yield b"".join(pieces)


def _after(item: Item) -> Bound:
    """Return the bound right after an event."""
    return item[0], item[1] + b"\0"


def _framed(message: bytes, rest: Iterable[bytes] = ()) -> Iterator[bytes]:
    """Yield a message with its length in front, and what follows it."""
    yield FRAME.pack(len(message)) + message
    yield from rest


def _message(body: BinaryIO) -> bytes:
    """Read a request's message to its end."""
    found = io.BytesIO()
    while piece := body.read(_CHUNK_BYTES):
        found.write(piece)
        if found.tell() > MESSAGE_BYTES_MAX:
            raise ExchangeError(f"a message of more than {MESSAGE_BYTES_MAX:,} bytes")
    return found.getvalue()
