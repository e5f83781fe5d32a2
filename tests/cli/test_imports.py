"""A command loads only what it needs: heavy modules are imported where they are used."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from tests.cli.program import Program

HEAVY = ("cryptography", "dag_cbor", "sqlite3", "multiformats", "ledger", "crdt", "scheduler", "rich", "pydantic")


def loaded(program: Program, *args: str) -> set[str]:
    """Return which of the heavy modules a command line has imported when it ends."""
    script = (
        "import atexit, json, sys\n"
        "from cli.main import make_app, run\n"
        f"code = run(make_app(), 'p2p-workflow', {list(args)!r})\n"
        f"print(json.dumps([name for name in {HEAVY!r} if name in sys.modules]), file=sys.stderr)\n"
        "sys.exit(code)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], env=program.environment(), capture_output=True, text=True, check=True
    )
    found: list[str] = json.loads(done.stderr.splitlines()[-1])
    return set(found)


@pytest.mark.parametrize("args", [("--help",), ("members", "admit", "--help"), ()], ids=" ".join)
def test_help_imports_nothing_heavy(program: Program, args: tuple[str, ...]) -> None:
    """Help needs neither cryptography, nor a codec, nor a database, nor any layer below."""
    assert loaded(program, *args) == set()


def test_check_tags_needs_the_tags_alone(program: Program) -> None:
    """Tags are judged without a ledger."""
    assert loaded(program, "check-tags", "--tags", "p2p-only") == {"scheduler"}


@pytest.mark.parametrize("args", [("status",), ("next",), ("clock",), ("tasks",), ("log",)], ids=" ".join)
def test_daily_commands_do_without_dag_cbor(program: Program, args: tuple[str, ...]) -> None:
    """Events have a codec of their own (docs/adr/0001); dag_cbor takes longer to import than a command to run."""
    program.submit("a")
    assert loaded(program, *args).isdisjoint({"dag_cbor", "multiformats", "rich", "pydantic"})
