"""Taking a log in by its segments, from any nodes and gateways, in parallel; and finding out where a manifest lies.

Implements: specs/segments.md, rule G7. A manifest only says where to look: every event is verified as anywhere else,
and whatever is wrong, what is right is taken in. So a manifest can withhold, but it can hide nothing that another
source has. Segments are fetched ahead, a few at once, and taken in as they stand; memory holds those few. Leaves out:
getting blocks (ledger.fetching), and which manifest to begin with.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import islice
from typing import Final

from ledger.ahead import check_ahead
from ledger.cid import Cid
from ledger.fetching import PARALLEL, Get, from_sources, in_order
from ledger.manifest import Manifest, SegmentEntry
from ledger.replica import BATCH_BLOCKS, Replica, Totals, past_without
from ledger.segments import SEGMENT_BYTES_MAX, unpack

BAD_SEGMENTS_MAX: Final = 16
"""Segments with nothing in them, one after the other, after which a manifest is given up."""
REFUSED_MAX: Final = 10_000
"""Refused events after which a manifest is given up."""


class FaultKind(StrEnum):
    """What is not as a manifest says."""

    LEDGER = "another ledger"
    MISSING = "a segment that cannot be got"
    FORM = "a segment that is no segment"
    COUNT = "another number of events or bytes"
    REFUSED = "events that are refused"
    HEADS = "heads that the segments do not lead to"
    ROOT = "another state root"
    GIVEN_UP = "too much that is wrong"


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that is not as a manifest says; `cid` is the segment, the event or the head it is about, if any."""

    kind: FaultKind
    words: str
    cid: Cid | None = None


@dataclass(slots=True)
class Fetched:
    """What a manifest brought: what became of the events, how many segments and bytes came, what was not as it says.

    `root_agrees` is None where it cannot be told: the log here holds more than the manifest's, other rules make its
    board, or heads are held, being ahead of this clock.
    """

    taken: Totals = field(default_factory=Totals)
    segments: int = 0
    bytes: int = 0
    faults: list[Fault] = field(default_factory=list)
    root_agrees: bool | None = None


def fetch_segments(
    into: Replica,
    manifest: Manifest,
    get: Get,
    now_ms: Callable[[], int],
    *,
    parallel: int = PARALLEL,
    step: Callable[[int, int], None] = lambda done, of: None,
) -> Fetched:
    """Take the events of all segments of `manifest` into a replica, and say what of it is not so; never raises for it.

    Args:
        into: the replica of the same ledger, empty or not.
        manifest: where to look, its signature verified (decode_manifest).
        get: the sources, all distrusted.
        now_ms: the clock.
        parallel: how many segments are fetched at once.
        step: told how many segments of how many have been read, by another thread.

    """
    found = Fetched()
    if manifest.ledger != into.intake.ledger:
        found.faults.append(Fault(FaultKind.LEDGER, f"the manifest is of ledger {manifest.ledger}"))
        return found
    reading = _Reading(into, manifest, get, now_ms, parallel, found)
    entries = list(enumerate(manifest.segments))
    missing = reading.take(entries, step)
    if missing and len(reading.take(missing, step)) < len(missing):
        # What came late may be what the segments after it waited for, in vain where the waiting room was full.
        reading.take(entries[missing[0][0] :], step)
    reading.conclude()
    _check_claims(into, manifest, found)
    return found


