"""A job runs through act as its file says, and every step's work is there; nothing is taken from an exit code alone."""

from __future__ import annotations

import json

import pytest

from scheduler.running.job import FailureClass, Level, Limits, Permit
from scheduler.workflows.matrix import legs_of
from scheduler.workflows.reading import read_workflow
from tests.workflows.act_bench import CLAIM, ActBench, tar_of, workflow


def test_each_step_has_happened(act: ActBench) -> None:
    """What each step did is there, in the order of the file, and the outputs come out."""
    ran = act.run(
        workflow(
            """
- run: echo one >> trace
- name: Zwei äöü 😀
  run: |
    echo two >> trace
    echo "o=$(paste -sd, trace)" >> "$GITHUB_OUTPUT"
  id: two
- run: echo "three ${{ steps.two.outputs.o }}"
""",
            job="outputs: {all: '${{ steps.two.outputs.o }}', none: '${{ steps.two.outputs.nothing }}'}",
        )
    )
    assert ran.failure is None
    assert ran.outcome.exit_code == 0
    assert ran.outcome.level == Level.BUBBLEWRAP
    assert ran.outputs == {"all": "one,two", "none": ""}
    assert ran.log == "▶ Run echo one >> trace\n▶ Zwei äöü 😀\n▶ Run step 3\nthree one,two\n"


def test_files_that_steps_share(act: ActBench) -> None:
    """GITHUB_ENV, GITHUB_PATH and outputs of several lines reach the next steps; the summary is a file."""
    ran = act.run(
        workflow(
            r"""
- id: a
  run: |
    { echo "LINES<<EOF"; echo l1; echo "l2 ä"; echo EOF; } >> "$GITHUB_ENV"
    { echo "o<<EOF"; echo '{"x": "%0A"}'; echo "it's"; echo EOF; } >> "$GITHUB_OUTPUT"
    mkdir bin; printf '#!/bin/sh\necho found me\n' > bin/tool; chmod +x bin/tool
    echo "$PWD/bin" >> "$GITHUB_PATH"
    echo "# Summary ä" >> "$GITHUB_STEP_SUMMARY"
- run: echo more >> "$GITHUB_STEP_SUMMARY"; tool; printf '%s\n' "$LINES"
- run: printf '[%s]\n' "$V"
  env: {V: '${{ steps.a.outputs.o }}'}
""",
            job="outputs: {o: '${{ steps.a.outputs.o }}'}",
        )
    )
    assert ran.failure is None
    assert "found me\nl1\nl2 ä\n" in ran.log
    assert '[{"x": "%0A"}\nit\'s]\n' in ran.log
    assert ran.outputs == {"o": '{"x": "%0A"}\nit\'s'}
    assert ran.outcome.files["summary.md"].read_text() == "# Summary ä\nmore\n"


def test_shells_folders_and_defaults(act: ActBench) -> None:
    """Each shell reads its script; working-directory and defaults hold."""
    ran = act.run(
        workflow(
            r"""
- run: mkdir -p a/b
  shell: bash
  working-directory: .
- run: echo "default $(basename "$PWD") $0" | sed 's,/.*/,,'
- run: set -o | grep pipefail
  shell: bash
- run: print(6 * 7)
  shell: python3 {0}
- run: echo "b $(basename "$PWD")"
  working-directory: a/b
""",
            job="defaults: {run: {shell: sh, working-directory: a}}",
        )
    )
    assert ran.failure is None, ran.log
    assert "default a " in ran.log
    assert "pipefail       \ton\n" in ran.log
    assert "42\n" in ran.log
    assert "b b\n" in ran.log


def test_conditions_of_steps(act: ActBench) -> None:
    """Steps run or not by their `if`, and one whose failure is allowed fails nothing."""
    ran = act.run(
        workflow(
            """
- {id: bad, run: exit 3, continue-on-error: true}
- run: echo "outcome ${{ steps.bad.outcome }}, conclusion ${{ steps.bad.conclusion }}"
- {run: echo NOT-THIS, if: failure()}
- {run: echo NOR-THIS, if: "inputs.flag"}
- {run: echo yes, if: "!inputs.flag && github.event_name == 'workflow_dispatch'"}
- {run: echo guarded, if: "vars.P2P_WORKFLOW == 'true'"}
- {run: echo a number, if: 2147483648}
- {run: echo BUT-NOT-THIS, if: 0.0}
""",
            event="{workflow_dispatch: {inputs: {flag: {type: boolean, default: true}}}}",
        ),
        inputs={"flag": "false"},
    )
    assert ran.failure is None
    assert "outcome failure, conclusion success\n" in ran.log
    assert "yes\n" in ran.log
    assert "guarded\n" in ran.log
    assert "a number\n" in ran.log
    assert "THIS" not in ran.log


