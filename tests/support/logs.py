"""Logs without events: sorted lists of places, and two of them that reconcile by messages alone."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from ledger.cid import Cid
from ledger.exchange_codec import decode_question, decode_ranges, encode_ranges
from ledger.ranges import SPANS_MAX, Fingerprint, Said, Span, answer, ask_about, check_spans, compare, opening
from ledger.store import Bound, Item

LEDGER = Cid.of(b"a ledger")


class ListLog:
    """A log that is a sorted list of places."""

    def __init__(self, items: Sequence[Item]) -> None:
        self.all = sorted(items)

    def items(
        self, low: Bound, high: Bound | None, *, most: int | None = None, arrived: int | None = None
    ) -> Iterator[Item]:
        """Yield what `Log.items` says."""
        end = len(self.all) if high is None else bisect_left(self.all, high)
        return iter(self.all[bisect_left(self.all, low) : end][:most])

    def count(self, low: Bound, high: Bound | None) -> int:
        """Return how many these are."""
        return len(list(self.items(low, high)))

    def latest(self, most: int) -> list[Item]:
        """Return the last places."""
        return self.all[-most:]

    def links(self, cid: Cid) -> tuple[int, tuple[Cid, ...]] | None:
        """Raise: places link nothing."""
        raise NotImplementedError


@dataclass(slots=True)
class Run:
    """A reconciliation: what it found, and each question with its answer, as bytes."""

    wanted: set[Cid] = field(default_factory=set)
    lacking: set[Cid] = field(default_factory=set)
    rounds: list[tuple[bytes, bytes]] = field(default_factory=list)

    @property
    def largest(self) -> int:
        """Bytes of the largest message."""
        return max((len(message) for one in self.rounds for message in one), default=0)


def reconcile(mine: ListLog, theirs: ListLog, ledger: Cid = LEDGER) -> Run:
    """Return how the owner of `mine` finds out what differs, everything looked at."""
    run = Run()
    said: Sequence[Said] = opening(theirs)
    ask: list[Fingerprint] = []
    rest: Span | None = None
    while True:
        found = compare(mine, said, lambda span: not mine.count(span.low, span.high))
        for want in found.wanted:
            whole = [cid for _, cid in theirs.items(want.span.low, want.span.high)]
            run.wanted.update(whole if want.whole else want.cids)
        run.lacking.update(found.lacking)
        ask = [*found.ask, *ask]
        rest = found.rest or rest
        if rest is not None and not ask:
            ask, rest = ask_about(mine, rest), None
        if not ask:
            return run
        question, ask = encode_ranges(ledger, ask[:SPANS_MAX]), ask[SPANS_MAX:]
        asked = decode_question(question, ledger)
        answered = encode_ranges(ledger, answer(theirs, asked))
        said = decode_ranges(answered, ledger)
        check_spans(said, asked)
        run.rounds.append((question, answered))
