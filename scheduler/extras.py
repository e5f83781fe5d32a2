"""Libraries that only some users need, the extras of pyproject.toml: imported when asked for, told when missing."""

from __future__ import annotations

import importlib
import importlib.util
from pathlib import Path
from types import ModuleType
from typing import Final

DISTRIBUTION: Final = "p2p-workflow-scheduler"


class MissingExtraError(ImportError):
    """A library is wanted that is not installed; the message says how to install it."""


def load(module: str, extra: str) -> ModuleType:
    """Import and return a module that comes with `extra`; raise MissingExtraError where it is not installed."""
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        raise missing(error.name or module, extra) from error


def folder_of(package: str, extra: str) -> Path:
    """Return where a package lies that comes with `extra`, without importing it; raise MissingExtraError."""
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise missing(package, extra)
    return Path(spec.submodule_search_locations[0])


def missing(name: str, extra: str) -> MissingExtraError:
    """Return the error to raise where something that comes with `extra` is not there."""
    return MissingExtraError(f"{name} is not installed: pip install '{DISTRIBUTION}[{extra}]'")
