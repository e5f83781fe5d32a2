"""`workflow lint`, `plan`, `scan` and `submit`: the real program on real files and a real git work tree."""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path
from typing import Any

import pytest

from ledger.cid import Cid
from scheduler.home import Home
from tests.cli.program import Program
from tests.workflows.files import GUIDE, THREE, one_job
from tests.workflows.test_source import git

DIRECTORY = Path(".github/workflows")


@pytest.fixture
def program(tmp_path: Path) -> Program:
    """Return the program `p2p-workflow` with a home that does not exist yet."""
    return Program(tmp_path / "home")


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Make a git work tree with the guide's workflow and another."""
    root = tmp_path / "tree"
    (root / DIRECTORY).mkdir(parents=True)
    (root / DIRECTORY / "guide.yml").write_text(GUIDE)
    (root / DIRECTORY / "three.yml").write_text(THREE)
    (root / "hello.txt").write_text("hello\n")
    git(root, "init", "-q", "-b", "main")
    git(root, "add", "-A")
    git(root, "commit", "-qm", "first")
    return root


def file(tree: Path, name: str) -> str:
    """Return the path of a workflow as people type it."""
    return str(tree / DIRECTORY / name)


def test_the_guide_s_own_yaml_is_linted_planned_scanned_and_submitted(program: Program, tree: Path) -> None:
    """Its file works as written: one warning, one job, nothing that runs twice, one task."""
    guide = file(tree, "guide.yml")
    lint = program.json("workflow", "lint", guide)
    assert (lint["success"], lint["errors"], lint["warnings"]) == (True, 0, 1)
    assert lint["files"][0]["findings"][0]["rule"] == "injection"
    plan = program.json("workflow", "plan", guide)
    assert ([one["job"] for one in plan["jobs"]], plan["tasks"]) == (["generate"], 1)
    (scanned,) = program.json("workflow", "scan", guide)["workflows"]
    assert (scanned["jobs"][0]["only_submits"], scanned["findings"]) == (True, [])
    assert not program.home.exists()
    done = program.json("workflow", "submit", guide, "--input", "description=a module; rm -rf /")
    (task,) = done["tasks"]
    assert (task["created"], task["tags"]) == (True, ["code-generation", "p2p-only"])
    assert done["inputs"] == {"description": "a module; rm -rf /"}
    assert program.json("tasks")["tasks"][0]["task_key"] == task["task_key"]


def test_three_jobs_become_four_tasks_once(program: Program, tree: Path) -> None:
    """With the source of the work tree, pinned; the second time they are there already."""
    three = file(tree, "three.yml")
    first = program.json("workflow", "submit", three)
    assert [one["job"] for one in first["tasks"]] == ["build", "test", "test", "publish"]
    assert (first["ref"], len(first["sha"]), first["event"]) == ("refs/heads/main", 40, "workflow_dispatch")
    assert (first["path"], first["source"]["files"]) == (".github/workflows/three.yml", 3)
    with Home.open(program.home) as home, home.reading():
        parts = [Cid.parse(part) for part in first["source"]["parts"]]
        data = b"".join(home.intake.blobs.get_many(parts)[part] for part in parts)
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        assert tar.getnames() == [".github/workflows/guide.yml", ".github/workflows/three.yml", "hello.txt"]
    again = program.ok("workflow", "submit", three)
    assert again.out.startswith("✓ Three: 0 tasks submitted, 4 already there\n")
    (tree / "hello.txt").write_text("changed\n")
    changed = program.ok("workflow", "submit", three)
    assert "4 tasks submitted, 0 already there" in changed.out
    assert "changes that are not in commit" in changed.err
    assert len(program.json("tasks")["tasks"]) == 8


def test_another_file_under_the_same_run_is_a_conflict_with_a_way_out(program: Program, tree: Path) -> None:
    """The words name the option that makes it another run."""
    again = ("workflow", "submit", file(tree, "three.yml"), "--run-id", "7")
    program.ok(*again)
    (tree / "hello.txt").write_text("hello again\n")
    ran = program.run(*again)
    assert ran.code == 4
    assert "name another run: --run-id ID" in ran.err


