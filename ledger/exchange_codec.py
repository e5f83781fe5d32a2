"""The messages of an exchange as bytes: each to canonical DAG-CBOR and back.

Implements: specs/exchange.md, the schema and the bounds of X6 to X13. Decoding is strict: what comes from others is
exactly such a map, or an error. Leaves out what the messages are for (ledger.exchange, ledger.answerer): nothing in
them is believed.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import pairwise
from typing import Final, TypeVar

from ledger.aside import Refused
from ledger.cid import CID_BYTES, CODEC_DAG_CBOR, CODEC_RAW, Cid
from ledger.codec import CodecError, Encodable, Limits, decode, encode
from ledger.ranges import SPANS_MAX, Fingerprint, Listed, Said, Span, check_spans
from ledger.replica import ExchangeError, State, Totals
from ledger.schema import TIME_MAX, Fields, SchemaError, data, integer, items, keys_exactly, link, links, octets, text
from ledger.store import Bound

MESSAGE_BYTES_MAX: Final = 2 * 1024 * 1024
"""Largest message, in bytes."""
HEADS_MAX: Final = 4_096
"""Heads that a message names; of more, the last in the linear order are as good as all."""
SAID_MAX: Final = 16_384
"""Spans that an answer says something of: sixteen parts of each that was asked about, and twice as many."""
FRAME: Final = struct.Struct(">I")
"""The length that stands in front of an answer's message, in bytes."""
IDS_MAX: Final = 4_096
"""Blocks of each kind that one Want names."""
_LIMITS: Final = Limits(MESSAGE_BYTES_MAX, 5, 16 + HEADS_MAX + 10 * SAID_MAX)
_HASH_BYTES: Final = 32
_REASONS_MAX: Final = 100
_WORDS_MAX: Final = 300
T = TypeVar("T")


class MessageError(ExchangeError):
    """The bytes are no such message; what they break is said. Nothing was exchanged by it."""


@dataclass(frozen=True, slots=True)
class Frontier:
    """What a replica holds: its heads, ascending."""

    ledger: Cid
    heads: tuple[Cid, ...]


@dataclass(frozen=True, slots=True)
class Opening:
    """The answer to a Frontier: the heads of the other, and either how many events follow as a CAR, or spans.

    `events` is None where heads of the frontier are not known there, and `said` is what to go on from.
    """

    ledger: Cid
    heads: tuple[Cid, ...]
    events: int | None
    said: tuple[Said, ...] = ()


@dataclass(frozen=True, slots=True)
class Want:
    """Events and blobs to be sent, and spans of which all events are to be."""

    ledger: Cid
    events: tuple[Cid, ...] = ()
    blobs: tuple[Cid, ...] = ()
    spans: tuple[Span, ...] = ()


@dataclass(frozen=True, slots=True)
class Receipt:
    """What became of the blocks of an offer, and what is wanted beside: events something waits for, and blobs."""

    ledger: Cid
    taken: Totals
    events: tuple[Cid, ...] = ()
    blobs: tuple[Cid, ...] = ()


# ---- encoding


def encode_frontier(frontier: Frontier) -> bytes:
    """Return the bytes of a frontier."""
    return encode({"v": 1, "ledger": frontier.ledger, "heads": frontier.heads})


def encode_opening(opening: Opening) -> bytes:
    """Return the bytes of the answer to a frontier."""
    fields: dict[str, Encodable] = {"v": 1, "ledger": opening.ledger, "heads": opening.heads}
    if opening.events is not None:
        return encode(fields | {"events": opening.events})
    return encode(fields | {"ranges": [_said_items(one) for one in opening.said]})


def encode_ranges(ledger: Cid, said: Iterable[Said]) -> bytes:
    """Return the bytes of a question about spans (fingerprints only), or of the answer to one."""
    return encode({"v": 1, "ledger": ledger, "ranges": [_said_items(one) for one in said]})


def encode_want(want: Want) -> bytes:
    """Return the bytes of a request for blocks."""
    spans: list[Encodable] = [_span_items(span) for span in want.spans]
    events, blobs = pack_ids(want.events), pack_ids(want.blobs)
    return encode({"v": 1, "ledger": want.ledger, "events": events, "blobs": blobs, "spans": spans})


def encode_receipt(receipt: Receipt) -> bytes:
    """Return the bytes of what became of an offer."""
    taken = receipt.taken
    reasons: list[Encodable] = [
        [one.cid, one.rule, one.words[:_WORDS_MAX], one.at] for one in taken.reasons[:_REASONS_MAX]
    ]
    fields: dict[str, Encodable] = {name: getattr(taken, name) for name in _COUNTS}
    fields |= {"events": pack_ids(receipt.events), "wanted": pack_ids(receipt.blobs), "reasons": reasons}
    return encode({"v": 1, "ledger": receipt.ledger, **fields})


