"""What goes wrong has its class: the work, time, a limit, the worker; a run that did nothing is never a success."""

from __future__ import annotations

import threading
import time

import pytest

from scheduler.running.job import FailureClass, Limits, Permit
from tests.running.support import Kept
from tests.workflows.act_bench import ActBench, workflow

CHECKOUT = "- uses: actions/checkout@v4\n"
GIVEN = "{workflow_dispatch: {inputs: {g: {type: string}}}}"


def permit(**limits: int) -> Permit:
    """Return a permit with limits."""
    return Permit(limits=Limits(**{"time_ms": 60_000, **limits}))


def test_the_exit_code_of_a_failing_step(act: ActBench) -> None:
    """The first failing step's exit code is the job's; steps for that case run, others do not; outputs are not told."""
    ran = act.run(
        workflow(
            """
- {id: s, run: 'echo o=1 >> $GITHUB_OUTPUT'}
- run: exit 7
- run: echo NOT-THIS
- {run: "echo on failure; exit 9", if: failure()}
- {run: echo always, if: always()}
""",
            job="outputs: {o: '${{ steps.s.outputs.o }}'}",
        )
    )
    assert ran.failure is FailureClass.PAYLOAD
    assert ran.outcome.exit_code == 7
    assert "exit code 7" in ran.outcome.error
    assert "✗ exit code 7\n" in ran.log
    assert "on failure\n" in ran.log
    assert "always\n" in ran.log
    assert "NOT-THIS\n" not in ran.log
    assert ran.outputs == {}


@pytest.mark.parametrize(
    ("script", "words"),
    [("kill -9 $$", "exit code 137"), ("echo no-sign >> $GITHUB_OUTPUT", "code 1"), ("exec nope-nope", "127")],
)
def test_other_ways_to_fail(act: ActBench, script: str, words: str) -> None:
    """A signal, an output that is none, a program that is not there: the work has failed, and why is told."""
    ran = act.run(workflow(f"- run: {script}"))
    assert ran.failure is FailureClass.PAYLOAD
    assert words in ran.outcome.error
    assert words in ran.log


@pytest.mark.parametrize(
    ("script", "words"),
    [
        ("echo no-sign >> $GITHUB_OUTPUT", "GITHUB_OUTPUT cannot be read: invalid format 'no-sign'"),
        ("echo =x >> $GITHUB_OUTPUT", "no name in '=x'"),
        ("printf 'a<<E\\nx\\n' >> $GITHUB_ENV", "the delimiter 'E' does not come"),
        ("echo 'a<<' >> $GITHUB_ENV", "no delimiter in 'a<<'"),
        ("cat message >> $GITHUB_ENV", "GITHUB_ENV cannot be read: ${{ in it"),
    ],
)
def test_what_a_step_leaves_for_others_and_cannot_be_read_fails_it(act: ActBench, script: str, words: str) -> None:
    """At once, as on GitHub, and so that `continue-on-error` counts; act would run the next steps, and fail then."""
    source = {"message": "m=what ${{ secrets.TOKEN }} is\n"}
    for more, ends in (("", FailureClass.PAYLOAD), (", continue-on-error: true", None)):
        ran = act.run(
            workflow(
                f"""
- uses: actions/checkout@v4
- {{id: s, run: "{script.replace(chr(92), chr(92) * 2)}"{more}}}
- run: echo ran on, ${{{{ steps.s.outcome }}}}
- {{run: echo told of a failure, if: failure()}}
"""
            ),
            source=source,
            permit=Permit(secrets={"TOKEN": "hunter2secret"}, limits=Limits(time_ms=60_000)),
        )
        assert ran.failure is ends, ran.log
        assert words in ran.log
        assert ("ran on, failure\n" in ran.log, "told of a failure\n" in ran.log) == (ends is None, ends is not None)