def test_a_run_says_what_goes_with_it(program: Program, tree: Path) -> None:
    """What is left out of the source is told; without one that is told, too; options come through."""
    (tree / "secret.txt").write_text("x")
    three = file(tree, "three.yml")
    assert "1 untracked ones are left out" in program.ok("workflow", "submit", three).err
    args = (
        "--source",
        "none",
        "--run-id",
        "9",
        "--workflow-id",
        "w",
        "--priority",
        "8",
        "--job",
        "build",
        "--ref",
        "v2",
    )
    ran = program.ok("workflow", "submit", three, *args, "--json")
    assert "No source goes with it" in ran.err
    (task,) = ran.json["tasks"]
    assert (task["task_id"], ran.json["workflow_id"], ran.json["source"], ran.json["ref"]) == (
        "9/build", "w", None, "refs/heads/v2"
    )  # fmt: skip
    assert program.json("show", task["task_key"])["priority"] == 8
    folder = program.json("workflow", "submit", three, "--source", str(tree / ".github"))
    assert (folder["path"], folder["source"]["files"]) == ("workflows/three.yml", 2)


def test_nothing_is_submitted_of_a_file_with_errors(program: Program, tmp_path: Path) -> None:
    """All errors are told with their lines; there is no home afterwards."""
    path = tmp_path / "bad.yml"
    path.write_text(one_job("needs: b\nenv: {P2P_TAGS: p2p-olny}"))
    ran = program.run("workflow", "submit", str(path), "--json")
    assert (ran.code, ran.json["error"]["kind"]) == (6, "workflow_refused")
    assert {one["rule"] for one in ran.json["error"]["findings"]} == {"needs.unknown", "tags.unknown"}
    assert f"{path}:6: error: jobs.a.env.P2P_TAGS: unknown tag 'p2p-olny'" in ran.err
    path.write_text("a: [")
    ran = program.run("workflow", "submit", str(path), "--json")
    assert (ran.code, ran.json["error"]["kind"]) == (6, "workflow_file")
    assert not program.home.exists()


@pytest.mark.parametrize(
    ("args", "code", "kind", "words"),
    [
        (("guide.yml",), 2, "run_input", "input 'description' is required"),
        (("three.yml", "--input", "greting=x"), 2, "run_input", "declares no input 'greting'"),
        (("three.yml", "--input", "greeting"), 2, "input", "is no NAME=VALUE"),
        (("three.yml", "--input", "greeting=a", "--input", "greeting=b"), 2, "input", "twice"),
        (("three.yml", "--event", "push"), 2, "run_input", "does not trigger"),
        (("three.yml", "--job", "biuld"), 3, "missing", "no job 'biuld'"),
        (("three.yml", "--source", "nowhere"), 2, "source", "no folder"),
        (("three.yml", "--run-id", " "), 2, "input", "--run-id is empty"),
        (("three.yml", "--priority", "11"), 2, "usage", "11"),
        (("four.yml",), 3, "file_not_found", "four.yml"),
    ],
)
def test_what_cannot_be_submitted_is_told(
    program: Program, tree: Path, args: tuple[str, ...], code: int, kind: str, words: str
) -> None:
    """With a kind of its own, before anything is made."""
    ran = program.run("workflow", "submit", file(tree, args[0]), *args[1:], "--json")
    assert (ran.code, ran.json["error"]["kind"]) == (code, kind)
    assert words in ran.json["error"]["message"]
    assert not program.home.exists()


def test_lint_tells_each_file_and_ends_with_6(program: Program, tmp_path: Path) -> None:
    """One line for each finding, as compilers write them; --strict counts warnings."""
    good, bad, broken = (tmp_path / name for name in ("good.yml", "bad.yml", "broken.yml"))
    good.write_text(GUIDE)
    bad.write_text(one_job("runs_on: x"))
    broken.write_text("on: push\non: push\n")
    assert program.ok("workflow", "lint", str(good)).out.endswith("✓ 1 warning\n")
    assert program.run("workflow", "lint", str(good), "--strict").code == 6
    ran = program.run("workflow", "lint", str(good), str(bad), str(broken))
    assert ran.code == 6
    lines = ran.out.splitlines()
    assert any(line.startswith(f"{bad}:5: error: jobs.a.runs_on: unknown key 'runs_on'") for line in lines)
    assert any(line.startswith(f"{broken}:2: error: on: 'on' stands here again") for line in lines)
    assert lines[-1].startswith("✗ ")
    assert program.run("workflow", "lint", str(tmp_path / "none.yml")).code == 3


