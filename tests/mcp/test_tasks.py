"""The life of tasks through the SDK's client, in both eras of the protocol; and what is refused on the way."""

from __future__ import annotations

import base64
import json
import time
from typing import Any

import anyio
import anyio.lowlevel
import pytest
from mcp import Client
from mcp.shared.exceptions import MCPError
from mcp.types import TextResourceContents

from ledger.cid import Cid
from ledger.events import TaskKey
from scheduler.run_log import log_path
from scheduler.running.payloads import COMMAND_TYPE, Command, read_payload
from tests.mcp.serving import MODES, Server, connected, no, ok, run, task, until


async def take(client: Client, task_id: str) -> dict[str, Any]:
    """Take tasks until it is this one; nobody else takes any meanwhile."""
    while (taken := (await ok(client, "p2p_get_next_task", {"wait_seconds": 20}))["task"])["task_id"] != task_id:
        await ok(client, "p2p_release_task", {"task_id": taken["task_key"], "claim": taken["claim"]})
    return dict(taken)


@pytest.mark.parametrize("mode", MODES)
def test_a_task_from_submission_to_result(server: Server, mode: str) -> None:
    """Submitted, taken, renewed, completed with output and log; its result and log are read again, bytes and all."""

    async def main() -> None:
        async with connected(server.url, mode) as client:
            name = f"life-{mode}"
            await ok(client, "p2p_submit_task", task(name, payload='{"n": [1, 2]}', priority=10))
            taken = await take(client, name)
            assert taken["payload"]["text"] == '{"n": [1, 2]}'
            mine = {"task_id": taken["task_key"], "claim": taken["claim"]}
            renewed = await ok(client, "p2p_renew_task", mine | {"lease_seconds": 3600, "progress": "half"})
            assert renewed["until"] > taken["until"]
            standing = await ok(client, "p2p_get_result", {"task_id": name})
            assert (standing["status"], standing["progress"], standing["is_result"]) == ("held", "half", False)
            data = base64.b64encode(bytes(range(256)) * 100).decode()
            done = await ok(
                client,
                "p2p_mark_task_complete",
                mine | {"output": data, "output_is_base64": True, "log": "Grüße\n" * 1000, "exit_code": 0},
            )
            result = await ok(client, "p2p_get_result", {"task_id": name})
            assert (result["status"], result["event_cid"], result["is_result"]) == ("done", done["event_cid"], True)
            assert result["output"]["base64"] == data
            text, offset, over = "", 0, False
            while not over:
                part = await ok(client, "p2p_get_logs", {"task_id": name, "offset": offset, "limit": 1001})
                text, offset, over = text + part["text"], part["next_offset"], part["is_over"]
            assert text == "Grüße\n" * 1000
            again = await ok(client, "p2p_mark_task_complete", mine)
            assert (again["already"], again["event_cid"]) == (True, done["event_cid"])

    run(main)


def test_failures_retries_and_the_dead(server: Server) -> None:
    """A failed attempt counts, the last one kills, a requeue brings back; a cancelled task is nobody's."""

    async def main() -> None:
        async with connected(server.url) as client:
            await ok(client, "p2p_submit_task", task("frail", max_attempts=1, priority=10))
            taken = await take(client, "frail")
            failed = await ok(
                client, "p2p_fail_task", {"task_id": "frail", "claim": taken["claim"], "error": "no disk"}
            )
            assert failed["status"] == "dead"
            shown = await ok(client, "p2p_show_task", {"task_id": "frail"})
            assert shown["claims"][0]["failure"] == {"class": "payload", "error": "no disk"}
            dead = await ok(client, "p2p_list_tasks", {"status": ["dead"]})
            assert [one["task_id"] for one in dead["tasks"]] == ["frail"]
            await ok(client, "p2p_requeue_task", {"task_id": "frail"})
            assert (await no(client, "p2p_requeue_task", {"task_id": "frail"}))["kind"] == "not_dead"
            first = await ok(client, "p2p_cancel_task", {"task_id": "frail", "reason": "enough"})
            again = await ok(client, "p2p_cancel_task", {"task_id": "frail"})
            assert (first["already"], again["already"]) == (False, True)
            assert first["event_cid"] == again["event_cid"]
            assert (await no(client, "p2p_mark_task_complete", {"task_id": "frail"}))["kind"] == "task_over"

    run(main)


