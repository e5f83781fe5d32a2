"""What hostile or broken clients send is refused in words, changes nothing, and keeps nobody else from being served."""

from __future__ import annotations

import socket
import stat
import time
from pathlib import Path
from typing import Any

import anyio
import pytest

from cli.mcp.door import Door, door_of
from tests.mcp.serving import Server, call_body, connected, home_of, no, ok, post, run, serving, task

BAD_ARGUMENTS: list[tuple[str, Any, str]] = [
    ("p2p_submit_task", {}, "Field required"),
    ("p2p_submit_task", {"task_id": "x"}, "workflow_id: Field required"),
    ("p2p_submit_task", task("x", priority=99), "priority: "),
    ("p2p_submit_task", task("x", priority=True), "priority: "),
    ("p2p_submit_task", task("x", priority="7"), "priority: "),
    ("p2p_submit_task", task("x", priority=5.5), "priority: "),
    ("p2p_submit_task", task("x", priorty=9), "unknown arguments: 'priorty'"),
    ("p2p_submit_task", task("x", tags=["p2p-nly"]), "nearest known tag is 'p2p-only'"),
    ("p2p_submit_task", task("x", tags=["p2p-only", "unit-test"]), "tags conflict"),
    ("p2p_submit_task", task("x", tags=[]), "no tags"),
    ("p2p_submit_task", task("x", tags="p2p-only"), "tags: "),
    ("p2p_submit_task", task("x", tags=[1]), "tags.0: "),
    ("p2p_submit_task", task("x", tags=["p" * 10_000]), "unknown tag"),
    ("p2p_submit_task", task(7), "task_id: "),
    ("p2p_submit_task", task(""), "must not be empty"),
    ("p2p_submit_task", task("x" * 1_025), "at most 1,024"),
    ("p2p_submit_task", task("ä" * 600), "at most 1,024"),
    ("p2p_submit_task", task("x", needs=["y"] * 2_000), "needs: "),
    ("p2p_submit_task", task("x", requires=[""]), "requires.0: "),
    ("p2p_submit_task", task("x", not_before="soon"), "no time"),
    ("p2p_submit_task", task("x", timeout="-1s"), "no duration"),
    ("p2p_submit_task", task("x", max_attempts=0), "max_attempts: "),
    ("p2p_submit_task", task("x", payload_media_type="a/b"), "data is missing"),
    ("p2p_submit_task", task("x", payload="%%%", payload_is_base64=True), "no base64"),
    ("p2p_submit_task", task("x", payload="x" * 1_048_577), "too large"),
    ("p2p_submit_task", task("x", payload="x" * 1_600_000), "payload: "),
    ("p2p_submit_task", task("x", command={"argv": ["a"], "shell": True}), "command.shell: "),
    ("p2p_submit_task", task("x", command={"argv": "rm -rf /"}), "command.argv: "),
    ("p2p_submit_task", task("x", command={"argv": ["a\0b"]}), "NUL"),
    ("p2p_get_next_task", {"lease_seconds": -1}, "lease_seconds: "),
    ("p2p_get_next_task", {"lease_seconds": 1e300}, "lease_seconds: "),
    ("p2p_get_next_task", {"wait_seconds": 1e9}, "wait_seconds: "),
    ("p2p_get_next_task", {"wait_seconds": "1"}, "wait_seconds: "),
    ("p2p_mark_task_complete", {"task_id": "../../etc/passwd"}, "not found"),
    ("p2p_mark_task_complete", {"task_id": "nowhere\x1b[31m\n✓ done"}, "not found"),
    ("p2p_mark_task_complete", {"task_id": "\0"}, "not found"),
    ("p2p_mark_task_complete", {"task_id": "f" * 64}, "not found"),
    ("p2p_mark_task_complete", {"task_id": ["x"]}, "task_id: "),
    ("p2p_mark_task_complete", {"task_id": "x", "claim": "nonsense"}, "CID"),
    (
        "p2p_get_result",
        {"task_id": "steady", "claim": "bafyreih35yfwioztlmda5lbcaufuxbwwrp4q7gjabqgilewjmb3vpu4bfm"},
        "no claim",
    ),
    ("p2p_list_tasks", {"status": ["gone"]}, "status.0: "),
    ("p2p_submit_task", task("x", command="make test"), "command: Input should be an object"),
    ("p2p_submit_task", task("x", command={"argv": "ls"}), "command.argv: "),
    ("p2p_list_tasks", {"limit": 10**9}, "limit: "),
    ("p2p_list_tasks", {"offset": 2**80}, "offset: "),
    ("p2p_get_logs", {"task_id": "steady", "offset": -1}, "offset: "),
    ("p2p_check_workflow_tags", {"tags": ["p2p-only\x00"]}, "unknown tag"),
    ("p2p_check_workflow_tags", {"tags": {"a": 1}}, "tags: "),
    ("p2p_update_peer_state", {"peer_id": "x", "clock_data": {}}, "node_id"),
    ("p2p_update_peer_state", {"peer_id": "x", "clock_data": []}, "clock_data: "),
    ("p2p_update_peer_state", {"peer_id": "x", "clock_data": {"node_id": "x", "vector": {"x": -1}}}, "vector"),
    ("p2p_format_disk", {}, "there is no tool"),
    ("p2p_submit_tsak", {}, "there is no tool"),
]


