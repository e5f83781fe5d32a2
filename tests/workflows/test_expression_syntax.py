"""The grammar of expressions, and what may stand where: both as the schema within the real act has them."""

from __future__ import annotations

import json
import subprocess
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scheduler.workflows.act_program import find_act
from scheduler.workflows.expression_syntax import DEPTH_MAX, Call, ExpressionSyntaxError, Filtered, read_expression
from scheduler.workflows.reading import read_workflow
from scheduler.workflows.strict import check
from tests.workflows.act_bench import workflow

READ = """
github.sha == 'x' | !github.sha | -1 == -1 | 0x1F | 1.5e3 | 1e-2 | github['sha'] | github.event[0]
(github.sha == 'x') == true | 1 == (github.sha < 1) | null | github . sha | contains(needs.*.result,'a') | (github).sha
fromJSON('[1]')[0] | 'a''b' | !(true) | !!true | true && false || !false | 'a'.x | github.event.a[github.sha]
github.sha != 'x' | 'é' | format('{0} {1}', 1, 2) | github.event.a-b | 'a}}b' | toJson(github.event) >= 1 | ((((1))))
2147483647 | -2147483648 | 0x7FFFFFFF | -0x80000000 | 2147483648.0 | 1e308 | 1e-400 | 0e999 | 0x0 | 0xff | -0 | 3e9
1e0 | 1E-10
"""
UNREAD = """
a = b | github.sha = 'x' | github.sha == | 'x | "x" | 1 + 1 | (github.sha | github.sha) | format('{0}', 1 | x()
format('{0}',) | format() | github..sha | github.sha && && true | a b | NULL | True | infinity | NaN | github[sha]
github.1 | -github.sha | +1 | .5 | 1. | github.sha; true | github.event[*].x | 1.x | toJSON(github, 1, 2) | join()
contains('a') | startsWith('a') | true and false | not true | github# | @ | github.sha <> 'x' | github.sha === 'x'
&& true | 01 | 1_000 | 0xZZ | 1e | é | github.é | $x | [1] | [1][0] | * | *.x | github.a b | a.b.c | 1-1 | github.sha &
2147483648 | -2147483649 | 0x80000000 | -0x80000001 | 0xFFFFFFFFFFFFFFFF | 9007199254740993 | 1e309 | -1e309
0x0F | 0x00
1e+5 | 1e05 | 1e00 | 1e-05 | --1 | - 1 | 0X1F | 0b1 | 0o7 | 1.5.2 | 1e5.0 | -0x | 1f | 0xfg | 1._0
"""


def cases(text: str) -> list[str]:
    """Return the expressions of a list: ` | ` or a line's end parts them."""
    return [one.strip() for line in text.strip().splitlines() for one in line.split(" | ")]


