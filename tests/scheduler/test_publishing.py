"""Publishing: the copy on a node is the log, whatever comes in which order, whatever breaks off or is lost."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from random import Random
from unittest.mock import patch

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crdt.slow import reduce
from ledger.acceptance import unsafe_signed
from ledger.cid import Cid
from ledger.cold_start import fetch_segments
from ledger.fetching import fetch_blobs, from_node
from ledger.keys import SigningKey
from ledger.kubo_errors import KuboError
from ledger.manifest import Manifest, decode_manifest
from ledger.network_tables import NETWORK_NAME, open_network
from ledger.operations import Admit, Revoke
from ledger.outbox import SUPERSEDED_GRACE_MS, SUPERSEDED_MAX
from ledger.publishing import Publisher
from ledger.segments import unpack
from ledger.signing import sign_event
from scheduler.home import Home
from scheduler.published import publisher_of
from scheduler.replica import replica_of
from tests.support.memory_node import MemoryNode
from tests.support.wild import wild_world
from tests.support.worlds import CREATED, World, signing_key

FAR = CREATED + 10**9
KEY = SigningKey.from_seed(b"k" * 32)
seeds = st.integers(0, 2**32)


class Site:
    """A home with its network database and a node, and what was published of it."""

    def __init__(self, world: World, folder: Path, stack: ExitStack) -> None:
        self.world = world
        self.folder = folder
        self.stack = stack
        self.now = FAR
        self.node = MemoryNode()
        self.home = stack.enter_context(Home.enter(folder, world.genesis.encode(), clock=lambda: self.now))
        self.publisher = self.start()
        self.closed: list[Cid] = []
        self.ever: set[Cid] = set()

    def start(self) -> Publisher:
        """Return a publisher as a new process would have it."""
        network = self.stack.enter_context(open_network(self.folder))
        self.publisher = publisher_of(self.home, network, self.node, KEY)
        return self.publisher

    def offer(self, blocks: list[bytes]) -> None:
        """Take blocks in."""
        with self.home.writing() as writing:
            writing.offer(blocks)
        self.look()

    def look(self) -> frozenset[Cid]:
        """Return the log, and remember what was ever in it."""
        with self.home.reading():
            log = self.home.board.snapshot().log
        self.ever |= log
        return log

    def manifest(self) -> Manifest:
        """Return what the name leads to."""
        name = self.publisher.name
        assert name is not None
        return decode_manifest(self.node.blocks[self.node.names[name]], self.world.ledger)

    def check(self) -> None:
        """See that what is published is the log, and that what was closed is as it was."""
        manifest = self.manifest()
        with self.home.reading():
            snapshot = self.home.board.snapshot()
        packed: list[Cid] = []
        for entry in manifest.segments:
            found = unpack(self.node.blocks[entry.cid], self.world.ledger)
            assert (found.fault, len(found.events)) == (None, entry.events)
            packed += found.events
        assert len(packed) == len(set(packed))
        assert self.look() <= set(packed) <= self.ever
        before = {self.world.ledger}
        for cid in packed:
            block = self.node.blocks[cid]  # by itself, so that its links can be walked
            assert before.issuperset(unsafe_signed(block).event.links())
            before.add(cid)
        closed = [entry.cid for entry in manifest.segments[:-1]]
        assert closed[: len(self.closed)] == self.closed
        self.closed = closed
        assert (manifest.heads, manifest.events) == (snapshot.heads, len(snapshot.log))
        assert manifest.state_root == snapshot.state_root
        assert {entry.cid for entry in manifest.segments} <= self.node.pins

    def settle(self) -> None:
        """Let the grace pass, and see that the node has nothing that nobody names."""
        self.now += SUPERSEDED_GRACE_MS
        self.publisher.publish_segments()
        self.check()
        assert self.node.raw_blocks() == {entry.cid for entry in self.manifest().segments}
        assert len([cid for cid in self.node.pins if cid.is_event]) == 1


@contextmanager
def site_of(world: World, *, segment_bytes: int = 3_000, batch_bytes: int = 2_000) -> Iterator[Site]:
    """Yield a site whose segments and batches are small, so that a few events fill many."""
    with (
        tempfile.TemporaryDirectory() as folder,
        patch("ledger.segments.SEGMENT_BYTES_MAX", segment_bytes),
        patch("ledger.gathering.BATCH_BYTES", batch_bytes),
        ExitStack() as stack,
    ):
        yield Site(world, Path(folder) / "home", stack)


def parts_of(world: World, random: Random) -> Iterator[list[bytes]]:
    """Yield the blocks of a world in random order, in a few parts."""
    blocks = [event.block for event in world.events.values()]
    random.shuffle(blocks)
    while blocks:
        size = random.choice((1, 2, 5, 20))
        yield blocks[:size]
        blocks = blocks[size:]


@settings(max_examples=25, deadline=None)
@given(seed=seeds, order=seeds, steps=st.integers(1, 40))
def test_the_copy_is_the_log_and_closed_segments_never_change(seed: int, order: int, steps: int) -> None:
    """Law: in whatever order events come, fences and what they put outside the log and back included."""
    world = wild_world(seed, steps)
    random = Random(order)
    with site_of(world) as site:
        for part in parts_of(world, random):
            site.offer(part)
            if random.random() < 0.3:
                site.start()
            if random.random() < 0.7:
                assert site.publisher.publish_segments() == site.node.names[site.publisher.name or ""]
                site.check()
        site.publisher.publish_segments()
        site.check()
        site.settle()
        assert site.home.state_root() == reduce(world.ledger, world.genesis, world.events.values()).state_root


def test_what_is_beyond_a_fence_stays_packed_or_waits_for_a_link() -> None:
    """What left the log stays in its segment and counts no more; what never was in it is packed when it comes in."""
    world = World()
    owner, mal = world.owners[0], signing_key("mal")
    grant = world.event(owner, Admit(mal.actor, ("worker",)))
    before = world.event(mal, parents=[grant])
    revoke = world.event(owner, Revoke(grant, mal.actor, ()), parents=[grant])
    after = world.event(mal, parents=[grant], time=world.time_of(before) + 5)
    link = world.event(owner, parents=[after, revoke])
    with site_of(world) as site:

        def publish(*cids: Cid) -> tuple[int, int]:
            site.offer([world.events[cid].block for cid in cids])
            site.publisher.publish_segments()
            site.check()
            manifest = site.manifest()
            return manifest.events, sum(entry.events for entry in manifest.segments)

        assert publish(grant, before) == (2, 2)
        assert publish(revoke, after) == (2, 3)
        assert publish(link) == (4, 5)


@settings(max_examples=15, deadline=None)
@given(seed=seeds, order=seeds, steps=st.integers(5, 40))
def test_a_cold_peer_gets_all_of_it(seed: int, order: int, steps: int) -> None:
    """Law: what the segments bring has the publisher's heads and state root, and the manifest has no fault."""
    world = wild_world(seed, steps)
    with site_of(world) as site:
        for part in parts_of(world, Random(order)):
            site.offer(part)
            site.publisher.publish_events()
        site.publisher.publish_segments()
        with Home.enter(site.folder / "cold", world.genesis.encode(), clock=lambda: FAR) as cold:
            found = fetch_segments(replica_of(cold), site.manifest(), from_node(site.node), lambda: FAR)
            assert (found.faults, found.root_agrees) == ([], True)
            assert cold.state_root() == site.home.state_root()