def test_inputs_as_they_are(act: ActBench) -> None:
    """Inputs and their defaults come as expressions and in the event, whatever is in them."""
    value = "a \"b\" 'c' $HOME `id` ä\nsecond"
    ran = act.run(
        workflow(
            """
- run: printf '%s|%s|%s\\n' "$A" "$B" "$C"
  env: {A: '${{ inputs.text }}', B: '${{ github.event.inputs.text }}', C: '${{ inputs.other }}'}
""",
            event="{workflow_dispatch: {inputs: {text: {required: true}, other: {default: dflt}}}}",
        ),
        inputs={"text": value},
    )
    assert ran.failure is None
    assert f"{value}|{value}|dflt\n" in ran.log


def test_who_and_what_a_run_is(act: ActBench) -> None:
    """Ledger, task and claim are in the environment; ref, sha and a run id that stays the same are GitHub's words."""
    text = workflow(
        """
- run: |
    echo "$P2P_WORKFLOW_CLAIM $P2P_WORKFLOW_ATTEMPT $P2P_WORKFLOW_TASK_ID"
    echo "${{ github.ref_name }} ${{ github.sha }} ${{ github.run_id }} ${{ github.workflow }} ${{ github.job }}"
    env | grep -c 'P2P_WORKFLOW_\\(HOME\\|KEY\\)=' || true
"""
    )
    ran = act.run(text, sha="ab" * 20)
    assert ran.failure is None
    assert f"{CLAIM} 1 t1\nmain {'ab' * 20} {int.from_bytes(bytes(range(6)), 'big')} Demo j\n0\n" in ran.log


def test_one_leg_of_a_matrix(act: ActBench) -> None:
    """Exactly the leg that is asked for runs, with its values as they are."""
    text = workflow(
        "- run: echo 'leg ${{ toJSON(matrix) }}' | tr -d '\\n '",
        job="strategy:\n  fail-fast: false\n  matrix:\n    os: [a, b]\n    v: [1.5, '2', true]",
    )
    for leg in ({"os": "b", "v": 1.5}, {"os": "a", "v": "2"}, {"os": "a", "v": True}):
        ran = act.run(text, matrix=leg)
        assert ran.failure is None
        assert "leg" + json.dumps(leg).replace(" ", "") in ran.log
        assert ran.log.count("leg{") == 1
    ran = act.run(text, matrix={"os": "c", "v": 1.5})
    assert ran.failure is FailureClass.PAYLOAD
    assert "the matrix has no leg" in ran.outcome.error
    assert act.run(text).failure is FailureClass.PAYLOAD


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("1e3", "1000"), ("2.0", "2"), ("5.", "5"), (".5", "0.5"), ("3.10", "3.1"), ("+3", "3"), ("-0.0", "-0"),
        ("0x1F", "31"), ("1e-7", "1E-07"), ("1e20", "1E+20"), ("12345678901234567890", "1.23456789012346E+19"),
        ("1234567890123456", "1.23456789012346E+15"), ("999999999999999", "999999999999999"), ("True", "true"),
        ("123456789.123456789", "123456789.123457"), ("'1e3'", "1e3"), ("1_000", "1_000"),
    ],
)  # fmt: skip
def test_numbers_are_written_as_github_writes_them(act: ActBench, written: str, meant: str) -> None:
    """With 15 digits, whole ones without a point: in `env` of the file, a job and a step, in `with`, and in a leg."""
    steps = f"""
- uses: actions/checkout@v4
- {{uses: ./a, id: a, with: {{v: {written}}}}}
- {{run: 'echo "[$A] [$B] [$C] [${{{{ matrix.v }}}}] [${{{{ steps.a.outputs.v }}}}]"', env: {{C: {written}}}}}
- {{run: echo as it is meant, if: "env.A == '{meant}'"}}
"""
    job = f"env: {{B: {written}}}\nstrategy: {{matrix: {{v: [{written}]}}}}"
    text = workflow(steps, job=job, top=f"env: {{A: {written}}}\n")
    (leg,), _ = legs_of(read_workflow(text.encode(), "ci.yml"), "j")
    ran = act.run(text, matrix=leg.values, source={"a/action.yml": GIVES})
    assert ran.failure is None, ran.log
    assert " ".join([f"[{meant}]"] * 5) + "\n" in ran.log
    assert "as it is meant\n" in ran.log
    assert leg.name == f"j ({meant})"


