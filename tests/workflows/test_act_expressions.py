"""Expressions that fail only when they are computed: act puts nothing in their place, and calls that a success."""

from __future__ import annotations

import pytest

from scheduler.running.job import FailureClass
from tests.workflows.act_bench import ActBench, workflow

BAD = "${{ fromJSON(github.job) }}"
CHECKOUT = "- uses: actions/checkout@v4\n"
ECHO = "- run: echo ran"
SOURCE = {
    "given/action.yml": "inputs: {x: {}}\nruns: {using: composite, steps: [{run: echo x, shell: bash}]}\n",
    "bad/action.yml": f"runs: {{using: composite, steps: [{{run: 'echo {BAD}', shell: bash}}]}}\n",
}


@pytest.mark.parametrize(
    "text",
    [
        workflow(f"- run: echo {BAD}"),
        workflow("- run: echo ${{ format('{1}', 'a') }}"),
        workflow(f"- {{run: echo ran, env: {{A: '{BAD}'}}}}"),
        workflow(f"- {{run: ':', env: {{A: '{BAD}'}}, if: false}}\n{ECHO}"),  # as on GitHub, where `if` may ask for it
        workflow(f"- {{run: echo ran, working-directory: '{BAD}'}}"),
        workflow(f"- {{run: 'echo {BAD}', continue-on-error: true}}\n{ECHO}"),
        workflow(ECHO, job=f"env: {{A: '{BAD}'}}"),
        workflow(ECHO, job=f"outputs: {{a: '{BAD}'}}"),
        workflow(ECHO, job=f"defaults: {{run: {{working-directory: '{BAD}'}}}}"),
        workflow(ECHO, top=f"env: {{A: '{BAD}'}}\n"),
        workflow(f"{CHECKOUT}- {{uses: ./given, with: {{x: '{BAD}'}}}}\n{ECHO}"),
        workflow(f"{CHECKOUT}- uses: ./bad\n{ECHO}"),
        workflow("- {run: echo ran, if: fromJSON(github.job)}"),
        workflow(ECHO, job="if: fromJSON(github.job)"),
    ],
)
def test_what_could_not_be_computed_is_no_success(act: ActBench, text: str) -> None:
    """It is the file's fault, and its log says what it was."""
    ran = act.run(text, source=SOURCE)
    assert (ran.failure, ran.outputs) == (FailureClass.PAYLOAD, {})
    assert "expression" in ran.outcome.error
    assert ran.outcome.error in ran.log


@pytest.mark.parametrize(
    "steps",
    [
        f"- {{run: 'echo {BAD}', name: 'x {BAD}', if: false}}\n{ECHO}",
        f"{CHECKOUT}- {{uses: ./given, name: 'x {BAD}', if: false}}\n{ECHO}",
        f"{CHECKOUT}- {{uses: ./bad, if: false}}\n{ECHO}",
        (
            '- {id: a, run: \'echo "j={\\"k\\":1}" >> $GITHUB_OUTPUT\'}\n'
            "- {run: echo ran $A, name: 'x ${{ fromJSON(steps.a.outputs.j).k }}', "
            "env: {A: '${{ fromJSON(steps.a.outputs.j).k }}'}}"
        ),
        "- {run: 'true', name: 'x ${{ steps.none.outputs.j && fromJSON(steps.none.outputs.j).k }}'}\n" + ECHO,
        "- {run: 'echo \"::error::Unable to interpolate expression\"'}\n" + ECHO,
        "- {run: 'echo Unable to interpolate expression'}\n" + ECHO,
    ],
)
def test_what_is_not_computed_or_only_later_does_no_harm(act: ActBench, steps: str) -> None:
    """A step that is left out, one that reads what a step before it gave out, and words that a step prints."""
    ran = act.run(workflow(steps), source=SOURCE)
    assert (ran.failure, ran.outcome.error) == (None, "")
    assert "ran" in ran.log


@pytest.mark.parametrize("where", ["job", "top"])
def test_a_path_that_the_workflow_sets_is_no_fault_of_this_machine(act: ActBench, where: str) -> None:
    """What of the file is ours runs whatever PATH says; its own step fails, as on GitHub."""
    env = "env: {PATH: /nowhere}"
    ran = act.run(workflow(ECHO, job=env) if where == "job" else workflow(ECHO, top=f"{env}\n"))
    assert (ran.failure, ran.outcome.exit_code) == (FailureClass.PAYLOAD, 127)


def test_a_folder_that_is_not_there_is_named_as_what_it_is(act: ActBench) -> None:
    """Act only says that a program could not be started."""
    ran = act.run(workflow("- {run: echo ran, working-directory: nowhere}"))
    assert ran.failure is FailureClass.PAYLOAD
    assert ran.outcome.error == "a step could not be started: its working-directory is not there"
    assert "fork/exec" not in ran.log
