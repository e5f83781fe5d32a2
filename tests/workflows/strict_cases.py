"""A case of each rule of the strict check: a file, and the key that the finding names."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from tests.workflows.act_bench import workflow


@dataclass(frozen=True)
class Case:
    """A file that breaks one rule at one key; `acts_so`, where it can be seen, tells what act alone makes of it.

    `silent`: act calls the run a success all the same. `printed`: what its steps print. `said`: words of act's.
    """

    rule: str
    key: str
    text: str
    words: str
    silent: bool = False
    printed: str | None = None
    said: str = ""
    source: dict[str, str] = field(default_factory=dict)
    needs_worker: bool = False


RUN = "- run: echo ran"
NEED = """
on: workflow_dispatch
jobs:
  a: {runs-on: ubuntu-latest, outputs: {o: x}, steps: [{run: ':'}]}
  j: {runs-on: ubuntu-latest, needs: a, steps: [{run: 'echo "[${{ %s }}]"'}]}
"""
NEEDS = """
on: {workflow_dispatch: {inputs: {i: {default: v}}}}
jobs:
  a: {runs-on: ubuntu-latest, outputs: {o: x}, steps: [{run: ':'}]}
  b: {runs-on: ubuntu-latest, outputs: {p: y}, steps: [{run: ':'}]}
  j:
    runs-on: ubuntu-latest
    needs: [a, b]
    strategy: {matrix: {m: [1]}}
    steps:
      - run: "echo '[${{ %s }}]'"