@settings(max_examples=25, deadline=None)
@given(seed=seeds, order=seeds, breaks=st.lists(st.integers(0, 12), min_size=1, max_size=8))
def test_whatever_is_broken_off_goes_on_without_gaps(seed: int, order: int, breaks: list[int]) -> None:
    """Law: where the node goes at any call, and the process with it, no gap is left and nothing stays behind."""
    world = wild_world(seed, 30)
    random = Random(order)
    left = list(breaks)
    with site_of(world) as site:
        for part in parts_of(world, random):
            site.offer(part)
            if left:
                site.node.calls_left = left.pop()
            try:
                site.publisher.publish_segments()
            except KuboError:
                site.start()
            else:
                site.check()
            site.node.calls_left = None
        site.publisher.publish_segments()
        site.check()
        site.settle()


@settings(max_examples=15, deadline=None)
@given(seed=seeds, order=seeds, breaks=st.lists(st.integers(0, 6), max_size=4))
def test_a_lost_repository_gets_the_same_bytes_again(seed: int, order: int, breaks: list[int]) -> None:
    """Law: with the network database kept, the same segments are made again, though it is broken off on the way."""
    world = wild_world(seed, 30)
    with site_of(world) as site:
        for part in parts_of(world, Random(order)):
            site.offer(part)
            site.publisher.publish_events()
        site.publisher.publish_segments()
        before = [entry.cid for entry in site.manifest().segments]
        assert not site.publisher.repair()
        site.node.lose_all()
        for calls in breaks:
            site.node.calls_left = calls
            try:
                site.publisher.repair()
            except KuboError:
                site.start()
            site.node.calls_left = None
        site.publisher.repair()
        site.publisher.publish_segments()
        assert not site.publisher.repair()
        assert [entry.cid for entry in site.manifest().segments] == before
        site.check()


