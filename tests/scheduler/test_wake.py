"""Waking: appends are noticed at once, and no watcher, dead or slow, is ever waited for."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from pathlib import Path

from scheduler.wake import FOLDER_NAME, Watch, wake
from tests.scheduler.desk import Desk

DEADLINE_S = 10.0


def fifos(folder: Path) -> list[Path]:
    """Return the FIFOs that stand in a home."""
    return sorted((folder / FOLDER_NAME).glob("*.fifo"))


def test_an_append_wakes_who_watches_the_home(tmp_path: Path) -> None:
    """Each watcher, once; what changes no log wakes nobody."""
    with Desk(tmp_path / "home") as desk, Watch(desk.home.folder) as one, Watch(desk.home.folder) as other:
        assert not one.wait(0)
        key = desk.peer("w")
        assert one.wait(DEADLINE_S)
        assert other.wait(DEADLINE_S)
        assert not one.wait(0)
        with desk.home.writing() as writing:
            writing.heard(key.actor)
        assert not one.wait(0)
    assert fifos(tmp_path / "home") == []


def test_without_a_watcher_nothing_is_made(tmp_path: Path) -> None:
    """A home that nobody watches has no folder for it."""
    with Desk(tmp_path / "home") as desk:
        desk.peer("w")
        assert not (desk.home.folder / FOLDER_NAME).exists()


def test_a_killed_watcher_blocks_nobody_and_is_cleared_away(tmp_path: Path) -> None:
    """The next writer removes the FIFO of a process that is gone; a live one's stays."""
    program = (
        "import sys; from pathlib import Path; from scheduler.wake import Watch\n"
        "watch = Watch(Path(sys.argv[1])); print('up', flush=True); watch.wait(60)"
    )
    child = subprocess.Popen([sys.executable, "-c", program, str(tmp_path)], stdout=subprocess.PIPE)
    assert child.stdout is not None
    with child.stdout:
        assert child.stdout.readline() == b"up\n"
        child.send_signal(signal.SIGKILL)
        child.wait(DEADLINE_S)
    with Watch(tmp_path) as live:
        assert len(fifos(tmp_path)) == 2
        wake(tmp_path)
        assert len(fifos(tmp_path)) == 1
        assert live.wait(DEADLINE_S)


def test_a_watcher_that_does_not_read_slows_nobody(tmp_path: Path) -> None:
    """A full FIFO takes no more, and the writer goes on; the watcher wakes once and has all."""
    with Watch(tmp_path) as watch:
        for _ in range(70_000):
            wake(tmp_path)
        assert watch.wait(DEADLINE_S)
        while watch.wait(0):
            pass
        wake(tmp_path)
        assert watch.wait(DEADLINE_S)


def test_what_else_stands_in_the_folder_harms_nobody(tmp_path: Path) -> None:
    """Files, links and folders by the name of a FIFO are left as they are."""
    place = tmp_path / FOLDER_NAME
    place.mkdir()
    file = place / "a.fifo"
    file.write_bytes(b"")
    (place / "b.fifo").symlink_to(file)
    (place / "c.fifo").mkdir()
    wake(tmp_path)
    assert file.read_bytes() == b""
    assert sorted(found.name for found in place.iterdir()) == ["a.fifo", "b.fifo", "c.fifo"]


def test_a_thread_pokes_its_own_watcher(tmp_path: Path) -> None:
    """`poke` ends a wait from another thread."""
    with Watch(tmp_path) as watch:
        thread = threading.Thread(target=watch.poke)
        thread.start()
        assert watch.wait(DEADLINE_S)
        thread.join()
