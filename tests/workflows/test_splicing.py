"""Shell injection: what strangers choose, spliced into scripts; and the expressions it rests on."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scheduler.workflows.expressions import condition, find_expressions, is_strangers, references
from scheduler.workflows.findings import Finding
from scheduler.workflows.splicing import check_splicing
from tests.workflows.files import GUIDE, one_job, read


def found(text: str) -> list[Finding]:
    """Return the warnings of a text."""
    return list(check_splicing(read(text)))


def test_the_guide_s_own_file_is_warned_of() -> None:
    """Its input reaches the shell: the line is that of the expression, the remedy a variable."""
    (one,) = found(GUIDE)
    assert (one.line, one.key, one.is_error, one.rule) == (21, "jobs.generate.steps[0].run", False, "injection")
    assert "github.event.inputs.description" in one.words
    assert 'env: DESCRIPTION: ${{ github.event.inputs.description }}` and write "$DESCRIPTION"' in one.advice


@pytest.mark.parametrize(
    "inner",
    [
        "inputs.x",
        "inputs['x']",
        "github.event.inputs.x",
        "github['event']['inputs'].x",
        "GitHub.Event.Inputs.x",
        "format('{0}', inputs.x)",
        "inputs[matrix.name]",
        "inputs.*",
        "toJSON(inputs)",
        "toJSON(github)",
        "toJSON(github.event)",
        "toJSON(github.event.issue)",
        "github.event.*.title",
        "github.head_ref",
        "github.event.issue.title",
        "github.event.commits[0].message",
        "github.event.commits.*.author.email",
        "github.event.pull_request.head.ref",
        "github.event.comment.body || 'x'",
        "github.event.client_payload.anything.at.all",
    ],
)
def test_what_strangers_choose_is_warned_of(inner: str) -> None:
    """However it is written, and wherever in the expression it stands."""
    assert [
        one.rule for one in found(one_job(steps=f"- run: 'x ${{{{ {inner.replace(chr(39), chr(39) * 2)} }}}}'"))
    ] == ["injection"]


@pytest.mark.parametrize("inner", ["secrets.X", "toJSON(secrets.X)", "secrets['X']", "inputs.flag && secrets.X"])
def test_a_secret_in_a_script_is_warned_of(inner: str) -> None:
    """A shell that takes its backslashes away makes of it what no mask expects."""
    flag = {"workflow_dispatch": {"inputs": {"flag": {"type": "boolean"}}}}
    (one,) = found(one_job(steps=f"- run: {json.dumps('echo ${{ ' + inner + ' }}')}", on=json.dumps(flag)))
    assert (one.rule, one.is_error) == ("secret.spliced", False)
    assert one.words.startswith("secrets.x is spliced")
    assert f"`env: X: ${{{{ {inner} }}}}`" in one.advice


@pytest.mark.parametrize(
    "inner",
    [
        "github.sha",
        "github.run_id",
        "github.event.issue.number",
        "matrix.x",
        "'inputs.x'",
        "env.x",
        "hashFiles('a')",
    ],
)
def test_what_strangers_do_not_choose_is_not(inner: str) -> None:
    """Numbers, hashes, one's own values, and words within texts."""
    assert not found(one_job(steps=f'- run: "x ${{{{ {inner} }}}}"'))


INDIRECT = """
on: {workflow_dispatch: {inputs: {d: {}, n: {type: number}}}}
env: {TOP: '${{ inputs.d }}', N: '${{ inputs.n }}', GONE: '${{ inputs.d }}'}
jobs:
  a:
    runs-on: ubuntu-latest
    env: {Job: 'x ${{ env.TOP }}', GONE: own}
    outputs: {told: '${{ env.Job }}', own: '${{ steps.s.outputs.x }}'}
    steps:
      - run: echo ${{ env.TOP }}
      - run: echo ${{ env.Job }} ${{ env.GONE }} ${{ env.N }} ${{ env.OTHER }}
      - {run: 'echo ${{ env.STEP }}', env: {STEP: '${{ github.head_ref }}'}}
      - {run: 'echo ${{ toJSON(env) }}'}
  b:
    needs: a
    runs-on: ubuntu-latest
    outputs: {again: '${{ needs.a.outputs.told }}'}
    steps: [{run: 'echo ${{ needs.a.outputs.told }} ${{ needs.a.outputs.own }}'}]
  c:
    needs: b
    runs-on: ubuntu-latest
    steps: [{run: 'echo ${{ needs.b.outputs.again }}'}]
"""