def test_needs_and_commands(server: Server) -> None:
    """A task waits for what it needs, by name or key; a command is a payload that workers read."""

    async def main() -> None:
        async with connected(server.url) as client:
            first = await ok(client, "p2p_submit_task", task("first", priority=10))
            command = {"script": "echo $X", "interpreter": "bash", "env": {"X": "1"}, "network": True}
            arguments = task("second", needs=["first", first["task_key"]], command=command, priority=10)
            await ok(client, "p2p_submit_task", arguments)
            assert (await ok(client, "p2p_explain_task", {"task_id": "second"}))["status"] == "waiting"
            await ok(client, "p2p_mark_task_complete", {"task_id": "first"})
            taken = await take(client, "second")
            assert taken["payload"]["media_type"] == COMMAND_TYPE
            read = read_payload(COMMAND_TYPE, taken["payload"]["text"].encode())
            assert read == Command(script="echo $X", interpreter="bash", env={"X": "1"}, network=True)
            await ok(client, "p2p_mark_task_complete", {"task_id": "second"})
            missing = await no(client, "p2p_submit_task", task("third", needs=["nowhere"]))
            assert missing["kind"] == "task_not_found"
            both = await no(client, "p2p_submit_task", task("third", payload="x", command={"argv": ["true"]}))
            assert "exclude" in both["message"]
            neither = await no(client, "p2p_submit_task", task("third", command={"argv": [], "script": "x"}))
            assert neither["kind"] == "payload"

    run(main)


def test_a_claim_is_told_apart_from_another_of_the_same_key(server: Server) -> None:
    """Who gives a claim that is not his any more settles nothing, though the server's key holds the task."""

    async def main() -> None:
        async with connected(server.url) as one, connected(server.url, "legacy") as other:
            await ok(one, "p2p_submit_task", task("fenced", priority=10))
            old = await take(one, "fenced")
            await ok(one, "p2p_release_task", {"task_id": "fenced", "claim": old["claim"]})
            new = await take(other, "fenced")
            for tool in ("p2p_mark_task_complete", "p2p_fail_task", "p2p_release_task", "p2p_renew_task"):
                stale = await no(one, tool, {"task_id": "fenced", "claim": old["claim"]})
                assert stale["kind"] == "not_held"
            assert (await ok(one, "p2p_get_result", {"task_id": "fenced"}))["claim"] == new["claim"]
            await ok(other, "p2p_mark_task_complete", {"task_id": "fenced", "claim": new["claim"]})
            assert (await no(one, "p2p_mark_task_complete", {"task_id": "fenced", "claim": old["claim"]}))[
                "kind"
            ] == "task_over"

    run(main)


@pytest.mark.parametrize("mode", MODES)
def test_progress_arrives_while_a_call_goes_on(server: Server, mode: str) -> None:
    """Waiting, following and verifying say how far they are before they answer, in words and growing numbers."""

    async def main() -> None:
        said: list[tuple[float, str]] = []
        arrived = anyio.Event()

        async def note(progress: float, _: float | None, message: str | None) -> None:
            said.append((progress, message or ""))
            arrived.set()

        async with connected(server.url, mode) as client, connected(server.url, mode) as other:
            name = f"awaited-{mode}"
            await ok(client, "p2p_submit_task", task(name, priority=10))
            await take(client, name)

            async def wait() -> None:
                waited = await ok(
                    client, "p2p_wait_for_task", {"task_id": name, "wait_seconds": 30}, progress_callback=note
                )
                assert (waited["is_over"], waited["status"]) == (True, "done")
                assert waited["result"]["output"]["text"] == "ready"

            began = time.monotonic()
            async with anyio.create_task_group() as group:
                group.start_soon(wait)
                await arrived.wait()
                assert said[0][1].startswith("held: held by ")
                await ok(other, "p2p_renew_task", {"task_id": name, "progress": "nearly there"})
                await until(lambda: any("nearly there" in words for _, words in said))
                await ok(other, "p2p_mark_task_complete", {"task_id": name, "output": "ready"})
            assert time.monotonic() - began < 20  # it was woken, and did not wait out its time
            assert [progress for progress, _ in said] == sorted({progress for progress, _ in said})
            said.clear()
            verified = await ok(client, "p2p_verify_ledger", progress_callback=note)
            assert verified["verified"] is True
            await until(lambda: bool(said) and said[-1][0] == verified["events"])
            assert said[-1][1] == f"{verified['events']} of {verified['events']} events"

    run(main)


