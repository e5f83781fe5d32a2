"""One table of exit codes, over every error there is; and what an error says."""

from __future__ import annotations

import errno
import importlib
import inspect
import json
import pkgutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

import crdt
import ledger
import scheduler
from cli.errors import ADVICE, CODES, tell
from cli.exit_codes import MEANINGS, ExitCode
from tests.cli.program import Program, operation_lines

# Never shown by a command: verdicts and errors that are answered where they are raised, and defects of the program.
INTERNAL = {
    "ledger.multibase.MultibaseError",
    "ledger.bounded_socket.OverLimitError",
    "ledger.challenge.ChallengeError",
    "ledger.doorkeeper.NotAdmittedError",
    "ledger.gateway.GatewayError",
    "ledger.gateway_transport.MeterError",
    "crdt.clock.ClockError",
    "scheduler.action_errors.WithoutEffectError",
    "scheduler.fibonacci_check.HeapInvariantError",
    "scheduler.running.bubblewrapped.SetUpError",
    "scheduler.running.ends.NoProgramError",
    "scheduler.running.ends.UnendingError",
    "scheduler.running.levels.LevelMissingError",
    "scheduler.running.levels.SandboxError",
    "scheduler.running.collecting.CollectError",
    "scheduler.running.inputs.InputError",
    "scheduler.running.inputs.InputMissingError",
    "scheduler.running.output_file.OutputFileError",
    "scheduler.running.output_file.TooMuchError",
    "scheduler.fibonacci_heap.NodeNotInHeapError",
    "scheduler.working.outcome.TooMuchError",
    "scheduler.workflows.act_needs.NeedsError",
    "scheduler.workflows.expression_syntax.ExpressionSyntaxError",
    "scheduler.workflows.source_tar.SourceTarError",
    "scheduler.running.outputs.OutputsError",
}


def errors() -> Iterator[type[Exception]]:
    """Yield every exception class that the layers below define."""
    for package in (ledger, crdt, scheduler):
        for module in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
            for _, found in inspect.getmembers(importlib.import_module(module.name), inspect.isclass):
                if issubclass(found, Exception) and found.__module__ == module.name:
                    yield found


def qualified(cls: type) -> str:
    """Return the name under which the table has a class."""
    return f"{cls.__module__}.{cls.__qualname__}"


def test_every_error_has_an_exit_code() -> None:
    """Each class of the layers below, or one it is derived from, stands in the table; the rest are internal."""
    without = {qualified(error) for error in errors() if not any(qualified(base) in CODES for base in error.__mro__)}
    assert without == INTERNAL


def test_the_table_names_no_error_that_is_not_there() -> None:
    """A class that was renamed or removed leaves no entry behind."""
    known = {qualified(error) for error in errors()}
    named = {name for name in (*CODES, *ADVICE) if not name.startswith("cli.")}
    assert named <= known
    assert set(MEANINGS) == set(ExitCode)


def test_what_nobody_foresaw_is_a_defect() -> None:
    """An error that is in no table is not dressed up as one of the user's."""
    assert tell(RuntimeError("unforeseen")) is None


@pytest.mark.parametrize(
    ("error", "code", "kind", "words"),
    [
        (OSError(errno.ENOSPC, "No space"), 7, "disk_full", "no room left on the disk"),
        (OSError(errno.EDQUOT, "Quota"), 7, "disk_full", "the quota of the disk is used up"),
        (OSError(errno.EROFS, "Read-only", "there"), 7, "read_only", "there: the disk can be read only"),
        (OSError(errno.EACCES, "Denied", "there"), 7, "permission", "there: the system does not allow it"),
        (OSError(errno.EPERM, "Denied"), 7, "permission", "the system does not allow it"),
        (OSError(errno.ENOTDIR, "Not", "a/b"), 3, "not_a_directory", "a/b: a file is where a folder is wanted"),
        (OSError(errno.EISDIR, "Is", "a"), 3, "is_a_directory", "a: a folder is where a file is wanted"),
        (OSError(errno.ENOENT, "No", b"a"), 3, "file_not_found", "a: no such file or folder"),
        (OSError(errno.ENOENT, "No", "in/.a.car.0123456789abcdef.tmp"), 3, "file_not_found", "in/a.car: no such"),
        (OSError(errno.EACCES, "No", "in/.unfinished-x_1"), 7, "permission", "in: the system"),
        (OSError(errno.EMLINK, "Too many links", "a"), 7, "file", "a: Too many links"),
    ],
    ids=str,
)
def test_the_system_s_errors_are_told_in_our_words(error: OSError, code: int, kind: str, words: str) -> None:
    """Files and disks have codes and advice, with a file name or without; the names are those people gave."""
    told = tell(error)
    assert told is not None
    assert (told.code, told.kind) == (code, kind)
    assert told.message.startswith(words)
    assert told.advice
    assert "Errno" not in told.message