def test_plan_shows_the_graph_and_who_could_run_it(program: Program, tree: Path) -> None:
    """Without a home it says that nobody knows; with one, workers by name, and labels that nobody has."""
    three = file(tree, "three.yml")
    ran = program.ok("workflow", "plan", three)
    assert ran.out.splitlines()[1].startswith("└─ build")
    assert "└─ publish  (after build, too)" in ran.out
    assert "no ledger here" in ran.err
    program.ok("submit", "--task-id", "a", "--workflow-id", "w", "--name", "n")
    plan = program.json("workflow", "plan", three)
    legs: dict[str, Any] = {leg["name"]: leg["could_run"] for job in plan["jobs"] for leg in job["legs"]}
    assert legs["build"] == {"workers": [], "missing": [], "denied": None}  # without a policy this one runs nothing
    assert legs["test (3.11)"] == {"workers": [], "missing": ["gpu"], "denied": None}
    assert plan["edges"] == [["build", "test"], ["build", "publish"], ["test", "publish"]]
    assert "nobody at work has gpu" in program.ok("workflow", "plan", three).out
    dot = program.ok("workflow", "plan", three, "--dot").out
    assert '"build" -> "test";' in dot
    program.ok("worker", "policy", "init")
    legs = {
        leg["name"]: leg["could_run"] for job in program.json("workflow", "plan", three)["jobs"] for leg in job["legs"]
    }
    assert legs["build"]["denied"]
    assert not legs["build"]["workers"]
    policy = program.home / "worker.toml"
    policy.write_text(policy.read_text().replace('payloads = ["command"]', 'payloads = ["workflow-job"]'))
    assert "build: could run on worker" in program.ok("workflow", "plan", three).out


def test_a_plan_of_a_faulty_file_shows_what_is_known(program: Program, tmp_path: Path) -> None:
    """A circle of needs, a dynamic matrix: the jobs are shown, the code says that it cannot be submitted."""
    path = tmp_path / "w.yml"
    jobs = "".join(f"  {a}: {{runs-on: x, needs: {b}, steps: [{{run: x}}]}}\n" for a, b in ("ab", "ba"))
    path.write_text(f"on: push\njobs:\n{jobs}")
    ran = program.run("workflow", "plan", str(path))
    assert ran.code == 6
    assert "needs go in a circle: a → b → a" in ran.err
    assert "2 jobs" in ran.out


def test_scan_lists_tags_with_their_lines(program: Program, tree: Path) -> None:
    """Text and JSON; what GitHub would run anyway is a warning, a conflict ends with 6."""
    ran = program.ok("workflow", "scan", str(tree))
    assert "build (line 9): p2p-only (line 7); runs peer-to-peer only; but GitHub runs it, too" in ran.out
    assert "if: ${{ vars.P2P_WORKFLOW == 'true' }}" in ran.out
    assert program.run("workflow", "scan", str(tree), "--strict").code == 6
    (tree / "more.yml").write_text("env: {P2P_TAGS: 'p2p-only unit-test'}\n" + one_job())
    ran = program.run("workflow", "scan", str(tree), "--json")
    assert ran.code == 6
    found = {Path(one["path"]).name: one for one in ran.json["workflows"]}
    assert [one["rule"] for one in found["more.yml"]["findings"]] == ["tags.conflict"]
    assert [one["runs_on_github"] for one in found["three.yml"]["jobs"]] == [True, True, True]
    assert program.run("workflow", "scan", str(tree / "nowhere")).code == 3


def test_hostile_names_do_not_move_the_cursor(program: Program, tmp_path: Path) -> None:
    """What a file says is printed without its control characters."""
    path = tmp_path / "w.yml"
    path.write_text('name: "a\\e[31m"\n' + one_job('"\\e[2J": 1'))
    for command in ("lint", "plan", "scan"):
        ran = program.run("workflow", command, str(path))
        assert "\x1b" not in ran.out + ran.err
    assert json.loads(program.run("workflow", "plan", str(path), "--json").out)["workflow"] == "a\x1b[31m"
