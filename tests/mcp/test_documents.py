"""What docs/mcp.md says of the server's tools is what the server says."""

from __future__ import annotations

import importlib.util
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_the_tables_are_the_server_s() -> None:
    """`python docs/generate_mcp.py` writes what is in docs/mcp.md already, and both tables are there."""
    spec = importlib.util.spec_from_file_location("generate_mcp", ROOT / "docs" / "generate_mcp.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    text = (ROOT / "docs" / "mcp.md").read_text(encoding="utf-8")
    assert text == module.page(text)
    assert text.count("written by docs/generate_mcp.py") == 2
    assert "`p2p_verify_ledger`" in text
