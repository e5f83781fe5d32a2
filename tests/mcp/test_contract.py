"""The seven tools are those of the contract, to the letter; and every tool says what it takes and gives."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jsonschema  # type: ignore[import-untyped]  # has no types of its own
import pytest
from mcp import Client

from scheduler.running.payloads import OUTPUTS_TYPE
from tests.mcp.serving import MODES, Server, connected, home_of, no, ok, on_stdio, run, serving, task

CONTRACT = {
    "p2p_scheduler_status": [],
    "p2p_submit_task": ["task_id", "workflow_id", "name", "tags", "priority"],
    "p2p_get_next_task": [],
    "p2p_mark_task_complete": ["task_id"],
    "p2p_check_workflow_tags": ["tags"],
    "p2p_update_peer_state": ["peer_id", "clock_data"],
    "p2p_get_merkle_clock": [],
}
SEVEN = {"task_id", "workflow_id", "name", "tags", "priority", "task_hash", "assigned_peer"}


@pytest.mark.parametrize("mode", MODES)
def test_the_seven_tools_have_their_names_and_arguments(server: Server, mode: str) -> None:
    """What the contract names comes first, in its order; what is ours may be left out."""

    async def main() -> None:
        async with connected(server.url, mode) as client:
            tools = {tool.name: tool for tool in (await client.list_tools()).tools}
            assert client.instructions
            for name, arguments in CONTRACT.items():
                schema = tools[name].input_schema
                assert list(schema["properties"])[: len(arguments)] == arguments
                assert schema.get("required", []) == [one for one in arguments if one != "priority"]
            assert tools["p2p_submit_task"].input_schema["properties"]["priority"]["default"] == 5
            for tool in tools.values():
                assert tool.input_schema["additionalProperties"] is False
                assert tool.description
                assert tool.title
                assert tool.annotations is not None
                assert None not in tool.annotations.model_dump(exclude={"title"}).values()
                assert tool.output_schema is not None
                assert {"tool", "timestamp"} <= set(tool.output_schema["required"])
                for argument, of_it in tool.input_schema["properties"].items():
                    assert of_it.get("description") or argument in {"limit", "exit_code"}, (tool.name, argument)

    run(main)


def test_results_have_the_contract_s_fields(server: Server) -> None:
    """Each answer carries what the guide's users parse, its tool and its time; the event stands beside."""

    async def main() -> None:
        async with connected(server.url) as client:
            status = await ok(client, "p2p_scheduler_status")
            assert {"peer_id", "merkle_clock", "pending_tasks", "assigned_tasks", "completed_tasks"} <= status.keys()
            assert {"queue_size", "known_peers"} <= status.keys()
            submitted = await ok(client, "p2p_submit_task", task("fields", priority=7))
            assert submitted["success"] is True
            assert (submitted["task_id"], submitted["priority"]) == ("fields", 7)
            assert len(submitted["task_hash"]) == 64
            assert submitted["event_cid"]
            again = await ok(client, "p2p_submit_task", task("fields", priority=7))
            assert (again["created"], again["event_cid"]) == (False, submitted["event_cid"])
            taken = await ok(client, "p2p_get_next_task")
            assert taken["task"].keys() >= SEVEN
            assert taken["task"]["task_hash"] == submitted["task_hash"]
            assert taken["message"]
            empty = await ok(client, "p2p_get_next_task")
            assert (empty["task"], empty["message"]) == (None, "No tasks available")
            done = await ok(client, "p2p_mark_task_complete", {"task_id": "fields"})
            assert (done["success"], done["task_id"]) == (True, "fields")
            tags = await ok(client, "p2p_check_workflow_tags", {"tags": ["p2p-eligible", "code-generation"]})
            assert (tags["should_bypass_github"], tags["is_p2p_only"]) == (True, False)
            assert tags["tags"] == ["p2p-eligible", "code-generation"]
            clock = await ok(client, "p2p_get_merkle_clock")
            assert {"node_id", "vector", "merkle_root"} <= clock.keys()
            told = {name: clock[name] for name in ("vector", "merkle_root", "heads")} | {"node_id": "elsewhere"}
            peer = await ok(client, "p2p_update_peer_state", {"peer_id": "elsewhere", "clock_data": told})
            assert (peer["success"], peer["peer_id"]) == (True, "elsewhere")
            assert (await ok(client, "p2p_scheduler_status"))["known_peers"] == status["known_peers"] + 1
            forged = told | {"merkle_root": "00" * 32}
            refusal = await no(client, "p2p_update_peer_state", {"peer_id": "elsewhere", "clock_data": forged})
            assert "not the root of this clock" in refusal["message"]

    run(main)