def is_valid_to_act(folder: Path, text: str) -> bool:
    """Tell whether act takes a file for valid."""
    (folder / "job.yml").write_text(text)
    command = [str(find_act()), "workflow_dispatch", "-W", "job.yml", "-l"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0 or "workflow is not valid" in done.stderr, done
    return done.returncode == 0


def is_valid_to_us(text: str) -> bool:
    """Tell whether the strict check has nothing against a file."""
    return not any(one.is_error for one in check(read_workflow(text.encode(), "ci.yml")))


@pytest.mark.parametrize("expression", cases(READ) + cases(UNREAD))
def test_what_act_cannot_read_is_refused_and_nothing_else(expression: str, tmp_path: Path) -> None:
    """As an `if` and within a script."""
    for step in (
        f"- {{run: ':', if: {json.dumps(expression)}}}",
        f"- run: {json.dumps('echo ${{ ' + expression + ' }}')}",
    ):
        text = workflow(step)
        assert is_valid_to_us(text) == is_valid_to_act(tmp_path, text) == (expression in cases(READ)), step


CONTEXTS = (
    "github.sha", "inputs.x", "vars.P2P_WORKFLOW", "needs.a.result", "strategy.fail-fast", "matrix.m", "secrets.S",
    "steps.before.outputs.y", "job.status", "runner.os", "env.A", "hashFiles('x')", "always()", "success()", "jobs.a.b",
)  # fmt: skip
PLACES = {
    "env": ("env: {{A: '{}'}}", "", ""),
    "job.if": ("", "if: {}", ""),
    "job.env": ("", "env: {{A: '{}'}}", ""),
    "job.name": ("", "name: '{}'", ""),
    "job.outputs": ("", "outputs: {{a: '{}'}}", ""),
    "job.defaults": ("", "defaults: {{run: {{working-directory: '{}'}}}}", ""),
    "job.max-parallel": ("", "strategy: {{max-parallel: '{}', matrix: {{m: [1]}}}}", ""),
    "step.if": ("", "", "- {{run: ':', if: '{}'}}"),
    "step.run": ("", "", "- run: 'echo {}'"),
    "step.name": ("", "", "- {{run: ':', name: '{}'}}"),
    "step.env": ("", "", "- {{run: ':', env: {{B: '{}'}}}}"),
    "step.with": ("", "", "- {{uses: ./a, with: {{b: '{}'}}}}"),
    "step.folder": ("", "", "- {{run: ':', working-directory: '{}'}}"),
    "step.id": ("", "", "- {{run: ':', id: '{}'}}"),
    "step.shell": ("", "", "- {{run: ':', shell: '{}'}}"),
}
FRAME = """
on: {{workflow_dispatch: {{inputs: {{x: {{type: string}}}}}}}}
{top}
jobs:
  a: {{runs-on: ubuntu-latest, steps: [{{run: ':'}}]}}
  j:
    runs-on: ubuntu-latest
    needs: a
    {job}
    steps:
    - uses: actions/checkout@v4
    - {{id: before, run: 'true'}}
    {step}
"""


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("name", CONTEXTS)
def test_what_may_stand_where_is_as_act_has_it(place: str, name: str, tmp_path: Path) -> None:
    """Each context and function at each place."""
    expression = "${{ " + name.replace("'", "''") + " }}"
    top, job, step = (one.format(expression) for one in PLACES[place])
    matrix = "" if "strategy:" in job else "strategy: {matrix: {m: [1]}}\n    "
    text = FRAME.format(top=top, job=matrix + job, step=step)
    assert is_valid_to_us(text) == is_valid_to_act(tmp_path, text), text


def test_calls_are_told_with_their_values() -> None:
    """In order, those within others too."""
    assert read_expression("format('{0}', toJSON(github)) && always()").calls == (
        Call("toJSON", 1),
        Call("format", 2),
        Call("always", 0),
    )


def test_what_act_reads_otherwise_is_told() -> None:
    """Paths with a filter, and rows of comparisons; brackets, calls and operators part them."""
    read = read_expression("join(Needs.*.outputs[x].o) && fromJSON('[]').*.a || needs.a.b")
    assert read.filtered == (Filtered("needs", ("*", "outputs", "[]", "o"), "join"), Filtered("", ("*", "a")))
    assert [
        read_expression(text).has_lookup
        for text in ("fromJSON('{}')[matrix.x]", "fromJSON('[]')[0]['a']", "needs[matrix.x].result", "(steps.a)[env.X]")
    ] == [True, False, False, True]
    assert [
        read_expression(text).has_row
        for text in ("1 < 2 == 3", "1 == 2 && 3 < 4 != 5", "1 == 2 && 3 == 4", "(1 == 2) == 3", "f(1 == 2, 3 == 4)")
    ] == [True, True, False, False, False]


@given(st.text("aA1.,()[]!=<>&|* '\"{}$-é\n", max_size=40))
def test_any_text_is_read_or_refused_in_words(text: str) -> None:
    """Nothing else comes of it."""
    with suppress(ExpressionSyntaxError):
        assert all(call.arguments >= 0 for call in read_expression(text).calls)


@pytest.mark.parametrize("opening", ["(", "!(", "github[", "format("])
def test_what_is_nested_too_deep_is_refused(opening: str) -> None:
    """And not read until the stack ends."""
    with pytest.raises(ExpressionSyntaxError, match="nested"):
        read_expression(opening * (DEPTH_MAX + 1))
    with pytest.raises(ExpressionSyntaxError, match="nested"):
        read_expression(opening * 10_000)
