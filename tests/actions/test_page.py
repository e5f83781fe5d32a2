"""The workflows in docs/github-actions.md, run by act as they stand; `uses:` is our own checkout."""

from __future__ import annotations

import re
from typing import Final

import pytest

from crdt.records import TaskRecord
from ledger.operations import Attachment, Report
from scheduler.actions import complete
from scheduler.running.outputs import Outputs, write_outputs
from scheduler.running.payloads import OUTPUTS_TYPE
from tests.actions.conftest import Team
from tests.actions.runner import ROOT
from tests.actions.test_action import Hand

PAGE: Final = (ROOT / "docs" / "github-actions.md").read_text(encoding="utf-8")
EXAMPLES: Final = re.findall(r"<!-- run by act: (\w+) -->\n```yaml\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)
_USES: Final = "uses: OWNER/p2p-workflow-scheduler@main"


def test_every_workflow_of_the_page_is_run() -> None:
    """None stands there unseen."""
    assert len(EXAMPLES) == PAGE.count("```yaml") == 3


@pytest.mark.parametrize(("ends", "workflow"), EXAMPLES, ids=[f"{n}-{ends}" for n, (ends, _) in enumerate(EXAMPLES)])
def test_a_workflow_of_the_page_works(team: Team, ends: str, workflow: str) -> None:
    """It submits, and where it waits its task is done by a peer."""
    ours = workflow.replace(_USES, "uses: ./")
    if "actions/checkout" not in ours:  # ours is in the repository here, which GitHub would fetch by itself
        ours = ours.replace("    steps:\n", "    steps:\n      - uses: actions/checkout@v4\n")
    if ends == "submitted":
        ran = team.runner.run(ours)
        assert ran.code == 0, ran.out
        assert "✓ Task submitted successfully" in ran.lines
        assert len(team.peer.task_ids()) == 1
        return

    def do(task: TaskRecord) -> None:
        output = Attachment(OUTPUTS_TYPE, data=write_outputs(Outputs({"version": "1.2"})))
        complete(team.peer.home, team.peer.key, task.key, output=output, report=Report(exit_code=0))

    with Hand(team, "build-1", do):
        ran = team.runner.run(ours)
    assert ran.code == 0, ran.out
    task = team.task("build-1")
    assert task is not None
    assert f"built 1.2, see {task.submits[0]}" in ran.lines
