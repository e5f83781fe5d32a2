"""Workflow files through the server: planned, submitted, done by real workers, read on another peer; and refused."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.cli.program import Program
from tests.mcp.serving import Server, connected, no, ok, run, serving
from tests.workflows.files import MAKE, POLICY

FLOW = (
    "\nname: Release\n"
    + MAKE
    + """\
  check:
    needs: make
    runs-on: ubuntu-latest
    outputs: {word: '${{ steps.s.outputs.word }}'}
    steps:
      - {id: s, run: 'echo "word=$WORD, checked" >> "$GITHUB_OUTPUT"', env: {WORD: '${{ needs.make.outputs.word }}'}}
  tell:
    needs: check
    runs-on: ubuntu-latest
    steps:
      - run: 'echo "told: $WORD"; echo "# $WORD" > "$GITHUB_STEP_SUMMARY"'
        env: {WORD: '${{ needs.check.outputs.word }}'}
"""
)
SENT: dict[str, Any] = {"workflow": FLOW, "files": {"greeting.txt": "grüß dich\n"}, "inputs": {"who": "Wörld"}}


def test_three_jobs_are_planned_submitted_watched_and_read_on_another_peer(tmp_path: Path) -> None:
    """The machine's owner writes the policy and starts two workers; all else an MCP client does, at two peers."""
    here, there = Program(tmp_path / "here", "agent"), Program(tmp_path / "there", "reader")
    here.ok("init")
    there.ok("init", "--from", str(here.home))
    (here.home / "worker.toml").write_text(POLICY)
    (here.home / "worker.toml").chmod(0o600)
    workers: list[subprocess.Popen[str]] = []

    async def main() -> None:
        with serving(here) as server:
            async with connected(server.url) as client:
                workers.extend(Program(here.home, name).start("worker", "run") for name in ("one", "two"))
                plan = await ok(client, "p2p_plan_workflow", {"workflow": FLOW})
                assert (plan["ok"], [job["job"] for job in plan["jobs"]]) == (True, ["make", "check", "tell"])
                done = await ok(client, "p2p_submit_workflow", SENT)
                assert [task["created"] for task in done["tasks"]] == [True] * 3
                assert {task["event_cid"] for task in done["tasks"]} == set(done["event_cids"])
                again = await ok(client, "p2p_submit_workflow", SENT)
                assert [task["task_key"] for task in again["tasks"]] == [task["task_key"] for task in done["tasks"]]
                assert not any(task["created"] for task in again["tasks"])
                keys = {task["job"]: task["task_key"] for task in done["tasks"]}
                said: list[str | None] = []

                async def watch(_: float, __: float | None, message: str | None) -> None:
                    said.append(message)

                asked = {"task_id": keys["tell"], "wait_seconds": 90}
                waited = await ok(client, "p2p_wait_for_task", asked, progress_callback=watch)
                assert waited["status"] == "done", waited
                assert said
        there.ok("sync", str(here.home))
        with serving(there) as server:
            async with connected(server.url) as client:
                result = await ok(client, "p2p_get_result", {"task_id": keys["check"]})
                assert (result["exit_code"], result["sandbox"]) == (0, "bubblewrap")
                assert result["outputs"] == {"word": "grüß dich Wörld, checked"}
                logs = await ok(client, "p2p_get_logs", {"task_id": keys["tell"]})
                assert "told: grüß dich Wörld, checked" in logs["text"]
                assert (await ok(client, "p2p_get_result", {"task_id": keys["tell"]}))["files"] == ["summary.md"]
                summary = await ok(client, "p2p_get_result_file", {"task_id": keys["tell"], "path": "summary.md"})
                assert summary["text"] == "# grüß dich Wörld, checked\n"

    try:
        run(main)
    finally:
        for worker in workers:
            worker.terminate()
            worker.communicate(timeout=60)


@pytest.mark.parametrize(
    ("changed", "kind", "words"),
    [
        ({"workflow": FLOW.replace("needs: check", "needs: chekc")}, "workflow_refused", "did you mean 'check'?"),
        ({"workflow": FLOW.replace("ubuntu-latest", "windows-latest", 1)}, "workflow_refused", "runs-on"),
        ({"workflow": "jobs: ["}, "workflow_file", ""),
        ({"workflow": "on: push\njobs: {}\n"}, "workflow_refused", "jobs"),
        ({"workflow": ""}, "input", "workflow"),
        ({"workflow": "x" * 600_001}, "input", "600000"),
        ({"path": "../../etc/passwd"}, "source", "no plain path"),
        ({"files": {"../x": "y"}}, "source", "no plain path"),
        ({"files": {"/etc/cron.d/x": "y"}}, "source", "no plain path"),
        ({"files": {"a": "y", "a/b": "y"}}, "source", "a/b"),
        ({"files": {".git/config": "y"}}, "source", ""),
        ({"inputs": {"whom": "x"}}, "run_input", "whom"),
        ({"jobs": ["make", "mkae"]}, "missing", "mkae"),
        ({"ref": "main"}, "run_input", "refs/heads/main"),
        ({"ref": "refs/heads/a\nb"}, "run_input", "full git ref"),
        ({"event": "cron"}, "run_input", "cron"),
        ({"priority": 11}, "input", "priority"),
        ({"folder": "/etc"}, "input", "unknown arguments"),
    ],
)
def test_what_is_wrong_is_refused_and_nothing_is_submitted(
    server: Server, changed: dict[str, Any], kind: str, words: str
) -> None:
    """Each in words with its place; paths lead nowhere outside, and no file of the server's machine is read."""

    async def main() -> None:
        async with connected(server.url) as client:
            refusal = await no(client, "p2p_submit_workflow", SENT | changed)
            assert refusal["kind"] == kind, refusal
            assert words in refusal["message"] + (refusal["advice"] or ""), refusal
            if kind == "workflow_refused":
                assert {"path", "line", "key", "rule", "words"} <= refusal["findings"][0].keys()
            assert (await ok(client, "p2p_list_tasks"))["tasks"] == []

    run(main)


def test_another_file_under_the_same_run_is_a_conflict(server: Server) -> None:
    """The advice names the argument that makes it another run."""

    async def main() -> None:
        async with connected(server.url) as client:
            await ok(client, "p2p_submit_workflow", SENT | {"run_id": "7"})
            refusal = await no(client, "p2p_submit_workflow", SENT | {"run_id": "7", "inputs": {}})
            assert (refusal["kind"], "run_id" in refusal["advice"]) == ("conflict", True)
            await ok(client, "p2p_submit_workflow", SENT | {"run_id": "8", "inputs": {}})

    run(main)


def test_a_plan_of_a_faulty_file_names_what_is_wrong(server: Server) -> None:
    """It is an answer, not a refusal: that is what was asked for."""

    async def main() -> None:
        async with connected(server.url) as client:
            faulty = FLOW.replace("ubuntu-latest", "windows-latest", 1)
            plan = await ok(client, "p2p_plan_workflow", {"workflow": faulty, "path": "ci.yml"})
            assert plan["ok"] is False
            assert any((one["path"], one["line"]) == ("ci.yml", 7) for one in plan["findings"]), plan["findings"]

    run(main)
