"""Commands from the job to the outcome: what they are given, what they hand over, and the class of each failure."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from ledger.cid import Cid
from ledger.events import TaskKey
from ledger.operations import Attachment
from scheduler.running import levels
from scheduler.running.command_runner import CommandRunner, judge
from scheduler.running.files import FileRef, split
from scheduler.running.job import FailureClass, Input, Level, Limits, Mount, Permit
from scheduler.running.payloads import Command, WorkflowJob
from scheduler.running.sandbox import Ended, Sandbox
from tests.running.jobs import CLAIM, KEY, LEDGER, Blobs, job, run, texts
from tests.running.support import Kept


@pytest.fixture(scope="session")
def runner(sandbox: Sandbox) -> CommandRunner:
    """One runner for all, as a worker has it."""
    return CommandRunner(sandbox)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A job's folder."""
    (tmp_path / "job").mkdir()
    return tmp_path / "job"


def sh(script: str, **fields: object) -> Command:
    """Return a command that runs a script of the shell."""
    return Command(script=script, interpreter="sh", **fields)  # type: ignore[arg-type]  # the fields of a command


def test_a_command_runs_and_hands_over(runner: CommandRunner, folder: Path, level: Level) -> None:
    """Files in, program run, outputs and files out; level and duration are said."""
    blobs = Blobs()
    files = {
        "src/data.txt": blobs.file(b"data\n"),
        "tool": blobs.file(b"#!/bin/sh\ncat src/data.txt\n", executable=True),
    }
    command = Command(
        argv=("sh", "-c", './tool | tee out.txt; echo "n=$GREETING" >> $P2P_WORKFLOW_OUTPUT; mkdir d; echo deep > d/x'),
        files=files,
        env={"GREETING": "hello"},
        outputs=("out.txt", "d/**"),
    )
    outcome, log = run(runner, job(folder, command, blobs=blobs, permit=Permit(level=level)))
    assert (outcome.failure, outcome.error, outcome.exit_code, outcome.level) == (None, "", 0, str(level))
    assert log == "data\n"
    assert dict(outcome.outputs) == {"n": "hello"}
    assert texts(outcome.files) == {"out.txt": "data\n", "d/x": "deep\n"}
    assert outcome.duration_ms is not None
    assert outcome.limits == ()


@pytest.mark.parametrize("interpreter", ["sh", "bash", "python3"])
def test_a_script_is_read_by_its_interpreter(
    runner: CommandRunner, folder: Path, level: Level, interpreter: str
) -> None:
    """The interpreter gets the script as a file, with its line ends and letters as they are."""
    script = {"python3": "print('é')\nraise SystemExit(3)\n"}.get(interpreter, "printf 'é\\n'\nexit 3")
    outcome, log = run(runner, job(folder, Command(script=script, interpreter=interpreter), permit=Permit(level=level)))
    assert (log, outcome.exit_code) == ("é\n", 3)
    assert (outcome.failure, outcome.error) == (FailureClass.PAYLOAD, "exit code 3")


def test_it_knows_what_it_is(runner: CommandRunner, folder: Path, level: Level) -> None:
    """Ledger, task, claim, attempt are told; the policy's variables win over the payload's, ours over all."""
    permit = Permit(level=level, env={"FROM_POLICY": "p", "BOTH": "policy"}, secrets={"TOKEN": "secret-value"})
    env = {"BOTH": "payload", "P2P_WORKFLOW_CLAIM": "forged", "P2P_WORKFLOW_HOME": "/h", "TOKEN": "mine"}
    script = "import json, os\nprint(json.dumps(dict(os.environ)))\nassert os.environ['TOKEN'] == 'secret-' + 'value'"
    outcome, log = run(runner, job(folder, Command(script=script, interpreter="python3", env=env), permit=permit))
    assert outcome.failure is None, log
    found = json.loads(log)
    inside = Sandbox.seen_as(folder, level)
    assert (
        found.items()
        >= {
            "P2P_WORKFLOW_LEDGER_CID": str(LEDGER),
            "P2P_WORKFLOW_TASK_KEY": KEY.hex(),
            "P2P_WORKFLOW_TASK_ID": "task-1",
            "P2P_WORKFLOW_WORKFLOW_ID": "flow",
            "P2P_WORKFLOW_CLAIM": str(CLAIM),
            "P2P_WORKFLOW_ATTEMPT": "2",
            "P2P_WORKFLOW_OUTPUT": f"{inside}/.p2p/output",
            "P2P_WORKFLOW_INPUTS": f"{inside}/.p2p/inputs.json",
            "FROM_POLICY": "p",
            "BOTH": "policy",
            "TOKEN": "***",
        }.items()
    )
    assert not found.keys() & {"P2P_WORKFLOW_HOME", "P2P_WORKFLOW_KEY"}