def test_checkout_is_the_source(act: ActBench) -> None:
    """Nothing is there before a checkout; after it all of the source is, ignored files too; .env of it is not read."""
    ran = act.run(
        workflow(
            """
- run: ls -A | wc -l
- uses: actions/checkout@v4
  with: {fetch-depth: 0, repository: "${{ github.repository }}", ref: "${{ github.ref }}"}
- run: ls -A; cat sub/ä; ./run; echo "[$FROM_ENV]"
- {uses: actions/checkout@v5, with: {path: again}}
- run: cat again/sub/ä
"""
        ),
        source=tar_of(
            {
                ".gitignore": "*\n",
                ".env": "FROM_ENV=1\n",
                ".actrc": "--dryrun\n",
                "sub/ä": "inhalt ö\n",
                "run": "#!/bin/sh\necho ran it\n",
            },
            executable=("run",),
        ),
    )
    assert ran.failure is None, ran.log
    assert "\n0\n" in ran.log
    assert "\n.actrc\n.env\n.gitignore\nrun\nsub\ninhalt ö\nran it\n[]\n" in ran.log
    assert ran.log.endswith("inhalt ö\n")


def test_a_checkout_leaves_nothing_of_what_was_there(act: ActBench) -> None:
    """Nor anything outside the work folder; `clean: false` leaves what the source does not have."""
    ran = act.run(
        workflow(
            """
- run: printf 'line1\\nline2 longer\\n' > script.sh; mkdir -p old/.x; touch .old ..old
- {uses: Actions/Checkout@v4, id: co}
- run: cat script.sh; ls -A; echo '[${{ steps.co.outputs.ref }}] [${{ steps.co.outputs.commit }}]'
- {uses: actions/checkout@v4, with: {path: "${{ github.workspace }}/src"}}
- run: touch src/mine
- {uses: actions/checkout@v4, with: {path: src, clean: false}}
- run: ls -A src
- {uses: actions/checkout@v4, with: {path: "${{ env.OUT }}"}, env: {OUT: ../out}}
"""
        ),
        source={"script.sh": "echo ok\n"},
        sha="ab" * 20,
    )
    assert (ran.failure, ran.outcome.exit_code) == (FailureClass.PAYLOAD, 1)
    assert f"\necho ok\nscript.sh\n[refs/heads/main] [{'ab' * 20}]\n" in ran.log
    assert "\nmine\nscript.sh\n" in ran.log
    assert "../out is not within the work folder" in ran.log


COMPOSITE = """
name: greet
inputs: {who: {default: nobody}}
outputs: {said: {value: "${{ steps.s.outputs.said }}"}}
runs:
  using: composite
  steps:
    - id: s
      shell: bash
      run: echo "said=hello $WHO from $(basename "$GITHUB_ACTION_PATH")" >> "$GITHUB_OUTPUT"
      env: {WHO: "${{ inputs.who }}"}
"""
GIVES = """
inputs: {v: {}}
outputs: {v: {value: "${{ inputs.v }}"}}
runs: {using: composite, steps: [{shell: sh, run: ':'}]}
"""
NODE = "name: n\nruns: {using: node20, main: main.js, post: post.js}\n"
MAIN = 'require("fs").appendFileSync(process.env.GITHUB_OUTPUT, "r=4" + "2\\n"); console.log("main ran");'


def test_actions_of_the_repository(act: ActBench) -> None:
    """Composite and node actions run from the source, give outputs, and their last step runs behind the others."""
    ran = act.run(
        workflow(
            """
- uses: actions/checkout@v4
- {uses: ./.github/actions/greet, id: a, with: {who: äll}}
- {uses: ./js, id: b}
- run: echo "got ${{ steps.a.outputs.said }} and ${{ steps.b.outputs.r }}"
"""
        ),
        source={
            ".github/actions/greet/action.yml": COMPOSITE,
            "js/action.yml": NODE,
            "js/main.js": MAIN,
            "js/post.js": 'console.log("post ran")',
        },
    )
    assert ran.failure is None, ran.log
    assert "got hello äll from greet and 42\n" in ran.log
    assert ran.log.index("main ran") < ran.log.index("got hello") < ran.log.index("post ran")


