"""A cold start under manifests that lie and sources that fail: said, bounded, never in the way of another source."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from unittest.mock import patch

import pytest

from ledger.cid import Cid
from ledger.cold_start import BAD_SEGMENTS_MAX, FaultKind, Fetched, fetch_segments
from ledger.exchange import sync_stores
from ledger.fetching import Get, UnavailableError, from_sources
from ledger.keys import SigningKey
from ledger.manifest import Manifest, SegmentEntry, decode_manifest, sign_manifest
from ledger.segments import Packer, Segment, section
from scheduler.home import Home
from scheduler.replica import replica_of, state_of
from tests.support.wild import wild_world
from tests.support.worlds import CREATED, World, a_spec

FAR = CREATED + 10**9
KEY = SigningKey.from_seed(b"k" * 32)


class Source:
    """A log of some world in small segments, the manifest over them, and who gives them."""

    def __init__(self, world: World, folder: Path, *, segment_bytes: int = 3_000) -> None:
        self.world = world
        self.home = Home.enter(folder / "source", world.genesis.encode(), clock=lambda: FAR)
        with self.home.writing() as writing:
            writing.offer([event.block for event in world.events.values()])
        with self.home.reading():
            log = self.home.board.snapshot().log
        with patch("ledger.segments.SEGMENT_BYTES_MAX", segment_bytes):
            packer = Packer(world.ledger, world.genesis.encode())
            parts = [section(cid, event.block) for cid, event in world.events.items() if cid in log]
            closed = [segment for segment in map(packer.add, parts) if segment is not None]
            self.segments: list[Segment] = [*closed, packer.open_segment()]
        self.blocks = {segment.cid: segment.data for segment in self.segments}
        state = state_of(self.home)
        assert state.reducer is not None
        assert state.state_root is not None
        entries = tuple(SegmentEntry(one.cid, one.events, len(one.data)) for one in self.segments)
        self.manifest = self.signed(
            Manifest(world.ledger, KEY.actor, FAR, state.heads, state.events, state.reducer, state.state_root, entries)
        )

    def signed(self, manifest: Manifest) -> Manifest:
        """Return a manifest as a reader gets it."""
        return decode_manifest(sign_manifest(KEY, manifest))

    def get(self, cid: Cid, bytes_max: int) -> bytes:
        """Return a segment."""
        if cid not in self.blocks:
            raise UnavailableError(f"{cid} is not here")
        return self.blocks[cid]


@pytest.fixture
def source(tmp_path: Path) -> Iterator[Source]:
    """Return a log of many small segments."""
    source = Source(wild_world(21, 60), tmp_path)
    yield source
    source.home.close()


@pytest.fixture
def cold(tmp_path: Path, source: Source) -> Iterator[Home]:
    """Return a home with the genesis only."""
    with Home.enter(tmp_path / "cold", source.world.genesis.encode(), clock=lambda: FAR) as home:
        yield home


def fetch(cold: Home, manifest: Manifest, get: Get, parallel: int = 8) -> Fetched:
    """Fetch into a home."""
    return fetch_segments(replica_of(cold), manifest, get, lambda: FAR, parallel=parallel)


def kinds(found: Fetched) -> set[FaultKind]:
    """Return the kinds of fault that were found."""
    return {fault.kind for fault in found.faults}


def test_segments_are_fetched_side_by_side_and_not_too_many(source: Source, cold: Home) -> None:
    """As many requests as allowed are under way at once, and no more."""
    turn = threading.Condition()
    under_way = most = 0

    def get(cid: Cid, bytes_max: int) -> bytes:
        nonlocal under_way, most
        with turn:
            under_way += 1
            most = max(most, under_way)
            turn.notify_all()
            assert turn.wait_for(lambda: most == 4, timeout=30)
        found = source.get(cid, bytes_max)
        with turn:
            under_way -= 1
        return found

    found = fetch(cold, source.manifest, get, parallel=4)
    assert (found.faults, found.root_agrees, most) == ([], True, 4)
    assert cold.state_root() == source.home.state_root()


def test_wrong_bytes_of_one_source_are_got_from_another(source: Source, cold: Home) -> None:
    """A source that gives other bytes than the CID names costs a question, nothing else."""

    def liar(cid: Cid, bytes_max: int) -> bytes:
        return source.get(cid, bytes_max)[:-1] + b"!"

    def endless(cid: Cid, bytes_max: int) -> bytes:
        return source.get(cid, bytes_max).ljust(bytes_max + 1)

    found = fetch(cold, source.manifest, from_sources([liar, endless, source.get]))
    assert (found.faults, found.root_agrees) == ([], True)


def test_a_damaged_segment_costs_only_itself(source: Source, cold: Home) -> None:
    """What does not rest on it is taken in, what does waits; both sides are said, and a peer brings the rest."""
    damaged = source.segments[-2]
    del source.blocks[damaged.cid]
    found = fetch(cold, source.manifest, source.get)
    assert kinds(found) == {FaultKind.MISSING, FaultKind.HEADS}
    assert found.faults[0].cid == damaged.cid
    assert found.taken.accepted >= sum(segment.events for segment in source.segments[:-2])
    assert found.segments == len(source.segments) - 1
    sync_stores(replica_of(cold), replica_of(source.home), lambda: FAR)
    assert cold.state_root() == source.home.state_root()


def test_a_segment_that_comes_late_is_not_missed(source: Source, cold: Home) -> None:
    """What could not be got is asked for once more at the end, and what had waited for it is taken in."""
    asked: set[Cid] = set()

    def get(cid: Cid, bytes_max: int) -> bytes:
        if cid not in asked and cid == source.segments[0].cid:
            asked.add(cid)
            raise UnavailableError("not yet")
        return source.get(cid, bytes_max)

    with patch("ledger.waiting.WAITING_BLOCKS_MAX", 3):  # for most there is no room to wait
        found = fetch(cold, source.manifest, get)
    assert (found.faults, found.root_agrees) == ([], True)
    assert cold.state_root() == source.home.state_root()


LIES: dict[str, tuple[Callable[[Manifest], Manifest], set[FaultKind]]] = {
    "fewer segments": (
        lambda told: replace(told, segments=(*told.segments[:2], replace(told.segments[2], events=999))),
        {FaultKind.COUNT, FaultKind.HEADS},
    ),
    "a head that is none": (lambda told: replace(told, heads=(Cid.of(b"none"),)), {FaultKind.HEADS}),
    "fewer events": (lambda told: replace(told, events=told.events - 1), {FaultKind.COUNT}),
    "another root": (lambda told: replace(told, state_root=bytes(32)), {FaultKind.ROOT}),
    "other counts": (
        lambda told: replace(told, segments=(replace(told.segments[0], events=99, size=1), *told.segments[1:])),
        {FaultKind.COUNT},
    ),
    "another ledger": (lambda told: replace(told, ledger=Cid.of(b"another")), {FaultKind.LEDGER}),
}


@pytest.mark.parametrize("lie", LIES)
def test_a_lie_is_found_out_and_hides_nothing(source: Source, cold: Home, lie: str) -> None:
    """Each is said by its kind; what is there is taken in, and another source has the last word."""
    change, expected = LIES[lie]
    found = fetch(cold, source.signed(change(source.manifest)), source.get)
    assert kinds(found) == expected
    sync_stores(replica_of(cold), replica_of(source.home), lambda: FAR)
    assert cold.state_root() == source.home.state_root()


def test_who_knows_more_is_not_told_less(source: Source, cold: Home) -> None:
    """An older manifest has no fault for a peer that has gone on, and takes nothing away."""
    with cold.writing() as writing:
        writing.offer([event.block for event in source.world.events.values()])
        writing.append(source.world.owners[0], [])
    before = cold.state_root()
    found = fetch(cold, source.manifest, source.get)
    assert (found.faults, found.root_agrees, found.taken.accepted) == ([], None, 0)
    assert cold.state_root() == before
    found = fetch(cold, source.signed(replace(source.manifest, events=source.manifest.events - 1)), source.get)
    assert kinds(found) == {FaultKind.COUNT}


def test_a_manifest_of_nothing_is_given_up(source: Source, cold: Home) -> None:
    """Segments that nobody has, thousands of them, are not all asked for."""
    entries = tuple(SegmentEntry(Cid.of_raw(n.to_bytes(4, "big")), 1, 1) for n in range(5_000))
    asked: list[Cid] = []

    def get(cid: Cid, bytes_max: int) -> bytes:
        asked.append(cid)
        return source.get(cid, bytes_max)

    found = fetch(cold, source.signed(replace(source.manifest, segments=entries)), get)
    assert FaultKind.GIVEN_UP in kinds(found)
    assert len(asked) <= 2 * (BAD_SEGMENTS_MAX + 8)


def test_forged_events_are_refused_and_given_up(source: Source, cold: Home) -> None:
    """Events that break a rule are refused one by one; where there is nothing else, the reading ends."""
    stranger = World(name="stranger")
    stranger.event(stranger.owners[0], stranger.submit(stranger.owners[0], a_spec("x")))
    for _ in range(40):
        stranger.event(stranger.owners[0])
    packer = Packer(source.world.ledger, source.world.genesis.encode())
    for cid, event in stranger.events.items():
        packer.add(section(cid, event.block))
    forged = packer.open_segment()
    source.blocks[forged.cid] = forged.data
    entries = (SegmentEntry(forged.cid, forged.events, len(forged.data)), *source.manifest.segments[1:])
    with patch("ledger.cold_start.REFUSED_MAX", 20):
        found = fetch(cold, source.signed(replace(source.manifest, segments=entries)), source.get)
    assert {FaultKind.REFUSED, FaultKind.GIVEN_UP} <= kinds(found)
    assert found.taken.refused >= 41
    sync_stores(replica_of(cold), replica_of(source.home), lambda: FAR)
    assert cold.state_root() == source.home.state_root()