def test_files_that_steps_leave_are_read_as_github_does(act: ActBench) -> None:
    """Empty lines mean nothing but within a value; a value may have any sign; lines may end as Windows ends them."""
    ran = act.run(
        workflow(
            """
- id: s
  run: printf 'a=b=c<<d\\n\\n\\nb<<E\\nx=1\\n\\ny\\nE\\n\\nc=\\r\\n' >> $GITHUB_OUTPUT
- run: echo '${{ toJSON(steps.s.outputs) }}' | tr -d '\\n '
"""
        )
    )
    assert ran.failure is None, ran.log
    assert '{"a":"b=c\\u003c\\u003cd","b":"x=1\\n\\ny","c":""}' in ran.log


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (workflow("- run: echo $V", job="env: {V: '${{ inputs.g }}'}", event=GIVEN), "${{ secrets.TOKEN }}"),
        (workflow("- run: echo $V", top="env: {V: '$${{ inputs.g }}'}\n", event=GIVEN), "{{ secrets.TOKEN }}"),
        (workflow("- run: echo $V", job="env: {V: '${${{ inputs.g }}'}", event=GIVEN), "{ secrets.TOKEN }}"),
        (
            workflow("- run: echo $V", job="env: {V: '${{ github.event.inputs.g }}'}", event=GIVEN),
            "${{ secrets.TOKEN }}",
        ),
        (
            workflow(f"{CHECKOUT}- {{uses: ./a, with: {{x: '${{{{ inputs.g }}}}'}}}}", event=GIVEN),
            "${{ secrets.TOKEN }}",
        ),
        (
            workflow(f"{CHECKOUT}- {{uses: ./a, env: {{X: '${{{{ inputs.g }}}}'}}}}", event=GIVEN),
            "${{ secrets.TOKEN }}",
        ),
    ],
)
def test_what_act_would_compute_twice_is_refused(act: ActBench, text: str, value: str) -> None:
    """A text of anybody's would be an expression then, and could name a secret; plain texts pass."""
    source = {"a/action.yml": "inputs: {x: {}}\nruns: {using: composite, steps: [{run: 'echo $X', shell: bash}]}\n"}
    allowed = Permit(secrets={"TOKEN": "hunter2secret"}, limits=Limits(time_ms=60_000))
    ran = act.run(text, inputs={"g": value}, source=source, permit=allowed)
    assert ran.failure is FailureClass.PAYLOAD
    assert "which act would compute as an expression" in ran.outcome.error
    assert act.run(text, inputs={"g": 'a {"plain": {"x": 1}} $text'}, source=source, permit=allowed).failure is None


def test_a_variable_of_a_step_is_data(act: ActBench) -> None:
    """Whatever it holds: there act computes but once."""
    text = workflow("- {run: 'echo \"<$V>\"', env: {V: '${{ inputs.g }}'}}", event=GIVEN)
    ran = act.run(text, inputs={"g": "a ${{ secrets.TOKEN }} b"}, permit=Permit(secrets={"TOKEN": "hunter2secret"}))
    assert "\n<a ${{ secrets.TOKEN }} b>\n" in ran.log


def test_variables_that_act_sets_are_as_the_file_says(act: ActBench) -> None:
    """CI is true where nobody says otherwise."""
    steps = "- run: echo [$CI] [${{ env.CI }}]\n- {run: 'echo [$CI]', env: {CI: maybe}}"
    assert "[true] [true]\n" in act.run(workflow(steps)).log
    log = act.run(workflow(steps, top="env: {CI: false}\n")).log
    assert "[false] [false]\n" in log
    assert "[maybe]\n" in log
    assert "[no] [no]\n" in act.run(workflow(steps, top="env: {CI: false}\n", job="env: {CI: 'no'}")).log


def test_a_job_whose_if_is_false(act: ActBench) -> None:
    """It is done, and says that it was skipped, in a word that no output can have."""
    ran = act.run(workflow("- run: echo NOT-THIS", job="if: github.event_name == 'push'\noutputs: {o: x}"))
    assert ran.failure is None
    assert ran.outputs == {"job.result": "skipped"}
    assert "The job was skipped" in ran.log
    assert "▶" not in ran.log


def test_time_of_the_permit_and_of_the_job(act: ActBench) -> None:
    """Both end a run, though act would hold neither; nothing of it is left."""
    for job, allowed in (("", 1_500), ("timeout-minutes: 0.02", 60_000)):
        begun = time.monotonic()
        ran = act.run(workflow("- run: echo begun; sleep 300; echo NOT-THIS", job=job), permit=permit(time_ms=allowed))
        assert ran.failure is FailureClass.TIMEOUT
        assert "time" in ran.outcome.limits
        assert "begun\n" in ran.log
        assert time.monotonic() - begun < 30


