"""A workflow file is submitted and done by a worker, each of its jobs in the sandbox: the real programs, end to end."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.program import Program
from tests.workflows.files import MAKE, POLICY
from tests.workflows.test_source import git

CHAIN = (
    "\nname: Chain\n"
    + MAKE
    + """\
  each:
    needs: make
    runs-on: ubuntu-latest
    strategy: {matrix: {mark: ['!', '?']}}
    steps:
      - run: echo "said $WORD${{ matrix.mark }}"
        env: {WORD: '${{ needs.make.outputs.word }}'}
  last:
    needs: [make, each]
    runs-on: ubuntu-latest
    outputs: {all: '${{ needs.make.outputs.word }} / ${{ needs.each.result }}'}
    steps:
      - run: echo "# Done" >> "$GITHUB_STEP_SUMMARY"
"""
)


@pytest.fixture
def program(tmp_path: Path) -> Program:
    """Return the program, with a home that does not exist yet."""
    return Program(tmp_path / "home")


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Make a git work tree with a workflow file and something for it to read."""
    root = tmp_path / "tree"
    (root / ".github/workflows").mkdir(parents=True)
    (root / ".github/workflows/chain.yml").write_text(CHAIN)
    (root / "greeting.txt").write_text("grüß dich\n")
    git(root, "init", "-q", "-b", "main")
    git(root, "add", "-A")
    git(root, "commit", "-qm", "first")
    return root


def test_three_dependent_jobs(program: Program, tree: Path) -> None:
    """Each job and leg is done once, sees the source and the outputs of those it needs, and leaves result and log."""
    done = program.json("workflow", "submit", str(tree / ".github/workflows/chain.yml"), "--input", "who=Wörld")
    keys: dict[str, list[str]] = {}
    for task in done["tasks"]:
        keys.setdefault(task["job"], []).append(task["task_key"])
    (program.home / "worker.toml").write_text(POLICY)
    ran = program.ok("worker", "run", "--slots", "2", "--drain")
    assert {job: len(found) for job, found in keys.items()} == {"make": 1, "each": 2, "last": 1}, ran.err
    (make,), (last,) = keys["make"], keys["last"]
    assert program.json("result", make)["outputs"] == {"word": "grüß dich Wörld"}
    logs = [program.ok("logs", leg).out for leg in keys["each"]]
    assert sorted(line for log in logs for line in log.splitlines() if line.startswith("said")) == [
        "said grüß dich Wörld!",
        "said grüß dich Wörld?",
    ]
    result = program.json("result", last)
    assert result["outputs"] == {"all": "grüß dich Wörld / success"}
    assert result["sandbox"] == "bubblewrap"
    assert list(result["files"]) == ["summary.md"] or [one["path"] for one in result["files"]] == ["summary.md"]


def test_a_file_that_act_cannot_do_is_not_submitted(program: Program, tree: Path) -> None:
    """The strict check stands before the submission: file, line, key and rule are told, and no task is there."""
    place = tree / ".github/workflows/chain.yml"
    place.write_text(CHAIN.replace("    needs: make\n", "    needs: make\n    services: {db: {image: redis}}\n"))
    ran = program.run("workflow", "submit", str(place))
    assert ran.code != 0
    assert "chain.yml:14: error: jobs.each.services" in ran.out + ran.err
    assert "[W4]" in ran.out + ran.err
    assert not program.home.exists()