class _Reading:
    """A manifest on its way in."""

    def __init__(
        self, into: Replica, manifest: Manifest, get: Get, now_ms: Callable[[], int], parallel: int, found: Fetched
    ) -> None:
        self._into = into
        self._manifest = manifest
        self._get = from_sources([get])
        self._now_ms = now_ms
        self._parallel = parallel
        self._found = found
        self._missing: dict[int, Fault] = {}
        self._faults: dict[tuple[int, FaultKind], Fault] = {}

    def take(
        self, entries: Sequence[tuple[int, SegmentEntry]], step: Callable[[int, int], None]
    ) -> list[tuple[int, SegmentEntry]]:
        """Take in the events of these segments; return those that could not be got."""
        taken = self._found.taken
        with closing(check_ahead(self._blocks(entries, step), self._into.intake.ledger)) as checked:
            while some := list(islice(checked, BATCH_BLOCKS)):
                with self._into.writing():
                    report = self._into.intake.offer(some, self._now_ms())
                taken.add(report)
                if taken.refused > REFUSED_MAX:
                    self._faults[0, FaultKind.GIVEN_UP] = Fault(FaultKind.GIVEN_UP, f"{taken.refused} refused events")
                    return []
        return [(number, entry) for number, entry in entries if number in self._missing]

    def conclude(self) -> None:
        """Add up what was found out."""
        with self._into.reading():
            taken = self._found.taken
            if taken.refused:
                first = taken.reasons[0]
                words = f"{taken.refused} events are refused, first {first.cid} by {first.rule}"
                self._faults[0, FaultKind.REFUSED] = Fault(FaultKind.REFUSED, words, first.cid)
        self._found.faults += self._missing.values()
        self._found.faults += self._faults.values()

    def _blocks(
        self, entries: Sequence[tuple[int, SegmentEntry]], step: Callable[[int, int], None]
    ) -> Generator[bytes, None, None]:
        """Yield the blocks of events as they stand in the segments; in the thread that checks ahead."""
        bad = 0
        wanted = [(entry.cid, SEGMENT_BYTES_MAX) for _, entry in entries]
        with ThreadPoolExecutor(self._parallel, "p2p-workflow-fetch") as pool:
            segments = in_order(pool, self._get, wanted, self._parallel)
            for (number, entry), data in zip(entries, segments, strict=False):
                blocks = self._events(number, entry, data)
                yield from blocks
                bad = 0 if blocks or entry.events == 0 else bad + 1
                if bad == BAD_SEGMENTS_MAX:
                    words = f"{bad} segments with nothing in them, one after the other"
                    self._faults[0, FaultKind.GIVEN_UP] = Fault(FaultKind.GIVEN_UP, words)
                    return
                step(number + 1, len(self._manifest.segments))

    def _events(self, number: int, entry: SegmentEntry, data: bytes | None) -> Iterable[bytes]:
        """Return the events of a segment, and note what is wrong with it."""
        if data is None:
            words = f"segment {number} of {len(self._manifest.segments)}, {entry.events} events"
            self._missing[number] = Fault(FaultKind.MISSING, words, entry.cid)
            return ()
        self._missing.pop(number, None)
        self._found.segments += 1
        self._found.bytes += len(data)
        unpacked = unpack(data, self._manifest.ledger)
        fault = unpacked.fault
        if fault is None and (unpacked.genesis is not None) != (number == 0):
            fault = "the genesis stands at the beginning of the first segment, and only there"
        if fault is not None:
            self._faults[number, FaultKind.FORM] = Fault(FaultKind.FORM, f"segment {number}: {fault}", entry.cid)
        if (len(unpacked.events), len(data)) != (entry.events, entry.size):
            words = (
                f"segment {number} holds {len(unpacked.events)} events in {len(data)} bytes, "
                f"{entry.events} in {entry.size} are said"
            )
            self._faults[number, FaultKind.COUNT] = Fault(FaultKind.COUNT, words, entry.cid)
        return unpacked.events.values()


def _check_claims(into: Replica, manifest: Manifest, found: Fetched) -> None:
    """Compare heads, number of events and state root with what is here now."""
    faults = found.faults
    with into.reading():
        intake = into.intake
        absent = [head for head in manifest.heads if (link := intake.find(head)) is None or link.refused]
        ahead = [head for head in absent if intake.held.has(head)]
        is_same = into.heads() == manifest.heads
    if len(absent) > len(ahead):
        head = next(head for head in absent if head not in ahead)
        words = f"{len(absent) - len(ahead)} of {len(manifest.heads)} heads are not reached, first {head}"
        faults.append(Fault(FaultKind.HEADS, words, head))
    if absent:
        return
    here = into.state() if into.state is not None and is_same else None
    if here is not None and here.heads == manifest.heads:
        events = here.events
        if here.reducer == manifest.reducer:
            found.root_agrees = here.state_root == manifest.state_root
    else:
        with into.reading():
            events = len(past_without(into, manifest.heads, ()))
    if events != manifest.events:
        faults.append(Fault(FaultKind.COUNT, f"{events} events lead to the heads, {manifest.events} are said"))
    if found.root_agrees is False:
        words = f"the board has another state root than {manifest.state_root.hex()}, which is said"
        faults.append(Fault(FaultKind.ROOT, words))
