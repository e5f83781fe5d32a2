"""Block stores: every kind does the same, and the blobs that events link are kept and no others."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from ledger.blobs import BLOB_BYTES_MAX, BlobFate, BlockError, BlockStore, MemoryBlocks, SqliteBlocks
from ledger.cid import Cid
from tests.ledger.world import Home, World

BLOBS = [bytes([n]) * n for n in range(8)]
CIDS = [Cid.of_raw(data) for data in BLOBS] + [Cid.of(b"an event")]


class StoresAgree(RuleBasedStateMachine):
    """Every store gives the same answers, whatever was put, taken twice or refused before."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = TemporaryDirectory()
        self.database = Home(Path(self.folder.name) / "db", World()).database
        self.model: dict[Cid, bytes] = {}
        self.stores: list[BlockStore] = [MemoryBlocks(), SqliteBlocks(self.database)]

    @rule(chosen=st.lists(st.sampled_from(BLOBS)))
    def put(self, chosen: list[bytes]) -> None:
        """What is put is there; what was there stays."""
        blocks = [(Cid.of_raw(data), data) for data in chosen]
        for store in self.stores:
            with self.database.transaction():
                store.put_many(iter(blocks))
        self.model |= dict(blocks)

    @rule(good=st.sampled_from(BLOBS), at=st.integers(0, 1))
    def put_wrong(self, good: bytes, at: int) -> None:
        """Where one block is not what its CID names, none is kept."""
        blocks = [(Cid.of_raw(good), good)]
        blocks.insert(at, (Cid.of_raw(b"other"), b"another"))
        for store in self.stores:
            with self.database.transaction(), pytest.raises(BlockError):
                store.put_many(blocks)

    @rule(wanted=st.lists(st.sampled_from(CIDS)))
    def get(self, wanted: list[Cid]) -> None:
        """What is there comes out, what is not does not."""
        expected = {cid: self.model[cid] for cid in wanted if cid in self.model}
        for store in self.stores:
            with self.database.reading():
                assert dict(store.get_many(wanted)) == expected

    @invariant()
    def has(self) -> None:
        """Every store says of every block whether it is there."""
        for store in self.stores:
            with self.database.reading():
                assert [store.has(cid) for cid in CIDS] == [cid in self.model for cid in CIDS]

    def teardown(self) -> None:
        """Close the files."""
        self.database.close()
        self.folder.cleanup()


TestStoresAgree = StoresAgree.TestCase
TestStoresAgree.settings = settings(max_examples=30, stateful_step_count=15, deadline=None)


def test_get_many_of_many(tmp_path: Path) -> None:
    """More blocks than an SQL statement takes names come out at once."""
    home = Home(tmp_path / "db", World())
    blocks = {Cid.of_raw(bytes([n % 256, n // 256])): bytes([n % 256, n // 256]) for n in range(1200)}
    with home.database.transaction():
        home.intake.blobs.put_many(blocks.items())
        assert home.intake.blobs.get_many([*blocks, Cid.of_raw(b"missing")]) == blocks


def test_only_linked_blobs_are_kept(tmp_path: Path) -> None:
    """A blob is kept if an accepted event links it, before it comes or not; it is wanted until it is here."""
    world = World()
    home = Home(tmp_path / "db", world)
    data, later, stray = b"payload", b"later", b"stray"
    block = world.event(blobs=[Cid.of_raw(data), Cid.of_raw(later), Cid.of(b"no raw one")])
    with home.database.transaction():
        assert home.intake.offer_blobs([data]) == {BlobFate.UNLINKED: 1}
        home.intake.offer([block], now_ms=2**50)
        assert set(home.intake.blobs.wanted()) == {Cid.of_raw(data), Cid.of_raw(later)}
        assert home.intake.offer_blobs([data, stray]) == {BlobFate.KEPT: 1, BlobFate.UNLINKED: 1}
        assert home.intake.offer_blobs([data]) == {BlobFate.KNOWN: 1}
        assert home.intake.blobs.wanted() == (Cid.of_raw(later),)
        assert not home.intake.blobs.has(Cid.of_raw(stray))


def test_a_blob_of_more_than_a_mebibyte_is_refused(tmp_path: Path) -> None:
    """No store takes a block of more than 1 MiB."""
    home = Home(tmp_path / "db", World())
    data = bytes(BLOB_BYTES_MAX + 1)
    with home.database.transaction():
        for store in (MemoryBlocks(), home.intake.blobs):
            with pytest.raises(BlockError, match="at most"):
                store.put_many([(Cid.of_raw(data), data)])
        with pytest.raises(BlockError):
            home.intake.offer_blobs([data])
