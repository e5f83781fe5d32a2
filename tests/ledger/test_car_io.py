"""Logs by CAR files: exports that others read, imports in any order, files that several replicas meet in."""

from __future__ import annotations

import io
import os
import random
import threading
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ledger import car_import
from ledger.car import CarError, CarFormatError, read_car, write_car
from ledger.car_import import import_car
from ledger.car_io import export_car, read_genesis
from ledger.car_sync import replaced_file, sync_car
from ledger.cid import Cid
from ledger.exchange import ExchangeError
from ledger.waiting import WaitingRoom
from tests.ledger.test_intake import wide_world
from tests.ledger.world import OWNER, SKEW_MS, STRANGER, T0, WORKER, Home, World, event_of

NOW = 2**50


def a_car(blocks: list[bytes], blobs: list[bytes] = []) -> io.BytesIO:  # noqa: B006  # never changed
    """Return a CAR of blobs and then blocks, in the order given."""
    stream = io.BytesIO()
    write_car(
        stream, [], [*((Cid.of_raw(data), data) for data in blobs), *((Cid.of(block), block) for block in blocks)]
    )
    stream.seek(0)
    return stream


def filled(path: Path, world: World) -> Home:
    """Return a store that has accepted all of the world."""
    home = Home(path, world)
    home.offer(world.blocks, NOW)
    return home


def exported(home: Home, heads: list[Cid] | None = None, since: list[Cid] | None = None) -> io.BytesIO:
    """Return an export of a store."""
    stream = io.BytesIO()
    export_car(home.replica, stream, heads=heads, since=since or ())
    stream.seek(0)
    return stream


def test_an_export_streams_through(tmp_path: Path) -> None:
    """An export has the heads as roots, the genesis first, each event after all it links, then the blobs by CID."""
    world = wide_world(1, 40)
    data = [b"one", b"two", b"absent"]
    world.add(world.event(blobs=[Cid.of_raw(one) for one in data]))
    home = filled(tmp_path / "a", world)
    with home.database.transaction():
        home.intake.offer_blobs(data[:2])
    reader = read_car(exported(home))
    cids = [cid for cid, _ in reader]
    assert reader.roots == home.heads_kept()
    assert cids[0] == world.ledger
    seen = {world.ledger}
    for cid, block in list(read_car(exported(home)))[1:-2]:
        assert set(event_of(block).links()) <= seen
        seen.add(cid)
    assert seen == {world.ledger, *home.accepted()}
    assert cids[-2:] == sorted(Cid.of_raw(one) for one in data[:2])


def test_equal_logs_give_equal_bytes(tmp_path: Path) -> None:
    """An export is a function of the log: the order of arrival leaves no trace in it."""
    world = wide_world(2, 30)
    a, b = filled(tmp_path / "a", world), Home(tmp_path / "b", world)
    blocks = world.blocks[:]
    random.Random(3).shuffle(blocks)
    b.offer(blocks, NOW)
    assert a.accepted() != b.accepted()
    assert exported(a).getvalue() == exported(b).getvalue()


@settings(max_examples=25, deadline=None)
@given(st.randoms(use_true_random=False), st.integers(1, 30))
def test_import_in_any_order(rng: random.Random, size: int) -> None:
    """Whatever the order of a CAR, all of it is taken in: causal, backwards, or mixed, with blobs before events."""
    world = wide_world(rng.randint(0, 2**30), size)
    world.add(world.event(blobs=[Cid.of_raw(b"data")]))
    blocks = [world.genesis_block, *world.blocks]
    rng.shuffle(blocks)
    with TemporaryDirectory() as folder:
        home = Home(Path(folder) / "a", world)
        report = import_car(home.replica, a_car(blocks, [b"data", b"stray"]), NOW)
        assert set(home.accepted()) == set(map(Cid.of, world.blocks))
        assert (report.taken.accepted, report.taken.known, report.taken.blobs) == (len(world.blocks), 1, 1)
        assert (report.unlinked, report.taken.waiting, report.fault) == (1, 0, None)
        home.database.close()


def test_import_backwards_with_a_small_waiting_room(tmp_path: Path) -> None:
    """A CAR that is longer than the waiting room and stands backwards is taken in by two passes."""
    world = World()
    world.chain(100)
    home = Home(tmp_path / "a", world)
    home.intake.waiting = WaitingRoom(home.database, blocks_max=20)
    report = import_car(home.replica, a_car(world.blocks[::-1]), T0)
    assert report.taken.accepted == 100
    assert (report.taken.evicted, report.taken.waiting) == (0, 0)
    assert report.passes == 2