def test_logs_are_followed_while_the_task_runs(server: Server) -> None:
    """A call that waits for more of a log gives it as soon as the worker's file in this home has it."""

    async def main() -> None:
        async with connected(server.url) as client:
            await ok(client, "p2p_submit_task", task("talker", priority=10))
            taken = await take(client, "talker")
            file = log_path(server.program.home, TaskKey(bytes.fromhex(taken["task_key"])), Cid.parse(taken["claim"]))
            file.parent.mkdir(exist_ok=True)
            file.write_bytes(b"")
            asked = {"task_id": "talker", "claim": taken["claim"], "wait_seconds": 30}
            parts: list[dict[str, Any]] = []
            async with anyio.create_task_group() as group:

                async def follow() -> None:
                    parts.append(await ok(client, "p2p_get_logs", asked))

                group.start_soon(follow)
                await anyio.lowlevel.checkpoint()
                file.write_bytes("ä".encode()[:1])
                file.write_bytes("äb\n".encode())
            (part,) = parts
            assert (part["text"], part["next_offset"], part["is_over"]) in (("äb\n", 4, False), ("ä", 2, False))
            await ok(client, "p2p_mark_task_complete", {"task_id": "talker", "log": "äb\nend\n"})
            rest = await ok(client, "p2p_get_logs", asked | {"offset": part["next_offset"]})
            assert part["text"] + rest["text"] == "äb\nend\n"
            assert rest["is_over"] is True

    run(main)


@pytest.mark.parametrize("mode", MODES)
def test_board_log_tasks_and_events_are_resources(server: Server, mode: str) -> None:
    """They can be listed and read; what is not there is an error that says so."""

    async def main() -> None:
        async with connected(server.url, mode) as client:
            submitted = await ok(client, "p2p_submit_task", task(f"seen-{mode}", priority=1))

            async def read(place: str) -> dict[str, Any]:
                (content,) = (await client.read_resource(f"p2p-workflow://{place}")).contents
                assert isinstance(content, TextResourceContents)
                assert content.mime_type == "application/json"
                return dict(json.loads(content.text))

            listed = {str(one.uri) for one in (await client.list_resources()).resources}
            assert listed == {"p2p-workflow://board", "p2p-workflow://log"}
            templates = {one.uri_template for one in (await client.list_resource_templates()).resource_templates}
            assert templates == {"p2p-workflow://task/{key}", "p2p-workflow://event/{cid}"}
            assert f"seen-{mode}" in {one["task_id"] for one in (await read("board"))["open_tasks"]}
            assert submitted["event_cid"] in {one["cid"] for one in (await read("log"))["events"]}
            assert (await read(f"task/{submitted['task_key']}"))["task_id"] == f"seen-{mode}"
            assert (await read(f"event/{submitted['event_cid']}"))["counts"] is True
            for place in ("task/nowhere", "event/nowhere", "event/bafy", "task/..%2F..%2Fkeys", "task/%00", "nothing"):
                with pytest.raises(MCPError):
                    await client.read_resource(f"p2p-workflow://{place}")

    run(main)