"""
CHECKOUT = "- uses: actions/checkout@v4\n"

CASES: tuple[Case, ...] = (
    Case("W1", "jobs.j.bogus", workflow(RUN, job="bogus: 1"), "bogus", said="Unknown Property bogus"),
    Case("W1", "jobs.j.steps[0].background", workflow("- {run: echo ran, background: true}"), "background"),
    Case("W1", "jobs.j.snapshot", workflow(RUN, job="snapshot: x"), "snapshot", said="Unknown Property snapshot"),
    Case("W1", "extra", workflow(RUN, top="extra: {}\n"), "extra", said="Unknown Property extra"),
    Case("W1", "jobs.j.steps[0].with", workflow("- {run: echo ran, with: {a: 1}}"), "with"),
    Case("W2", "jobs.j.runs-on", workflow(RUN, job="runs-on: windows-latest"), "windows-latest", True, ""),
    Case("W2", "jobs.j.runs-on", workflow(RUN, job="runs-on: [self-hosted, macOS]"), "macOS", True, ""),
    Case("W2", "jobs.j.runs-on.group", workflow(RUN, job="runs-on: {group: big}"), "group", True, ""),
    Case(
        "W2",
        "jobs.j.runs-on",
        workflow(RUN, job="runs-on: ${{ matrix.os }}\nstrategy: {matrix: {os: [windows-2022]}}"),
        "windows-2022",
        True,
        "",
    ),
    Case(
        "W2",
        "jobs.j.runs-on",
        workflow(RUN, job="runs-on: ${{ matrix.cfg.os }}\nstrategy: {matrix: {cfg: [{os: windows-latest}]}}"),
        "windows-latest",
        True,
        "",
    ),
    Case("W3", "jobs.j.container", workflow(RUN, job="container: alpine"), "docker", said="docker"),
    Case("W4", "jobs.j.services", workflow(RUN, job="services: {db: {image: redis}}"), "services", True, "ran\n"),
    Case(
        "W5",
        "jobs.j.uses",
        "on: workflow_dispatch\njobs:\n  j: {uses: ./.github/workflows/x.yml}\n",
        "another workflow",
        True,
        "there\n",
        source={
            ".github/workflows/x.yml": "on: workflow_call\n"
            "jobs: {x: {runs-on: ubuntu-latest, steps: [{run: echo there}]}}\n"
        },
    ),
    Case("W6", "jobs.j.concurrency", workflow(RUN, job="concurrency: one"), "apart", True, "ran\n"),
    Case("W6", "concurrency", workflow(RUN, top="concurrency: {group: g}\n"), "apart", True, "ran\n"),
    Case("W7", "jobs.j.environment", workflow(RUN, job="environment: prod"), "unasked", True, "ran\n"),
    Case(
        "W8",
        "jobs.j.continue-on-error",
        workflow("- run: exit 1", job="continue-on-error: true"),
        "act does not follow it",
        said="Job failed",
    ),
    Case("W9", "jobs.j.if", workflow(RUN, job="if: failure()"), "never true", True, ""),
    Case("W9", "jobs.j.if", workflow(RUN, job="if: ${{ cancelled() && inputs.x }}"), "never true", True, ""),
    Case("W10", "jobs.j.steps[0].uses", workflow("- uses: actions/setup-python@v5"), "fetched", said="Unable to clone"),
    Case("W10", "jobs.j.steps[0].uses", workflow("- uses: octo/do/sub@main"), "fetched", said="Unable to clone"),
    Case("W11", "jobs.j.steps[0].uses", workflow("- uses: docker://alpine"), "docker", said="docker"),
    Case(
        "W12",
        "jobs.j.steps[0].with.repository",
        workflow("- {uses: actions/checkout@v4, with: {repository: other/one}}"),
        "nothing is fetched",
        said="Unable to clone",
    ),
    Case(
        "W12",
        "jobs.j.steps[0].with.submodules",
        workflow("- {uses: actions/checkout@v4, with: {submodules: recursive}}\n" + RUN),
        "nothing is fetched",
        True,
        "ran\n",
    ),
    Case(
        "W12",
        "jobs.j.steps[0].with.sparse-checkout",
        workflow("- {uses: actions/checkout@v4, with: {sparse-checkout: sub}}\n- run: ls"),
        "nothing is fetched",
        True,
        "all\n",
        source={"all": ""},
    ),
    Case(
        "W12",
        "jobs.j.steps[0].with.path",
        workflow("- {uses: actions/checkout@v4, with: {path: ../out}}"),
        "outside of the work folder",
        source={"all": ""},
    ),
    Case("W13", "jobs.j.steps[1].uses", workflow(CHECKOUT + "- uses: .\\a"), "no path with", said="Expected format"),
    Case("W13", "jobs.j.steps[0].uses", workflow("- uses: ./a"), "checked out", said="failed to read 'action.yml'"),
    Case("W14", "jobs.j.steps[0].shell", workflow("- {run: dir, shell: cmd}"), "no cmd", said="Cannot find: cmd"),
    Case(
        "W14",
        "defaults.run.shell",
        workflow("- run: dir", top="defaults: {run: {shell: powershell}}\n"),
        "no powershell",
        said="Cannot find: powershell",
    ),
    Case(
        "W15",
        "jobs.j.steps[0].timeout-minutes",
        workflow("- {run: sleep 1.5; echo ran, timeout-minutes: 0.01}"),
        "for ever",
        True,
        "ran\n",
    ),
    Case(
        "W15",
        "jobs.j.steps[0].timeout-minutes",
        workflow("- {run: echo ran, timeout-minutes: '${{ fromJSON(1) }}'}"),
        "for ever",
        True,
        "ran\n",
    ),
    Case("W16", "jobs.j.steps[0].if", workflow("- {run: echo ran, if: null}"), "empty `if`", True, ""),
    Case("W16", "jobs.j.if", workflow(RUN, job="if: null"), "empty `if`", True, ""),
    Case("W16", "jobs.j.steps[0].run", workflow("- run: ''"), "without a command", said="Invalid run/uses syntax"),
    Case(
        "W17",
        "jobs.j.steps[0].run",
        workflow("- run: echo ${{ case(true, 1, 2) }}"),
        "no function 'case'",
        said="Unknown Function Call case",
    ),
    Case("W17", "jobs.j.steps[0].if", workflow("- {run: ':', if: frob()}"), "no function", said="Unknown Function"),
    Case("W17", "jobs.j.steps[0].run", workflow("- run: echo ${{ github.job"), "not closed", said="Failed to parse"),
    Case("W17", "jobs.j.steps[0].run", workflow("- run: echo ${{ always() }}"), "`if` only", said="Unknown Function"),
    Case(
        "W17",
        "jobs.j.steps[0].if",
        workflow("- {run: ':', if: github.sha = 'x'}"),
        "'=' cannot",
        said="Failed to parse",
    ),
    Case("W17", "jobs.j.if", workflow(RUN, job="if: inputs.a == 'x"), "cannot be read", said="Failed to parse"),
    Case("W17", "jobs.j.if", workflow(RUN, job="if: 2147483648 == inputs.a"), "32 bits", said="Failed to parse"),
    Case("W17", "jobs.j.steps[0].run", workflow("- run: echo ${{ 1e400 }}"), "too large", said="Failed to parse"),
    Case("W17", "jobs.j.steps[0].run", workflow("- run: echo ${{ join() }}"), "1 to 2", said="Missing parameters"),
    *(
        Case("W18", "jobs.j.steps[0].run", workflow(f"- run: echo '[${{{{ {name} }}}}]'"), "empty", True, "[]\n")
        for name in (
            "strategy.job-index",
            "strategy.fail-fast",
            "strategy.max-parallel",
            "runner.name",
            "github.actor_id",
            "github.token",
            "vars.SETTING",
            "github.bogus",
            "job.check_run_id",
        )
    ),
    *(
        Case(
            "W18", "jobs.j.steps[0].run", workflow(f"- run: echo '[${{{{ {name} }}}}]'", job=job), words, True, printed
        )
        for name, job, words, printed in (
            ("strategy.max-parallel", "strategy: {matrix: {a: [1, 2]}}", "does not set it", "[4]\n[4]\n"),
            ("strategy.fail-fast", "strategy: {matrix: {a: [1]}, fail-fast: '${{ !!1 }}'}", "expression", "[false]\n"),
            ("toJSON(strategy)", "", "no job-index", "[{}]\n"),
        )
    ),
    Case("W18", "jobs.j.steps[0].run", workflow("- run: echo ${{ bogus.x }}"), "no 'bogus'", said="Unknown Variable"),
    Case("W18", "jobs.j.steps[0].run", NEED % "needs.b.outputs.o", "does not need 'b'", True, "[]\n"),
    Case("W18", "jobs.j.steps[0].run", NEED % "needs.a.outputs.p", "no output 'p'", True, "[]\n"),
    Case("W18", "jobs.j.steps[0].run", NEED % "needs.a.output", "`outputs` and `result`", True, "[]\n"),
    *(
        Case("W26", "jobs.j.steps[0].run", NEEDS % expression, words, True, printed)
        for expression, words, printed in (
            ("contains(needs.*.outputs.o, '')", "without 'o'", "[true]\n"),
            ("join(needs.*.result)", "needs.*.result", "[success,success]\n"),
            ("join(needs.*)", "needs.*", "[Object]\n"),
            ("contains(inputs.*, 'v')", "inputs.*", "[false]\n"),
            ("join(matrix.*)", "matrix.*", "[Object]\n"),
            ("join(needs.*.outputs.*)", "needs.*.outputs.*", "[Object,Object]\n"),
            ("join(fromJSON('[[1]]').*.*)", ".*.*", "[Array]\n"),
            ("1 < 2 == true", "row of comparisons", "[false]\n"),
            ("github", "words of its own", "[<*model.GithubContext Value>]\n"),
        )
    ),
    Case(
        "W19",
        "jobs.j.steps[0].run",
        workflow("- run: echo '::set-env name=A::1'\n- run: echo \"[$A]\""),
        "switched off",
        True,
        "[]\n",
    ),
    Case(
        "W19",
        "jobs.j.env.ACTIONS_ALLOW_UNSECURE_COMMANDS",
        workflow(CHECKOUT + '- run: cat m\n- run: echo "[$A]"', job="env: {ACTIONS_ALLOW_UNSECURE_COMMANDS: true}"),
        "strangers",
        True,
        "[true]\n",
        source={"m": "::set-env name=A::${{ 6 == 6 }}\n"},
    ),
    Case(
        "W20",
        "jobs.j.steps[1].id",
        workflow("- {run: echo o=1 >> $GITHUB_OUTPUT, id: a}\n- {run: 'true', id: A}"),
        "has this id",
    ),
    Case(
        "W21",
        "jobs.j.env",
        workflow('- run: echo "[$A]"', job='env: "${{ fromJSON(\'{""A"": ""1""}\') }}"'.replace('""', '\\"')),
        "one expression",
        True,
        "[]\n",
    ),
    Case(
        "W23",
        "jobs.j.steps[0].run",
        workflow("- run: echo '[${{ secrets.S }}]'"),
        "granted",
        True,
        "[]\n",
        needs_worker=True,
    ),
    Case(
        "W22",
        "jobs.j.steps[1].run",
        workflow(CHECKOUT + "- run: echo \"[${{ hashFiles('x') }}]\"\n  shell: /bin/sh {0}"),
        "node",
        True,
        "[]\n",
        source={"x": ""},
        needs_worker=True,
    ),
    Case(
        "W24", "jobs.j.steps[0].uses", workflow(CHECKOUT + "- run: ls -A"), "empty folder", True, "", needs_worker=True
    ),
    Case("W20", "jobs.j.steps[0].id", workflow("- {id: a b, run: 'true'}"), "letters", said="exit status 1"),
    *(
        Case("W25", f"jobs.j.{key}", workflow(RUN, job=text), "not known", said="Unknown Variable Access")
        for key, text in (
            ("if", "if: env.A == 'x'"),
            ("if", "if: ${{ runner.os == 'Linux' }}"),
            ("if", "if: matrix.a\nstrategy: {matrix: {a: [1]}}"),
            ("env.A", "env: {A: '${{ steps.x.outputs.y }}'}"),
            ("env.A", "env: {A: '${{ runner.temp }}'}"),
            ("defaults.run.working-directory", "defaults: {run: {working-directory: '${{ secrets.A }}'}}"),
        )
    ),
    Case("W25", "jobs.j.env.A", workflow(RUN, job="env: {A: \"${{ hashFiles('x') }}\"}"), "steps only", said="Unknown"),
    Case("W25", "env.A", workflow(RUN, top="env: {A: '${{ env.B }}'}\n"), "not known", said="Unknown Variable"),
    *(
        Case("W25", key, workflow(step, top=top), "no expression", said="expressions are not allowed here")
        for key, step, top in (
            ("jobs.j.steps[0].id", "- {run: ':', id: '${{ github.job }}'}", ""),
            ("jobs.j.steps[0].shell", "- {run: ':', shell: '${{ inputs.x }}'}", ""),
            ("defaults.run.shell", RUN, "defaults: {run: {shell: '${{ inputs.x }}'}}\n"),
            ("defaults.run.working-directory", RUN, "defaults: {run: {working-directory: '${{ github.job }}'}}\n"),
        )
    ),
)


def ids(cases: Sequence[Case]) -> list[str]:
    """Return a name for each case."""
    return [f"{case.rule}-{index}" for index, case in enumerate(cases)]
