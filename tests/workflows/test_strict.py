"""Each rule of the strict check has a case that it refuses, with file, line, key and reason; sound files pass."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from scheduler.workflows.act_shell import PROGRAMS
from scheduler.workflows.findings import Finding
from scheduler.workflows.reading import read_workflow
from scheduler.workflows.strict import Situation, check
from scheduler.workflows.strict_rules import TITLES, Rule
from tests.workflows.act_bench import workflow
from tests.workflows.strict_cases import CASES, CHECKOUT, NEEDS, Case, ids

PAGE = Path(__file__).parents[2] / "docs/workflows-checks.md"
ALL = (*PROGRAMS, "sh", "node", "python3")
BARE = Situation(read_source=None, has_program=lambda name: name != "node")


def situation(
    files: Mapping[str, str], *, programs: tuple[str, ...] = (*PROGRAMS, "sh", "node", "python3")
) -> Situation:
    """Return what a worker has: a source and programs."""
    return Situation(
        lambda path: files[path].encode() if path in files else None, programs.__contains__, frozenset({"S"}), "a" * 40
    )


def errors(text: str, at: Situation | None = None, job: str | None = None) -> list[Finding]:
    """Return the errors of a file."""
    return [one for one in check(read_workflow(text.encode(), "ci.yml"), *filter(None, [job]), at=at) if one.is_error]


@pytest.mark.parametrize("case", CASES, ids=ids(CASES))
def test_a_case_of_each_rule(case: Case) -> None:
    """It is found at its key and line, in words; without a worker at hand nothing is said of what workers have."""
    found = errors(case.text, BARE if case.needs_worker else None)
    at_key = [one for one in found if (one.rule, one.key) == (case.rule, case.key)]
    assert at_key, found
    assert case.words in at_key[0].words
    assert {one.rule for one in found} == {case.rule} or case.needs_worker
    last = case.key.rpartition(".")[2].partition("[")[0]
    assert last in case.text.splitlines()[at_key[0].line - 1], at_key[0].render()
    if case.needs_worker:
        assert not errors(case.text)


def test_every_rule_has_a_case_and_stands_in_the_page() -> None:
    """Rules, cases and the page name the same."""
    assert {case.rule for case in CASES} == {str(rule) for rule in Rule} == {str(rule) for rule in TITLES}
    page = PAGE.read_text()
    for rule, title in TITLES.items():
        assert f"| {rule} | {title} |" in page
    assert page.count("\n| W") == len(Rule)


SOUND = """
name: CI
run-name: run ${{ github.ref_name }}
on: {push: {branches: [main]}, workflow_dispatch: {inputs: {x: {type: boolean}}}}
permissions: {contents: read}
env: {A: "${{ inputs.x }}", P2P_TAGS: p2p-only}
defaults: {run: {shell: bash, working-directory: .}}
jobs:
  a:
    name: build ${{ matrix.os }}
    runs-on: ${{ matrix.os }}
    permissions: {}
    timeout-minutes: 5
    continue-on-error: false
    strategy: {fail-fast: false, matrix: {os: [ubuntu-latest, ubuntu-22.04], include: [{os: gpu, v: 1}]}}
    outputs: {o: "${{ steps.s.outputs.o }}"}
    steps:
      - {uses: actions/checkout@v4, with: {fetch-depth: 0, ref: "${{ github.sha }}", persist-credentials: false}}
      - {uses: actions/checkout@v4, with: {path: b, token: "${{ secrets.S }}", submodules: false}}
      - id: s
        name: step ${{ matrix.v }}
        if: always() && contains(fromJSON('["a)", "frob()"]'), 'a') || !cancelled()
        run: echo "${{ format('{0} frob()', github.event.inputs.x) }} $(frob) ${{ toJSON(github) }} ::set-env"
        shell: python3 {0}
        env: {B: "${{ secrets.S || env.A }}", C: "${{ steps.s['outputs'].o }}"}
        timeout-minutes: 2
        continue-on-error: ${{ inputs.x }}
  b:
    needs: [a]
    if: ${{ needs.A.result == 'success' && vars.P2P_WORKFLOW == 'true' && (inputs.x || success()) }}
    runs-on: [self-hosted, linux, x64]
    container: ""
    services: {}
    steps: [{run: 'echo ${{ needs.a.outputs.O }} ${{ toJSON(needs) }} ${{ hashFiles(''x'') }}'}]
"""


def test_a_sound_file_passes() -> None:
    """What act does as GitHub does is not refused, with a worker at hand or without."""
    assert not errors(SOUND)
    assert not errors(SOUND, situation({}))


def test_only_the_job_that_is_to_run() -> None:
    """Another job of the file may be what act cannot do; the file's own keys count for each."""
    text = SOUND + "  w: {runs-on: windows-latest, steps: [{run: dir}]}\n"
    assert [one.rule for one in errors(text)] == ["W2"]
    assert not errors(text, job="b")
    assert [one.rule for one in errors(text + "concurrency: x\n", job="b")] == ["W6"]