def test_an_error_of_the_system_about_no_file_is_a_defect() -> None:
    """What is neither a file's fault nor a disk's is not dressed up as one."""
    assert tell(OSError(errno.EBADF, "Bad file descriptor")) is None


FULL = Path("/dev/full")


@pytest.mark.parametrize("args", [("status",), ("status", "--json"), ("tasks",), ("export", "-")], ids=" ".join)
def test_a_full_disk_under_stdout_is_no_defect(program: Program, args: tuple[str, ...]) -> None:
    """Output that has no room ends with the code for storage and one line of words, and no traceback after it."""
    program.ok("init")
    with FULL.open("w") as full:
        done = subprocess.run(
            program.command(*args), env=program.environment(), stdout=full, stderr=-1, text=True, check=False
        )
    assert done.returncode == 7
    assert done.stderr.splitlines()[0] == "✗ no room left on the disk"
    assert len(done.stderr.splitlines()) == 2


def test_a_full_disk_outside_the_database_is_no_defect(program: Program, tmp_path: Path) -> None:
    """A secret or an export that finds no room says so, and leaves nothing half written to be taken for it."""
    program.ok("init")
    program.ok("append", "-", text=operation_lines(400))
    for blocks, line in ((0, "keys export owner new.key"), (0, "keys generate spare"), (80, "export new.car")):
        limited = subprocess.run(
            ["/bin/sh", "-c", f'ulimit -f {blocks}; exec "$@"', "sh", *program.command(*line.split())],
            env=program.environment(),
            capture_output=True,
            text=True,
            check=False,
            cwd=tmp_path,
        )
        assert (limited.returncode, limited.stderr.splitlines()[0]) == (7, "✗ the file would be larger than it may be")
    assert not list(tmp_path.glob("*new.*"))
    assert [key["name"] for key in program.json("keys", "list")["keys"]] == ["owner", "worker"]


@pytest.mark.parametrize(
    ("args", "code", "kind", "words"),
    [
        (("launch",), 2, "usage", "No such command 'launch'"),
        (("stauts",), 2, "usage", "Did you mean 'status'?"),
        (("tasks", "--colour"), 2, "usage", "No such option: --colour"),
        (("check-tags",), 2, "usage", "Missing option '--tags'"),
        (("check-tags", "--tags", "unit-tests"), 2, "unknown_tag", "nearest known tag is 'unit-test'"),
        (("check-tags", "--tags", "p2p-only,unit-test"), 2, "tag_conflict", "tags conflict"),
        (
            ("submit", "--task-id", "a", "--workflow-id", "w", "--name", "n", "--tags", "x"),
            2,
            "unknown_tag",
            "unknown tag 'x'",
        ),
        (
            ("submit", "--task-id", "a", "--workflow-id", "w", "--name", "n", "--tags", "p2p-only,unit-test"),
            2,
            "tag_conflict",
            "conflict",
        ),
        (
            ("submit", "--task-id", "a", "--workflow-id", "w", "--name", "n", "--timeout", "soon"),
            2,
            "time_text",
            "no duration",
        ),
        (("submit", "--task-id", "a"), 2, "usage", "Missing option '--workflow-id', '--name'."),
        (("next", "--lease", "soon"), 2, "time_text", "no duration"),
        (("log",), 3, "home_not_found", "no ledger in"),
        (("keys", "show", "me"), 3, "key_not_found", "no key 'me'"),
        (("keys", "generate", "\t"), 2, "key_name", "printable"),
        (("verify", "none.car"), 3, "file_not_found", "none.car"),
        (("init", "--from", "none.car"), 3, "file_not_found", "none.car"),
    ],
)
def test_an_error_says_what_in_words_and_in_json(
    program: Program, args: tuple[str, ...], code: int, kind: str, words: str
) -> None:
    """The exit code is that of the table; the JSON is on stdout, the words on stderr, wherever `--json` stands."""
    for line in ((*args, "--json"), ("--json", *args)):
        ran = program.run(*line, cwd=program.home.parent)
        assert ran.code == code
        assert (ran.json["error"]["kind"], ran.json["error"]["exit_code"]) == (kind, code)
        assert words in ran.json["error"]["message"]
        assert words in ran.err
        assert ran.err.startswith("✗ ")


