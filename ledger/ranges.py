"""Range-based set reconciliation over (height, CID): two logs find where they differ without listing themselves.

Implements: specs/exchange.md, rules X9 and X10. A span of the linear order has a fingerprint: how many events, and the
SHA-256 of their hashes in order (a sum would be quicker to keep up to date, and members could forge it). Where
fingerprints of a span are equal, so are its events; where not, it is split into parts, or its events are listed once
they are few. Most often two logs differ at their ends only, so the first answer begins there: spans that double in
length downwards, and a rest that is looked at only where it must be. Pure but for the log, which is passed in. Leaves
out: messages (ledger.exchange_codec) and what is done about a difference (ledger.exchange).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Final

from ledger.cid import Cid
from ledger.replica import LOWEST, ExchangeError, Log
from ledger.store import Bound, Item

PARTS: Final = 16
"""Parts a span is split into."""
FEW_EVENTS: Final = 32
"""A span of no more events than these is listed, never split."""
LISTED_MAX: Final = 2_048
"""Events of longer spans that one answer lists: cheaper than splitting them where most of them are missing."""
SPANS_MAX: Final = 512
"""Spans that one message asks about."""
_FIRST_SPANS: Final = tuple(32 << n for n in range(8))
"""How many of the last events the first answer looks at: 32, 64, … 4,096; in all fewer than may wait for others."""


@dataclass(frozen=True, slots=True)
class Span:
    """The events at or above `low` and below `high`; no upper end where that is None."""

    low: Bound
    high: Bound | None


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """What a side holds in a span: how many events, and the digest of them; None where it has not looked."""

    span: Span
    count: int
    digest: bytes | None


@dataclass(frozen=True, slots=True)
class Listed:
    """The events a side holds in a span, in order."""

    span: Span
    cids: tuple[Cid, ...]


Said = Fingerprint | Listed


@dataclass(frozen=True, slots=True)
class Wanted:
    """Events that the other has and that are not in the log here: those listed, or all of the span where `whole`."""

    span: Span
    cids: tuple[Cid, ...] = ()
    whole: bool = False


def digest_of(cids: Iterable[Cid]) -> bytes:
    """Return the digest of events given in the linear order: SHA-256 of their hashes, one after the other."""
    digest = hashlib.sha256()
    for cid in cids:
        digest.update(cid[4:])
    return digest.digest()


def fingerprint(log: Log, span: Span) -> Fingerprint:
    """Return what `log` holds in a span, all of it as one part."""
    digest = hashlib.sha256()
    count = 0
    for _, cid in log.items(span.low, span.high):
        digest.update(cid[4:])
        count += 1
    return Fingerprint(span, count, digest.digest())


def split(log: Log, span: Span, count: int) -> list[Fingerprint]:
    """Return what `log` holds in a span, in which it has `count` events, as up to PARTS parts of about as many."""
    size = -(-count // PARTS)
    parts: list[Fingerprint] = []
    low, last, inside, digest = span.low, None, 0, hashlib.sha256()
    for item in log.items(span.low, span.high):
        if last is not None and inside == size:
            bound = bound_between(last, item)
            parts.append(Fingerprint(Span(low, bound), inside, digest.digest()))
            low, inside, digest = bound, 0, hashlib.sha256()
        digest.update(item[1][4:])
        inside += 1
        last = item
    parts.append(Fingerprint(Span(low, span.high), inside, digest.digest()))
    return parts


def bound_between(before: Item, after: Item) -> Bound:
    """Return the shortest bound that `before` is below and `after` is not."""
    if before[0] < after[0]:
        return after[0], b""
    same = next(i for i, (a, b) in enumerate(zip(before[1], after[1], strict=True)) if a != b)
    return after[0], bytes(after[1][: same + 1])


# ---- who has


def opening(log: Log) -> list[Said]:
    """Return what to say of a log to one whose heads are not known here: spans of the last events, ascending."""
    items = log.latest(sum(_FIRST_SPANS) + 1)
    said: list[Said] = []
    high: Bound | None = None
    for length in _FIRST_SPANS:
        some, items = items[-length:], items[:-length]
        low = bound_between(items[-1], some[0]) if items else LOWEST
        said.append(Fingerprint(Span(low, high), len(some), digest_of(cid for _, cid in some)))
        high = low
        if not items:
            break
    else:
        said.append(Fingerprint(Span(LOWEST, high), 0, None))
    return said[::-1]


def answer(log: Log, asked: Sequence[Fingerprint]) -> list[Said]:
    """Return what a log has in those of the spans `asked` about where it has something else; ascending."""
    mine = [found for ask in asked if (found := fingerprint(log, ask.span)).digest != ask.digest]
    listed: set[Span] = set()
    room = LISTED_MAX
    for found in sorted(mine, key=lambda one: one.count):
        if found.count > FEW_EVENTS:
            room -= found.count
            if room < 0:
                break
        listed.add(found.span)
    said: list[Said] = []
    for found in mine:
        if found.span in listed:
            said.append(Listed(found.span, tuple(cid for _, cid in log.items(found.span.low, found.span.high))))
        else:
            said += split(log, found.span, found.count)
    return said


# ---- who wants


@dataclass(slots=True)
class Difference:
    """What comparing has found so far. `ask` is ascending: what is still to be asked about."""

    ask: list[Fingerprint] = field(default_factory=list)
    wanted: list[Wanted] = field(default_factory=list)
    lacking: list[Cid] = field(default_factory=list)
    """Events of the log here that the other has not."""
    rest: Span | None = None
    """What the other has not looked at yet."""

    def is_rest_suspect(self, said: Sequence[Said]) -> bool:
        """Return whether the events just above the rest differ, so that those in it may well."""
        above = next((one.span for one in said if self.rest is not None and one.span.low == self.rest.high), None)
        open_ = [one.span.low for one in self.ask] + [one.span.low for one in self.wanted]
        return above is not None and above.low in open_


def compare(log: Log, said: Iterable[Said], is_empty: Callable[[Span], bool]) -> Difference:
    """Return where `log` differs from what the other has `said` of its own.

    `is_empty` tells whether nothing at all is accepted here in a span, in the log or not: then all of it is wanted.
    """
    found = Difference()
    for one in said:
        if isinstance(one, Listed):
            _compare_listed(log, one, found)
        elif one.digest is None:
            found.rest = one.span
        else:
            _compare_fingerprint(log, one, is_empty, found)
    return found


def ask_about(log: Log, span: Span) -> list[Fingerprint]:
    """Return what to ask about a span that the other has not looked at."""
    mine = fingerprint(log, span)
    return split(log, span, mine.count) if mine.count > FEW_EVENTS else [mine]


def _compare_listed(log: Log, one: Listed, found: Difference) -> None:
    mine = [cid for _, cid in log.items(one.span.low, one.span.high)]
    here, there = set(mine), set(one.cids)
    if new := tuple(cid for cid in one.cids if cid not in here):
        found.wanted.append(Wanted(one.span, new))
    found.lacking += [cid for cid in mine if cid not in there]


def _compare_fingerprint(log: Log, one: Fingerprint, is_empty: Callable[[Span], bool], found: Difference) -> None:
    mine = fingerprint(log, one.span)
    if mine.digest == one.digest:
        return
    if not one.count:
        found.lacking += [cid for _, cid in log.items(one.span.low, one.span.high)]
    elif not mine.count and is_empty(one.span):
        found.wanted.append(Wanted(one.span, whole=True))
    elif mine.count <= FEW_EVENTS or one.count <= FEW_EVENTS:
        found.ask.append(mine)
    else:
        found.ask += split(log, one.span, mine.count)


def check_spans(said: Sequence[Said], within: Sequence[Fingerprint] | None = None) -> None:
    """Raise ExchangeError unless spans are ascending and apart, and each lies within one of `within` and is no repeat.

    A span that comes back as it was asked about would never shrink.
    """
    if any(a.span.high is None or a.span.high > b.span.low for a, b in pairwise(said)):
        raise ExchangeError("spans are not ascending, or lie in one another")
    if any(one.span.high is not None and one.span.low >= one.span.high for one in said):
        raise ExchangeError("a span ends before it begins")
    if within is None:
        return
    at = 0
    for one in said:
        while at < len(within) and not _holds(within[at].span, one.span):
            at += 1
        if at == len(within):
            raise ExchangeError("the answer is about a span that was not asked about")
        if isinstance(one, Fingerprint) and one.span == within[at].span:
            raise ExchangeError("a span does not shrink: it is neither listed nor split")


def _holds(outer: Span, inner: Span) -> bool:
    if inner.low < outer.low:
        return False
    return outer.high is None or (inner.high is not None and inner.high <= outer.high)
