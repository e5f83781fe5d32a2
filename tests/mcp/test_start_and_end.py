"""How the server starts and ends: first use, addresses, stdio, signals; and what it says where."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import anyio
import pytest
from mcp import Client

from cli.main import make_app, make_outer_app
from cli.main import run as run_line
from cli.mcp.token_file import TOKEN_VARIABLE
from tests.cli.program import Program
from tests.mcp.serving import DEADLINE_S, MODES, call_body, connected, home_of, ok, on_stdio, post, run, serving, task


def test_the_first_use_founds_a_private_ledger(tmp_path: Path) -> None:
    """As for other commands; it is said once, and the line that says where it listens stands on stderr."""
    program = home_of(tmp_path)
    with serving(program) as server:
        code, err = server.stop()
    assert code == 0
    first, second = err.splitlines()
    assert first.startswith("Made a private ledger")
    assert f" MCP at {server.url} for ledger " in second
    with serving(program) as server:
        _, err = server.stop(signal.SIGINT)
    assert " MCP at " in err.splitlines()[0]
    assert "Traceback" not in err


def test_an_address_that_is_taken_is_told(tmp_path: Path) -> None:
    """One line, what to do, and the exit code for what is refused; no ledger is made on the way."""
    program = home_of(tmp_path)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        for prefix in (("ipfs-accelerate",), ("p2p-workflow",)):
            ran = Program(program.home, prefix=prefix).run("mcp", "start", "--port", port)
            assert ran.code == 4
            assert ran.err.splitlines()[0] == f"✗ cannot listen at 127.0.0.1 port {port}: Address already in use"
            assert "--port" in ran.err.splitlines()[1]
    assert not program.home.exists()
    assert program.run("mcp", "start", "--host", "nowhere.invalid").code == 2


@pytest.mark.parametrize(
    ("args", "code", "words"),
    [
        (("--host", "0.0.0.0"), 2, "asks for no token"),  # noqa: S104 — what is refused
        (("--host", "::"), 2, "asks for no token"),
        (("--port", "70000"), 2, "70000"),
        (("--allow-origin", "tools.example"), 2, "is no origin"),
        (("--allow-origin", "https://a.example/path"), 2, "is no origin"),
        (("--stdio", "--token-file", "x"), 2, "no use for a token"),
        (("--token-file", "open"), 5, "can be read by others"),
        (("--token-file", "short"), 2, "a token of 16"),
    ],
)
def test_a_start_that_would_be_unsafe_is_refused(tmp_path: Path, args: tuple[str, ...], code: int, words: str) -> None:
    """Beyond loopback only with a token; a token that others read, or guess, is none."""
    (tmp_path / "open").write_text("t" * 32)
    (tmp_path / "open").chmod(0o644)
    (tmp_path / "short").write_text("t")
    (tmp_path / "short").chmod(0o600)
    ran = home_of(tmp_path).run("mcp", "start", "--port", "0", *args, cwd=tmp_path)
    assert (ran.code, words in ran.err) == (code, True), ran.err


def test_a_variable_with_a_weak_token_is_told_as_one(tmp_path: Path) -> None:
    """There is no file to remove."""
    ran = replace(home_of(tmp_path), extra={TOKEN_VARIABLE: "t"}).run("mcp", "start", "--port", "0")
    assert ran.code == 2
    assert f"{TOKEN_VARIABLE}: a token of 16" in ran.err
    assert "set it to another" in ran.err


def test_beyond_this_machine_the_token_is_asked_for(tmp_path: Path) -> None:
    """With a token it serves at any address, whatever its name; the variable gives one, too, but not beside a file."""
    program = Program(tmp_path / "home", "agent", ("ipfs-accelerate",), {TOKEN_VARIABLE: "t" * 32})
    with serving(program, "--host", "0.0.0.0") as server:  # noqa: S104 — what is tested
        body = call_body("p2p_scheduler_status", {})
        assert post(server, body)[0] == 401
        headers = {"Authorization": f"Bearer {'t' * 32}", "Host": "peer.example:9000"}
        assert post(server, body, headers)[0] == 200
    assert program.run("mcp", "start", "--port", "0", "--token-file", str(tmp_path / "f")).code == 2
    assert not (tmp_path / "f").exists()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_ends_at_once_though_clients_wait(tmp_path: Path, number: int) -> None:
    """Calls that wait are told that the server ends; open connections do not keep it; the exit code is 0."""
    with serving(home_of(tmp_path)) as server:
        idle = [socket.create_connection(server.address) for _ in range(5)]

        async def main() -> None:
            told: list[str] = []

            async def wait(mode: str) -> None:
                async with connected(server.url, mode) as client:
                    result = await client.call_tool("p2p_get_next_task", {"wait_seconds": 600})
                    assert result.is_error
                    told.append(mode)

            async with anyio.create_task_group() as group:
                for mode in MODES:
                    group.start_soon(wait, mode)
                await anyio.sleep(1.5)
                began = time.monotonic()
                server.process.send_signal(number)
            assert sorted(told) == sorted(MODES)
            assert await anyio.to_thread.run_sync(server.process.wait) == 0
            assert time.monotonic() - began < 8

        run(main)
        for one in idle:
            one.close()
        assert server.process.stderr is not None
        assert "Traceback" not in server.process.stderr.read()


@pytest.mark.parametrize("mode", MODES)
def test_over_stdio_the_whole_life_of_a_task(tmp_path: Path, mode: str) -> None:
    """The SDK starts the server itself and talks to it over pipes: the same tools, progress too."""

    async def main() -> None:
        said: list[float] = []

        async def note(progress: float, _: float | None, __: str | None) -> None:
            said.append(progress)

        async with Client(on_stdio(home_of(tmp_path)), mode=mode) as client:
            await ok(client, "p2p_submit_task", task("piped", payload="x"))
            taken = (await ok(client, "p2p_get_next_task"))["task"]
            await ok(client, "p2p_get_next_task", {"wait_seconds": 1}, progress_callback=note)
            done = {"task_id": "piped", "claim": taken["claim"], "output": "y"}
            await ok(client, "p2p_mark_task_complete", done)
            assert (await ok(client, "p2p_wait_for_task", {"task_id": "piped"}))["result"]["output"]["text"] == "y"
            assert said

    run(main)


def test_on_stdio_stdout_carries_the_protocol_alone(tmp_path: Path) -> None:
    """Every line on stdout is JSON-RPC, also for rubbish; words go to stderr; the end of stdin is the end."""
    program = home_of(tmp_path)
    opening = {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}}
    lines = [
        json.dumps({"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": opening}),
        json.dumps({"jsonrpc": "2.0", "method": "notifications/initialized"}),
        "rubbish",
        "{}",
        "[" * 5_000,
        call_body("p2p_submit_task", task("piped"), 2),
        call_body("p2p_get_merkle_clock", {}, 3),
    ]
    process = program.start("mcp", "start", "--stdio")
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write("\n".join(lines) + "\n")
    process.stdin.flush()
    answers: list[dict[str, Any]] = []
    while not any(one.get("id") == 3 for one in answers):
        answers.append(json.loads(process.stdout.readline()))
    out, err = process.communicate(timeout=DEADLINE_S)  # closes stdin
    assert [json.loads(line)["jsonrpc"] for line in out.splitlines()] == ["2.0"] * len(out.splitlines())
    submitted = next(one for one in answers if one.get("id") == 2)
    assert submitted["result"]["structuredContent"]["event_cid"]
    assert process.returncode == 0
    assert "Traceback" not in err
    assert "MCP on stdio for ledger" in err


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_on_stdio_a_signal_ends_it(tmp_path: Path, number: int) -> None:
    """Though its client keeps the pipe open."""
    process = home_of(tmp_path).start("mcp", "start", "--stdio")
    assert process.stderr is not None
    while "MCP on stdio" not in process.stderr.readline():
        assert process.poll() is None
    process.send_signal(number)
    began = time.monotonic()
    assert process.wait(DEADLINE_S) == 0
    assert time.monotonic() - began < 10
    process.communicate()


def test_without_the_extra_it_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The command is there without the SDK, and says how to get it."""
    monkeypatch.setattr("cli.commands_mcp.find_spec", lambda name: None)
    for app, program in ((make_app(), "p2p-workflow"), (make_outer_app(), "ipfs-accelerate")):
        assert run_line(app, program, ["--home", str(tmp_path / "home"), "mcp", "start"]) == 10
        assert "pip install 'p2p-workflow-scheduler[mcp]'" in capsys.readouterr().err


def test_help_does_not_import_the_sdk() -> None:
    """Who does not serve does not pay for it."""
    script = "import sys; import cli.main; cli.main.make_outer_app(); sys.exit('mcp' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0
