"""The action of action.yml, run by act on a runner without a home, against a real peer on this machine."""

from __future__ import annotations

import json
import subprocess
import threading
from collections.abc import Callable
from typing import Any

import pytest

from crdt.records import TaskRecord
from ledger.cid import CODEC_RAW
from ledger.keys import SigningKey, did_key
from ledger.operations import Attachment, Report
from scheduler.actions import complete, fail, take
from scheduler.running.outputs import Outputs, write_outputs
from scheduler.running.payloads import OUTPUTS_TYPE, Command, read_payload
from tests.actions.conftest import Team
from tests.actions.runner import DEADLINE_S, Ran
from tests.support.kubo import wait_for

HEAD = """
name: Nightly build
on: workflow_dispatch
env:
  P2P_WORKFLOW_KEY: ${{ secrets.P2P_WORKFLOW_KEY }}
  P2P_WORKFLOW_LEDGER: ${{ secrets.P2P_WORKFLOW_LEDGER }}
jobs:
  build:
    runs-on: ubuntu-latest
    steps:
      - uses: actions/checkout@v4
"""
SAY = """
      - if: always()
        env:
          OUTPUTS: ${{ toJSON(steps.p2p.outputs) }}
        run: echo "OUTPUTS=$(echo "$OUTPUTS" | tr -d '\\n')"
"""


def with_action(*inputs: str) -> str:
    """Return a workflow with one step of the action, that prints its outputs afterwards."""
    return (
        HEAD
        + "\n".join(("      - uses: ./", "        id: p2p", "        with:", *(f"          {one}" for one in inputs)))
        + SAY
    )


def outputs_of(ran: Ran) -> Any:
    """Return the outputs of the step."""
    (line,) = [line for line in ran.lines if line.startswith("OUTPUTS=")]
    return json.loads(line.removeprefix("OUTPUTS="))


def payload_of(task: TaskRecord | None) -> Command:
    """Return the command of a task."""
    assert task is not None
    assert task.spec.payload is not None
    assert task.spec.payload.data is not None
    found = read_payload(task.spec.payload.media_type, task.spec.payload.data)
    assert isinstance(found, Command)
    return found


class Hand:
    """Does the task of a test by hand, as soon as it is on the peer's board."""

    def __init__(self, team: Team, task_id: str, act: Callable[[TaskRecord], object]) -> None:
        self._team = team
        self._task_id = task_id
        self._act = act
        self._thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        task = wait_for("the task is there", lambda: self._team.task(self._task_id), deadline_s=DEADLINE_S)
        assert task is not None
        taken = take(self._team.peer.home, self._team.peer.key)
        assert taken is not None
        self._act(task)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._thread.join(DEADLINE_S)


def test_a_step_submits_and_a_second_run_is_the_same_task(team: Team) -> None:
    """The peer has the task, the step its CID; run again it is the same task, and the runner has no home by then."""
    workflow = with_action(
        "tags: p2p-only code-generation",
        "priority: 8",
        "task-id: job-7",
        "name: Build it",
        "command: make 'all of it' $(whoami)",
        "requires: linux,gpu",
        "env: |",
        "  LEVEL=3",
        "keep: dist/**",
    )
    first = team.runner.run(workflow)
    assert first.code == 0, first.out
    task = team.task("job-7")
    assert task is not None
    assert (task.spec.workflow_id, task.spec.name, task.priority) == ("Nightly build", "Build it", 8)
    assert (task.spec.tags, task.spec.requires) == (("code-generation", "p2p-only"), ("gpu", "linux"))
    command = payload_of(task)
    assert command.argv == ("make", "all of it", "$(whoami)")  # no shell has read it
    assert (dict(command.env), command.outputs) == ({"LEVEL": "3"}, ("dist/**",))
    outputs = outputs_of(first)
    event = str(task.submits[0])
    assert (outputs["task-key"], outputs["event-cid"], outputs["created"]) == (task.key.hex(), event, "true")
    assert "✓ Task submitted successfully" in first.lines
    assert f"Event CID: {event}" in first.lines
    assert f"::notice title=P2P task submitted::job-7%0Aevent {event}" in first.out
    assert "### ✓ P2P task" in first.out  # the summary, as act shows it
    assert f"| Event | {event} |" in first.out
    again = team.runner.run(workflow)
    assert again.code == 0, again.out
    assert outputs_of(again)["created"] == "false"
    assert outputs_of(again)["event-cid"] == event
    assert team.peer.task_ids() == {"job-7"}
    assert team.runner.user_files == []