def test_what_a_variable_or_an_output_carries_is_warned_of_where_it_is_spliced() -> None:
    """Through the file's, the job's and the step's variables, and through outputs of jobs; what replaces it is not."""
    told = [(one.line, one.words.partition(": ")[2].partition(" is spliced")[0]) for one in found(INDIRECT)]
    assert told == [
        (10, "env.top, which carries inputs.d,"),
        (11, "env.job, which carries inputs.d,"),
        (12, "env.step, which carries github.head_ref,"),
        (13, "env, which carries inputs.d,"),
        (18, "needs.a.outputs.told, which carries inputs.d,"),
        (22, "needs.b.outputs.again, which carries inputs.d,"),
    ]
    assert [one.advice for one in found(INDIRECT)][:2] == [
        'it is a variable already: write "$TOP" in the script',
        'it is a variable already: write "$Job" in the script',
    ]


def test_the_advice_has_the_whole_expression() -> None:
    """What stands in it is what the variable is to hold."""
    (one,) = found(one_job(steps="- run: echo ${{ toJSON(inputs) }}"))
    assert 'env: INPUTS: ${{ toJSON(inputs) }}` and write "$INPUTS"' in one.advice


def test_only_scripts_are_looked_at() -> None:
    """In a variable, a name or a condition it is data; in github-script it is a program again."""
    steps = "- name: ${{ inputs.x }}\n  if: inputs.x == 'a'\n  env: {X: '${{ inputs.x }}'}\n  run: echo \"$X\""
    assert not found(one_job(steps=steps))
    (one,) = found(
        one_job(steps="- uses: actions/github-script@v7\n  with:\n    script: |\n      // x\n      f(${{ inputs.x }})")
    )
    assert (one.line, one.key) == (10, "jobs.a.steps[0].with.script")


def test_inputs_that_can_hold_no_program_are_left_aside() -> None:
    """A boolean and a number are what they are; a choice may be any text."""
    on = "{workflow_dispatch: {inputs: {b: {type: boolean}, n: {type: number}, s: {type: string}, c: {type: choice}}}}"
    script = "- run: x ${{ inputs.b }} ${{ github.event.inputs.n }} ${{ inputs.s }} ${{ inputs.c }}"
    assert ["inputs.s" in one.words for one in found(one_job(steps=script, on=on))] == [True, False]


def test_expressions_end_where_github_ends_them() -> None:
    """Not within a text; one that is not closed reaches to the end."""
    spans = list(find_expressions("a ${{ b }} ${{ '}}' }} ${{ 'it''s }}' }}c ${{ open"))
    assert [one.inner.strip() for one in spans] == ["b", "'}}'", "'it''s }}'", "open"]


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("a.b.c && !d['E f'].g", [("a", "b", "c"), ("d", "e f", "g")]),
        ("contains(a.*.b, 'c.d')", [("a", "*", "b")]),
        ("a[b.c].d", [("b", "c"), ("a", "*", "d")]),
        ("true == 1.5 || null", []),
        ("fromJSON(x)[0].y", [("x",)]),
        ("a[", [("a", "*")]),
        ("a.", [("a",)]),
    ],
)
def test_references_are_what_an_expression_names(text: str, names: list[tuple[str, ...]]) -> None:
    """Contexts and their steps, in small letters; functions, texts and numbers are none."""
    assert list(references(text)) == names


@settings(max_examples=200, deadline=None)
@given(st.text(st.sampled_from("a.b[]()'*! \n&|=1{}$"), max_size=30))
def test_any_text_is_read(text: str) -> None:
    """Nothing raises, and what is found lies within the text."""
    for one in references(text):
        is_strangers(one)
    for span in find_expressions(text):
        assert text[span.start : span.end].startswith("${{")
    condition(text)