def test_common_options_stand_before_or_after_the_command(program: Program, tmp_path: Path) -> None:
    """Home and peer are those said last on the line, else those of the environment."""
    there = str(tmp_path / "there")
    for line in (
        ("--home", there, "--peer", "p", "status", "--json"),
        ("status", "--home", there, "--json", "--peer", "p"),
    ):
        document = program.ok(*line).json
        assert (document["folder"], document["peer_id"]) == (there, "p")
    outer = Program(tmp_path / "home", "w", ("ipfs-accelerate",))
    assert outer.ok("--home", there, "p2p-workflow", "--peer", "q", "status", "--json").json["peer_id"] == "q"
    assert outer.ok("--home", "x", "p2p-workflow", "status", "--home", there, "--json").json["folder"] == there
    assert not program.home.exists()


def test_no_words_at_all_ask_for_help(program: Program) -> None:
    """The program by itself, and a group, print their help and succeed."""
    assert "Commands:" in program.ok().out
    assert "admit" in program.ok("members").out
    assert "p2p-workflow" in Program(program.home, prefix=("ipfs-accelerate",)).ok().out


def test_names_of_others_do_not_move_the_cursor(program: Program) -> None:
    """Control characters in what a peer wrote are shown as escapes, and as JSON they are what they are."""
    name = "red\x1b[31m\nalert"
    program.ok("submit", "--task-id", "a", "--workflow-id", "w", "--name", name)
    assert "red\\x1b[31m\\nalert" in program.ok("tasks").out
    assert program.json("tasks")["tasks"][0]["name"] == name


def test_another_distribution_of_the_import_name_is_told(program: Program, tmp_path: Path) -> None:
    """Where both are installed no command runs, and the words say how to mend it."""
    (tmp_path / "site" / "ipfs_accelerate_py-0.1.dist-info").mkdir(parents=True)
    mixed = Program(program.home, extra={"PYTHONPATH": str(tmp_path / "site")})
    ran = mixed.run("status", "--json")
    assert (ran.code, ran.json["error"]["kind"]) == (10, "installation")
    assert "pip uninstall ipfs_accelerate_py" in ran.err
    assert not program.home.exists()


@pytest.mark.parametrize(
    ("fields", "kind"), [({"tags": ["x"]}, "unknown_tag"), ({"priority": 11}, "input"), ({"colour": 1}, "input")]
)
def test_an_error_in_a_file_of_tasks_keeps_its_kind(
    program: Program, tmp_path: Path, fields: dict[str, object], kind: str
) -> None:
    """What is wrong is told by the same word whether it stood in an option or in a file, and with its place."""
    file = tmp_path / "tasks.json"
    file.write_text(json.dumps([{"task_id": "a", "workflow_id": "w", "name": "n"} | fields]))
    ran = program.run("submit", "--file", str(file), "--json")
    assert (ran.code, ran.json["error"]["kind"]) == (2, kind)
    assert ran.json["error"]["message"].startswith(f"{file}: task 1: ")
