"""Answers that lie, never end or make no sense cost a bounded amount, and lose nothing that was in order."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ledger.answerer import Answerer
from ledger.car import car_head, car_section
from ledger.carrier import CallCarrier, MisbehaviourError, Traffic, UnreachableError, stream_of
from ledger.cid import Cid
from ledger.exchange import ExchangeError, pull, sync_with
from ledger.exchange_codec import FRAME, Opening, decode_question, encode_opening, encode_ranges
from ledger.pulling import FRUITLESS_ROUNDS_MAX
from ledger.ranges import Fingerprint, Listed, Said, Span
from ledger.replica import LOWEST, Replica
from tests.ledger.world import OWNER, STRANGER, T0, WORKER, Home, World

NOW = 2**50
Answer = Callable[[bytes], Iterator[bytes]]


class Liar:
    """A carrier to one who answers some requests in its own way, and the others honestly."""

    def __init__(self, honest: Replica, **answers: Answer) -> None:
        self._honest = Answerer(honest, lambda: NOW)
        self._answers = answers
        self.traffic = Traffic()

    @contextmanager
    def ask(self, path: str, body: bytes) -> Iterator[BinaryIO]:
        self.traffic.round_trips += 1
        answer = self._answers.get(path)
        pieces = self._honest.answer(path, io.BytesIO(body)) if answer is None else answer(body)
        yield stream_of(pieces, self.traffic)


def framed(message: bytes) -> bytes:
    """Return a message with its length in front."""
    return FRAME.pack(len(message)) + message


def delta(world: World, events: int, sections: Iterator[bytes], heads: tuple[Cid, ...] = ()) -> Answer:
    """Return the answer to a frontier whose heads are known: so many events, and these sections."""

    def answer(_: bytes) -> Iterator[bytes]:
        yield framed(encode_opening(Opening(world.ledger, heads or (world.ledger,), events)))
        yield car_head(())
        yield from sections

    return answer


@pytest.fixture
def world() -> World:
    """Return a ledger of some length."""
    world = World()
    world.admit(WORKER)
    world.chain(30)
    return world


@pytest.fixture
def full(tmp_path: Path, world: World) -> Home:
    """Return a home with all of it."""
    home = Home(tmp_path / "full", world)
    home.offer(world.blocks)
    return home


@pytest.fixture
def new(tmp_path: Path, world: World) -> Home:
    """Return a home with nothing of it."""
    return Home(tmp_path / "new", world)


def good(world: World) -> Iterator[bytes]:
    """Yield the sections of the ledger."""
    return (car_section(Cid.of(block), block) for block in world.blocks)


def endless(section: Callable[[int], bytes]) -> Iterator[bytes]:
    """Yield sections for ever."""
    number = 0
    while True:
        yield section(number)
        number += 1


def altered(number: int) -> bytes:
    """Return a section whose block is not what its CID names."""
    return car_section(Cid.of(b"%d" % number), b"something else")


def unasked(number: int) -> bytes:
    """Return a section with a raw block."""
    data = b"%d" % number
    return car_section(Cid.of_raw(data), data)


@pytest.mark.parametrize("what", ["altered", "unasked", "refused"])
def test_useless_blocks_end_a_pull(world: World, full: Home, new: Home, what: str) -> None:
    """Blocks that are altered, not asked for or refused, without end: the pull ends soon, what was good is kept."""

    def stranger(number: int) -> bytes:
        block = world.event(STRANGER, ops=[{"op": "n", "n": number}])
        return car_section(Cid.of(block), block)

    bad = {"altered": altered, "unasked": unasked, "refused": stranger}[what]

    def sections() -> Iterator[bytes]:
        yield from good(world)
        yield from endless(bad)

    liar = Liar(full.replica, delta=delta(world, 2**50, sections()))
    with pytest.raises(MisbehaviourError):
        pull(new.replica, liar, lambda: T0)
    assert len(new.accepted()) == len(world.blocks)
    assert liar.traffic.bytes_received < 10 * 1024 * 1024


def test_more_events_than_said(world: World, full: Home, new: Home) -> None:
    """An answer that holds more events than it said ends there."""
    liar = Liar(full.replica, delta=delta(world, 10, good(world)))
    with pytest.raises(MisbehaviourError, match="more than the 10"):
        pull(new.replica, liar, lambda: T0)
    assert len(new.accepted()) == 10


def test_a_pull_goes_on_after_a_break_at_any_byte(world: World, full: Home, tmp_path: Path) -> None:
    """Wherever the first answer breaks off, what was whole is kept, and the next pull brings the rest and no more."""
    whole = b"".join(Answerer(full.replica, lambda: T0).answer("delta", io.BytesIO(_frontier_of(world))))
    kept = set()
    for number, cut in enumerate([*range(0, 200, 7), *range(200, len(whole), 231), len(whole) - 1]):
        home = Home(tmp_path / f"{number}", world)

        def broken(_: bytes, cut: int = cut) -> Iterator[bytes]:
            yield whole[:cut]

        with suppress(UnreachableError):
            pull(home.replica, Liar(full.replica, delta=broken), lambda: T0)
        before = home.accepted()
        kept.add(len(before))
        pulled = pull(home.replica, CallCarrier(Answerer(full.replica, lambda: T0)), lambda: T0)
        assert pulled.events == len(world.blocks) - len(before)
        assert set(home.accepted()) == set(full.accepted())
        home.database.close()
    assert len(kept) > len(world.blocks) // 2  # it was broken off in most of the blocks


def _frontier_of(world: World) -> bytes:
    from ledger.exchange_codec import Frontier, encode_frontier

    return encode_frontier(Frontier(world.ledger, (world.ledger,)))


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=300), st.integers(0, 5_000), st.integers(0, 7))
def test_damaged_answers_raise_only_what_is_said(noise: bytes, place: int, bit: int) -> None:
    """Whatever the bytes of an answer, a pull ends in an ExchangeError or well, and accepts no altered event."""
    from tempfile import TemporaryDirectory

    world = World()
    world.chain(5)
    with TemporaryDirectory() as folder:
        full, new = Home(Path(folder) / "full", world), Home(Path(folder) / "new", world)
        full.offer(world.blocks)
        whole = bytearray(b"".join(Answerer(full.replica, lambda: T0).answer("delta", io.BytesIO(_frontier_of(world)))))
        whole[place % len(whole)] ^= 1 << bit
        for answer in (bytes(whole), noise, framed(noise), bytes(whole) + noise):
            try:
                pull(new.replica, Liar(full.replica, delta=lambda _, answer=answer: iter([answer])), lambda: T0)  # type: ignore[misc]  # a default binds it
            except ExchangeError:
                continue
        assert set(new.accepted()) <= set(full.accepted())
        pull(new.replica, CallCarrier(Answerer(full.replica, lambda: T0)), lambda: T0)
        assert set(new.accepted()) == set(full.accepted())
        full.database.close()
        new.database.close()


# ---- lies about spans


def unknown_heads(world: World, *said: Said, heads: tuple[Cid, ...] = (Cid.of(b"nobody has it"),)) -> Answer:
    """Return the answer of one who does not know the heads, and says this of its log."""

    def answer(_: bytes) -> Iterator[bytes]:
        yield framed(encode_opening(Opening(world.ledger, heads, None, said)))

    return answer


ALL = Span(LOWEST, None)


def test_invented_lists_cost_little(world: World, full: Home, new: Home) -> None:
    """Hashes of events that nobody has: they are asked for once, withheld, and that is counted."""
    new.offer(world.blocks[:3])
    asked = []

    def listed(body: bytes) -> Iterator[bytes]:
        asked.append(body)
        (question, *_) = decode_question(body, world.ledger)
        numbers = range(1_000 * len(asked), 1_000 * len(asked) + 1_000)
        cids = tuple(Cid.of(b"invented %d" % n) for n in numbers)
        yield framed(encode_ranges(world.ledger, [Listed(question.span, cids)]))

    liar = Liar(full.replica, delta=unknown_heads(world, Fingerprint(ALL, 2**40, b"d" * 32)), ranges=listed)
    pulled = pull(new.replica, liar, lambda: T0)
    assert (pulled.events, pulled.useless, pulled.is_complete) == (0, 1_000, False)
    assert liar.traffic.round_trips <= 5


def test_questions_that_bring_nothing_end(world: World, full: Home, new: Home) -> None:
    """Spans that become smaller for ever, with nothing in them, end the pull."""
    new.offer(world.blocks[:3])

    def splitting(body: bytes) -> Iterator[bytes]:
        said: list[Said] = []
        for one in decode_question(body, world.ledger)[-1:]:
            high = one.span.high or (2**53 - 1, b"")
            said.append(Fingerprint(Span(one.span.low, (high[0] - 1, b"")), 2**30, b"d" * 32))
        yield framed(encode_ranges(world.ledger, said))

    liar = Liar(full.replica, delta=unknown_heads(world, Fingerprint(ALL, 2**40, b"d" * 32)), ranges=splitting)
    with pytest.raises(ExchangeError):
        pull(new.replica, liar, lambda: T0)
    assert liar.traffic.round_trips <= 2 * FRUITLESS_ROUNDS_MAX + 5


def test_a_span_that_never_shrinks_is_refused(world: World, full: Home, new: Home) -> None:
    """A span that is given back as it was asked about ends the pull at once."""
    new.offer(world.blocks[:3])

    def same(body: bytes) -> Iterator[bytes]:
        said = [Fingerprint(one.span, one.count + 1, b"d" * 32) for one in decode_question(body, world.ledger)]
        yield framed(encode_ranges(world.ledger, said))

    liar = Liar(full.replica, delta=unknown_heads(world, Fingerprint(ALL, 20, b"d" * 32)), ranges=same)
    with pytest.raises(ExchangeError, match="does not shrink"):
        pull(new.replica, liar, lambda: T0)
    assert liar.traffic.round_trips == 2


def test_wanted_events_that_are_withheld(world: World, full: Home, new: Home) -> None:
    """An answerer that lists events and does not give them loses the asker nothing: another has them."""
    new.offer([*world.blocks[:3], world.event(OWNER, parents=[Cid.of(world.blocks[2])], ops=[{"op": "own"}])])
    liar = Liar(full.replica, want=lambda _: iter([car_head(())]))
    pulled = pull(new.replica, liar, lambda: T0)
    assert not pulled.is_complete
    assert pulled.useless == len(world.blocks) - 3
    assert pull(new.replica, CallCarrier(Answerer(full.replica, lambda: T0)), lambda: T0).is_complete


def test_events_nobody_asked_for_are_dropped(world: World, full: Home, new: Home) -> None:
    """Of the answer to a Want only what was asked for is taken in, good as the rest may be."""
    new.offer([*world.blocks[:3], world.event(OWNER, parents=[Cid.of(world.blocks[2])], ops=[{"op": "own"}])])
    extra = world.event(OWNER, parents=[Cid.of(world.blocks[0])], ops=[{"op": "extra"}])

    def more(body: bytes) -> Iterator[bytes]:
        yield from Answerer(full.replica, lambda: T0).answer("want", io.BytesIO(body))
        yield car_section(Cid.of(extra), extra)

    pulled = pull(new.replica, Liar(full.replica, want=more), lambda: T0)
    assert pulled.is_complete
    assert pulled.useless == 1
    assert Cid.of(extra) not in new.accepted()


def test_heads_that_nobody_has(world: World, full: Home, new: Home) -> None:
    """Invented heads are asked for once, and what is missing there is not guessed from them."""
    liar = Liar(full.replica, delta=delta(world, 30, good(world), heads=(Cid.of(b"invented"),)))
    liar = Liar(full.replica, delta=delta(world, len(world.blocks), good(world), heads=(Cid.of(b"invented"),)))
    synced = sync_with(new.replica, liar, lambda: T0)
    assert (synced.pulled.is_complete, synced.pulled.taken.accepted) == (False, len(world.blocks))
    assert liar.traffic.round_trips <= 4


def test_several_at_once(tmp_path: Path, world: World, full: Home) -> None:
    """Several who pull from one store at the same time, each in a thread of its own, all get the whole log."""
    from concurrent.futures import ThreadPoolExecutor

    homes = [Home(tmp_path / f"{number}", world) for number in range(4)]
    answerer = Answerer(full.replica, lambda: T0)

    def bring(home: Home) -> bool:
        return pull(home.replica, CallCarrier(answerer), lambda: T0).is_complete

    with ThreadPoolExecutor(len(homes)) as pool:
        assert all(pool.map(bring, homes))
    assert all(set(home.accepted()) == set(full.accepted()) for home in homes)
