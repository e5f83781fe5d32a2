"""Plans: jobs after those they need, their legs, and what each asks for."""

from __future__ import annotations

import time

import pytest

from scheduler.workflows.checking import check
from scheduler.workflows.planning import Plan, plan_of
from tests.workflows.files import GUIDE, THREE, one_job, read


def plan(text: str) -> Plan:
    """Return the plan of a text, which must have no finding."""
    found = plan_of(read(text))
    assert not found.findings
    return found


def rules(text: str) -> list[tuple[str, str, bool]]:
    """Return rule, key and severity of what a plan finds."""
    return [(one.rule, one.key, one.is_error) for one in plan_of(read(text)).findings]


def test_three_dependent_jobs() -> None:
    """Names, needs, legs, tags, labels and times are those of the file."""
    found = plan(THREE)
    assert (found.name, [one.job for one in found.jobs]) == ("Three", ["build", "test", "publish"])
    test = found.job("test")
    assert [leg.leg.name for leg in test.legs] == ["test (3.11)", "test (3.12)"]
    assert {leg.requires for leg in test.legs} == {("gpu",)}
    assert (test.needs, test.timeout_ms, test.tags.is_p2p_only) == (("build",), 300_000, True)
    assert found.job("publish").needs == ("build", "test")
    assert [one.job for one in found.with_needs(("test",))] == ["build", "test"]
    assert found.with_needs(()) == found.jobs


def test_the_guide_s_own_file_has_a_plan() -> None:
    """One job, one task, on any worker."""
    found = plan(GUIDE)
    (job,) = found.jobs
    assert (job.job, job.legs[0].requires, job.needs, job.network, job.secrets) == ("generate", (), (), False, ())


def test_jobs_come_after_those_they_need() -> None:
    """Whatever their order in the file; else they stay in it."""
    text = "on: push\njobs:\n" + "".join(
        f"  {job}: {{runs-on: x, needs: {needs}}}\n"
        for job, needs in (("d", "[b, c]"), ("b", "a"), ("a", "[]"), ("c", "[a, a]"), ("e", "[]"))
    )
    found = plan(text)
    assert [one.job for one in found.jobs] == ["a", "e", "b", "c", "d"]
    assert found.job("c").needs == ("a",)


@pytest.mark.parametrize(
    ("jobs", "rule", "key", "words"),
    [
        ("  a: {needs: biuld}\n  build: {}\n", "needs.unknown", "jobs.a.needs", "no job 'biuld'"),
        ("  a: {needs: a}\n", "needs.unknown", "jobs.a.needs", "itself"),
        ("  a: {needs: b}\n  b: {needs: c}\n  c: {needs: [b]}\n", "needs.circle", "jobs.b.needs", "b → c → b"),
    ],
)
def test_needs_that_cannot_be_met_are_errors(jobs: str, rule: str, key: str, words: str) -> None:
    """A job that is not there, itself, a circle; the plan has all jobs all the same."""
    found = plan_of(read("on: push\njobs:\n" + jobs))
    (one,) = found.findings
    assert (one.rule, one.key, one.is_error) == (rule, key, True)
    assert words in one.words
    assert len(found.jobs) == jobs.count("{needs") + jobs.count("{}")


@pytest.mark.parametrize(
    ("said", "labels"),
    [
        ("ubuntu-latest", ()),
        ("ubuntu-24.04-arm", ()),
        ("self-hosted", ()),
        ("[self-hosted, Linux, X64]", ("X64",)),
        ("[self-hosted, gpu, 'big disk', gpu]", ("big disk", "gpu")),
        ("{labels: [gpu]}", ("gpu",)),
        ("gpu", ("gpu",)),
    ],
)
def test_labels_of_runs_on_are_what_a_worker_must_have(said: str, labels: tuple[str, ...]) -> None:
    """A Linux machine every worker is; anything else it must have as a label."""
    text = f"on: push\njobs:\n  a:\n    runs-on: {said}\n"
    assert plan(text).job("a").legs[0].requires == labels


def test_a_leg_has_its_own_labels() -> None:
    """`matrix` in `runs-on` is filled in; other expressions are not known before the run."""
    found = plan(
        "on: push\njobs:\n  a:\n    strategy: {matrix: {on: [gpu, ubuntu-latest]}}\n    runs-on: ${{ matrix.on }}\n"
    )
    assert [one.requires for one in found.job("a").legs] == [("gpu",), ()]
    text = "on: push\njobs:\n  a:\n    runs-on: ['${{ inputs.on }}']\n    strategy: {matrix: {v: [1, 2]}}\n"
    assert rules(text) == [("runs-on.dynamic", "jobs.a.runs-on", True)]
    assert rules("on: push\njobs:\n  a:\n    runs-on: {group: g}\n") == [
        ("runs-on.group", "jobs.a.runs-on.group", True)
    ]


@pytest.mark.parametrize(
    ("said", "ms", "rule"),
    [
        ("1", 60_000, None),
        ("0.5", 30_000, None),
        ("0", None, "timeout.range"),
        ("-1", None, "timeout.range"),
        ("100000000", None, "timeout.range"),
        ("${{ 1 }}", None, "timeout.dynamic"),
    ],
)
def test_timeouts_are_the_task_s(said: str, ms: int | None, rule: str | None) -> None:
    """Minutes become the time that one attempt may take."""
    found = plan_of(read(one_job(f"timeout-minutes: {said}")))
    assert found.job("a").timeout_ms == ms
    assert [one.rule for one in found.findings] == ([rule] if rule else [])