@pytest.mark.parametrize("lost", ["segment", "tail", "manifest", "event", "genesis"])
def test_whatever_is_lost_is_noticed(lost: str) -> None:
    """One block that the node has lost is enough to have all of it sent again."""
    world = wild_world(1, 25)
    with site_of(world) as site:
        site.offer([event.block for event in world.events.values()])
        manifest = site.publisher.publish_segments()
        assert manifest is not None
        entries = site.manifest().segments
        with site.home.reading():
            head = site.home.board.heads[0]
        cid = {
            "segment": entries[0].cid,
            "tail": entries[-1].cid,
            "manifest": manifest,
            "event": head,
            "genesis": world.ledger,
        }[lost]
        del site.node.blocks[cid]
        assert site.publisher.repair()
        assert not site.publisher.repair()
        site.check()
        site.settle()


def test_a_lost_network_database_is_made_again() -> None:
    """Publishing begins anew; what the old name led to does not stay on the node for ever."""
    world = wild_world(2, 40)
    with site_of(world) as site:
        for part in parts_of(world, Random(1)):
            site.offer(part)
            site.publisher.publish_segments()
        site.settle()
        for suffix in ("", "-wal", "-shm"):
            (site.folder / (NETWORK_NAME + suffix)).unlink(missing_ok=True)
        site.start()
        site.closed = []
        site.publisher.publish_segments()
        site.check()
        site.settle()


def test_a_home_that_was_restored_goes_on() -> None:
    """A backup knows less than was published: the segments stay as they are, and what is new comes after."""
    world = wild_world(3, 40)
    blocks = [event.block for event in world.events.values()]
    with site_of(world) as site:
        site.offer(blocks[:20])
        backup = site.folder.with_name("backup")
        with site.home.database.transaction():
            shutil.copytree(site.folder, backup)
        site.offer(blocks[20:])
        site.publisher.publish_segments()
        site.check()
        before = [entry.cid for entry in site.manifest().segments]
        restored = site.stack.enter_context(Home.open(backup, clock=lambda: FAR))
        for suffix in ("", "-wal", "-shm"):
            (backup / (NETWORK_NAME + suffix)).unlink(missing_ok=True)
            if (site.folder / (NETWORK_NAME + suffix)).exists():
                shutil.copy(site.folder / (NETWORK_NAME + suffix), backup)
        site.home, site.folder = restored, backup
        site.start()
        site.publisher.publish_segments()
        assert [entry.cid for entry in site.manifest().segments] == before
        with site.home.writing() as writing:
            writing.append(site.world.owners[0], [])
        site.publisher.publish_segments()
        site.check()
        site.node.lose_all()
        site.closed = []
        assert site.publisher.repair()
        site.check()


def test_a_clock_set_back_loses_nothing() -> None:
    """Events that are held again and come back under other ids are packed once; those that came meanwhile, too."""
    world = wild_world(4, 40)
    blocks = sorted((event.event.time, event.block) for event in world.events.values())
    with site_of(world) as site:
        site.offer([block for _, block in blocks[:30]])
        site.publisher.publish_segments()
        site.check()
        before = site.manifest().events
        site.now = blocks[20][0] - world.genesis.policy.skew_ms
        site.home = site.stack.enter_context(Home.open(site.folder, clock=lambda: site.now))
        site.start()
        site.publisher.publish_segments()
        assert site.manifest().events < before
        with site.home.writing() as writing:
            writing.append(site.world.owners[0], [])
        site.publisher.publish_segments()
        site.now = FAR
        site.offer([block for _, block in blocks[30:]])
        site.start()
        site.publisher.publish_segments()
        site.check()
        assert site.manifest().events == len(world.events) + 1
        site.settle()