def test_a_log_that_is_too_large(act: ActBench) -> None:
    """The log is bounded as people see it, act's JSON not counted; more of it ends the run."""
    ran = act.run(workflow("- run: yes | head -c 90000; echo; echo fits"), permit=permit(log_bytes=100_000))
    assert ran.failure is None
    assert ran.log.rstrip().endswith("\nfits")
    begun = time.monotonic()
    ran = act.run(workflow("- run: yes"), permit=permit(log_bytes=100_000))
    assert ran.failure is FailureClass.LIMIT
    assert ran.outcome.limits == ("log",)
    assert 90_000 < len(ran.log) < 110_000
    assert time.monotonic() - begun < 30


def test_stopped_from_outside(act: ActBench) -> None:
    """A run that is to end ends, whatever it is at."""
    live = Kept()
    found = []
    text = workflow("- run: echo begun; trap '' TERM; while :; do sleep 100; done")
    thread = threading.Thread(target=lambda: found.append(act.run(text, live=live)))
    thread.start()
    live.wait_for("begun\n")
    live.stop.set("superseded")
    thread.join(30)
    (ran,) = found
    assert ran.failure is FailureClass.INFRASTRUCTURE
    assert "superseded" in ran.outcome.error


def test_outputs_that_are_too_large(act: ActBench) -> None:
    """Half a megabyte of output goes through, more than a result may have is a limit."""
    steps = "- {id: s, run: 'python3 -c \"print(chr(111)+chr(61)+chr(120)*%d)\" >> $GITHUB_OUTPUT'}"
    job = "outputs: {o: '${{ steps.s.outputs.o }}'}"
    ran = act.run(workflow(steps % 500_000, job=job))
    assert ran.failure is None, ran.outcome.error
    assert ran.outputs == {"o": "x" * 500_000}
    ran = act.run(workflow(steps % 1_500_000, job=job))
    assert ran.failure is FailureClass.LIMIT
    assert ran.outcome.limits == ("result",)


def test_what_the_strict_check_refuses_does_not_run(act: ActBench) -> None:
    """It stands before each run, with file, line, key and rule in the log."""
    ran = act.run(workflow("- run: echo NOT-THIS", job="runs-on: windows-latest"))
    assert ran.failure is FailureClass.PAYLOAD
    assert ".github/workflows/ci.yml:5: error: jobs.j.runs-on:" in ran.log
    assert "[W2]" in ran.log
    assert "▶" not in ran.log


@pytest.mark.parametrize(
    ("steps", "rule"),
    [
        ("- {run: 'Get-Date', shell: pwsh}", "W22"),
        ("- run: echo ${{ secrets.NOPE }}", "W23"),
        ("- uses: actions/checkout@v4", "W24"),
        ("- run: echo ${{ github.sha }}", "W18"),
    ],
)
def test_what_this_worker_lacks(act: ActBench, steps: str, rule: str) -> None:
    """Programs, secrets, source and commit that are not there are missed before anything runs."""
    ran = act.run(workflow("- run: echo NOT-THIS\n" + steps))
    lacking = rule in {"W22", "W23"}  # another worker may have it
    assert ran.failure is (FailureClass.INFRASTRUCTURE if lacking else FailureClass.PAYLOAD)
    assert f"[{rule}]" in ran.log
    assert "▶" not in ran.log


@pytest.mark.parametrize("text", ["", "a: [", "jobs: {}", "on: push\njobs: {j: 1}", "on: push\njobs: {k: {}}"])
def test_a_file_that_is_no_workflow(act: ActBench, text: str) -> None:
    """Refused in words, whatever it is."""
    ran = act.run(text)
    assert ran.failure is FailureClass.PAYLOAD
    assert ran.outcome.error


def test_memory_of_the_permit(act: ActBench) -> None:
    """Act runs within a limit of memory, and a step that wants more fails."""
    ran = act.run(
        workflow("- run: echo small\n- run: python3 -c 'x = bytearray(3_000_000_000)'"),
        permit=permit(memory_bytes=2_000_000_000),
    )
    assert "small\n" in ran.log, ran.log
    assert "MemoryError" in ran.log
    assert ran.failure in {FailureClass.LIMIT, FailureClass.PAYLOAD}