def test_secrets_and_network_are_known_before_the_run() -> None:
    """Names wherever they stand, conditions without `${{ }}` included; actions that must be fetched."""
    found = plan(
        "env: {X: '${{ secrets.one }}'}\n"
        + one_job(
            "if: secrets.TWO != ''", "- run: x\n  env: {Y: \"${{ secrets['three'] }}\"}\n- uses: actions/checkout@v4"
        )
    )
    assert found.job("a").secrets == ("ONE", "THREE", "TWO")
    assert not found.job("a").network
    assert plan(one_job(steps="- uses: a/b@v1")).job("a").network
    assert not plan(one_job(steps="- uses: ./here")).job("a").network
    for text in ("${{ toJSON(secrets) }}", "${{ secrets[matrix.x] }}"):
        assert rules(one_job(f'env: {{X: "{text}"}}')) == [("secrets.dynamic", "jobs.a", True)]


@pytest.mark.parametrize("text", ["jobs: 3\n", "jobs: {a: 3, b: {needs: a, steps: 3, strategy: 7}, c: {steps: [3]}}\n"])
def test_a_file_of_another_shape_has_a_plan(text: str) -> None:
    """Nothing raises, whatever stands where something is wanted; the schema says what is wrong."""
    plan_of(read(text))
    assert any(one.is_error for one in check(read(text))[1])


def test_a_file_makes_so_many_tasks_as_are_submitted_at_once() -> None:
    """The job that is too much is named, and no leg of it or those after it is planned; labels and secrets as well."""
    matrix = "strategy: {matrix: {v: [" + ", ".join(map(str, range(250))) + "]}}"
    text = "on: push\njobs:\n" + "".join(f"  j{n}: {{{matrix}}}\n" for n in range(10))
    plan = plan_of(read(text))
    assert (sum(len(job.legs) for job in plan.jobs), [one.rule for one in plan.findings]) == (2_000, ["tasks.number"])
    assert plan.findings[0].line == 11
    many = ", ".join(f"l{n}" for n in range(33))
    text = one_job().replace("runs-on: ubuntu-latest", f"runs-on: [{many}]")
    assert rules(text) == [("runs-on.number", "jobs.a.runs-on", True)]
    named = " ".join(f"${{{{ secrets.S{n} }}}}" for n in range(101))
    assert rules(one_job(f'env: {{X: "{named}"}}')) == [("secrets.number", "jobs.a", True)]


def test_all_checks_come_in_the_order_of_the_file() -> None:
    """Reader, schema, tags, plan and scripts: one list, each finding once."""
    text = (
        "on: push\nenv: {P2P_TAGS: p2p-olny}\njobs:\n  a:\n    runs-on: ubuntu-latest\n    needs: b\n    stepz: 1\n"
        "    steps:\n    - run: ${{ github.head_ref }}\n"
    )
    _, found = check(read(text))
    lines = [one.line for one in found]
    assert lines == sorted(lines)
    assert {"tags.unknown", "needs.unknown", "schema", "injection"} <= {one.rule for one in found}


@pytest.mark.parametrize(
    "text",
    [
        one_job(steps="- run: |\n" + "    ${{ a[b\n" * 6_000),
        one_job(steps="- run: |\n" + "    ${{ inputs.x }}\n" * 6_000),
        "# P2P: nothing-known here\n" * 20_000 + one_job(),
        "# Tags: nothing of ours\n" * 20_000 + one_job(),
        "env:\n  P2P_TAGS: |\n" + "    p2p-onli p2p-olny\n" * 20_000 + one_job(),
        "on: push\njobs:\n" + "".join(f"  j{n}: {{needs: j{(n + 1) % 3_000}}}\n" for n in range(3_000)),
        "on: push\njobs:\n" + "".join(f"  {'j' * 20}{n}: {{needs: {'j' * 30}{n}}}\n" for n in range(1_700)),
        one_job(steps=("- run: '" + "${{ github.sha }}" * 3_300 + "'\n") * 18),
        one_job(steps=('- run: "${{ ' + "'" * 60_000 + ' }}"\n') * 15),
        one_job(
            "needs: [" + ", ".join(f"j{n}" for n in range(1_500)) + "]", "- run: |\n" + "    ${{ needs.x }}\n" * 40_000
        )
        + "".join(f"  j{n}: {{}}\n" for n in range(1_500)),
        "env:\n"
        + "".join(f"  E{n}: '${{{{ secrets.S{n} }}}}'\n" for n in range(8_000))
        + "on: push\njobs:\n"
        + "".join(f"  j{n}: {{}}\n" for n in range(300)),
    ],
    ids=["brackets", "spans", "comments", "others", "tags", "circle", "needs", "lines", "quotes", "outputs", "secrets"],
)
def test_hostile_files_are_judged_in_time(text: str) -> None:
    """Whatever is repeated in a file, all checks end within seconds."""
    began = time.monotonic()
    check(read(text))
    assert time.monotonic() - began < 60


def test_an_expression_has_a_length() -> None:
    """As on GitHub; of a longer one nothing is known, so that it is an error."""
    _, found = check(read(one_job(steps="- run: |\n    ${{ 1\n" + "    || 2\n" * 5_000 + "    }}")))
    assert ("expression.length", 6, True) in [(one.rule, one.line, one.is_error) for one in found]