class CountedFile(io.BytesIO):
    """Bytes that count how often they are read."""

    bytes_read = 0

    def read(self, size: int | None = -1, /) -> bytes:
        """Read and count."""
        data = super().read(size)
        self.bytes_read += len(data)
        return data


@pytest.mark.parametrize("seed", range(4))
def test_import_shuffled_reads_a_file_twice_at_most(tmp_path: Path, seed: int) -> None:
    """A shuffled CAR far longer than the waiting room is read twice, though what never comes fills the room, too."""
    world = World()
    world.chain(300)
    stray = [world.event(parents=[Cid.of(b"never %d" % n)], height=n) for n in range(1, 41)]
    blocks = [*world.blocks, *stray]
    random.Random(seed).shuffle(blocks)
    home = Home(tmp_path / "a", world)
    home.intake.waiting = WaitingRoom(home.database, blocks_max=20)
    data = a_car(blocks).getvalue()
    file = CountedFile(data)
    report = import_car(home.replica, file, T0)
    assert (report.taken.accepted, report.passes) == (300, 2)
    assert report.taken.waiting + report.taken.evicted == len(stray)
    assert report.taken.waiting == 20
    assert file.bytes_read <= 2 * len(data)


def test_a_file_that_changes_while_it_is_read_is_an_error(tmp_path: Path) -> None:
    """What is read again must be the block that stood there before."""
    world = World()
    world.chain(30)
    home = Home(tmp_path / "a", world)
    home.intake.waiting = WaitingRoom(home.database, blocks_max=5)
    file = a_car(world.blocks[::-1])

    def write_over(cid: Cid) -> None:
        if cid == Cid.of(world.blocks[0]):  # the last one
            file.getbuffer()[2_000:4_000] = bytes(2_000)

    with pytest.raises(CarError):
        import_car(home.replica, file, T0, seen=write_over)


def test_an_import_says_what_became_of_each(tmp_path: Path) -> None:
    """Accepted, known, waiting, held, refused by rule, bad and foreign blocks are told apart."""
    world = World()
    known, new = world.chain(2)
    ahead = world.event(time=T0 + 10**9)
    waits = world.event(parents=[Cid.of(b"nobody has it")])
    refused = world.event(STRANGER)
    home = Home(tmp_path / "a", world)
    home.offer(world.blocks[:1])
    stream = io.BytesIO()
    odd = Cid(bytes([1, 0x70, 0x12, 0x20]) + Cid.of(b"pb").digest)  # dag-pb
    blocks = [*world.blocks, ahead, waits, refused]
    bad = (Cid.of(b"not this"), b"but this")
    write_car(stream, [new], [*((Cid.of(block), block) for block in blocks), bad, (odd, b"pb")])
    stream.seek(0)
    report = import_car(home.replica, stream, T0)
    taken = report.taken
    assert (taken.accepted, taken.known, taken.waiting, taken.held, taken.refused) == (1, 1, 1, 1, 1)
    assert [(refused.cid, refused.rule) for refused in taken.reasons] == [(Cid.of(world.event(STRANGER)), "A8")]
    assert (report.bad, report.foreign) == (1, 1)
    assert report.accepted == [new]
    assert report.waiting == [(Cid.of(waits), (Cid.of(b"nobody has it"),))]
    assert report.held == [(Cid.of(ahead), T0 + 10**9 - SKEW_MS)]
    assert home.accepted() == [known, new]


def test_import_from_a_pipe(tmp_path: Path) -> None:
    """A stream that cannot go back is spooled, so that a backward one is taken in all the same."""
    world = World()
    world.chain(50)
    home = Home(tmp_path / "a", world)
    home.intake.waiting = WaitingRoom(home.database, blocks_max=20)
    data = a_car(world.blocks[::-1]).getvalue()
    reading, writing = os.pipe()

    def write() -> None:
        with os.fdopen(writing, "wb") as stream:
            stream.write(data)

    thread = threading.Thread(target=write)
    thread.start()
    with os.fdopen(reading, "rb") as stream:
        assert import_car(home.replica, stream, T0).taken.accepted == 50
    thread.join()