def test_a_script_and_defaults(team: Team) -> None:
    """A script with its shell; run and job name the task where nobody does."""
    ran = team.runner.run(with_action("script: |", "  echo one", "  echo two", "shell: bash"))
    assert ran.code == 0, ran.out
    task = team.task("1-build")
    assert task is not None
    assert (task.spec.name, task.spec.tags, task.priority) == ("Nightly build / build", ("p2p-eligible",), 5)
    command = payload_of(task)
    assert (command.script, command.interpreter) == ("echo one\necho two", "bash")


def test_who_waits_has_outputs_and_log(team: Team) -> None:
    """Log and outputs of the task come to the step; nothing a task prints is a command of the runner."""
    log = b"building\n::error title=Forged::by the payload\n::set-output name=status::forged\n" + b"x" * 9_000
    said = write_outputs(Outputs({"version": "1.2", "text": "a\nstatus=forged"}))

    def do(task: TaskRecord) -> None:
        complete(
            team.peer.home,
            team.peer.key,
            task.key,
            output=Attachment(OUTPUTS_TYPE, data=said),
            report=Report(exit_code=0, duration_ms=12),
            log=Attachment("text/plain", data=log),
        )

    with Hand(team, "t", do):
        ran = team.runner.run(with_action("task-id: t", "command: make", "wait: true", "timeout: 100s"))
    assert ran.code == 0, ran.out
    outputs = outputs_of(ran)
    assert (outputs["status"], outputs["exit-code"]) == ("done", "0")
    assert json.loads(outputs["outputs"]) == {"version": "1.2", "text": "a\nstatus=forged"}
    result = json.loads(outputs["result"])
    task = team.task("t")
    assert task is not None
    assert task.result is not None
    assert (result["event_cid"], result["claim"]) == (str(task.result.cid), str(task.result.claim))
    assert result["standing"] == "tentative"  # nobody without the ledger can say more
    assert "building" in ran.lines
    assert "x" * 9_000 in ran.out
    (forged,) = [line for line in ran.out.splitlines() if "title=Forged" in line]
    assert "⚙" in forged  # which is how act shows what it does not obey; an error has ❗
    assert "| Status | done |" in ran.out


@pytest.mark.parametrize("inputs", [("task-id: t", "command: make"), ("task-id: t", "workflow: inner.yml")])
def test_when_the_time_to_wait_is_up_the_outputs_say_where_it_stands(team: Team, inputs: tuple[str, ...]) -> None:
    """The step fails, the task goes on; it is named as its submitter named it."""
    ran = team.runner.run(with_action(*inputs, "wait: true", "timeout: 1s"), files={"inner.yml": FLOW})
    assert ran.code == 1
    outputs = outputs_of(ran)
    assert (outputs["status"], outputs["exit-code"], outputs["outputs"]) == ("ready", "", "{}")
    assert outputs["task-key"]
    assert json.loads(outputs["result"]) in (None, [])
    name = "t/build" if "workflow" in inputs[1] else "t"
    assert f"task {name} is ready when the time to wait is over" in ran.out