def encode_state(state: State) -> bytes:
    """Return the bytes of what a replica is at."""
    fields: dict[str, Encodable] = {"v": 1, "ledger": state.ledger, "heads": state.heads, "events": state.events}
    if state.state_root is not None:
        fields |= {"reducer": state.reducer, "state_root": state.state_root}
    return encode(fields)


def pack_ids(cids: Iterable[Cid]) -> bytes:
    """Return the hashes of blocks of one codec, one after the other."""
    return b"".join([cid.digest for cid in cids])


# ---- decoding


def decode_frontier(message: bytes) -> Frontier:
    """Return a frontier; raise MessageError for whatever is none."""
    fields = _fields(message, "frontier", frozenset({"heads"}))
    return _read("frontier", lambda: Frontier(link(fields, "ledger"), _heads(fields)))


def decode_opening(message: bytes) -> Opening:
    """Return the answer to a frontier; raise MessageError for whatever is none."""
    fields = _fields(message, "opening", frozenset({"heads"}), frozenset({"events", "ranges"}))

    def read() -> Opening:
        if ("events" in fields) == ("ranges" in fields):
            raise SchemaError("either events or ranges are wanted")
        events = integer(fields, "events", 0, TIME_MAX) if "events" in fields else None
        said = () if events is not None else _said(fields)
        if any(one.digest is None for one in said[1:] if isinstance(one, Fingerprint)):
            raise SchemaError("ranges: only the first may be without a digest")
        return Opening(link(fields, "ledger"), _heads(fields), events, said)

    return _read("opening", read)


def decode_question(message: bytes, ledger: Cid) -> tuple[Fingerprint, ...]:
    """Return the spans that are asked about; raise MessageError for whatever is no question about `ledger`."""
    said = decode_ranges(message, ledger)
    found = tuple(one for one in said if isinstance(one, Fingerprint) and one.digest is not None)
    if len(found) < len(said) or len(said) > SPANS_MAX:
        raise MessageError(f"no question about ranges: up to {SPANS_MAX} with a digest are wanted")
    return found


def decode_ranges(message: bytes, ledger: Cid) -> tuple[Said, ...]:
    """Return what is said of spans; raise MessageError for whatever is no such message, or of another ledger."""
    fields = _fields(message, "ranges", frozenset({"ranges"}))
    require_ledger(ledger, _read("ranges", lambda: link(fields, "ledger")))
    return _read("ranges", lambda: _said(fields))


def decode_want(message: bytes) -> Want:
    """Return what is wanted; raise MessageError for whatever is no such message."""
    fields = _fields(message, "want", frozenset({"events", "blobs", "spans"}))

    def read() -> Want:
        spans = tuple(_span(value) for value in items(fields, "spans", SPANS_MAX))
        check_spans([Fingerprint(span, 0, None) for span in spans])
        events, blobs = read_ids(fields, "events", IDS_MAX), read_ids(fields, "blobs", IDS_MAX, CODEC_RAW)
        return Want(link(fields, "ledger"), events, blobs, spans)

    return _read("want", read)


def decode_receipt(message: bytes) -> Receipt:
    """Return what became of an offer; raise MessageError for whatever is no such message."""
    fields = _fields(message, "receipt", frozenset({"reasons", "events", "wanted", *_COUNTS}))

    def read() -> Receipt:
        taken = Totals(reasons=[_refused(value) for value in items(fields, "reasons", _REASONS_MAX)])
        for name in _COUNTS:
            setattr(taken, name, integer(fields, name, 0, TIME_MAX))
        wanted = read_ids(fields, "wanted", IDS_MAX, CODEC_RAW)
        return Receipt(link(fields, "ledger"), taken, read_ids(fields, "events", IDS_MAX), wanted)

    return _read("receipt", read)


def decode_state(message: bytes) -> State:
    """Return what a replica says it is at; raise MessageError for whatever is no such message."""
    fields = _fields(message, "state", frozenset({"heads", "events"}), frozenset({"reducer", "state_root"}))

    def read() -> State:
        ledger, heads, events = link(fields, "ledger"), _heads(fields), integer(fields, "events", 0, TIME_MAX)
        if "reducer" not in fields and "state_root" not in fields:
            return State(ledger, heads, events)
        reducer = integer(fields, "reducer", 0, TIME_MAX)
        return State(ledger, heads, events, reducer, octets(fields, "state_root", _HASH_BYTES))

    return _read("state", read)