def test_a_file_cut_short(tmp_path: Path) -> None:
    """Of a file that breaks off all whole blocks are taken in, and it is said where it ends."""
    world = World()
    world.chain(10)
    data = a_car(world.blocks).getvalue()
    home = Home(tmp_path / "a", world)
    report = import_car(home.replica, io.BytesIO(data[:-5]), T0)
    assert report.taken.accepted == 9
    assert report.fault is not None
    with pytest.raises(CarFormatError):
        import_car(home.replica, io.BytesIO(b"this is no CAR"), T0)


def test_a_part_since_heads(tmp_path: Path) -> None:
    """A part since given heads leaves out their past and the genesis; unknown heads are passed over."""
    world = World()
    chain = world.chain(10)
    home = filled(tmp_path / "a", world)
    assert [cid for cid, _ in read_car(exported(home, since=[chain[6]]))] == chain[7:]
    assert [cid for cid, _ in read_car(exported(home, since=[Cid.of(b"?")]))] == [world.ledger, *chain]
    assert [cid for cid, _ in read_car(exported(home, since=[world.ledger]))] == [world.ledger, *chain]
    other = Home(tmp_path / "b", world)
    other.offer(world.blocks[:7])
    assert import_car(other.replica, exported(home, since=[chain[6]]), T0).taken.accepted == 3


def test_a_part_with_the_past_of_some_events(tmp_path: Path) -> None:
    """An export of chosen events has their causal past and nothing else; unknown ones are an error."""
    world = World()
    chain = world.chain(4)
    branch = world.add(world.event(OWNER, parents=[chain[1]], ops=[{"op": "branch"}]))
    home = filled(tmp_path / "a", world)
    reader = read_car(exported(home, heads=[branch]))
    assert [cid for cid, _ in reader] == [world.ledger, *chain[:2], branch]
    assert reader.roots == (branch,)
    with pytest.raises(KeyError):
        exported(home, heads=[Cid.of(b"?")])


def test_genesis_of_a_file(tmp_path: Path) -> None:
    """The genesis is found wherever it stands, or that of the ledger asked for."""
    world, other = World(), World(name="other")
    world.chain(2)
    stream = a_car([*world.blocks, other.genesis_block, world.genesis_block])
    assert read_genesis(stream) == other.genesis_block
    stream.seek(0)
    assert read_genesis(stream, world.ledger) == world.genesis_block
    with pytest.raises(LookupError):
        read_genesis(a_car(world.blocks))
    assert filled(tmp_path / "a", world).accepted()


# ---- sync with a file


def test_replicas_meet_in_a_file(tmp_path: Path) -> None:
    """Replicas that only ever sync with one file come to the same log; with nothing new the file is left alone."""
    world = World()
    world.admit(WORKER)
    base = world.chain(5)
    shared = world.blocks[:]
    world.chain(3, WORKER, base[-1])
    middle = len(world.blocks)
    world.chain(4, OWNER, base[-1])
    a, b = Home(tmp_path / "a", world), Home(tmp_path / "b", world)
    a.offer(world.blocks[:middle])
    b.offer(shared + world.blocks[middle:])
    file = tmp_path / "meet.car"
    assert sync_car(a.replica, file, T0)[1] == 9
    report, given_ = sync_car(b.replica, file, T0)
    assert (report.taken.accepted, given_) == (3, 4)
    assert sync_car(a.replica, file, T0)[0].taken.accepted == 4
    assert set(a.accepted()) == set(b.accepted())
    before = file.stat().st_ino, file.read_bytes()
    for home in (a, b):
        assert sync_car(home.replica, file, T0)[1] == 0
    assert (file.stat().st_ino, file.read_bytes()) == before
    assert file.read_bytes() == exported(a).getvalue()


def test_a_file_keeps_what_others_may_need(tmp_path: Path) -> None:
    """A sync keeps in the file what waits here, drops what was refused or is damaged, and mends a broken end."""
    world = World()
    chain = world.chain(4)
    refused = world.event(STRANGER)
    file = tmp_path / "meet.car"
    file.write_bytes(a_car([world.genesis_block, *world.blocks[2:], refused]).getvalue() + b"\x7fbroken off")
    home = Home(tmp_path / "a", world)
    home.offer(world.blocks[:1])
    report, given_ = sync_car(home.replica, file, T0)
    assert (report.taken.waiting, report.taken.refused, given_) == (2, 1, 1)
    assert report.fault is not None
    with file.open("rb") as stream:
        assert {cid for cid, _ in read_car(stream)} == {world.ledger, chain[0], *chain[2:]}


