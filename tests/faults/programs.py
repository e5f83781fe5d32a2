"""Programs that the tests of this folder run as processes: `python -m tests.faults.programs NAME ARGUMENTS`."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Final

from ledger.database import StoreError
from scheduler.home import Home
from tests.faults.work import Time, submit_of

ROOT: Final = Path(__file__).parents[2]
NOBODY: Final = 65534


def start(name: str, *arguments: object) -> subprocess.Popen[str]:
    """Start one of the programs below."""
    command = [sys.executable, "-m", "tests.faults.programs", name, *map(str, arguments)]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def finish(process: subprocess.Popen[str]) -> list[str]:
    """Wait for a program, which must not fail, and return the lines it printed."""
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    return out.splitlines()


def say(*words: object) -> None:
    """Print a line at once."""
    print(*words, flush=True)  # noqa: T201  # read by the test that started it


def fill(folder: str, bytes_max: str) -> None:
    """Submit until no file may grow any more; print what was acknowledged, the error, and what can be read."""
    with Home.open(Path(folder), clock=Time()) as home:
        key = home.members.peer_key("peer")
        resource.setrlimit(resource.RLIMIT_FSIZE, (int(bytes_max), resource.RLIM_INFINITY))
        count = 0
        try:
            while True:
                say("event", home.append(key, [submit_of(home, key, f"fill {count} {i}") for i in range(20)]).cid)
                count += 1
        except StoreError as error:
            say("error", type(error).__name__, error)
        say("root", home.state_root().hex())
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))  # room is made
        say("event", home.append(key, [submit_of(home, key, "there is room")]).cid)


def read_as_nobody(folder: str) -> None:
    """Read a home without the right to write it; print its state root, and what writing says."""
    if os.geteuid() == 0:
        os.seteuid(NOBODY)
    with Home.open(Path(folder), clock=Time()) as home:
        say("root", home.state_root().hex())
        with home.reading():
            say("tasks", len(list(home.tasks.open_tasks())))
        try:
            with home.writing():
                say("written")
        except StoreError as error:
            say("error", type(error).__name__, error)


def append(folder: str, peer: str, count: str) -> None:
    """Submit, each task in a transaction of its own, as a peer that is made at first use; print the events."""
    home, _ = Home.open_or_found(Path(folder))
    with home:
        key = home.members.peer_key(peer)
        for i in range(int(count)):
            say("event", home.append(key, [submit_of(home, key, f"{peer} {os.getpid()} {i}")]).cid)


def watch(folder: str, count: str) -> None:
    """Read state roots while others write; print each that is new."""
    seen: list[str] = []
    with Home.open(Path(folder)) as home:
        for _ in range(int(count)):
            with home.reading():
                root = home.board.state_root().hex()
                assert root == home.board.state_root().hex()
            if not seen or seen[-1] != root:
                seen.append(root)
                say("root", root)


if __name__ == "__main__":
    programs: dict[str, Callable[..., None]] = {
        "fill": fill,
        "read_as_nobody": read_as_nobody,
        "append": append,
        "watch": watch,
    }
    programs[sys.argv[1]](*sys.argv[2:])
