"""YAML of the guide's form, which calls the command line, works as it is written: run by act on this machine itself.

The programs are found on the PATH, the home by P2P_WORKFLOW_HOME, as on a runner of one's own.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest

from scheduler.workflows.act_program import find_act
from scheduler.workflows.reading import read_workflow
from scheduler.workflows.strict import check
from tests.cli.program import BIN, Program

GUIDE = """
name: Make Code Elsewhere

on:
  workflow_dispatch:
    inputs:
      description:
        required: true

env:
  WORKFLOW_TAGS: p2p-only,code-generation

jobs:
  generate:
    runs-on: ubuntu-latest
    steps:
      - name: Hand it to the peers
        run: |
          ipfs-accelerate p2p-workflow submit \\
            --task-id "${{ github.run_id }}" \\
            --workflow-id "${{ github.workflow }}" \\
            --name "${{ github.event.inputs.description }}" \\
            --tags p2p-only code-generation \\
            --priority 7
      - name: Behind it
        run: echo came-this-far
"""


@pytest.fixture
def program(tmp_path: Path) -> Program:
    """Return the program, with a home that does not exist yet."""
    return Program(tmp_path / "home")


def run_act(program: Program, folder: Path, text: str, inputs: Mapping[str, str], **variables: str) -> tuple[int, str]:
    """Run a file by act; return its exit code, and what the steps printed."""
    folder.mkdir()
    (folder / "guide.yml").write_text(text)
    (folder / "event.json").write_text(json.dumps({"inputs": dict(inputs)}))
    env = program.environment() | {"HOME": str(folder), "PATH": f"{BIN}:/usr/bin:/bin"}
    told = [word for name, value in variables.items() for word in ("--env", f"{name}={value}")]
    ran = subprocess.run(
        [
            find_act(), "workflow_dispatch", "-W", "guide.yml", "-e", "event.json", "-P", "ubuntu-latest=-self-hosted",
            "--json", "--no-cache-server", "--env", f"SHA_REF={'0' * 40}", "--env", "GITHUB_REF=refs/heads/main", *told,
        ],
        cwd=folder,
        env=env,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )  # fmt: skip
    lines = [json.loads(line) for line in ran.stdout.splitlines() if line.startswith("{")]
    assert ran.returncode in {0, 1}, ran.stderr
    return ran.returncode, "".join(line["msg"] for line in lines if line.get("raw_output"))


def test_the_task_is_in_the_ledger(program: Program, tmp_path: Path) -> None:
    """With the fields that the file names, whatever the description is; the step says so, the next one runs."""
    code, printed = run_act(program, tmp_path / "a", GUIDE, {"description": "Schöne Module 😀"}, GITHUB_RUN_ID="4711")
    assert code == 0, printed
    assert "✓ Task submitted successfully" in printed
    assert "came-this-far" in printed
    (task,) = program.json("tasks")["tasks"]
    shown = program.json("show", "4711")
    assert task["task_id"] == shown["task_id"] == "4711"
    assert shown["workflow_id"] == "Make Code Elsewhere"
    assert shown["name"] == "Schöne Module 😀"
    assert sorted(shown["tags"]) == ["code-generation", "p2p-only"]
    assert shown["priority"] == 7


def test_a_run_again_is_the_same_task(program: Program, tmp_path: Path) -> None:
    """It is there once, and the step says so and succeeds; another run is another task."""
    for number, run_id in enumerate(("1", "1", "2")):
        code, printed = run_act(program, tmp_path / f"a{number}", GUIDE, {"description": "x"}, GITHUB_RUN_ID=run_id)
        assert code == 0, printed
        assert ("already submitted" in printed) == (number == 1)
    assert len(program.json("tasks")["tasks"]) == 2


def test_exit_codes_reach_the_step(program: Program, tmp_path: Path) -> None:
    """Another request under a used name fails the step, and an unknown tag does; what stands behind is not run."""
    run_act(program, tmp_path / "a", GUIDE, {"description": "first"}, GITHUB_RUN_ID="1")
    code, printed = run_act(program, tmp_path / "b", GUIDE, {"description": "second"}, GITHUB_RUN_ID="1")
    assert code == 1
    assert "✗" in printed
    assert "came-this-far" not in printed
    code, printed = run_act(
        program, tmp_path / "c", GUIDE.replace("p2p-only code-generation \\", "p2p-onyl \\"), {"description": "x"}
    )
    assert code == 1
    assert "p2p-only" in printed
    assert "came-this-far" not in printed
    assert len(program.json("tasks")["tasks"]) == 1


def test_the_file_passes_the_strict_check() -> None:
    """Nothing in it is what act cannot do."""
    assert not [one for one in check(read_workflow(GUIDE.encode(), "guide.yml")) if one.is_error]
