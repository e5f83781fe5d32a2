"""Scans: every workflow below a folder, what bypasses GitHub, and jobs that GitHub would run anyway."""

from __future__ import annotations

from pathlib import Path

import pytest

from scheduler.workflows.guard import GUARD, guarded_jobs, is_guard, only_submits
from scheduler.workflows.scanning import Scanned, scan
from tests.workflows.files import GUIDE, THREE, one_job, read

P2P_ONLY = "env: {P2P_TAGS: p2p-only}\n"


def put(root: Path, name: str, text: str) -> Path:
    """Write a file below a folder."""
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def scanned(root: Path) -> dict[str, Scanned]:
    """Return what a scan finds, by the path below the root."""
    return {Path(one.path).relative_to(root).as_posix(): one for one in scan(root)}


def test_every_workflow_below_a_folder_is_listed(tmp_path: Path) -> None:
    """Those GitHub runs, those elsewhere that are workflows, and nothing else; a broken one is told."""
    put(tmp_path, ".github/workflows/guide.yml", GUIDE)
    put(tmp_path, ".github/workflows/broken.yaml", "a: [")
    put(tmp_path, "pipelines/three.yml", THREE)
    put(tmp_path, "pipelines/compose.yml", "services: {jobs: 3}\n")
    put(tmp_path, "pipelines/jobs.yml", "jobs:\n  a: 1\n")
    put(tmp_path, "pipelines/broken.yml", "jobs:\n  a: [")
    put(tmp_path, "node_modules/x/.github/workflows/a.yml", GUIDE)
    put(tmp_path, ".git/a.yml", GUIDE)
    (tmp_path / "loop").symlink_to(tmp_path)
    found = scanned(tmp_path)
    assert list(found) == [".github/workflows/broken.yaml", ".github/workflows/guide.yml", "pipelines/three.yml"]
    assert found[".github/workflows/broken.yaml"].name is None
    assert [one.rule for one in found[".github/workflows/broken.yaml"].findings] == ["yaml.syntax"]


def test_the_guide_s_own_job_only_submits(tmp_path: Path) -> None:
    """It is p2p-only and GitHub runs it, and that is fine: its work is handed over."""
    put(tmp_path, ".github/workflows/guide.yml", GUIDE)
    (one,) = scanned(tmp_path).values()
    (job,) = one.jobs
    assert (job.only_submits, job.runs_on_github, job.tags.bypasses_github) == (True, False, True)
    assert not one.findings


def test_a_job_that_github_would_run_anyway_is_told_with_the_guard(tmp_path: Path) -> None:
    """Where GitHub looks, and only there; with the guard it is quiet."""
    put(tmp_path, ".github/workflows/a.yml", P2P_ONLY + one_job())
    put(tmp_path, ".github/workflows/b.yml", P2P_ONLY + one_job(GUARD))
    put(tmp_path, ".github/workflows/c.yml", P2P_ONLY + one_job("if: github.ref == 'refs/heads/main'"))
    put(tmp_path, ".github/workflows/d.yml", one_job())
    put(tmp_path, ".github/workflows/e.yml", "env: {P2P_TAGS: p2p-eligible}\n" + one_job())
    put(tmp_path, "elsewhere/a.yml", P2P_ONLY + one_job())
    found = {name: one.findings for name, one in scanned(tmp_path).items()}
    told = {name: one[0] for name, one in found.items() if one}
    assert [Path(name).name for name in told] == ["a.yml", "c.yml"]
    (first, second) = told.values()
    assert (first.line, first.key, first.is_error) == (4, "jobs.a", False)
    assert "if: ${{ vars.P2P_WORKFLOW == 'true' }}" in first.advice
    assert "&&" in second.advice


def test_one_file_can_be_scanned(tmp_path: Path) -> None:
    """A path may be a file's; one that is not there is an error."""
    path = put(tmp_path, ".github/workflows/a.yml", P2P_ONLY + one_job())
    (one,) = scan(path)
    assert one.jobs[0].runs_on_github
    with pytest.raises(FileNotFoundError):
        list(scan(tmp_path / "nowhere"))


def test_conflicts_are_errors_of_the_scan(tmp_path: Path) -> None:
    """A job that says both is told with its line."""
    put(tmp_path, ".github/workflows/a.yml", P2P_ONLY + one_job("# Tags: unit-test"))
    (one,) = scanned(tmp_path).values()
    assert ("tags.conflict", True) in [(found.rule, found.is_error) for found in one.findings]