def test_bad_arguments_are_refused_in_words(server: Server) -> None:
    """Each says what is wrong, as a result of the tool; the ledger is as it was, and the server's log has no defect."""

    async def main() -> None:
        async with connected(server.url) as client, connected(server.url, "legacy") as other:
            await ok(client, "p2p_submit_task", task("steady"))
            before = (await ok(client, "p2p_get_merkle_clock"))["merkle_root"]
            for number, (tool, arguments, words) in enumerate(BAD_ARGUMENTS):
                told = await no((client, other)[number % 2], tool, arguments)
                assert words in told["message"], (tool, str(arguments)[:200], told)
                assert told["kind"] != "defect"
                assert told["advice"], told
                assert len(told["message"]) <= 2_001
            assert (await ok(client, "p2p_get_merkle_clock"))["merkle_root"] == before

    run(main)


def test_text_of_any_kind_comes_back_as_it_went_in(server: Server) -> None:
    """Control characters, other scripts, JSON and what looks like markup are data, in names and payloads."""

    async def main() -> None:
        async with connected(server.url) as client:
            name = 'a\x1b[2J\r\n"]}<script>\u202e\U0001f600\x7f'
            for number, payload in enumerate(('{"a": 1}', "null", "[]", '"x"', "1", " ", "\0", name)):
                await ok(client, "p2p_submit_task", task(f"odd-{number}-{name}", payload=payload))
                shown = await ok(client, "p2p_show_task", {"task_id": f"odd-{number}-{name}"})
                assert shown["payload"]["text"] == payload
                await ok(client, "p2p_cancel_task", {"task_id": f"odd-{number}-{name}", "reason": name})

    run(main)


@pytest.mark.parametrize(
    ("body", "headers", "status"),
    [
        ("{", {}, {400}),
        ("", {}, {400}),
        ("[]", {}, {400}),
        ("null", {}, {400}),
        ('{"jsonrpc": "2.0", "id": 1}', {}, {400}),
        ('{"jsonrpc": "1.0", "id": 1, "method": "tools/list"}', {}, {400}),
        ("[" * 100_000, {}, {400}),
        ('{"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": "\\ud800"}', {}, {400}),
        (b"\xff\xfe", {}, {400}),
        (call_body("p2p_scheduler_status", {}), {"Content-Type": "text/plain"}, {400}),
        (call_body("p2p_scheduler_status", {}), {"Content-Type": ""}, {400}),
        (call_body("p2p_scheduler_status", {}), {"Accept": "text/html"}, {406}),
        (call_body("p2p_scheduler_status", {}), {"MCP-Protocol-Version": "1999-01-01"}, {400}),
        (call_body("p2p_scheduler_status", []), {}, {200, 400}),
        ("x" * (4 * 1024 * 1024 + 1), {}, {413}),
        (call_body("p2p_scheduler_status", {}), {"Host": "evil.example"}, {421}),
        (call_body("p2p_scheduler_status", {}), {"Host": "127.0.0.1:1"}, {421}),
        (call_body("p2p_scheduler_status", {}), {"Host": "127.0.0.1"}, {421}),
        (call_body("p2p_scheduler_status", {}), {"Origin": "http://evil.example"}, {403}),
        (call_body("p2p_scheduler_status", {}), {"Origin": "http://localhost:1"}, {403}),
        (call_body("p2p_scheduler_status", {}), {"Origin": "null"}, {403}),
    ],
    ids=lambda value: str(value)[:40],
)
def test_bad_requests_are_turned_away(
    server: Server, body: str | bytes, headers: dict[str, str], status: set[int]
) -> None:
    """No JSON, no JSON-RPC, another content type, too large, another Host or Origin: a status that says so."""
    found, _, answer = post(server, body, headers)
    assert found in status, answer
    assert b"Traceback" not in answer
    assert post(server, call_body("p2p_scheduler_status", {}))[0] == 200


def test_only_posts_are_answered(server: Server) -> None:
    """There is nothing to get or delete, and no page is told that it may ask."""
    for method in ("GET", "DELETE", "PUT", "HEAD", "OPTIONS"):
        status, headers, _ = post(server, None, method=method)
        assert (status, headers["allow"]) == (405, "POST")
        assert "access-control-allow-origin" not in headers


def test_the_server_s_own_origins_may_ask(server: Server) -> None:
    """A page that this very address gave, under any name of this machine, is no stranger."""
    port = server.address[1]
    for name in ("127.0.0.1", "localhost", "[::1]"):
        headers = {"Host": f"{name}:{port}", "Origin": f"http://{name}:{port}"}
        assert post(server, call_body("p2p_scheduler_status", {}), headers)[0] == 200