def require_ledger(ours: Cid, theirs: Cid) -> None:
    """Raise ExchangeError where a message is of another ledger."""
    if ours != theirs:
        raise ExchangeError(f"this is ledger {ours}, the other has {theirs}")


# ---- parts of messages

_COUNTS: Final = ("accepted", "known", "waiting", "held", "refused", "evicted", "blobs")


def _said_items(said: Said) -> list[Encodable]:
    if isinstance(said, Listed):
        return [*_span_items(said.span), pack_ids(said.cids)]
    return [*_span_items(said.span), said.count, said.digest]


def _span_items(span: Span) -> list[Encodable]:
    return [list(span.low), None if span.high is None else list(span.high)]


def _fields(message: bytes, what: str, required: frozenset[str], optional: frozenset[str] = frozenset()) -> Fields:
    """Return the map of a message, with `v` and `ledger` beside its own fields."""

    def read() -> Fields:
        fields = decode(message, limits=_LIMITS)
        if not isinstance(fields, dict):
            raise SchemaError("a map is wanted")
        keys_exactly(fields, required | {"v", "ledger"}, optional)
        integer(fields, "v", 1, 1)
        return fields

    return _read(what, read)


def _read(what: str, read: Callable[[], T]) -> T:
    try:
        return read()
    except (CodecError, SchemaError, ExchangeError) as error:
        raise error if isinstance(error, MessageError) else MessageError(f"no {what}: {error}") from error


def _heads(fields: Fields) -> tuple[Cid, ...]:
    heads = links(fields, "heads", HEADS_MAX, 1)
    if any(a >= b for a, b in pairwise(heads)):
        raise SchemaError("heads: ascending and unique links are wanted")
    return heads


def _said(fields: Fields) -> tuple[Said, ...]:
    said = tuple(_one_said(value) for value in items(fields, "ranges", SAID_MAX))
    check_spans(said)
    return said


def _one_said(value: object) -> Said:
    if not isinstance(value, list) or not 3 <= len(value) <= 4:
        raise SchemaError("ranges: a list of three or four is wanted")
    span = _span(value[:2])
    if len(value) == 3:
        return Listed(span, read_ids({"ranges": value[2]}, "ranges", SAID_MAX))
    fields = {"count": value[2], "digest": value[3]}
    count = integer(fields, "count", 0, TIME_MAX)
    return Fingerprint(span, count, None if value[3] is None else octets(fields, "digest", _HASH_BYTES))


def _span(value: object) -> Span:
    if not isinstance(value, list) or len(value) != 2:
        raise SchemaError("spans: two bounds are wanted")
    return Span(_bound(value[0]), None if value[1] is None else _bound(value[1]))


def _bound(value: object) -> Bound:
    if not isinstance(value, list) or len(value) != 2:
        raise SchemaError("bound: a height and bytes are wanted")
    fields = {"height": value[0], "bytes": value[1]}
    prefix = data(fields, "bytes")
    if len(prefix) > CID_BYTES:
        raise SchemaError(f"bound: at most {CID_BYTES} bytes are wanted")
    return integer(fields, "height", 0, TIME_MAX), prefix


def read_ids(fields: Fields, name: str, most: int, codec: int = CODEC_DAG_CBOR) -> tuple[Cid, ...]:
    """Return the blocks whose hashes stand one after the other in `name`; unique."""
    packed = data(fields, name)
    if len(packed) % _HASH_BYTES or len(packed) > most * _HASH_BYTES:
        raise SchemaError(f"{name}: up to {most} hashes of {_HASH_BYTES} bytes are wanted")
    prefix = bytes((1, codec, 0x12, _HASH_BYTES))
    found = tuple(Cid(prefix + packed[at : at + _HASH_BYTES]) for at in range(0, len(packed), _HASH_BYTES))
    if len(set(found)) != len(found):
        raise SchemaError(f"{name}: a hash stands twice")
    return found


def _refused(value: object) -> Refused:
    if not isinstance(value, list) or len(value) != 4:
        raise SchemaError("reasons: CID, rule, words and time are wanted")
    fields = dict(zip(("cid", "rule", "words", "at"), value, strict=True))
    words = text(fields, "words", 4 * _WORDS_MAX, 0)
    return Refused(link(fields, "cid"), text(fields, "rule", 8), words, integer(fields, "at", 0, TIME_MAX))