@pytest.mark.parametrize(
    "text",
    [
        "${{ vars.P2P_WORKFLOW == 'true' }}",
        "vars.P2P_WORKFLOW",
        "vars.p2p_workflow == 'true' && github.ref == 'refs/heads/main'",
        "always() && (vars.P2P_WORKFLOW == 'true')",
        "'true' == vars.P2P_WORKFLOW",
        "vars.P2P_WORKFLOW == 'true' || false",
        "github.actor == 'nektos/act'",
        "false",
        False,
    ],
)
def test_guards_never_hold_on_github(text: object) -> None:
    """Our variable, which nobody has made there, in any conjunction."""
    assert is_guard(text)


@pytest.mark.parametrize(
    "text",
    [
        "vars.P2P_WORKFLOW != 'true'",
        "!vars.P2P_WORKFLOW",
        "vars.P2P_WORKFLOW == ''",
        "vars.P2P_WORKFLOW == 'true' || github.ref == 'x'",
        "contains('vars.P2P_WORKFLOW && x', 'a')",
        "env.ACT",
        "true",
        True,
        "'a && false'",
        "(" * 1_000,
    ],
)
def test_what_may_hold_on_github_is_no_guard(text: object) -> None:
    """Its opposite, an alternative, words in a text."""
    assert not is_guard(text)


def test_a_job_that_needs_a_skipped_one_is_skipped() -> None:
    """As GitHub does, unless its own condition says that it runs all the same."""
    text = (
        "on: push\njobs:\n  a: {if: vars.P2P_WORKFLOW}\n  b: {needs: a}\n  c: {needs: [b], if: success()}\n"
        "  d: {needs: b, if: always()}\n  e: {needs: b, if: '!cancelled()'}\n  f: {}\n"
    )
    assert guarded_jobs(read(text)) == {"a", "b", "c"}


@pytest.mark.parametrize(
    "steps",
    [
        "- run: p2p-workflow submit --task-id a",
        "- run: |\n    # prepare\n    pip install x\n    ipfs-accelerate p2p-workflow submit \\\n      --name 'a; b'\n",
        "- uses: actions/checkout@v4\n- uses: actions/setup-python@v5\n- run: p2p-workflow workflow submit f | jq .",
        "- run: X=1 p2p-workflow status && echo done >> log 2>&1",
        '- run: p2p-workflow submit --name "$(date)" ; echo "it\'s"',
        '- run: |\n    if [ -n "$X" ]; then\n      p2p-workflow submit\n    fi # don\'t\n',
        "- uses: someone/p2p-workflow-scheduler@v1",
        "- run: /opt/bin/p2p-workflow run -- make",
        "- run: p2p-workflow submit\n  shell: bash",
    ],
)
def test_jobs_that_only_hand_work_over(steps: str) -> None:
    """Our program or action, and what prepares it."""
    assert only_submits(read(one_job(steps=steps)).jobs["a"])


@pytest.mark.parametrize(
    "steps",
    [
        "- run: echo p2p-workflow submit",
        "- run: '# p2p-workflow submit'",
        "- run: p2p-workflow submit && make build",
        "- run: |\n    p2p-workflow submit\n    make",
        "- run: |\n    echo hi # p2p-workflow\n    make",
        "- run: if p2p-workflow status; then make; fi",
        "- run: p2p-workflow submit --name $(make)",
        "- run: p2p-workflow submit `make`",
        "- run: p2p-workflow submit <<EOF\n",
        "- run: p2p-workflow submit 'open",
        "- run: p2p-workflow submit\n- run: make",
        "- run: p2p-workflow submit\n- uses: someone/build@v1",
        "- run: pip install x",
        "- run: p2p-workflow submit\n  shell: python",
        "- uses: ./",
        "- run: uv run make; p2p-workflow submit",
    ],
)
def test_jobs_that_do_work_of_their_own(steps: str) -> None:
    """Whatever else runs, or cannot be followed, counts as work."""
    assert not only_submits(read(one_job(steps=steps)).jobs["a"])


def test_the_repository_s_own_action_counts(tmp_path: Path) -> None:
    """`uses: ./` is our action in the repository that has it."""
    put(tmp_path, ".github/workflows/a.yml", P2P_ONLY + one_job(steps="- uses: ./"))
    assert scanned(tmp_path)[".github/workflows/a.yml"].findings
    put(tmp_path, "action.yml", "runs: {steps: [{run: p2p-workflow light}]}\n")
    assert not scanned(tmp_path)[".github/workflows/a.yml"].findings
