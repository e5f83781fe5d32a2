"""`submit -- COMMAND…` and what stands beside it: the words are kept, files travel, what cannot be is refused."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from ledger.cid import Cid
from tests.cli.program import Program

NAMED = ("--workflow-id", "w", "--name", "n")


def payload_of(program: Program, task: str) -> Any:
    """Return the payload that a task has."""
    return json.loads(program.json("show", task)["payload"]["text"])


def missing_of(program: Program, cids: list[str]) -> list[str]:
    """Return which blobs a home does not have."""
    return [cid for cid in cids if program.run("show", cid).code != 0]


def test_the_words_after_two_dashes_are_the_command(program: Program) -> None:
    """No option of ours is read among them, and those before keep all three forms of --tags."""
    words = ["make", "--tags", "x", "--", "-j2", "--json"]
    program.ok(
        "submit", "--task-id", "a", *NAMED, "--tags", "p2p-only", "p2p-eligible", "--env", "A=1", "B=x=y", "--", *words
    )
    assert payload_of(program, "a") == {"argv": words, "env": {"A": "1", "B": "x=y"}}
    assert program.json("show", "a")["tags"] == ["p2p-eligible", "p2p-only"]
    outer = Program(program.home, prefix=("ipfs-accelerate", "p2p-workflow"))
    outer.ok(
        "submit", "--task-id", "b", *NAMED, "--network", "--secret", "KEY,OTHER", "--sandbox", "bubblewrap", "--", "ls"
    )
    assert payload_of(program, "b") == {
        "argv": ["ls"],
        "network": True,
        "secrets": ["KEY", "OTHER"],
        "sandbox": "bubblewrap",
    }
    again = ("--network", "--secret", "KEY,OTHER", "--sandbox", "bubblewrap", "--", "ls")
    assert program.ok("submit", "--task-id", "b", *NAMED, "--json", *again).json["created"] is False


def test_a_script_names_its_interpreter(program: Program, tmp_path: Path) -> None:
    """By its first line, or by --interpreter; a script that says neither is refused."""
    script = tmp_path / "s"
    for line, interpreter in (("#!/usr/bin/env bash", "bash"), ("#!/usr/bin/python3 -u", "python3")):
        script.write_text(f"{line}\n")
        program.ok("submit", "--task-id", interpreter, *NAMED, "--script", str(script))
        assert payload_of(program, interpreter) == {"script": f"{line}\n", "interpreter": interpreter}
    script.write_text("echo\n")
    assert "--interpreter" in program.run("submit", "--task-id", "c", *NAMED, "--script", str(script)).err
    program.ok("submit", "--task-id", "c", *NAMED, "--script", "-", "--interpreter", "sh", text="echo\n")
    assert payload_of(program, "c") == {"script": "echo\n", "interpreter": "sh"}


@pytest.mark.parametrize(
    ("args", "kind", "words"),
    [
        (("foo",), "usage", "unexpected extra argument"),
        (("--env", "A=1"), "input", "--env is about a command"),
        (("--",), "payload", "argv or script"),
        (("--env", "A", "--", "ls"), "input", "NAME=VALUE is wanted"),
        (("--env", "1=A", "--", "ls"), "payload", "no name of a variable"),
        (("--sandbox", "strong", "--", "ls"), "input", "no such level"),
        (("--keep", "../x", "--", "ls"), "input", "leads out of the work folder"),
        (("--put", "nothing", "--", "ls"), "file_not_found", "nothing"),
        (("--put", "/etc/hostname=../x", "--", "ls"), "gathering", "no plain path"),
        (("--payload", "/etc/hostname", "--", "ls"), "input", "one of them"),
        (("--interpreter", "sh", "--", "ls"), "payload", "interpreter"),
        (("--file", "x", "--", "ls"), "input", "with --file"),
        (("--not-before", "1h", "--", "ls"), "time_text", "did you mean +1h?"),
    ],
)
def test_what_is_no_command_is_refused(program: Program, args: tuple[str, ...], kind: str, words: str) -> None:
    """Each refusal says what and where, and nothing is submitted."""
    program.ok("init")
    ran = program.run("submit", "--task-id", "a", *NAMED, "--json", *args)
    assert (ran.code in {2, 3}, ran.json["error"]["kind"]) == (True, kind), ran
    assert words in ran.err
    assert program.json("tasks")["tasks"] == []


def test_a_file_of_tasks_has_commands_too(program: Program, tmp_path: Path) -> None:
    """As a list of words, or as an object of the options' fields; what is none is named by its place."""
    (tmp_path / "a.txt").write_text("a")
    tasks: list[dict[str, Any]] = [
        {"task_id": "a", "name": "A", "command": ["ls", "-l"]},
        {
            "task_id": "b",
            "name": "B",
            "command": {"script": "echo", "interpreter": "sh", "put": {"in/a": str(tmp_path / "a.txt")}, "keep": ["x"]},
        },
    ]
    program.ok("submit", "--workflow-id", "w", "--file", "-", text=json.dumps(tasks))
    assert payload_of(program, "a") == {"argv": ["ls", "-l"]}
    cid = str(Cid.of_raw(b"a"))
    assert payload_of(program, "b") == {
        "script": "echo",
        "interpreter": "sh",
        "files": {"in/a": {"size": 1, "parts": [cid]}},
        "outputs": ["x"],
    }
    for command in ("ls", {"argv": "ls"}, {"words": ["ls"]}, {"argv": [1]}, {"argv": 1}, 1, {"argv": ["a"], "env": []}):
        line = json.dumps({"task_id": "c", "name": "C", "command": command})
        ran = program.run("submit", "--workflow-id", "w", "--file", "-", text=line)
        assert (ran.code, "-: task 1: " in ran.out) == (2, True), ran