def test_without_the_token_nothing_is_answered(tmp_path: Path) -> None:
    """401 with a challenge for none, a wrong one and another scheme; never is the token shown anywhere."""
    file = tmp_path / "secret" / "token"
    program = home_of(tmp_path)
    with serving(program, "--token-file", str(file), "--allow-origin", "https://tools.example") as server:
        token = file.read_text().strip()
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        body = call_body("p2p_scheduler_status", {})
        wrong = ("Bearer wrong", f"Basic {token}", token, f"Bearer {token}x", f"Bearer {token[:-1]}", "Bearer")
        for headers in ({}, *({"Authorization": one} for one in wrong)):
            status, answered, answer = post(server, body, headers)
            assert status == 401
            assert answered["www-authenticate"].startswith("Bearer ")
            assert token.encode() not in answer
        right = {"Authorization": f"Bearer {token}"}
        assert post(server, body, right)[0] == 200
        assert post(server, body, right | {"Host": "evil.example"})[0] == 421
        assert post(server, body, right | {"Origin": "https://evil.example"})[0] == 403
        page = {"Origin": "https://tools.example"}
        status, answered, _ = post(server, body, right | page)
        assert (status, answered["access-control-allow-origin"]) == (200, "https://tools.example")
        asked = page | {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization"}
        status, answered, _ = post(server, None, asked, method="OPTIONS")
        assert (status, answered["access-control-allow-origin"]) == (200, "https://tools.example")
        assert post(server, body, page)[0] == 401

        async def main() -> None:
            async with connected(server.url, token=token) as client:
                await ok(client, "p2p_scheduler_status")

        run(main)
        code, err = server.stop()
        assert (code, token in err) == (0, False)
        assert str(file) in err
    with serving(program, "--token-file", str(file)) as server:  # the same again
        assert post(server, body, right)[0] == 200


def test_a_door_is_not_opened_by_two_keys() -> None:
    """A header that stands twice is no header: proxies and servers disagree on which one counts."""
    door = door_of("127.0.0.1", 9000, "t" * 16, ())
    host, token = (b"host", b"127.0.0.1:9000"), (b"authorization", b"Bearer " + b"t" * 16)
    assert door.turns_away([host]) is None
    assert door.lacks_token([host, token]) is None
    for headers in ([], [host, host], [host, (b"origin", b"a"), (b"origin", b"b")]):
        assert (door.turns_away(headers) or pytest.fail("let in")).status == 400
    assert (door.lacks_token([token, token]) or pytest.fail("let in")).status == 401
    assert Door(None, frozenset(), "t" * 16).turns_away([(b"host", b"anything.example")]) is None


def test_a_hundred_connections_keep_nobody_out(server: Server) -> None:
    """Idle, half a request, a body that does not come, and clients that hang up: others are served meanwhile."""
    sockets = [socket.create_connection(server.address) for _ in range(100)]
    try:
        for number, one in enumerate(sockets):
            match number % 4:
                case 1:
                    one.sendall(b"POST /mcp HTTP/1.1\r\nHost: ")
                case 2:
                    one.sendall(
                        b"POST /mcp HTTP/1.1\r\nHost: %s:%d\r\nContent-Length: 99\r\n\r\n{"
                        % (server.address[0].encode(), server.address[1])
                    )
                case 3:
                    one.sendall(b"\0\xff" * 200)
                case _:
                    pass
        began = time.monotonic()
        for _ in range(5):
            assert post(server, call_body("p2p_scheduler_status", {}))[0] == 200
        assert time.monotonic() - began < 10
    finally:
        for one in sockets:
            one.close()
    assert post(server, call_body("p2p_scheduler_status", {}))[0] == 200


def test_a_connection_that_says_nothing_is_closed(server: Server) -> None:
    """Who opens a connection and does not go on loses it in seconds, also with half a request."""
    with socket.create_connection(server.address, 30) as silent, socket.create_connection(server.address, 30) as slow:
        slow.sendall(b"POST /mcp HT")
        began = time.monotonic()
        assert (silent.recv(1), slow.recv(1)) == (b"", b"")
        assert 5 < time.monotonic() - began < 25


def test_a_client_that_hangs_up_takes_no_task(server: Server) -> None:
    """A call that waits for a task ends with its connection: the next task goes to who is still there."""
    with socket.create_connection(server.address) as one:
        body = call_body("p2p_get_next_task", {"wait_seconds": 60})
        host, port = server.address
        one.sendall(
            f"POST /mcp HTTP/1.1\r\nHost: {host}:{port}\r\nContent-Type: application/json\r\n"
            f"Accept: application/json, text/event-stream\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode()
        )
        assert post(server, call_body("p2p_check_workflow_tags", {"tags": ["p2p-only"]}))[0] == 200

    async def main() -> None:
        async with connected(server.url) as client:
            await anyio.sleep(0.5)  # until the server has seen that the other one is gone
            submitted = await ok(client, "p2p_submit_task", task("for-who-is-there", priority=10))
            taken = await ok(client, "p2p_get_next_task", {"wait_seconds": 30})
            while taken["task"]["task_key"] != submitted["task_key"]:
                taken = await ok(client, "p2p_get_next_task", {"wait_seconds": 30})

    run(main)