def test_what_is_no_car_is_not_overwritten(tmp_path: Path) -> None:
    """A file that is no CAR is left as it is."""
    home = filled(tmp_path / "a", World())
    file = tmp_path / "letter.txt"
    file.write_text("dear reader")
    with pytest.raises(CarFormatError):
        sync_car(home.replica, file, T0)
    assert file.read_text() == "dear reader"


@pytest.mark.parametrize("what", ["genesis", "events", "mixed", "of nothing known", "cut"])
def test_a_file_of_another_ledger_is_left_as_it_is(tmp_path: Path, what: str) -> None:
    """A file with blocks of another ledger, or none of this one, is refused before anything is taken in or written."""
    world, other = World(), World(name="other")
    world.chain(3)
    other.chain(3)
    home = Home(tmp_path / "a", world)
    home.offer(world.blocks[:1])
    blocks = {
        "genesis": [other.genesis_block],
        "events": other.blocks,
        "mixed": [world.genesis_block, *world.blocks, other.blocks[2]],
        "of nothing known": [b"\xa0"],
        "cut": [other.genesis_block, *other.blocks],
    }[what]
    file = tmp_path / "backup.car"
    data = a_car(blocks).getvalue()
    file.write_bytes(data[:-4] if what == "cut" else data)
    before = file.stat().st_ino, file.read_bytes()
    with pytest.raises(ExchangeError, match="left as it is"):
        sync_car(home.replica, file, T0)
    assert (file.stat().st_ino, file.read_bytes()) == before
    assert len(home.accepted()) == 1


def test_a_new_file_of_no_blocks_is_filled(tmp_path: Path) -> None:
    """A CAR without blocks belongs to no other ledger: it is written."""
    home = filled(tmp_path / "a", World())
    file = tmp_path / "meet.car"
    file.write_bytes(a_car([]).getvalue())
    assert sync_car(home.replica, file, T0)[1] == 0
    world = World()
    world.chain(2)
    assert sync_car(filled(tmp_path / "b", world).replica, file, T0)[1] == 2


def test_a_sync_keeps_mode_bits_and_links(tmp_path: Path) -> None:
    """A file keeps its mode bits, and a symbolic link stays one: what it leads to is replaced."""
    world = World()
    world.chain(2)
    home = filled(tmp_path / "a", world)
    (tmp_path / "there").mkdir()
    file, way = tmp_path / "there" / "meet.car", tmp_path / "way.car"
    file.write_bytes(a_car([]).getvalue())
    file.chmod(0o640)
    way.symlink_to(file)
    assert sync_car(home.replica, way, T0)[1] == 2
    assert way.is_symlink()
    assert file.stat().st_mode & 0o777 == 0o640
    assert file.read_bytes() == exported(home).getvalue()
    with replaced_file(Path(os.devnull)) as stream:
        stream.write(b"gone")
    assert not Path(os.devnull).is_file()


def test_a_file_is_replaced_whole_or_not(tmp_path: Path) -> None:
    """Where writing breaks off the old file stays, and nothing is left beside it."""
    file = tmp_path / "kept"
    file.write_text("old")

    def break_off() -> None:
        with replaced_file(file) as stream:
            stream.write(b"half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        break_off()
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("kept", "old")]
    with replaced_file(file) as stream:
        stream.write(b"new")
    assert file.read_text() == "new"


def test_batches_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An import settles its blocks batch by batch, by number and by bytes, and never gathers the file."""
    monkeypatch.setattr(car_import, "BATCH_BYTES", 20_000)
    world = World()
    for n in range(20):
        world.add(world.event(ops=[{"op": "pad", "n": n, "pad": bytes(5_000)}]))
    home = Home(tmp_path / "a", world)
    sizes: list[int] = []
    offer = home.intake.offer

    def counted(blocks: list[bytes], now_ms: int) -> object:
        sizes.append(sum(map(len, blocks)))
        return offer(blocks, now_ms)

    monkeypatch.setattr(home.intake, "offer", counted)
    import_car(home.replica, a_car(world.blocks), T0)
    assert len(sizes) == 5
    assert max(sizes) < 30_000