def test_it_has_what_its_needs_handed_over(runner: CommandRunner, folder: Path, level: Level) -> None:
    """Outputs, files and an agent's own bytes of each task it needs; two of one name are told apart by their key."""
    blobs = Blobs()
    one, two = TaskKey(b"1" * 32), TaskKey(b"2" * 32)
    large = blobs.file(b"blob").parts[0]
    inputs = (
        Input(one, "build", {"version": "1.2"}, {"dist/a": blobs.file(b"wheel")}),
        Input(two, "build", output=Attachment("text/plain", data=b"inline", size=6)),
        Input(TaskKey(b"3" * 32), "agent", output=Attachment("text/x", blob=large, size=4)),
    )
    script = f"""
import json, os
told = json.load(open(os.environ["P2P_WORKFLOW_INPUTS"]))
print(told["build"]["outputs"]["version"], open(told["build"]["files"]["dist/a"]).read())
second, agent = told["{two.hex()}"]["output"], told["agent"]["output"]
print(second["media_type"], open(second["path"]).read(), agent["media_type"], open(agent["path"]).read())
print(told["build"]["task_key"] == "{one.hex()}", sorted(told) == sorted(["build", "agent", "{two.hex()}"]))
"""
    command = Command(script=script, interpreter="python3")
    outcome, log = run(runner, job(folder, command, inputs=inputs, blobs=blobs, permit=Permit(level=level)))
    assert log == "1.2 wheel\ntext/plain inline text/x blob\nTrue True\n"
    assert outcome.failure is None


GONE = Cid.of_raw(b"gone")


@pytest.mark.parametrize(
    ("command", "inputs", "failure", "words"),
    [
        (sh("true", files={"a": FileRef(4, (GONE,))}), (), FailureClass.INFRASTRUCTURE, "is not in this home"),
        (sh("true", files={".p2p/script": split(b"")[0]}), (), FailureClass.PAYLOAD, "not the payload's"),
        (sh("true", files={"a": split(b"")[0], "a/b": split(b"")[0]}), (), FailureClass.PAYLOAD, "stands in its place"),
        (sh("true"), (Input(KEY, "n", missing=(GONE,)),), FailureClass.INFRASTRUCTURE, "is not in this home"),
        (sh("true"), (Input(KEY, "n", problem="no JSON"),), FailureClass.PAYLOAD, "the result of n: no JSON"),
        (sh("true", sandbox="vault"), (), FailureClass.INFRASTRUCTURE, "no sandbox level 'vault'"),
        (WorkflowJob(split(b"")[0], "p", "j"), (), FailureClass.INFRASTRUCTURE, "no WorkflowJob"),
    ],
)
def test_what_cannot_begin_is_a_failure_with_its_class(
    runner: CommandRunner,
    folder: Path,
    command: Command | WorkflowJob,
    inputs: tuple[Input, ...],
    failure: FailureClass,
    words: str,
) -> None:
    """What the worker lacks is infrastructure, what the payload gets wrong is the payload's; nothing is raised."""
    outcome, log = run(runner, job(folder, command, inputs=inputs))
    assert (outcome.failure, log) == (failure, "")
    assert words in outcome.error
    assert outcome.exit_code is None


def test_bytes_under_a_wrong_name_are_not_used(runner: CommandRunner, folder: Path) -> None:
    """A part is checked by its CID, and a file by its size."""
    blobs = Blobs({GONE: b"other"})
    outcome, _ = run(runner, job(folder, sh("cat a", files={"a": FileRef(5, (GONE,))}), blobs=blobs))
    assert outcome.failure is FailureClass.INFRASTRUCTURE
    assert "the bytes in this home are others" in outcome.error
    blobs = Blobs({GONE: b"gone"})
    outcome, _ = run(runner, job(folder / "x", sh("cat a", files={"a": FileRef(5, (GONE,))}), blobs=blobs))
    assert "4 bytes, not 5" in outcome.error


@pytest.mark.parametrize(
    ("script", "outputs", "failure", "words", "limits"),
    [
        ("kill -9 $$", (), FailureClass.PAYLOAD, "exit code 137 (by signal SIGKILL)", ()),
        ("exit 255", (), FailureClass.PAYLOAD, "exit code 255", ()),
        ("sleep 100", (), FailureClass.TIMEOUT, "longer than it may", ("time",)),
        ("yes", (), FailureClass.LIMIT, "printed more", ("log",)),
        ("head -c 9000000 /dev/zero > big", (), FailureClass.LIMIT, "its limit: file", ("file",)),
        ("head -c 3000000 /dev/zero > big", ("big",), FailureClass.LIMIT, "are allowed", ("result",)),
        (
            "head -c 600000 /dev/zero | tr '\\0' a > $P2P_WORKFLOW_OUTPUT",
            (),
            FailureClass.LIMIT,
            "outputs",
            ("result",),
        ),
        ("true", ("none",), FailureClass.PAYLOAD, "the result none is not there", ()),
        ("echo x > $P2P_WORKFLOW_OUTPUT", (), FailureClass.PAYLOAD, "outputs, line 1", ()),
        (
            "rm $P2P_WORKFLOW_OUTPUT; ln -s /etc/passwd $P2P_WORKFLOW_OUTPUT",
            (),
            FailureClass.PAYLOAD,
            "something else",
            (),
        ),
        ("ln -s /etc/passwd out", ("out",), FailureClass.PAYLOAD, "leads out", ()),
        ("rm -rf .p2p; ln -s / .p2p", (), FailureClass.PAYLOAD, "something else", ()),
        ("mkfifo out", ("out",), FailureClass.PAYLOAD, "is no file", ()),
    ],
)
def test_each_failure_has_its_class(
    runner: CommandRunner,
    folder: Path,
    script: str,
    outputs: tuple[str, ...],
    failure: FailureClass,
    words: str,
    limits: tuple[str, ...],
) -> None:
    """What a run does wrong is told by class, words and the limit it hit."""
    bounds = Limits(time_ms=1_000, log_bytes=10_000, file_bytes=4_000_000, result_bytes=2_000_000)
    outcome, _ = run(runner, job(folder, sh(script, outputs=outputs), permit=Permit(limits=bounds)))
    assert (outcome.failure, outcome.limits) == (failure, limits)
    assert words in outcome.error
    assert (outcome.files, outcome.outputs) == ({}, {})
    assert outcome.level == "bubblewrap"
    assert outcome.exit_code is not None
    assert outcome.duration_ms is not None


