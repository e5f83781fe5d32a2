"""What tests of runs share: a live that keeps the log, a permit, a folder and one run."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
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
def background(run: object, *args: object) -> Iterator[list[Ran]]:
    """Run something in a thread; what it returned is in the list after the block."""
    found: list[Ran] = []
    thread = threading.Thread(target=lambda: found.append(run(*args)))  # type: ignore[operator]
    thread.start()
    try:
        yield found
    finally:
        thread.join(120)
    assert not thread.is_alive()


def words(*argv: str) -> Sequence[str]:
    """Return an argv."""
    return argv
