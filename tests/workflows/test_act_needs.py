"""Outputs flow from job to job through the results of their tasks, whatever is in them; what was skipped says so."""

from __future__ import annotations

from base64 import b64encode

import pytest

from scheduler.running.job import FailureClass
from tests.workflows.act_bench import ActBench, result

A, B, C = "0a" * 32, "0b" * 32, "0c" * 32

CHAIN = """
name: Chain
on: workflow_dispatch
jobs:
  first:
    runs-on: ubuntu-latest
    outputs: {word: '${{ steps.s.outputs.word }}'}
    steps:
      - {id: s, run: 'echo "word=grün" >> $GITHUB_OUTPUT'}
  second:
    needs: first
    runs-on: ubuntu-22.04
    outputs: {word: '${{ steps.s.outputs.word }}'}
    env: {WORD: '${{ needs.first.outputs.word }}'}
    steps:
      - {id: s, run: 'echo "word=$WORD-er" >> $GITHUB_OUTPUT'}
  third:
    needs: [first, second]
    if: needs.second.result == 'success' && needs.first.outputs.word == 'grün'
    runs-on: [self-hosted, linux]
    outputs: {all: '${{ needs.first.outputs.word }}, ${{ steps.s.outputs.word }}'}
    steps:
      - id: s
        run: echo 'word=${{ needs.second.outputs.word }}-er' >> $GITHUB_OUTPUT
"""


def test_three_jobs_in_a_chain(act: ActBench) -> None:
    """Each sees the outputs of those it needs, and hands its own over."""
    first = act.run(CHAIN, job="first")
    assert first.outputs == {"word": "grün"}
    second = act.run(CHAIN, job="second", needs={"first": (A,)}, results=[result(A, first.outputs)])
    assert second.outputs == {"word": "grün-er"}
    third = act.run(
        CHAIN,
        job="third",
        needs={"first": (A,), "second": (B,)},
        results=[result(A, first.outputs), result(B, second.outputs)],
    )
    assert third.failure is None
    assert third.outputs == {"all": "grün, grün-er-er"}
    assert third.log.count("▶") == 1  # no other job has run


@pytest.mark.parametrize("condition", ["needs.a.result == 'success'", "always()", ""])
def test_defaults_of_the_workflow_are_for_its_own_steps(act: ActBench, condition: str) -> None:
    """A folder that only the source has, and a shell that only the job has, keep no need from having succeeded."""
    text = f"""
on: workflow_dispatch
defaults: {{run: {{working-directory: deep/down, shell: 'bash -x {{0}}'}}}}
jobs:
  a: {{runs-on: ubuntu-latest, outputs: {{o: x}}, steps: [{{run: 'true'}}]}}
  j:
    needs: a
    runs-on: ubuntu-latest
    {f"if: {condition}" if condition else ""}
    steps:
      - uses: actions/checkout@v4
      - run: 'echo "${{{{ needs.a.result }}}} ${{{{ needs.a.outputs.o }}}} $(cat here)" | tr a-z A-Z'
"""
    source = {"deep/down/here": "found"}
    ran = act.run(text, source=source, needs={"a": (A,)}, results=[result(A, {"o": "word"})])
    assert (ran.failure, ran.outputs) == (None, {})
    assert "SUCCESS WORD FOUND" in ran.log


