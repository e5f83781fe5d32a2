"""What tests of runs share: a live that keeps the log, a permit, a folder and one run."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from scheduler.running.job import Level, Limits, Permit, StopSignal
from scheduler.running.sandbox import Ended, Sandbox

LEVELS = tuple(Level)


@dataclass
class Kept:
    """A `Live` that keeps what it is told."""

    stop: StopSignal = field(default_factory=StopSignal)
    data: bytearray = field(default_factory=bytearray)
    said: list[str] = field(default_factory=list)
    heard: threading.Condition = field(default_factory=threading.Condition)

    def __del__(self) -> None:
        """Give back the pipe of the signal: hardly a test needs it for longer."""
        self.stop.close()

    def log(self, data: bytes) -> None:
        """Keep a piece of the log."""
        with self.heard:
            self.data += data
            self.heard.notify_all()

    def progress(self, words: str) -> None:
        """Keep words."""
        self.said.append(words)

    @property
    def text(self) -> str:
        """The log so far."""
        return self.data.decode(errors="replace")

    def wait_for(self, words: str) -> None:
        """Wait until the log has these words."""
        with self.heard:
            assert self.heard.wait_for(lambda: words in self.text, 60), f"no {words!r} in {self.text!r}"


@dataclass(frozen=True)
class Ran:
    """One run: how it ended, and its log."""

    ended: Ended
    log: str


class Bench:
    """A sandbox and a folder for runs, one after another."""

    def __init__(self, folder: Path, sandbox: Sandbox) -> None:
        self.folder, self.sandbox = folder, sandbox

    def run(
        self,
        *argv: str,
        level: Level = Level.BUBBLEWRAP,
        live: Kept | None = None,
        permit: Permit | None = None,
        env: Mapping[str, str] | None = None,
        limits: Limits | None = None,
        cwd: str = "",
    ) -> Ran:
        """Run a program; its log is returned with its end."""
        live = live or Kept()
        with live.stop:
            ended = self.sandbox.run(
                argv,
                folder=self.folder,
                cwd=cwd,
                env=env or {},
                permit=permit or Permit(level=level, limits=limits or Limits(time_ms=60_000)),
                live=live,
            )
        return Ran(ended, live.text)

    def sh(self, script: str, **how: object) -> Ran:
        """Run a script of the shell."""
        return self.run("sh", "-c", script, **how)  # type: ignore[arg-type]  # the keywords of `run`


@contextmanager
def background(run: Callable[[], Ran]) -> Iterator[list[Ran]]:
    """Run something in a thread; what it returned is in the list after the block."""
    found: list[Ran] = []
    thread = threading.Thread(target=lambda: found.append(run()))
    thread.start()
    try:
        yield found
    finally:
        thread.join(120)
    assert not thread.is_alive()


def processes_with(word: str, but: bytes = b"\0none\0") -> list[int]:
    """Return the processes on this machine with an argument that holds a word, zombies not counted."""
    found = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit() and int(folder.name) != os.getpid():
            with suppress(OSError):
                line = (folder / "cmdline").read_bytes()
                if word.encode() in line and not line.partition(b"\0")[0].endswith(but):
                    found.append(int(folder.name))
    return found


def wait_until(holds: Callable[[], bool], seconds: float = 30) -> None:
    """Wait until something holds, looking often; fail after a while."""
    until = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < until, "it does not come to hold"
        time.sleep(0.01)