def test_a_clock_that_jumps_under_a_publisher_loses_nothing() -> None:
    """The same, without a new start in between: the last event that was read stands elsewhere now, so all is read."""
    world = wild_world(4, 40)
    blocks = sorted((event.event.time, event.block) for event in world.events.values())
    with site_of(world) as site:
        site.offer([block for _, block in blocks])
        site.publisher.publish_segments()
        site.now = blocks[20][0] - world.genesis.policy.skew_ms
        for _ in range(3):
            with site.home.writing() as writing:
                writing.append(site.world.owners[0], [])
            site.publisher.publish_segments()
        site.now = FAR
        site.offer([])
        site.publisher.publish_segments()
        site.check()
        assert site.manifest().events == len(world.events) + 3
        site.settle()


def test_nothing_new_is_published_twice() -> None:
    """Where the log is as it was, the manifest stays the same; its name is published again, but seldom."""
    world = wild_world(5, 10)
    with site_of(world) as site:
        site.offer([event.block for event in world.events.values()])
        first = site.publisher.publish_segments()
        imported = site.node.imported
        site.now += 1_000
        site.node.names.clear()
        assert site.publisher.publish_segments() == first
        assert (site.node.imported, site.node.names) == (imported, {})
        site.now += 3_600_000
        assert site.publisher.publish_segments() == first
        assert list(site.node.names.values()) == [first]


def test_growth_is_bounded() -> None:
    """However often the open segment is replaced, only so many of the old ones stay, and only for a while."""
    world = wild_world(6, 5)
    with site_of(world, segment_bytes=1_000_000) as site:
        for _ in range(2 * SUPERSEDED_MAX):
            with site.home.writing() as writing:
                writing.append(world.owners[0], [])
            site.publisher.publish_segments()
        assert len(site.node.raw_blocks()) <= SUPERSEDED_MAX + 1
        site.settle()


def test_an_empty_ledger_has_a_manifest() -> None:
    """The genesis alone is a log: one segment, no events."""
    world = wild_world(7, 1)
    with site_of(world) as site:
        site.publisher.publish_segments()
        manifest = site.manifest()
        assert (manifest.heads, manifest.events, len(manifest.segments)) == ((world.ledger,), 0, 1)
        assert unpack(site.node.blocks[manifest.segments[0].cid], world.ledger).genesis == world.genesis.encode()
        assert world.ledger in site.node.blocks


def test_blobs_are_sent_when_they_come() -> None:
    """A blob that an event of the log links is on the node, at once or once it is here; a cold peer gets it."""
    world = wild_world(8, 3)
    here, later = b"here" * 100, b"later" * 100
    with site_of(world) as site:
        block = sign_event(
            world.owners[0],
            ledger=world.ledger,
            grant=world.ledger,
            parents=[world.ledger],
            cites=(),
            blobs=[Cid.of_raw(here), Cid.of_raw(later)],
            height=1,
            time=FAR,
            ops=(),
        )
        event = world.accept(block)
        site.offer([one.block for one in world.events.values()])
        with site.home.writing():
            site.home.intake.offer_blobs([here])
        site.publisher.publish_segments()
        assert event.cid in site.node.blocks
        assert (Cid.of_raw(here) in site.node.blocks, Cid.of_raw(later) in site.node.blocks) == (True, False)
        with site.home.writing():
            site.home.intake.offer_blobs([later])
        site.publisher.publish_events()
        assert site.node.blocks[Cid.of_raw(later)] == later
        with Home.enter(site.folder / "cold", world.genesis.encode(), clock=lambda: FAR) as cold:
            fetch_segments(replica_of(cold), site.manifest(), from_node(site.node), lambda: FAR)
            assert fetch_blobs(replica_of(cold), from_node(site.node)) == (2, 0)