def test_a_worker_that_lacks_what_steps_are_run_through() -> None:
    """It runs no job: without that program nobody sees to what steps write."""
    for lacking in PROGRAMS:
        has = tuple(one for one in ALL if one != lacking)
        assert [(one.rule, one.key) for one in errors(SOUND, situation({}, programs=has), "b")] == [
            ("W22", "jobs.b.steps")
        ]


def test_a_warning_of_jobs_that_run_always() -> None:
    """`always()` of a job is a doubt, no fault."""
    found = check(read_workflow(workflow("- run: ':'", job="if: always()").encode(), "ci.yml"))
    assert [(one.rule, one.is_error) for one in found] == [("W9", False)]


COMPOSITE = "runs:\n  using: composite\n  steps:\n    - {shell: bash, run: echo}\n"
PLAIN = {"b/action.yml": COMPOSITE}
COMMANDS = "ACTIONS_ALLOW_UNSECURE_COMMANDS"
USES = workflow(CHECKOUT + "- uses: ./a")


@pytest.mark.parametrize(
    ("files", "rule", "place"),
    [
        ({}, "W13", "ci.yml:8"),
        ({"a/action.yml": "runs: {using: frob}"}, "W13", "a/action.yml:1"),
        ({"a/action.yml": "a: ["}, "W13", "a/action.yml"),
        ({"a/action.yaml": "runs: {using: docker, image: x}"}, "W11", "a/action.yaml:1"),
        ({"a/Dockerfile": "FROM x"}, "W11", "ci.yml:8"),
        ({"a/action.yml": COMPOSITE + "    - {uses: octo/x@v1}\n"}, "W10", "a/action.yml:5"),
        ({"a/action.yml": COMPOSITE + "    - {uses: docker://x}\n"}, "W11", "a/action.yml:5"),
        ({"a/action.yml": COMPOSITE + "    - {uses: ./b}\n"}, "W13", "a/action.yml:5"),
        ({"a/action.yml": COMPOSITE + "    - {uses: ./a}\n"}, "W13", "a/action.yml:5"),
        ({"a/action.yml": COMPOSITE + "    - {shell: sh, run: 'echo ${{ frob() }}'}\n"}, "W17", "a/action.yml:5"),
        (
            {"a/action.yml": "inputs: {v: {default: 1e3}}\n" + COMPOSITE},
            "W13",
            "a/action.yml:1: error: inputs.v.default: 1e3",
        ),
        ({"a/action.yml": COMPOSITE + "    - {shell: sh, run: ':', env: {V: True}}\n"}, "W13", "a/action.yml:5"),
        ({"a/action.yml": COMPOSITE + "    - uses: actions/checkout@v4\n"}, "W12", "a/action.yml:5"),
        ({"a/action.yml": "inputs: {t: {default: '${{ github.token }}'}}\n" + COMPOSITE}, "W18", "a/action.yml:1"),
        ({"a/action.yml": COMPOSITE + "    - {uses: ./b, env: '${{ inputs }}'}\n", **PLAIN}, "W21", "a/action.yml:5"),
        (
            {"a/action.yml": COMPOSITE + f"    - {{uses: ./b, env: {{{COMMANDS}: x}}}}\n", **PLAIN},
            "W19",
            "a/action.yml:5",
        ),
    ],
    ids=range(16),
)
def test_actions_of_the_source(files: dict[str, str], rule: str, place: str) -> None:
    """They are read as deep as they use one another; what is wrong is told where it stands."""
    (found,) = errors(USES, situation(files))
    assert found.rule == rule
    assert found.render().startswith(place)


def test_a_default_that_a_step_does_not_need_is_not_judged() -> None:
    """What the step gives counts."""
    files = {"a/action.yml": "inputs: {Token: {default: '${{ github.token }}'}}\n" + COMPOSITE}
    assert not errors(workflow(CHECKOUT + "- {uses: ./a, with: {token: x}}"), situation(files))


def test_sound_actions_of_the_source() -> None:
    """Composite, nested, and node ones pass; in a checkout below a folder, too; node must be there."""
    plain = "    - {shell: sh, run: ':', env: {A: 10, B: true, C: 1.5, D: '1e3', E: ~}}\n"
    files = {
        "a/action.yml": COMPOSITE + "    - {uses: ./js}\n" + plain,
        "js/action.yml": "runs: {using: node20, main: a.js}",
    }
    assert not errors(USES, situation(files))
    below = workflow("- {uses: actions/checkout@v4, with: {path: src}}\n- uses: ./src/js")
    assert not errors(below, situation(files))
    assert [one.rule for one in errors(USES, situation(files, programs=PROGRAMS))] == ["W22"]