def test_a_job_behind_a_skipped_one(act: ActBench) -> None:
    """It is skipped too, as on GitHub, unless its `if` says otherwise; the result can be asked for."""
    text = """
on: workflow_dispatch
jobs:
  a: {runs-on: ubuntu-latest, if: false, outputs: {o: x}, steps: [{run: echo NOT-THIS}]}
  b: {runs-on: ubuntu-latest, needs: a, steps: [{run: echo NOR-THIS}]}
  c:
    runs-on: ubuntu-latest
    needs: [a, b]
    if: ${{ !cancelled() }}
    outputs: {o: from c}
    steps: [{run: 'echo "${{ needs.a.result }} ${{ needs.b.result }} [${{ needs.a.outputs.o }}]"'}]
  d: {runs-on: ubuntu-latest, needs: c, steps: [{run: echo NEITHER-THIS}]}
  e:
    runs-on: ubuntu-latest
    needs: c
    if: ${{ !failure() && needs.c.result == 'success' }}
    steps: [{run: 'echo "[${{ needs.c.outputs.o }}]"'}]
"""
    first = act.run(text, job="a")
    assert first.outputs == {"job.result": "skipped"}
    second = act.run(text, job="b", needs={"a": (A,)}, results=[result(A, first.outputs)])
    assert second.outputs == {"job.result": "skipped"}
    third = act.run(
        text,
        job="c",
        needs={"a": (A,), "b": (B,)},
        results=[result(A, first.outputs), result(B, second.outputs)],
    )
    assert third.failure is None
    assert "skipped skipped []\n" in third.log
    assert third.outputs == {"o": "from c", "job.result": "ran after a skipped job"}
    behind = {"needs": {"c": (C,)}, "results": [result(C, third.outputs)]}
    fourth = act.run(text, job="d", **behind)  # type: ignore[arg-type]  # as the others
    assert fourth.outputs == {"job.result": "skipped"}  # a skip goes down the whole chain
    fifth = act.run(text, job="e", **behind)  # type: ignore[arg-type]  # as the others
    assert "[from c]\n" in fifth.log
    assert fifth.outputs == {"job.result": "ran after a skipped job"}
    assert "THIS" not in first.log + second.log + third.log + fourth.log


def test_outputs_that_look_like_expressions(act: ActBench) -> None:
    """They are data: nothing in them is computed, quoted or lost."""
    value = 'it\'s ${{ secrets.X }} }} {{ "q" \\ $HOME `id` %0A\n::add-mask::ä 😀\x85\u2028'
    text = """
on: workflow_dispatch
jobs:
  a: {runs-on: ubuntu-latest, outputs: {o: x}, steps: [{run: ':'}]}
  j:
    needs: a
    runs-on: ubuntu-latest
    outputs: {same: '${{ needs.a.outputs.o }}'}
    steps: [{run: 'printf "%s" "$V" | base64 -w0', env: {V: '${{ needs.a.outputs.o }}'}}]
"""
    ran = act.run(text, needs={"a": (A,)}, results=[result(A, {"o": value})])
    assert ran.failure is None
    assert ran.outputs == {"same": value}
    assert base64_of(value) in ran.log


def base64_of(text: str) -> str:
    """Return a text in base64."""
    return b64encode(text.encode()).decode()


def test_legs_of_a_job_that_is_needed(act: ActBench) -> None:
    """Of several legs the later value counts, unless it is empty; a leg that was skipped changes nothing."""
    text = """
on: workflow_dispatch
jobs:
  a:
    runs-on: ubuntu-latest
    strategy: {matrix: {x: [1, 2, 3]}}
    outputs: {o: '', p: ''}
    steps: [{run: ':'}]
  j:
    needs: a
    runs-on: ubuntu-latest
    steps: [{run: 'echo "[${{ needs.a.outputs.o }}|${{ needs.a.outputs.p }}] ${{ needs.a.result }}"'}]
"""
    legs = [result(A, {"o": "1", "p": ""}), result(B, {"o": "2", "p": ""}), result(C, {"o": "", "p": "3"})]
    ran = act.run(text, needs={"a": (A, B, C)}, results=legs)
    assert "[2|3] success\n" in ran.log
    legs[1] = result(B, {"job.result": "skipped"})
    ran = act.run(text, needs={"a": (A, B, C)}, results=legs)
    assert "[1|3] success\n" in ran.log


@pytest.mark.parametrize("needs", [{}, {"a": ()}, {"a": (A, B)}])
def test_a_result_that_is_missing(act: ActBench, needs: dict[str, tuple[str, ...]]) -> None:
    """The job is not run as if it were empty."""
    text = """
on: workflow_dispatch
jobs:
  a: {runs-on: ubuntu-latest, steps: [{run: ':'}]}
  j: {needs: a, runs-on: ubuntu-latest, steps: [{run: echo NOT-THIS}]}
"""
    ran = act.run(text, needs=needs, results=[result(A, {})])
    assert ran.failure is FailureClass.PAYLOAD
    assert "the job needs 'a'" in ran.outcome.error
    assert "▶" not in ran.log