def test_every_answer_fits_the_schema_that_was_advertised(tmp_path: Path) -> None:
    """Structured content is what the output schema says, for every tool there is, over stdio as well."""
    handed = '{"files":{"empty":{"parts":[],"size":0}},"outputs":{}}'
    flow = "on: push\nenv: {P2P_TAGS: p2p-only}\njobs: {a: {runs-on: ubuntu-latest, steps: [{run: 'true'}]}}\n"
    calls: list[tuple[str, dict[str, Any]]] = [
        ("p2p_scheduler_status", {}),
        ("p2p_submit_task", task("a", payload='{"x": 1}', payload_media_type="application/json")),
        ("p2p_submit_task", task("b", needs=["a"], max_attempts=1, command={"argv": ["true"]})),
        ("p2p_get_next_task", {}),
        ("p2p_renew_task", {"task_id": "a", "progress": "half"}),
        ("p2p_release_task", {"task_id": "a"}),
        ("p2p_list_tasks", {"status": ["open"], "limit": 1}),
        ("p2p_get_next_task", {"lease_seconds": 60}),
        ("p2p_get_result", {"task_id": "a"}),
        ("p2p_mark_task_complete", {"task_id": "a", "output": "AAH/", "output_is_base64": True, "log": "x"}),
        ("p2p_get_next_task", {}),
        ("p2p_fail_task", {"task_id": "b", "error": "no", "exit_code": 3, "log": "y"}),
        ("p2p_requeue_task", {"task_id": "b"}),
        ("p2p_show_task", {"task_id": "b"}),
        ("p2p_show_task", {"task_id": "a"}),
        ("p2p_explain_task", {"task_id": "b"}),
        ("p2p_cancel_task", {"task_id": "b"}),
        ("p2p_cancel_task", {"task_id": "b"}),
        ("p2p_wait_for_task", {"task_id": "a"}),
        ("p2p_get_logs", {"task_id": "a"}),
        ("p2p_get_result", {"task_id": "a"}),
        ("p2p_verify_ledger", {}),
        ("p2p_check_workflow_tags", {"tags": ["p2p-only"]}),
        ("p2p_get_merkle_clock", {}),
        ("p2p_submit_task", task("c")),
        ("p2p_mark_task_complete", {"task_id": "c", "output": handed, "output_media_type": OUTPUTS_TYPE}),
        ("p2p_get_result_file", {"task_id": "c", "path": "empty"}),
        ("p2p_plan_workflow", {"workflow": flow}),
        ("p2p_submit_workflow", {"workflow": flow}),
    ]

    async def main() -> None:
        async with Client(on_stdio(home_of(tmp_path))) as client:
            tools = {tool.name: tool for tool in (await client.list_tools()).tools}
            for name, arguments in calls:
                found = await ok(client, name, arguments)
                schema = tools[name].output_schema
                assert schema is not None
                jsonschema.validate(found, schema)
                assert found.keys() == schema["properties"].keys()
            told: dict[str, Any] = {"node_id": "x", "vector": {}, "merkle_root": None}
            found = await ok(client, "p2p_update_peer_state", {"peer_id": "x", "clock_data": told})
            jsonschema.validate(found, tools["p2p_update_peer_state"].output_schema or {})
            assert {name for name, _ in calls} | {"p2p_update_peer_state"} == tools.keys()

    run(main)


def test_another_program_sees_what_a_client_did(tmp_path: Path) -> None:
    """The server's home is the command line's: what one says the other knows, at once."""
    program = home_of(tmp_path)
    with serving(program) as server:

        async def main() -> None:
            async with connected(server.url) as client:
                submitted = await ok(client, "p2p_submit_task", task("shared", priority=9))
                shown = program.json("p2p-workflow", "show", submitted["event_cid"])
                assert shown["kind"] == "event"
                assert program.json("p2p-workflow", "next")["task"]["task_id"] == "shared"
                program.ok("p2p-workflow", "complete", "--task-id", "shared")
                assert (await ok(client, "p2p_wait_for_task", {"task_id": "shared"}))["status"] == "done"

        run(main)
