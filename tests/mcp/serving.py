"""Real servers in processes of their own, and the SDK's real client to them over HTTP or stdio."""

from __future__ import annotations

import http.client
import json
import signal
import subprocess
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import anyio
import httpx2
from mcp import Client, StdioServerParameters
from mcp.client.streamable_http import streamable_http_client
from mcp.types import CallToolResult, TextContent

from cli.mcp.refusals import META_KEY
from tests.cli.program import Program

MODES: Final = ("auto", "legacy")
"""The protocol's two eras, as the SDK's client speaks them."""
DEADLINE_S: Final = 60


@dataclass(frozen=True)
class Server:
    """A server that answers at `url`."""

    url: str
    process: subprocess.Popen[str]
    program: Program

    @property
    def address(self) -> tuple[str, int]:
        """Where it listens."""
        parts = urlsplit(self.url)
        assert parts.hostname
        assert parts.port
        return parts.hostname, parts.port

    def stop(self, number: int = signal.SIGTERM) -> tuple[int, str]:
        """End it; return its exit code and what else it said on stderr."""
        self.process.send_signal(number)
        _, err = self.process.communicate(timeout=DEADLINE_S)
        return self.process.returncode, err


@contextmanager
def serving(program: Program, *args: str) -> Iterator[Server]:
    """Run `mcp start` over HTTP on a free port inside this block."""
    process = Program(program.home, program.peer, ("ipfs-accelerate",), program.extra).start(
        "mcp", "start", "--port", "0", "--json", *args
    )
    assert process.stdout is not None
    try:
        line = process.stdout.readline()
        if not line.startswith('{"url"'):
            process.kill()
            raise AssertionError(line + process.communicate()[1])
        yield Server(json.loads(line)["url"], process, program)
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()


@asynccontextmanager
async def connected(url: str, mode: str = "auto", token: str | None = None) -> AsyncIterator[Client]:
    """Give the SDK's client of a server over HTTP."""
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    async with (
        httpx2.AsyncClient(headers=headers, timeout=DEADLINE_S) as http,
        Client(streamable_http_client(url, http_client=http), mode=mode) as client,
    ):
        yield client


def on_stdio(program: Program, *args: str) -> StdioServerParameters:
    """Return how the SDK's client starts a server on stdio."""
    return StdioServerParameters(
        command=program.command()[0], args=["mcp", "start", "--stdio", *args], env=program.environment()
    )


def run(main: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Run a test that waits for clients."""

    async def within() -> None:
        with anyio.fail_after(DEADLINE_S * 2):
            await main()

    anyio.run(within)


async def until(holds: Callable[[], bool], deadline_s: float = 10) -> None:
    """Wait until something holds."""
    with anyio.fail_after(deadline_s):
        while not holds():  # noqa: ASYNC110 — a condition of the test's, which nothing tells
            await anyio.sleep(0.01)


async def ok(client: Client, tool: str, arguments: Mapping[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    """Call a tool that must succeed; return its structured content."""
    result = await client.call_tool(tool, dict(arguments or {}), **more)
    assert not result.is_error, words_of(result)
    assert result.structured_content is not None
    assert result.structured_content["tool"] == tool
    assert result.structured_content["timestamp"] > 1_700_000_000
    return dict(result.structured_content)


async def no(client: Client, tool: str, arguments: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Call a tool that must refuse; return what it says to programs."""
    result = await client.call_tool(tool, dict(arguments or {}))
    assert result.is_error, result.structured_content
    assert result.structured_content is None
    assert result.meta is not None
    document = result.meta[META_KEY]
    assert isinstance(document, dict)
    words = words_of(result)
    assert words.startswith(document["message"])
    assert "rule: " in words
    assert "Traceback" not in words
    return document


def words_of(result: CallToolResult) -> str:
    """Return the words of a result."""
    return "\n".join(part.text for part in result.content if isinstance(part, TextContent))


def task(task_id: object, **more: Any) -> dict[str, Any]:
    """Return the arguments that submit a task."""
    return {"task_id": task_id, "workflow_id": "flow", "name": f"Task {task_id}", "tags": ["p2p-only"]} | more


def post(
    server: Server, body: bytes | str | None, headers: Mapping[str, str] | None = None, *, method: str = "POST"
) -> tuple[int, dict[str, str], bytes]:
    """Send one request by hand; return status, headers (lower case) and body."""
    connection = http.client.HTTPConnection(*server.address, timeout=DEADLINE_S)
    sent = {"Content-Type": "application/json", "Accept": "application/json, text/event-stream"} | dict(headers or {})
    try:
        connection.request(method, "/mcp", body, {name: value for name, value in sent.items() if value})
        answer = connection.getresponse()
        return answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read()
    finally:
        connection.close()


def call_body(tool: str, arguments: object, number: int = 1) -> str:
    """Return the body of a call, of the era with sessions."""
    params = {"name": tool, "arguments": arguments}
    return json.dumps({"jsonrpc": "2.0", "id": number, "method": "tools/call", "params": params})


def home_of(tmp_path: Path) -> Program:
    """Return the program with a home that does not exist yet."""
    return Program(tmp_path / "home", "agent", ("ipfs-accelerate",))
