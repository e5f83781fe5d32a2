"""The core is pure: what `crdt` may import and call, read from its syntax trees.

The import contracts of pyproject.toml hold the layers; this is the part they cannot say: a list of what is allowed, so
that no module of the standard library that nobody thought of brings in a clock, and calls of builtins.
"""

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

ROOT = Path(__file__).resolve().parents[2]
CORE_FILES = sorted((ROOT / "crdt").rglob("*.py"))

# Grows by one reviewed word at a time. Each is a function of its arguments alone.
PURE_MODULES: Final = frozenset(
    {
        "__future__",
        "abc",
        "bisect",
        "collections",
        "contextlib",
        "dataclasses",
        "enum",
        "functools",
        "hashlib",
        "heapq",
        "itertools",
        "math",
        "operator",
        "struct",
        "types",
        "typing",
    }
)
EVENT_TYPES: Final = frozenset(
    f"ledger.{name}" for name in ("cid", "codec", "events", "keys", "operation_codec", "operations")
)

# Input and output, code from text, and values that differ from one process to the next.
IMPURE_BUILTINS: Final = frozenset(
    {"__import__", "breakpoint", "compile", "eval", "exec", "hash", "id", "input", "open", "print"}
)


def find_impurities(source: str) -> Iterator[str]:
    """Yield what a module of the core imports or calls and must not."""
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Import(names=names):
                yield from (f"imports {alias.name}" for alias in names if not may_import(alias.name))
            case ast.ImportFrom(module=module, names=names):
                yield from (f"imports {name}" for name in imported_from(module or "", names) if not may_import(name))
            case ast.Call(func=ast.Name(id=name)) if name in IMPURE_BUILTINS:
                yield f"calls {name}()"
            case _:
                pass


def imported_from(module: str, names: list[ast.alias]) -> list[str]:
    """Name what `from module import names` loads: of our own packages the submodule, else the module."""
    if module == "ledger":
        return [f"ledger.{alias.name}" for alias in names]
    return [module]


def may_import(module: str) -> bool:
    """Tell whether the core may import a module."""
    top = module.partition(".")[0]
    return top == "crdt" or module in EVENT_TYPES or top in PURE_MODULES


def test_core_is_found() -> None:
    """The walk sees the core: an empty one would prove nothing."""
    assert CORE_FILES


@pytest.mark.parametrize("path", CORE_FILES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_core_is_pure(path: Path) -> None:
    """The core has no clock, no randomness, no files, no network, and of the ledger the event types only."""
    assert list(find_impurities(path.read_text(encoding="utf-8"))) == []


@pytest.mark.parametrize(
    ("source", "impurity"),
    [
        ("import time", "imports time"),
        ("from time import monotonic as clock", "imports time"),
        ("def f():\n    import os.path", "imports os.path"),
        ("import datetime", "imports datetime"),
        ("import dag_cbor", "imports dag_cbor"),
        ("from scheduler import rank", "imports scheduler"),
        ("from ledger import store", "imports ledger.store"),
        ("from ledger.acceptance import accept", "imports ledger.acceptance"),
        ("import ledger", "imports ledger"),
        ("from . import board", "imports "),
        ("open('x')", "calls open()"),
        ("x = sorted(y, key=lambda z: hash(z))", "calls hash()"),
    ],
)
def test_an_impurity_is_seen(source: str, impurity: str) -> None:
    """Each way to break purity is reported, at any depth."""
    assert list(find_impurities(source)) == [impurity]


@pytest.mark.parametrize(
    "source",
    [
        "from collections.abc import Mapping",
        "from ledger.events import Event",
        "from ledger import cid, codec",
        "from crdt.board import Board",
        "hashlib.sha256(b'')",
    ],
)
def test_what_is_pure_passes(source: str) -> None:
    """The event types, the core itself and pure modules are allowed."""
    assert list(find_impurities(source)) == []
