"""Blocks checked ahead come out as they went in."""

from __future__ import annotations

import io
import os
import signal
import threading
from collections.abc import Iterator
from itertools import islice

import pytest

from ledger.acceptance import SignedEvent
from ledger.ahead import ALONE_BLOCKS, BATCH_BLOCKS, answer_all, check_ahead
from tests.support.worlds import World, a_spec

COUNT = ALONE_BLOCKS + 5 * BATCH_BLOCKS + 7


def a_ledger(count: int = COUNT) -> tuple[World, list[bytes]]:
    """Return a world with `count` events, each on the one before, and their blocks."""
    world = World()
    owner, head = world.owners[0], None
    for number in range(count):
        submit = world.submit(owner, a_spec(f"t{number}"))
        head = world.event(owner, submit, parents=() if head is None else (head,))
    return world, [event.block for event in world.events.values()]


@pytest.fixture(scope="module")
def ledger() -> tuple[World, list[bytes]]:
    """Return a ledger that is long enough for a process to be started."""
    return a_ledger()


def bytes_of(checked: SignedEvent | bytes) -> bytes:
    """Return the block, checked or not."""
    return checked if isinstance(checked, bytes) else checked.block


def test_order_is_kept_and_what_does_not_pass_stays_bytes(ledger: tuple[World, list[bytes]]) -> None:
    """Each block comes out once, in order; those beyond the first are checked, and a bad one is not said to pass."""
    world, blocks = ledger
    bad = bytearray(blocks[-5])
    bad[-1] ^= 1
    offered = [*blocks[:-4], bytes(bad), b"no event", *blocks[-4:]]
    found = list(check_ahead(iter(offered), world.ledger))
    assert list(map(bytes_of, found)) == offered
    passed = [block for block in found if isinstance(block, SignedEvent)]
    assert 4 * BATCH_BLOCKS <= len(passed) <= COUNT - ALONE_BLOCKS
    assert not {bytes(bad), b"no event"} & {event.block for event in passed}


def test_a_short_stream_starts_no_process(monkeypatch: pytest.MonkeyPatch, ledger: tuple[World, list[bytes]]) -> None:
    """A delta of a few events costs no process."""

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a process was started")

    monkeypatch.setattr("subprocess.Popen", refuse)
    world, blocks = ledger
    assert list(check_ahead(blocks[:10], world.ledger)) == blocks[:10]


def test_an_error_of_the_source_comes_after_what_it_gave(ledger: tuple[World, list[bytes]]) -> None:
    """What came before a connection broke is handed on, then the error is the caller's."""
    world, blocks = ledger

    def breaking() -> Iterator[bytes]:
        yield from blocks
        raise ConnectionError("broken")

    found: list[bytes] = []
    with pytest.raises(ConnectionError, match="broken"):
        found.extend(map(bytes_of, check_ahead(breaking(), world.ledger)))
    assert found == blocks


def test_who_stops_early_leaves_no_thread(ledger: tuple[World, list[bytes]]) -> None:
    """Closing ends the thread and the process, though the source goes on for ever."""
    world, blocks = ledger
    ended = threading.Event()

    def endless() -> Iterator[bytes]:
        try:
            while True:
                yield from blocks
        finally:
            ended.set()

    ahead = check_ahead(endless(), world.ledger)
    assert len(list(islice(ahead, COUNT))) == COUNT
    ahead.close()
    assert ended.wait(30)


def test_a_process_that_dies_loses_nothing(ledger: tuple[World, list[bytes]], monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the process is killed, what it did not answer comes out unchecked, for the caller to check."""
    import subprocess

    world, blocks = ledger
    started: list[subprocess.Popen[bytes]] = []
    real = subprocess.Popen

    def start(*args: object, **kwargs: object) -> subprocess.Popen[bytes]:
        process = real(*args, **kwargs)  # type: ignore[call-overload]  # handed on as they came
        started.append(process)
        os.kill(process.pid, signal.SIGKILL)
        return process  # type: ignore[no-any-return]  # as above

    monkeypatch.setattr("subprocess.Popen", start)
    assert list(map(bytes_of, check_ahead(iter(blocks), world.ledger))) == blocks
    assert len(started) == 1


def test_the_process_answers_a_byte_for_each_block(ledger: tuple[World, list[bytes]]) -> None:
    """One for a block that passes A1 to A6 in this ledger, zero for any other."""
    world, blocks = ledger
    other = World(name="other")
    stream = io.BytesIO(b"".join(len(b).to_bytes(4, "big") + b for b in (blocks[0], b"", blocks[1])))
    answers = io.BytesIO()
    answer_all(stream, answers, world.ledger)
    assert answers.getvalue() == b"\1\0\1"
    stream.seek(0)
    answer_all(stream, answers, other.ledger)
    assert answers.getvalue() == b"\1\0\1\0\0\0"
