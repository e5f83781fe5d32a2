"""Write the tables in docs/mcp.md from the server itself, so that they cannot drift: `python docs/generate_mcp.py`.

`tests/mcp/test_documents.py` compares the file with what this returns.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import anyio
from mcp import Client

from cli.mcp.desk import Desk
from cli.mcp.server import SchedulerServer
from cli.session import Session
from cli.settings import Settings

TARGET: Final = Path(__file__).parent / "mcp.md"
_TABLE: Final = re.compile(
    r"(<!-- (tools|resources), written by docs/generate_mcp.py -->\n).*?(<!-- end -->)", re.DOTALL
)


def page(text: str) -> str:
    """Return the text of the page with its tables as they must be."""
    tables = anyio.run(_tables)
    return _TABLE.sub(lambda found: f"{found[1]}\n{tables[found[2]]}\n{found[3]}", text)


async def _tables() -> dict[str, str]:
    with tempfile.TemporaryDirectory() as folder:
        desk = Desk(Session(Settings(home=folder, peer="reference")))
        try:
            async with Client(SchedulerServer(desk)) as client:
                tools = (await client.list_tools()).tools
                resources = (await client.list_resources()).resources
                templates = (await client.list_resource_templates()).resource_templates
        finally:
            desk.close()
    places = [(str(one.uri), one.description or "") for one in resources]
    places += [(one.uri_template, one.description or "") for one in templates]
    return {
        "tools": "\n".join(["| tool | arguments | what it does |", "|---|---|---|", *map(_tool, tools)]) + "\n",
        "resources": "\n".join(
            ["| URI | what it is |", "|---|---|", *(f"| `{uri}` | {words} |" for uri, words in places)]
        )
        + "\n",
    }


def _tool(tool: Any) -> str:
    words = (tool.description or "").split("\n\n")[0].replace("\n", " ")
    kind = "reads" if tool.annotations.read_only_hint else "ends" if tool.annotations.destructive_hint else "appends"
    return f"| `{tool.name}` | {', '.join(_arguments(tool.input_schema)) or 'none'} | {words} ({kind}) |"


def _arguments(schema: dict[str, Any]) -> Iterator[str]:
    required = set(schema.get("required", ()))
    for name, of_it in schema["properties"].items():
        default = of_it.get("default")
        shown = "" if name in required or default in (None, "", False, []) else f"={default}"
        yield f"**`{name}`**" if name in required else f"`{name}{shown}`"


if __name__ == "__main__":
    TARGET.write_text(page(TARGET.read_text(encoding="utf-8")), encoding="utf-8")