def test_a_variable_that_looks_like_a_secret_is_warned_of(program: Program) -> None:
    """What is in a task is public; a note says so before it is too late the next time."""
    ran = program.ok("submit", "--task-id", "a", *NAMED, "--env", "DEPLOY_TOKEN=x", "PLAIN=y", "--", "ls")
    assert "DEPLOY_TOKEN looks like a secret" in ran.err
    assert "PLAIN" not in ran.err


def test_files_travel_with_their_tasks(program: Program, tmp_path: Path) -> None:
    """From home to home, by a CAR of all, and by a CAR of the one task."""
    source = tmp_path / "source"
    source.mkdir()
    for number in range(230):  # more than one event links
        (source / f"f{number}").write_text(f"file {number}")
    (source / "large").write_bytes(b"large" * 500_000)
    program.ok("submit", "--task-id", "a", *NAMED, "--put", f"{source}=.", "--", "ls")
    shown = program.json("show", "a")["payload"]
    assert "blob" in shown
    parts = [str(Cid.of_raw(f"file {number}".encode())) for number in (0, 100, 229)]
    parts += [str(Cid.of_raw((b"large" * 500_000)[:1_048_576])), shown["blob"]]
    car, part_car = tmp_path / "a.car", tmp_path / "task.car"
    program.ok("export", str(car))
    program.ok("export", str(part_car), "--task", "a")
    for place in (str(program.home), str(car), str(part_car)):
        there = Program(tmp_path / f"home {Path(place).name}")
        there.ok("init", "--from", place)
        assert missing_of(there, parts) == [], place


@pytest.mark.parametrize("here", [True, False], ids=["root", "below"])
def test_a_folder_goes_without_git_s_own_and_without_what_git_ignores(
    program: Program, tmp_path: Path, here: bool
) -> None:
    """No token of .git/config and no .env; tracked and new files, a submodule's too; a file that is named as it is."""
    root = tmp_path / "tree"
    tree = root if here else root / "below"
    inner = tree / "inner"
    inner.mkdir(parents=True)
    for repository in (root, inner):
        subprocess.run(("git", "init", "-q", str(repository)), check=True)
        with (repository / ".git" / "config").open("a") as config:
            config.write('[http "https://github.com/"]\n\textraheader = AUTHORIZATION: basic dG9rZW4=\n')
        (repository / ".gitignore").write_text(".env\n*.log\n")
    for name in ("new", "kept.log", ".env", "inner/a", "inner/.env"):
        (tree / name).write_text(name)
    (tree / "gone").write_text("x")
    subprocess.run(("git", "-C", str(tree), "add", "-f", "kept.log", "gone"), check=True)
    (tree / "gone").unlink()
    ran = program.ok("submit", "--task-id", "a", *NAMED, "--put", f"{tree}=.", "--", "ls")
    files = payload_of(program, "a")["files"]
    assert files.keys() == {"new", "kept.log", "inner/a", "inner/.gitignore"} | ({".gitignore"} if here else set())
    assert "2 files git ignores are left out" in ran.err
    program.ok("submit", "--task-id", "b", *NAMED, "--put", f"{tree / '.env'}=.env", "--", "ls")
    assert payload_of(program, "b")["files"].keys() == {".env"}
    (root / ".gitignore").write_text("*\n")
    (tree / "all").mkdir()
    (tree / "all" / "x").touch()
    ran = program.run("submit", "--task-id", "c", *NAMED, "--json", "--put", str(tree / "all"), "--", "ls")
    assert (ran.json["error"]["kind"], "git ignores every file" in ran.err) == ("gathering", True), ran


def test_a_folder_outside_git_goes_whole_but_for_git_s_own(program: Program, tmp_path: Path) -> None:
    """Work trees in it go as they do by themselves, wherever they lie; a file named .git is git's as well."""
    folder = tmp_path / "plain"
    (folder / "deep" / "repository").mkdir(parents=True)
    subprocess.run(("git", "init", "-q", str(folder / "deep" / "repository")), check=True)
    (folder / "deep" / "repository" / ".gitignore").write_text(".env\n")
    for name in (".env", ".gitignore", "deep/a", "deep/repository/.env", "deep/repository/b"):
        (folder / name).write_text(".env\n")
    ran = program.ok("submit", "--task-id", "a", *NAMED, "--put", str(folder), "--", "ls")
    wanted = (".env", ".gitignore", "deep/a", "deep/repository/.gitignore", "deep/repository/b")
    assert payload_of(program, "a")["files"].keys() == {f"plain/{name}" for name in wanted}
    assert "1 file that git ignores is left out" in ran.err


def test_bytes_that_come_later_than_their_event_travel_on(program: Program, tmp_path: Path) -> None:
    """A home that had the event without the bytes gets them by its next sync, from whoever has them by then."""
    from scheduler.home import Home

    payload = tmp_path / "in"
    payload.write_bytes(b"x" * 2_000_000)
    program.ok("submit", "--task-id", "a", *NAMED, "--put", str(payload), "--", "cat", "in")
    parts = [str(Cid.of_raw(b"x" * size)) for size in (1_048_576, 2_000_000 - 1_048_576)]
    middle, last = Program(tmp_path / "middle"), Program(tmp_path / "last")
    with Home.open(program.home) as home, home.reading():
        genesis = home.genesis.encode()
        blocks = [block for _, _, block in home.events.in_order_of_arrival()]
    with Home.enter(middle.home, genesis) as home, home.writing() as writing:
        writing.offer(blocks)
    last.ok("init", "--from", str(middle.home))
    assert missing_of(last, parts) == parts
    middle.ok("sync", str(program.home))
    assert missing_of(middle, parts) == []
    last.ok("sync", str(middle.home))
    assert missing_of(last, parts) == []
