"""Programs that tests of the store run as processes of their own: `python -m tests.ledger.programs NAME ARGUMENTS`."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Final

from ledger.acceptance import unsafe_signed
from ledger.database import StoreError, open_database
from ledger.intake import Intake
from ledger.keys import SigningKey
from ledger.operations import Leave
from ledger.signing import draft_event
from ledger.tables import LEDGER_DDL, LEDGER_SCHEMA_VERSION
from tests.ledger.world import OWNER, T0, World, open_store

ROOT: Final = Path(__file__).parents[2]
NOBODY: Final = 65534


def start(name: str, *arguments: object) -> subprocess.Popen[str]:
    """Start one of the programs below."""
    command = [sys.executable, "-m", "tests.ledger.programs", name, *map(str, arguments)]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def finish(process: subprocess.Popen[str]) -> str:
    """Wait for a program, and return what it printed; it must not have failed."""
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    return out


def create(path: str, word: str) -> None:
    """Make first use of a store and leave a word in it, if nobody else was first."""
    with open_database(Path(path), ddl=LEDGER_DDL, version=LEDGER_SCHEMA_VERSION, create=True) as database:
        with database.transaction() as connection:
            connection.execute("INSERT OR IGNORE INTO meta VALUES ('word', ?)", (word,))
        with database.reading() as connection:
            print(connection.execute("SELECT value FROM meta WHERE key = 'word'").fetchone()[0])  # noqa: T201  # read by the test that started it


def append(path: str, count: str) -> None:
    """Append events on top of whatever is there, each in a transaction of its own, and print their CIDs."""
    world = World()
    key = SigningKey.from_seed(OWNER_SEED)
    with open_store(Path(path), world) as database:
        with database.reading():
            intake = Intake(database, lambda _: None)
        for _ in range(int(count)):
            with database.transaction():
                latest = next(iter(intake.events.in_linear_order(latest_first=True)), (0, world.ledger))[1]
                block = draft_event(
                    key,
                    ledger=world.ledger,
                    grant=world.ledger,
                    parents=[latest],
                    operations=[Leave()],
                    find=intake.find,
                    now_ms=T0,
                )
                assert intake.offer([block], T0).accepted
            print(unsafe_signed(block).cid, flush=True)  # noqa: T201  # read by the test that started it


def read_as_nobody(path: str) -> None:
    """Open a store without the right to write its file or folder, read it, and print what writing says."""
    if os.geteuid() == 0:
        os.seteuid(NOBODY)
    with open_database(Path(path), ddl=LEDGER_DDL, version=LEDGER_SCHEMA_VERSION) as database:
        with database.reading() as connection:
            print(connection.execute("SELECT count(*) FROM blocks").fetchone()[0])  # noqa: T201  # read by the test that started it
        try:
            with database.transaction():
                print("written")  # noqa: T201  # read by the test that started it
        except StoreError as error:
            print(type(error).__name__)  # noqa: T201  # read by the test that started it


def fill(path: str, bytes_max: str) -> None:
    """Write until a file may grow no more; print how many rows were acknowledged, and the error."""
    done = 0
    with open_database(Path(path), ddl=LEDGER_DDL, version=LEDGER_SCHEMA_VERSION) as database:
        resource.setrlimit(resource.RLIMIT_FSIZE, (int(bytes_max), int(bytes_max)))
        try:
            while True:
                with database.transaction() as connection:
                    connection.execute("INSERT INTO meta VALUES (?, ?)", (f"row {done}", bytes(10_000)))
                done += 1
        except StoreError as error:
            print(done, type(error).__name__)  # noqa: T201  # read by the test that started it


OWNER_SEED: Final = b"\x01" * 32
assert SigningKey.from_seed(OWNER_SEED).actor == OWNER.actor

if __name__ == "__main__":
    programs: dict[str, Callable[..., None]] = {
        "create": create,
        "append": append,
        "read_as_nobody": read_as_nobody,
        "fill": fill,
    }
    programs[sys.argv[1]](*sys.argv[2:])
