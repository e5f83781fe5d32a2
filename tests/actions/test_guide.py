"""The guide's own YAML, unchanged, on a runner without a home: key and token are in its environment."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.actions.conftest import Team
from tests.workflows.files import GUIDE


def _event(team: Team, words: str) -> tuple[str, ...]:
    """Return the options of act that stand for a dispatch with this description, and for the runner's environment."""
    event = team.runner.folder / "event.json"
    event.write_text(json.dumps({"inputs": {"description": words}}), encoding="utf-8")
    environment = team.runner.folder / "environment"
    environment.write_text(
        "".join(f"{name}={value}\n" for name, value in team.runner.secrets.items()), encoding="utf-8"
    )
    return "-e", str(event), "--env-file", str(environment)


def test_the_guide_s_workflow_submits(team: Team) -> None:
    """What the guide prints is printed, the peer has the task, and run again it is the same one."""
    for headline in ("✓ Task submitted successfully", "✓ Task already submitted"):
        ran = team.runner.run(GUIDE, *_event(team, "a module"))
        assert ran.code == 0, ran.out
        task = team.task("1")
        assert task is not None
        assert ran.lines[:2] == [headline, "Task ID: 1"]
        assert "Priority: 7" in ran.lines
        assert f"Event CID: {task.submits[0]}" in ran.lines
        assert (task.spec.workflow_id, task.spec.name) == ("P2P Code Generation", "a module")
        assert (task.spec.tags, task.priority) == (("code-generation", "p2p-only"), 7)
    assert team.runner.user_files == []


@pytest.mark.parametrize("gone", ["P2P_WORKFLOW_KEY", "P2P_WORKFLOW_LEDGER"])
def test_without_one_of_the_pair_the_step_fails(team: Team, gone: str) -> None:
    """An empty secret is told; nothing is submitted anywhere."""
    team.runner.secrets[gone] = ""
    ran = team.runner.run(GUIDE, *_event(team, "a module"))
    assert ran.code == 1
    assert f"{gone}" in ran.out
    assert not Path(team.runner.folder / "user" / ".local").exists()
