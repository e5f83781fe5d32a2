"""Libraries that only some users need, the extras of pyproject.toml: imported when asked for, told when missing."""

from __future__ import annotations

import importlib
from types import ModuleType


class MissingExtraError(ImportError):
    """A library is wanted that is not installed; the message says how to install it."""


def load(module: str, extra: str) -> ModuleType:
    """Import and return a module that comes with `extra`; raise MissingExtraError where it is not installed."""
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        raise MissingExtraError(
            f"{error.name} is not installed: pip install 'p2p-workflow-scheduler[{extra}]'"
        ) from error