def test_a_command_that_fails_fails_the_step(team: Team) -> None:
    """The step ends with the command's exit code, and the annotation names the event."""

    def do(task: TaskRecord) -> None:
        fail(
            team.peer.home,
            team.peer.key,
            task.key,
            failure_class="payload",
            error="exit code 3\n::error::forged",
            report=Report(exit_code=3),
        )

    with Hand(team, "t", do):
        ran = team.runner.run(with_action("task-id: t", "command: make", "wait: true", "max-attempts: 1"))
    assert ran.code == 1, ran.out
    assert "exit status 3" in ran.out
    outputs = outputs_of(ran)
    assert (outputs["status"], outputs["exit-code"]) == ("dead", "3")
    task = team.task("t")
    assert task is not None
    assert "::error title=P2P task failed::t is dead: payload: exit code 3%0A::error::forged, exit code 3" in ran.out
    assert f"event {task.submits[0]}" in ran.out
    assert "| Failure | payload\\: exit code 3<br>\\:\\:error\\:\\:forged |" in ran.out


def test_a_real_worker_does_it(team: Team) -> None:
    """The whole way: the step submits, a worker runs the script, log and outputs come back, and so does a failure."""
    peer = team.peer.program
    peer.ok("worker", "policy", "init")
    policy = team.peer.folder / "worker.toml"
    key = SigningKey.from_text(team.runner.secrets["P2P_WORKFLOW_KEY"])
    rule = ("[[allow]]", 'name = "ci"', f'submitters = ["{did_key(key.actor)}"]', 'payloads = ["command"]')
    policy.write_text("\n".join((*rule, 'interpreters = ["sh"]', "")), encoding="utf-8")
    worker = subprocess.Popen(
        peer.command("worker", "run"), env=peer.environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        script = ("script: |", "  echo working", '  echo "answer=42" >> "$P2P_WORKFLOW_OUTPUT"', "  exit $CODE")
        for code, wanted in ((0, "done"), (5, "dead")):
            inputs = (
                f"task-id: t{code}",
                *script,
                "shell: sh",
                f"env: CODE={code}",
                "max-attempts: 1",
                "wait: true",
                "timeout: 100s",
            )
            ran = team.runner.run(with_action(*inputs))
            outputs = outputs_of(ran)
            assert (outputs["status"], outputs["exit-code"]) == (wanted, str(code)), ran.out
            assert "working" in ran.lines
            assert ran.code == bool(code)
            assert code or json.loads(outputs["outputs"]) == {"answer": "42"}
    finally:
        worker.terminate()
        worker.wait(60)


@pytest.mark.parametrize(
    ("inputs", "words"),
    [
        (("tags: p2p-only unit-test",), "tags conflict"),
        (("tags: unknown-tag",), "unknown tag 'unknown-tag'"),
        (("priority: '99'",), "priority must be from 1 to 10"),
        (("command: make", "script: make"), "a task has one of them"),
        (("shell: bash",), "about a command, and there is none"),
        (("wait: maybe",), "true or false is wanted"),
        (("timeout: 5m",), "wait is not true"),
        (("via: http://127.0.0.1:1",), "nobody took the task"),
    ],
    ids=lambda value: "" if isinstance(value, str) else value[0],
)
def test_a_refusal_fails_the_step_and_is_annotated(team: Team, inputs: tuple[str, ...], words: str) -> None:
    """What cannot be submitted is told as an error of the job, and nothing is in the ledger."""
    ran = team.runner.run(with_action(*inputs))
    assert ran.code == 1
    annotations = [line for line in ran.out.splitlines() if "::error" in line]
    assert any("::error title=Not submitted::" in line and words in line for line in annotations), ran.out
    assert "### ✗ P2P task" in ran.out
    assert team.peer.task_ids() == set()


def test_inputs_are_no_shell_s(team: Team, tmp_path: Any) -> None:
    """Whatever stands in an input is text: quotes, backticks, line ends and commands of the runner."""
    mark = tmp_path / "injected"
    evil = f"\"; touch {mark}; echo $(touch {mark}) `touch {mark}` ' %0A::error::x"
    quoted = evil.replace("'", "''")
    ran = team.runner.run(
        with_action(f"name: '{quoted}'", f"task-id: '{quoted}'", 'command: \'["echo", "$(touch x)"]\'')
    )
    assert ran.code == 0, ran.out
    assert not mark.exists()
    task = team.task(evil)
    assert task is not None
    assert task.spec.name == evil
    assert payload_of(task).argv == ("echo", "$(touch x)")
    notices = [line for line in ran.out.splitlines() if "::notice" in line]
    assert all("%250A" in line for line in notices)


def test_without_secrets_nothing_is_submitted(team: Team) -> None:
    """A pull request of a fork has no secrets: the step fails, and makes no private ledger that nobody reads."""
    team.runner.secrets.clear()
    ran = team.runner.run(with_action("command: make"))
    assert ran.code == 1
    assert "P2P_WORKFLOW_LEDGER is set, and empty" in ran.out
    assert "forks are given no secrets" in ran.out
    assert team.runner.user_files == []


@pytest.mark.parametrize("kept", [(), ("P2P_WORKFLOW_KEY",)])
def test_without_a_ledger_none_is_made(team: Team, kept: tuple[str, ...]) -> None:
    """The task would be in a ledger that ends with the runner, and the step would say it is submitted."""
    lines = with_action("tags: p2p-only", "command: make").splitlines()
    named = [line for line in lines if "secrets.P2P" in line and not any(f"{one}:" in line for one in kept)]
    text = "\n".join(line for line in lines if line not in named)
    ran = team.runner.run(text if kept else text.replace("env:\njobs:", "jobs:"))
    assert ran.code != 0
    assert "there is no ledger here" in ran.out
    assert "Made a private ledger" not in ran.out


def test_files_of_the_repository_go_with_it(team: Team) -> None:
    """`put` takes files of the work tree; their parts are at the peer with the event."""
    ran = team.runner.run(with_action("command: sh action.yml", "put: action.yml=in/action.yml"))
    assert ran.code == 0, ran.out
    (file,) = payload_of(team.task("1-build")).files.values()
    with team.peer.home.reading():
        assert all(part.codec == CODEC_RAW and team.peer.home.intake.blobs.has(part) for part in file.parts)


FLOW = """
name: Inner
on:
  workflow_dispatch:
    inputs:
      level: {type: string, default: low}
env:
  WORKFLOW_TAGS: p2p-only
jobs:
  build:
    runs-on: ubuntu-latest
    steps:
      - run: echo one
  check:
    needs: build
    runs-on: ubuntu-latest
    steps:
      - run: echo two
"""


def test_a_workflow_file_becomes_tasks(team: Team) -> None:
    """Each of its jobs is a task at the peer, with its needs, in order; run again they are the same."""
    for created in ("true", "false"):
        inputs = ("workflow: inner.yml", "inputs: |", "  level=high", "priority: 9")
        ran = team.runner.run(with_action(*inputs), files={"inner.yml": FLOW})
        assert ran.code == 0, ran.out
        outputs = outputs_of(ran)
        assert outputs["created"] == created
        keys = outputs["task-key"].split()
        with team.peer.home.reading():
            tasks = list(team.peer.home.tasks.open_tasks())
        assert sorted(task.key.hex() for task in tasks) == sorted(keys)
        assert sorted(len(task.spec.needs) for task in tasks) == [0, 1]
        assert {(task.spec.workflow_id, task.priority) for task in tasks} == {("Inner", 9)}
        with team.peer.home.reading():
            assert team.peer.home.intake.blobs.wanted() == ()  # file and source are there, too


def test_a_workflow_file_with_an_error_is_annotated_where_it_is(team: Team) -> None:
    """The annotation has file and line of the fault."""
    broken = FLOW.replace("needs: build", "needs: nobody")
    ran = team.runner.run(with_action("workflow: inner.yml"), files={"inner.yml": broken})
    assert ran.code == 1
    assert "::error file=inner.yml,line=" in ran.out
    assert "### ✗ P2P task" in ran.out
