"""An agent has a real worker run a command: policy, submission, log followed, outputs read, all through MCP."""

from __future__ import annotations

import subprocess
from pathlib import Path

from tests.mcp.serving import connected, home_of, no, ok, run, serving, task


def test_a_command_is_run_and_its_log_followed(tmp_path: Path) -> None:
    """What a worker in the same home runs is waited for, its log followed, its result files named."""
    program = home_of(tmp_path)
    with serving(program) as server:

        async def main() -> None:
            async with connected(server.url) as client:
                program.ok("p2p-workflow", "worker", "policy", "init")  # this home's own commands, and nothing else
                script = "echo begun; echo answer=42 >> $P2P_WORKFLOW_OUTPUT; echo x > kept.txt; echo done"
                command = {"argv": ["sh", "-c", script], "outputs": ["kept.txt"]}
                await ok(client, "p2p_submit_task", task("ran", command=command))
                process = program.start("p2p-workflow", "worker", "run", "--once")
                try:
                    waited = await ok(client, "p2p_wait_for_task", {"task_id": "ran", "wait_seconds": 60})
                    assert waited["status"] == "done", waited
                    result = waited["result"]
                    assert (result["exit_code"], result["outputs"]) == (0, {"answer": "42"})
                    assert result["files"] == ["kept.txt"]
                    assert result["sandbox"]
                    text, offset, over = "", 0, False
                    while not over:
                        asked = {"task_id": "ran", "offset": offset, "wait_seconds": 10}
                        part = await ok(client, "p2p_get_logs", asked)
                        text, offset, over = text + part["text"], part["next_offset"], part["is_over"]
                    assert text == "begun\ndone\n"
                    kept = await ok(client, "p2p_get_result_file", {"task_id": "ran", "path": "kept.txt"})
                    assert (kept["text"], kept["base64"], kept["size"]) == ("x\n", None, 2)
                    for path in ("none", "../kept.txt", "/etc/passwd"):
                        refusal = await no(client, "p2p_get_result_file", {"task_id": "ran", "path": path})
                        assert refusal["advice"] == "files it handed over: kept.txt"
                finally:
                    try:
                        process.communicate(timeout=30)
                    except subprocess.TimeoutExpired:
                        process.kill()
                        process.communicate()

        run(main)