@pytest.mark.parametrize(
    ("expression", "words"),
    [
        ("steps.typo.outputs.x", "no step has the id 'typo'"),
        ("steps.later.outputs.x", "the step 'later' comes later"),
        ("steps.before.output.x", "a step has conclusion, outcome, outputs"),
        ("matrix.os", "the matrix has no 'os'"),
        ("inputs.who", "the file declares no input 'who'"),
        ("github.event.inputs.x", ""),
        ("github.event.after", ""),
        ("github.event.*.x", ""),
        ("steps.before.outputs.x", ""),
        ("matrix.v", ""),
        ("matrix.more", ""),
        ("inputs.x", ""),
        ("steps[matrix.v].outputs.x", ""),
    ],
)
def test_a_name_that_is_empty_on_github_too_is_a_doubt(expression: str, words: str) -> None:
    """It is warned of, with its line, and the file can be run."""
    text = f"""
on: {{workflow_dispatch: {{inputs: {{x: {{type: string}}}}}}}}
jobs:
  j:
    runs-on: ubuntu-latest
    strategy: {{matrix: {{v: [1], include: [{{v: 1, more: 2}}]}}}}
    steps:
      - {{id: before, run: 'true'}}
      - run: echo ${{{{ {expression} }}}}
      - {{id: later, run: 'true'}}
"""
    found = [one for one in check(read_workflow(text.encode(), "ci.yml")) if one.rule == "W18"]
    assert [(one.is_error, one.line) for one in found] == ([(False, 9)] if words else [])
    assert all(one.words == f"{expression} is always empty: {words}" for one in found)


def test_filters_that_act_reads_as_github_does_pass() -> None:
    """Of needs that all have what is named; of a list that is computed it is a doubt, since a map it may be."""
    text = NEEDS % "contains(needs.*.result, 'x') && contains(needs.*.outputs.o, 'x')"
    assert not errors(text.replace("{p: y}", "{O: y}"))
    for expression in ("fromJSON('[]').*.a", "fromJSON('{}')[matrix.m]"):
        doubts = list(check(read_workflow((NEEDS % expression).encode(), "ci.yml")))
        assert [(one.rule, one.is_error) for one in doubts] == [("W26", False)]


@pytest.mark.parametrize(("name", "words"), [("CI", "holds what act sets"), ("GITHUB_SHA", "act sets"), ("MINE", "")])
def test_a_variable_that_only_act_sets_is_a_doubt(name: str, words: str) -> None:
    """Unless the file sets it, anywhere."""
    text = workflow(f"- run: ':'\n  if: env.{name}")
    found = list(check(read_workflow(text.encode(), "ci.yml")))
    assert [(one.rule, one.is_error, words in one.words) for one in found] == ([("W18", False, True)] if words else [])
    assert not check(read_workflow(text.replace("jobs:", f"env: {{{name.lower()}: x}}\njobs:").encode(), "ci.yml"))


def test_what_a_strategy_holds_as_on_github_passes() -> None:
    """What the job itself sets, and what is the default."""
    steps = "- run: echo ${{ strategy.fail-fast }} ${{ strategy.max-parallel }}"
    assert not errors(workflow(steps, job="strategy: {matrix: {a: [1]}, max-parallel: 2}"))
    assert not errors(workflow(steps, job="strategy: {matrix: {a: [1]}, max-parallel: 2, fail-fast: false}"))


@pytest.mark.parametrize("key", ["outputs", "env"])
def test_a_key_is_no_place_for_an_expression(key: str) -> None:
    """Nothing could name what stands under it."""
    text = workflow("- run: ':'", job=f"{key}: {{'o-${{{{ 1 }}}}': x}}")
    (found,) = errors(text)
    assert (found.rule, found.line) == ("W25", 6)
    assert "taken as it is written" in found.words


def test_what_an_event_does_not_have_here_is_a_doubt() -> None:
    """The repository, the sender, a pull request: what stands behind `||` may be meant."""
    for name in ("github.event.repository.name", "github.event.head_commit.id", "github.event.pull_request.number"):
        text = workflow(f"- run: ':'\n  env: {{X: \"${{{{ {name} || 'none' }}}}\"}}")
        (found,) = check(read_workflow(text.encode(), "ci.yml"))
        assert (found.is_error, found.rule) == (False, "W18")
        assert f"{name} is always empty here" in found.words


def test_a_matrix_that_is_computed_is_not_judged() -> None:
    """Nor the inputs of a file that another calls; a job without a matrix has none of its names."""
    computed = workflow(
        "- run: echo ${{ matrix.os }}", job="strategy: {matrix: {include: '${{ fromJSON(inputs.legs) }}'}}"
    )
    found = [one.words for one in check(read_workflow(computed.encode(), "ci.yml"))]
    assert found == ["inputs.legs is always empty: the file declares no input 'legs'"]
    bare = check(read_workflow(workflow("- run: echo ${{ matrix.os }}").encode(), "ci.yml"))
    assert [one.words for one in bare] == ["matrix.os is always empty: the job has no matrix"]