def test_messages_of_steps(act: ActBench) -> None:
    """Workflow commands are told in plain words; masks of a step hold; nothing of act's own noise is in the log."""
    ran = act.run(
        workflow(
            """
- run: |
    echo "::error file=a.py,line=3::bad thing"; echo "::warning::careful"; echo "::notice::n"
    echo "::group::the group"; echo within; echo "::endgroup::"
    echo "::add-mask::hidden"; echo "it is hidden"
    echo to-stderr >&2
    printf 'no newline'
"""
        )
    )
    assert ran.failure is None
    assert ran.log == (
        '▶ Run echo "::error file=a.py,line=3::bad thing"; echo "::warning::careful"; echo "::n\n'
        "error: a.py:3: bad thing\nwarning: careful\nnote: n\n── the group\nwithin\nit is ***\nto-stderr\nno newline\n"
    )


def test_what_a_step_masks_is_hidden_everywhere(act: ActBench) -> None:
    """In lines, annotations, names of steps and the summary; an output that holds it is left out."""
    ran = act.run(
        workflow(
            """
- id: a
  run: |
    echo "::add-mask::topsecretvalue"
    echo "v=topsecretvalue" >> $GITHUB_OUTPUT
    echo "topsecretvalue" >> $GITHUB_STEP_SUMMARY
    echo "::add-mask::first%0Asecond line"; echo "  ::add-mask::indented"; echo "::ADD-MASK::capitals"
- name: a step ${{ steps.a.outputs.v }}
  run: |
    echo "::error::topsecretvalue"; echo "::group::topsecretvalue"
    printf 'first|second line|indented|capitals\\n'
""",
            job="outputs: {v: '${{ steps.a.outputs.v }}'}",
        )
    )
    assert (ran.failure, ran.outputs) == (None, {})
    assert "▶ a step ***\nerror: ***\n── ***\n***|***|***|***\nThe output 'v' is left out" in ran.log
    assert ran.outcome.files["summary.md"].read_text() == "***\n"


def test_lines_that_only_look_like_commands_are_kept(act: ActBench) -> None:
    """Whatever act makes of them; those of GitHub are known in any case."""
    ran = act.run(
        workflow("- run: |\n    echo '::std::vector::push'\n    echo '::no-such::x'\n    echo '::Error::mixed'")
    )
    assert "::std::vector::push\n::no-such::x\nerror: mixed\n" in ran.log


def test_a_large_log_comes_whole(act: ActBench) -> None:
    """Tens of thousands of lines and a line of megabytes are in the log, in order."""
    ran = act.run(workflow("- run: seq 1 30000; head -c 2000000 /dev/zero | tr '\\0' x; echo; echo last"))
    assert ran.failure is None
    lines = ran.log.splitlines()
    assert lines[1:30001] == [str(n) for n in range(1, 30001)]
    assert len(lines[30001]) == 2_000_000
    assert lines[30002] == "last"


@pytest.mark.parametrize("level", list(Level), ids=str)
def test_every_level(act: ActBench, level: Level) -> None:
    """A job runs at each level of sandbox, which its outcome names."""
    ran = act.run(
        workflow(
            "- uses: actions/checkout@v4\n- {id: s, run: 'echo \"o=$(cat x)\" >> $GITHUB_OUTPUT'}",
            job="outputs: {o: '${{ steps.s.outputs.o }}'}",
        ),
        source={"x": "content"},
        permit=Permit(level=level, limits=Limits(time_ms=60_000)),
    )
    assert ran.failure is None, ran.log
    assert ran.outcome.level == level
    assert ran.outputs == {"o": "content"}


def test_steps_have_no_terminal(act: ActBench) -> None:
    """A step reads nothing and prints to no terminal, and what it leaves running serves the next ones, as on GitHub."""
    ran = act.run(
        workflow(
            """
- run: |
    cat; read x || echo no input; test -t 1 || echo no terminal; tty || true
    (while :; do date > beat; sleep 0.1; done) &
    echo begun
- run: |
    rm -f beat; for i in $(seq 100); do test -e beat && break; sleep 0.1; done
    test -s beat && echo still beating
  shell: bash
- {run: "ls /usr /etc | head -3 | cat; exit 4", continue-on-error: true, shell: sh}
"""
        )
    )
    assert ran.failure is None, ran.log
    assert "no input\nno terminal\nnot a tty\nbegun\n" in ran.log
    assert "still beating\n" in ran.log
