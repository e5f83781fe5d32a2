"""The log on its way: pieces when they are due, whole characters, backpressure, and a file that has all of it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from scheduler.working.spool import BYTES_TYPE, FIRST_S, PIECE_BYTES_MAX, TEXT_TYPE, URGENT_BYTES, Spool, attachment_of


class Clock:
    """A clock that stands still until it is set."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


class Logs:
    """Makes spools, and closes them."""

    def __init__(self) -> None:
        self.made: list[Spool] = []
        self.clock = Clock()
        self.rings = 0

    def ring(self) -> None:
        """Count how often the worker is woken."""
        self.rings += 1

    def make(self, path: Path) -> Spool:
        """Return a spool; half a lease is 30 s."""
        self.made.append(Spool(path, self.ring, self.clock, 30.0))
        return self.made[-1]


@pytest.fixture
def logs() -> Iterator[Logs]:
    """Give a maker of spools."""
    found = Logs()
    yield found
    for made in found.made:
        made.close()


def test_pieces_are_due_at_growing_intervals(tmp_path: Path, logs: Logs) -> None:
    """The first after two seconds of output, each later one after twice as long, at most half a lease."""
    log, clock = logs.make(tmp_path / "log"), logs.clock
    waits = []
    for _ in range(6):
        log.write(b"x")
        due = log.due_at
        assert due is not None
        waits.append(due - clock.now)
        log.sent(1)
    assert log.due_at is None
    assert waits == [FIRST_S, 4, 8, 16, 30, 30]


def test_much_is_sent_at_once(tmp_path: Path, logs: Logs) -> None:
    """From half a MiB on a piece is due now, and the worker is woken."""
    log, clock = logs.make(tmp_path / "log"), logs.clock
    log.write(b"x" * (URGENT_BYTES - 1))
    assert (logs.rings, log.due_at) == (1, clock.now + FIRST_S)
    log.write(b"x")
    assert logs.rings == 2
    assert log.due_at is not None
    assert log.due_at <= clock.now


def test_whoever_prints_more_than_a_piece_waits(tmp_path: Path, logs: Logs) -> None:
    """A writer waits until something was sent; once it is let go it never does, and the rest is dropped."""
    log = logs.make(tmp_path / "log")
    data = bytes(PIECE_BYTES_MAX + 200_000)
    writer = threading.Thread(target=log.write, args=(data,))
    writer.start()
    while len(log.piece()) + 65_536 <= PIECE_BYTES_MAX:
        pass
    writer.join(0.05)
    assert writer.is_alive()
    log.sent(len(log.piece()))
    writer.join(10)
    assert not writer.is_alive()
    log.let_go()
    log.write(data)
    assert len(log.piece()) <= PIECE_BYTES_MAX


def test_a_piece_ends_with_a_whole_character(tmp_path: Path, logs: Logs) -> None:
    """A character whose rest has not come waits for the next piece, but not for ever; bytes that are none do not."""
    log = logs.make(tmp_path / "log")
    log.write("ab€".encode()[:-1])
    assert log.piece() == b"ab"
    assert log.piece(is_last=True) == b"ab\xe2\x82"
    log.sent(2)
    log.write(b"\xac")
    assert log.piece() == "€".encode()
    log.sent(3)
    log.write(b"\xe2\x82")
    assert log.piece() == b"\xe2\x82"
    log.sent(2)
    log.write(b"abc\xff")
    assert log.piece() == b"abc"
    assert attachment_of(b"") is None
    for data, kind in ((b"text", TEXT_TYPE), (b"\xff\xff", BYTES_TYPE)):
        item = attachment_of(data)
        assert item is not None
        assert (item.media_type, item.data) == (kind, data)


def test_the_file_has_all_until_it_is_closed(tmp_path: Path, logs: Logs) -> None:
    """Who follows the log in the same home reads what is not sent yet, too."""
    path = tmp_path / "work" / "log"
    log = logs.make(path)
    log.write(b"one ")
    log.sent(4)
    log.write(b"two")
    assert path.read_bytes() == b"one two"
    log.close()
    assert not path.exists()