def test_the_shorter_time_holds(runner: CommandRunner, folder: Path) -> None:
    """A task's own timeout is shorter than the policy's, or the other way round."""
    outcome, _ = run(runner, job(folder, sh("sleep 100"), timeout_ms=200))
    assert outcome.failure is FailureClass.TIMEOUT
    permit = Permit(limits=Limits(time_ms=200))
    outcome, _ = run(runner, job(folder / "b", sh("sleep 100"), permit=permit, timeout_ms=100_000))
    assert outcome.failure is FailureClass.TIMEOUT


def test_a_payload_can_demand_more_but_not_less(
    runner: CommandRunner, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The stronger of what policy and payload say is what it gets; where that is missing nothing runs."""
    process = Permit(level=Level.PROCESS)
    assert run(runner, job(folder / "a", sh("true", sandbox="bubblewrap"), permit=process))[0].level == "bubblewrap"
    assert run(runner, job(folder / "b", sh("true", sandbox="process")))[0].level == "bubblewrap"
    levels.forget()
    monkeypatch.setenv("PATH", "/nowhere")
    outcome, _ = run(runner, job(folder / "c", sh("touch ran", sandbox="bubblewrap"), permit=process))
    levels.forget()
    assert outcome.failure is FailureClass.INFRASTRUCTURE
    assert "bubblewrap" in outcome.error
    assert not (folder / "c/ran").exists()


def test_a_stopped_run_says_why(runner: CommandRunner, folder: Path, level: Level) -> None:
    """Superseded, cancelled, drained: the reason given is in the outcome."""
    live = Kept()
    work = job(folder, sh("echo on; sleep 100"), permit=Permit(level=level))
    with ThreadPoolExecutor(1) as pool, live.stop:
        running = pool.submit(runner.run, work, live)
        live.wait_for("on")
        live.stop.set("superseded by another peer")
        outcome = running.result(60)
    assert outcome.failure is FailureClass.INFRASTRUCTURE
    assert "superseded by another peer" in outcome.error


def test_secrets_leave_by_no_door(runner: CommandRunner, folder: Path) -> None:
    """Log, outputs, their names, error words: masked; a result file with one in it: refused."""
    permit = Permit(secrets={"TOKEN": "hunter22", "EMPTY": ""})
    script = 'echo $TOKEN; printf %s $TOKEN | base64; printf "t=<$TOKEN>\n$TOKEN=1\n" >> $P2P_WORKFLOW_OUTPUT'
    outcome, log = run(runner, job(folder / "a", sh(script), permit=permit))
    assert log == "***\n***=\n"
    assert dict(outcome.outputs) == {"t": "<***>", "***": "1"}
    outcome, _ = run(runner, job(folder / "b", sh("echo $TOKEN > f", outputs=("f",)), permit=permit))
    assert outcome.failure is FailureClass.PAYLOAD
    assert "secret" in outcome.error
    outcome, _ = run(runner, job(folder / "c", sh("echo bad $TOKEN > $P2P_WORKFLOW_OUTPUT"), permit=permit))
    assert "hunter22" not in outcome.error
    assert "***" in outcome.error


def test_a_wrong_mount_is_infrastructure(runner: CommandRunner, folder: Path, tmp_path: Path) -> None:
    """What the policy says and the machine has not is told in words."""
    permit = Permit(mounts=(Mount(tmp_path / "none", "/data"),))
    outcome, _ = run(runner, job(folder, sh("true"), permit=permit))
    assert outcome.failure is FailureClass.INFRASTRUCTURE
    assert "none" in outcome.error


def test_a_run_that_ended_well_within_a_limit_is_done() -> None:
    """Only what failed is a failure."""
    assert judge(Ended(0, None, 5, (), Level.PROCESS, None)).failure is None
    assert judge(Ended(0, None, 5, ("time",), Level.PROCESS, None)).failure is FailureClass.TIMEOUT
    assert judge(Ended(1, None, 5, ("memory",), Level.PROCESS, None)).failure is FailureClass.LIMIT
