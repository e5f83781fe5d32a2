"""The schema of workflow files: faults in plain words with their lines, and texts that would stop a machine."""

from __future__ import annotations

import time
from typing import Any

import pytest

from scheduler.workflows.schema_check import MATCHERS, check_schema, schema
from tests.workflows.files import GUIDE, THREE, one_job, read


def told(text: str) -> list[tuple[int, str, str]]:
    """Return line, key and words of all that is found."""
    return [(one.line, one.key, one.words) for one in check_schema(read(text))]


@pytest.mark.parametrize(
    "text",
    [
        GUIDE,
        THREE,
        one_job(),
        one_job("strategy: {matrix: {v: [1, a, true, {b: c}]}, fail-fast: false}"),
        one_job("if: true\ntimeout-minutes: 1.5\ncontinue-on-error: ${{ true }}"),
        one_job("env: {P2P_TAGS: [p2p-only]}"),
        "env: {WORKFLOW_TAGS: [p2p-only]}\n" + one_job(),
        one_job(on="{workflow_dispatch: {inputs: {b: {required: true}, c: {type: choice, options: [x]}}}}"),
        one_job(on="{push: {branches: [main]}, pull_request: , schedule: [{cron: '0 0 * * *'}]}"),
        one_job(on="[push, pull_request]"),
        "on: push\njobs:\n  a:\n    uses: o/r/.github/workflows/x.yml@v1\n",
        "on: workflow_call\njobs:\n  a:\n    uses: ./.github/workflows/x.yml\n    with: {a: b}\n    secrets: inherit\n",
    ],
    ids=str,
)
def test_what_github_takes_has_no_fault(text: str) -> None:
    """The guide's own file, and others that GitHub runs."""
    assert not told(text)


@pytest.mark.parametrize(
    ("text", "line", "key", "words"),
    [
        ("jobs: {a: {runs-on: x, steps: [{run: x}]}}", 1, "", "`on` is missing"),
        ("on: push\n", 1, "", "`jobs` is missing"),
        ("on: push\njobs: {}\n", 2, "jobs", "must not be empty"),
        ("on: push\njobs: 3\n", 2, "jobs", "a map is wanted, not the number 3"),
        ("on: push\njobs:\n  1a: {runs-on: x}\n", 3, "jobs['1a']", "'1a' is no name"),
        ("on: pusch\n" + one_job().partition("\n")[2], 1, "on", "did you mean 'push'?"),
        (one_job(on="{pusch: }"), 1, "on.pusch", "did you mean 'push'?"),
        (one_job(on="{push: {branches: main}}"), 1, "on.push.branches", "a list is wanted, not the text 'main'"),
        ("on: push\njobs:\n  a:\n    runs-on: x\n    stepz: []\n", 5, "jobs.a.stepz", "did you mean 'steps'?"),
        ("on: push\njobs:\n  a:\n    steps:\n    - run: x\n", 3, "jobs.a", "`runs-on` is missing"),
        ("on: push\njobs:\n  a: hello\n", 3, "jobs.a", "a map is wanted, not the text 'hello'"),
        (one_job("needs: {b: c}"), 5, "jobs.a.needs", "a list or a text is wanted, not a map"),
        (one_job("timeout-minutes: soon"), 5, "jobs.a.timeout-minutes", "a number or an expression is wanted"),
        (one_job("env: {A: [1]}"), 5, "jobs.a.env.A", "true or false is wanted, not a list"),
        (one_job("permissions: wrong"), 5, "jobs.a.permissions", "allowed are read-all, write-all"),
        (one_job("permissions: {contents: wirte}"), 5, "jobs.a.permissions.contents", "did you mean 'write'?"),
        (one_job("strategy: {matrix: {os: x}}"), 5, "jobs.a.strategy.matrix.os", "a list or an expression is wanted"),
        (one_job(steps="- run: 3"), 6, "jobs.a.steps[0].run", "a text is wanted, not the number 3"),
        (one_job(steps="- run: x\n- runn: y"), 7, "jobs.a.steps[1].runn", "did you mean 'run'?"),
        (one_job(steps="- name: x"), 6, "jobs.a.steps[0]", "one of `uses`, `run`"),
        (one_job(steps="- run: x\n  uses: a/b@c"), 6, "jobs.a.steps[0]", "only one of `uses`, `run` is wanted"),
        (one_job(steps="- uses: a/b@c\n  shell: bash"), 6, "jobs.a.steps[0]", "'shell' is for what has 'run'"),
        (one_job(steps="- run: x\n  with: [a]"), 7, "jobs.a.steps[0].with", "a map or a text is wanted, not a list"),
        (
            one_job(on="{workflow_dispatch: {inputs: {x: {type: chioce}}}}"),
            1,
            "on.workflow_dispatch.inputs.x.type",
            "did you mean 'choice'?",
        ),
        (
            one_job(on="{workflow_dispatch: {inputs: {x: {requird: true}}}}"),
            1,
            "on.workflow_dispatch.inputs.x.requird",
            "did you mean 'required'?",
        ),
        (
            "on: push\njobs:\n  a:\n    uses: ./.github/workflows/x.yml\n    runs-on: x\n",
            5,
            "jobs.a.runs-on",
            "unknown key 'runs-on'",
        ),
    ],
    ids=str,
)
def test_a_fault_has_its_line_its_key_and_plain_words(text: str, line: int, key: str, words: str) -> None:
    """The place is where the fault stands, and no word of the schema's own is needed to understand it."""
    found = told(text)
    assert any((line, key) == one[:2] and words in one[2] for one in found), found


def patterns(node: Any) -> set[str]:
    """Return every pattern in a schema."""
    if isinstance(node, dict):
        own = {node["pattern"]} if isinstance(node.get("pattern"), str) else set()
        return own.union(*map(patterns, node.values()))
    return set().union(*map(patterns, node)) if isinstance(node, list) else set()


def test_every_pattern_of_the_schema_is_known() -> None:
    """One that a later version of the schema brings must be looked at: does it stop on hostile texts?"""
    assert patterns(schema()) - MATCHERS.keys() == {"^[_a-zA-Z][a-zA-Z0-9_-]*$", r"^\d+(\.\d+|\*)?$"}


@pytest.mark.parametrize(
    "text",
    [
        one_job("env: '" + "${{" * 20_000 + "'"),
        one_job('timeout-minutes: "${{' + "\\r" * 30_000 + '"'),
        "on: push\njobs:\n  a:\n    uses: '" + "a/" * 30_000 + "'\n",
        one_job("strategy: {matrix: {v: [" + "{a: [" * 15 + "1" + "]}" * 15 + "]}}"),
        "on: push\njobs:\n"
        + "".join(f"  j{n}: {{runs-on: 3, steps: [{{run: 1}}, {{uses: 2}}]}}\n" for n in range(1_000)),
        "on: push\njobs:\n  a: {runs-on: x, " + ", ".join(f"k{n}: 1" for n in range(5_000)) + "}\n",
    ],
    ids=["env", "expression", "uses", "nested", "jobs", "keys"],
)
def test_hostile_texts_are_judged_in_time(text: str) -> None:
    """Patterns that backtrack, deep values and many faults: the answer comes within seconds."""
    began = time.monotonic()
    found = told(text)
    assert time.monotonic() - began < 20
    assert len(found) <= 50
