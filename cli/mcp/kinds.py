"""How a tool is put into the server: its description from its docstring, and hints on what it may do."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from mcp.types import ToolAnnotations

if TYPE_CHECKING:
    from cli.mcp.server import SchedulerServer

READS: Final = ToolAnnotations(read_only_hint=True, destructive_hint=False, idempotent_hint=True, open_world_hint=False)
APPENDS: Final = ToolAnnotations(
    read_only_hint=False, destructive_hint=False, idempotent_hint=False, open_world_hint=False
)
APPENDS_ONCE: Final = ToolAnnotations(
    read_only_hint=False, destructive_hint=False, idempotent_hint=True, open_world_hint=False
)
ENDS: Final = ToolAnnotations(read_only_hint=False, destructive_hint=True, idempotent_hint=True, open_world_hint=False)
"""Calling it again changes nothing more, but what it did is not undone."""


def add(server: SchedulerServer, tool: Callable[..., Any], title: str, kind: ToolAnnotations) -> None:
    """Add a tool under its own name."""
    server.add_tool(tool, title=title, description=inspect.cleandoc(tool.__doc__ or ""), annotations=kind)
