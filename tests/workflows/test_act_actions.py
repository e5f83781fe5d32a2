"""Actions of the repository through act: what others wrote stays a text in them, and what they are on GitHub holds."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

import pytest

from scheduler.running.job import FailureClass, Limits, Permit
from tests.workflows.act_bench import ActBench, Ran, workflow

VALUE = "hunter2secret"
CHECKOUT = "- uses: actions/checkout@v4\n"
SHOW = f"sed 's/{VALUE}/LEAKED/; s/.*/<&>/'"
"""Log and masks apart: whether a program sees the secret."""
GIVES = "- {id: s, run: 'echo \"o=$(cat message)\" >> $GITHUB_OUTPUT'}\n"
HANDS = "- {uses: ./a, env: {TOKEN: '${{ secrets.TOKEN }}'}, with: {token: '${{ secrets.TOKEN }}', t: '%s'}}\n"
INPUTS = "inputs: {t: {}, token: {}}\n"
SPLICES = f"- shell: bash\n  run: |\n    cat <<'E' | {SHOW}\n    ${{{{ inputs.t }}}}\n    E"
JS = "const fs = require('fs'); const read = () => fs.readFileSync('message', 'utf8');\n"
EXPORTS = JS + "fs.appendFileSync(process.env.GITHUB_ENV, 'M<<E\\n' + read() + '\\nE\\n');"


def composite(steps: str, head: str = "") -> str:
    """Return an action of steps; `steps` is a YAML list, as it would stand at the margin."""
    lines = "".join(f"    {line}\n" for line in steps.strip("\n").splitlines())
    return f"{head}runs:\n  using: composite\n  steps:\n{lines}"


def node(main: str, **more: str) -> str:
    """Return an action of node."""
    keys = "".join(f", {key}: {value}" for key, value in more.items())
    return f"inputs: {{t: {{default: none}}}}\nruns: {{using: node20, main: {main}{keys}}}\n"


def run(act: ActBench, steps: str, source: Mapping[str, str | bytes], *, job: str = "", path: str = "") -> Ran:
    """Run a job that was granted a secret."""
    permit = Permit(secrets={"TOKEN": VALUE}, limits=Limits(time_ms=60_000), env={"PATH": path} if path else {})
    return act.run(workflow(steps, job=job), source=source, permit=permit)


ENV_REFUSED = "GITHUB_ENV cannot be read: ${{ in it would be computed"
READS_VARIABLE = f"- {{run: 'printenv M | {SHOW.replace(chr(39), chr(34))}', if: always()}}"


@pytest.mark.parametrize(
    ("message", "steps", "actions", "words"),
    [
        (
            "a ${{ secrets.TOKEN }} b",
            f"- uses: ./a\n{READS_VARIABLE}",
            {"a/action.yml": composite("- {shell: bash, run: 'echo \"M=$(cat message)\" >> $GITHUB_ENV'}")},
            ENV_REFUSED,
        ),
        (
            "a ${{ secrets.TOKEN }} b",
            f"- uses: ./a\n{READS_VARIABLE}",
            {
                "a/action.yml": composite("- uses: ./b"),
                "b/action.yml": composite(
                    "- {shell: '${{ inputs.t }}', run: 'echo \"M=$(cat message)\" >> $GITHUB_ENV'}",
                    "inputs: {t: {default: sh}}\n",
                ),
            },
            ENV_REFUSED,
        ),
        (
            "a ${{ secrets.TOKEN }} b",
            f"- uses: ./a\n{READS_VARIABLE}",
            {"a/action.yml": node("m.js"), "a/m.js": EXPORTS},
            ENV_REFUSED,
        ),
        (
            "a ${{ secrets.TOKEN }} b",
            "- uses: ./b\n- uses: ./a",
            {
                "a/action.yml": node("e.js", post="m.js"),
                "a/e.js": "",
                "a/m.js": EXPORTS,
                "b/action.yml": node("e.js", post="m.js"),
                "b/e.js": "",
                "b/m.js": f"console.log(`<${{(process.env.M || '').replace('{VALUE}', 'LEAKED')}}>`)",
            },
            ENV_REFUSED,
        ),
        (
            "a ${{ secrets.TOKEN }} b",
            "- run: cat message >> $GITHUB_PATH\n- {uses: ./a, if: always()}",
            {
                "a/action.yml": node("e.js", post="p.js"),
                "a/e.js": "",
                "a/p.js": f"console.log(`<${{process.env.PATH.split(':')[0].replace('{VALUE}', 'LEAKED')}}>`)",
            },
            "GITHUB_PATH cannot be read: ${{ in it would be computed",
        ),
        (
            "a ${{ env.TOKEN }} b",
            GIVES + HANDS % "${{ steps.s.outputs.o }}",
            {"a/action.yml": composite(SPLICES, INPUTS)},
            "a: with.t holds an expression",
        ),
        (
            "{ inputs.token }} b",
            GIVES + HANDS % "a ${${{ steps.s.outputs.o }}",
            {"a/action.yml": composite(SPLICES, INPUTS)},
            "a: with.t holds an expression",
        ),
        (
            "a ${{ env.TOKEN }} b",
            "- {id: s, run: 'echo \"::set-output name=o::$(cat message)\"'}\n" + HANDS % "${{ steps.s.outputs.o }}",
            {"a/action.yml": composite(SPLICES, INPUTS)},
            "a: with.t holds an expression",
        ),
        (
            "a ${{ inputs.token }} b",
            GIVES + "- {uses: ./a, env: {T: '${{ steps.s.outputs.o }}'}, with: {token: '${{ secrets.TOKEN }}'}}\n",
            {"a/action.yml": composite(f'- {{shell: bash, run: "printenv T | {SHOW}"}}', INPUTS)},
            "a: env.T holds an expression",
        ),
        (
            "a ${{ env.TOKEN }} b",
            HANDS % "x",
            {
                "a/action.yml": composite(
                    "- {id: s, shell: sh, run: 'echo \"o=$(cat message)\" >> $GITHUB_OUTPUT'}\n"
                    "- {uses: ./b, with: {t: '${{ steps.s.outputs.o }}'}}"
                ),
                "b/action.yml": composite(SPLICES, INPUTS),
            },
            "b: with.t holds an expression",
        ),
    ],
    ids=["composite", "nested", "node", "post", "path", "with", "part", "command", "env", "within"],
)
def test_a_text_of_anybodys_is_not_computed(
    act: ActBench, message: str, steps: str, actions: Mapping[str, str], words: str
) -> None:
    """The step fails that would let act compute it; a text without an expression passes."""
    ran = run(act, CHECKOUT + steps, {"message": message, **actions})
    assert (ran.failure, ran.outcome.exit_code) == (FailureClass.PAYLOAD, 1), ran.log
    assert words in ran.log
    assert "LEAKED b" not in ran.log
    assert "<a " not in ran.log
    plain = message.replace("{", "(").replace("}", ")")
    ran = run(act, CHECKOUT + steps, {"message": plain, **actions})
    assert ran.failure is None, ran.log
    assert f"{plain}>\n" in ran.log


def test_a_default_is_handed_over_as_what_a_step_says(act: ActBench) -> None:
    """It may hold what somebody chose for this run."""
    text = workflow(
        f"{CHECKOUT}- {{uses: ./a, env: {{TOKEN: '${{{{ secrets.TOKEN }}}}'}}}}",
        event="{workflow_dispatch: {inputs: {g: {}}}}",
    )
    source = {"a/action.yml": composite(SPLICES, "inputs: {t: {default: '${{ github.event.inputs.g }}'}}\n")}
    permit = Permit(secrets={"TOKEN": VALUE}, limits=Limits(time_ms=60_000))
    ran = act.run(text, inputs={"g": "a ${{ env.TOKEN }} b"}, source=source, permit=permit)
    assert ran.failure is FailureClass.PAYLOAD
    assert "a: with.t holds an expression" in ran.log
    assert "<" not in ran.log
    assert "<a text>\n" in act.run(text, inputs={"g": "a text"}, source=source, permit=permit).log


@pytest.mark.parametrize("ref", ["refs/heads/${{secrets.TOKEN}}", "refs/heads/a{{b}}"])
def test_the_name_of_a_branch_is_not_computed(act: ActBench, ref: str) -> None:
    """Git allows such names, and anybody may choose one."""
    permit = Permit(secrets={"TOKEN": VALUE}, limits=Limits(time_ms=60_000))
    ran = act.run(workflow(f"- run: printenv GITHUB_REF_NAME | {SHOW}"), ref=ref, permit=permit)
    if "$" in ref:
        assert ran.failure is FailureClass.PAYLOAD
        assert "the ref of this run has an expression in it, which act would compute" in ran.outcome.error
    else:
        assert "\n<a{{b}}>\n" in ran.log


def test_an_action_of_node_and_outputs_are_handed_what_others_wrote(act: ActBench) -> None:
    """There act computes once: it is data."""
    ran = run(
        act,
        """
- uses: actions/checkout@v4
- {id: a, uses: ./a}
- {uses: ./n, env: {V: '${{ steps.a.outputs.o }}'}, with: {t: '${{ steps.a.outputs.o }}'}}
- {run: 'printenv V', env: {V: '${{ steps.a.outputs.o }}'}}
""",
        {
            "message": "a ${{ secrets.TOKEN }} b",
            "a/action.yml": composite(
                "- {id: s, shell: sh, run: 'echo \"o=$(cat message)\" >> $GITHUB_OUTPUT'}",
                "outputs: {o: {value: '${{ steps.s.outputs.o }}'}}\n",
            ),
            "n/action.yml": node("m.js", post="m.js"),
            "n/m.js": "console.log(process.env.V + '|' + process.env.INPUT_T);",
        },
    )
    text = "a ${{ secrets.TOKEN }} b"
    assert ran.failure is None, ran.log
    assert ran.log.count(f"{text}|{text}\n") == 2
    assert f"\n{text}\n" in ran.log


def test_what_is_handed_over_and_fails_is_that_steps_failure(act: ActBench) -> None:
    """`continue-on-error` and `if` count; a value too long for a process runs nothing, either."""
    source = {"message": "a ${{ env.TOKEN }} b", "a/action.yml": composite(SPLICES, INPUTS)}
    hands = (HANDS % "${{ steps.s.outputs.o }}").replace("{uses", "{%s, uses").replace("%s", "continue-on-error: true")
    ran = run(act, f"{CHECKOUT}{GIVES}{hands}- run: echo ran on\n", source)
    assert ran.failure is None, ran.log
    assert "with.t holds an expression" in ran.log
    assert "\nran on\n" in ran.log
    long = "${{ env.TOKEN || '" + "x" * 200_000 + "' }}"
    hands = hands.replace("continue-on-error: true", "if: always()")
    ran = run(act, f"{CHECKOUT}{GIVES}{hands}", {**source, "message": long})
    assert ran.failure is FailureClass.PAYLOAD
    assert "argument list too long" in ran.log
    assert "<" not in ran.log


WHOLE = """
inputs: {shell: {default: bash}, who: {default: nobody}, n: {default: 3}}
outputs:
  said: {value: "${{ steps.s.outputs.said }}"}
  failed: {value: "${{ steps.f.outcome }} ${{ steps.f.conclusion }}"}
runs:
  using: composite
  steps:
    - {shell: bash, run: 'false | true; echo NOT-THIS', continue-on-error: true, id: f}
    - {shell: sh, run: 'false | true; echo "sh $(sha256sum a/action.yml)"; [ -t 0 ] || echo no terminal'}
    - {shell: 'python3 {0}', run: 'import os; print("python", os.environ["WHO"])', env: {WHO: "${{ inputs.who }}"}}
    - {shell: "${{ inputs.shell }}", run: 'echo "shell [$BASH] ${{ inputs.n }}"'}
    - {shell: "${{ inputs.shell }} -u {0}", run: 'echo "template $-"; echo "$NOT_SET"', continue-on-error: true}
    - {shell: bash, run: echo NOT-THIS, if: inputs.who == 'somebody'}
    - {shell: bash, run: 'echo "VARIABLE=a {{b}}" >> $GITHUB_ENV; echo "path $GITHUB_ACTION_PATH"'}
    - {uses: ./b, if: inputs.who == 'me'}
    - {uses: ./b, if: "${{ inputs.who == 'somebody' }}"}
    - {id: s, shell: bash, run: 'echo "said=$VARIABLE" >> $GITHUB_OUTPUT', working-directory: b}
"""


def test_what_an_action_of_steps_is_on_github(act: ActBench) -> None:
    """Shells, exit codes, conditions, outputs, variables, folders; and its files are what the source has."""
    ran = run(
        act,
        """
- uses: actions/checkout@v4
- {id: a, uses: ./a, with: {who: me}}
- run: echo 'said [${{ steps.a.outputs.said }}] [${{ steps.a.outputs.failed }}]' "[$VARIABLE]"
- {uses: ./b, if: false}
- {uses: ./b, if: "${{ github.job }} is j"}
- run: sha256sum */action.yml; ls -A . a
- {uses: ./c, continue-on-error: true, id: c}
- run: echo "outcome ${{ steps.c.outcome }}"
- uses: ./c
- {uses: ./b, if: failure()}
""",
        {
            "a/action.yml": WHOLE,
            "b/action.yml": composite("- {shell: bash, run: 'echo b ran'}"),
            "c/action.yml": composite("- {shell: bash, run: exit 7}\n- {shell: bash, run: echo NOT-THIS}"),
        },
    )
    sums = hashlib.sha256(WHOLE.encode()).hexdigest()
    assert (ran.failure, ran.outcome.exit_code) == (FailureClass.PAYLOAD, 7), ran.log
    assert "NOT-THIS" not in ran.log
    assert f"\nsh {sums}  a/action.yml\nno terminal\n" in ran.log
    assert "\npython me\n" in ran.log
    assert "/bash] 3\n" in ran.log
    assert "\ntemplate hu" in ran.log
    assert "NOT_SET: unbound variable" in ran.log
    assert "/a\n" in ran.log
    assert "\nsaid [a {{b}}] [failure success] [a {{b}}]\n" in ran.log
    assert f"\n{sums}  a/action.yml\n" in ran.log
    assert "\na\nb\nc\n\na:\naction.yml\n" in ran.log.replace(".:\n", "")
    assert "\noutcome failure\n" in ran.log
    assert ran.log.count("b ran\n") == 3


def test_what_an_action_of_node_is_on_github(act: ActBench) -> None:
    """It is the main program, in its own folder, with inputs, outputs, state, and its own exit code."""
    main = """
import fs from 'node:fs';
import { sum } from './lib.mjs';
fs.appendFileSync(process.env.GITHUB_OUTPUT, `o=${sum(1, 2)} ${process.env.INPUT_T}\\n`);
fs.appendFileSync(process.env.GITHUB_STATE, 'kept=a ${{ secrets.TOKEN }} b\\n');
fs.appendFileSync(process.env.GITHUB_ENV, 'VARIABLE=plain\\n');
console.log('main', process.argv[1].split('/').slice(-2).join('/'), process.argv.length, 'P2P_ACTION' in process.env);
console.log(fs.readFileSync('sub/n/action.yml', 'utf8').trim().split('\\n')[1]);
"""
    action = node("main.mjs", post="../post.js")
    ran = run(
        act,
        """
- {uses: actions/checkout@v4, with: {path: sub}}
- {id: n, uses: ./sub/n, with: {t: 10}}
- run: echo "[${{ steps.n.outputs.o }}] [$VARIABLE]"
- uses: ./sub/c
- {uses: ./sub/x, continue-on-error: true}
- uses: ./sub/x
""",
        {
            "n/action.yml": action,
            "n/main.mjs": main,
            "n/lib.mjs": "export const sum = (a, b) => a + b;",
            "post.js": "console.log('post', require.main === module, process.env.STATE_kept, process.env.INPUT_T)",
            "c/action.yml": composite("- {id: n, uses: ./sub/n}\n- {shell: sh, run: 'echo ${{ steps.n.outputs.o }}'}"),
            "x/action.yaml": node("x.js"),
            "x/x.js": "console.error('to stderr'); process.exit(9)",
        },
    )
    assert (ran.failure, ran.outcome.exit_code) == (FailureClass.PAYLOAD, 9), ran.log
    assert f"\nmain n/main.mjs 2 false\n{action.splitlines()[1]}\n" in ran.log
    assert "\n[3 10] [plain]\n" in ran.log
    assert "\n3 none\n" in ran.log
    assert ran.log.count("to stderr\n") == 2
    assert ran.log.count("post true a ${{ secrets.TOKEN }} b ") == 2


def test_files_are_counted_as_they_are(act: ActBench) -> None:
    """The action's own, too, where a step hands a sum of them over, or runs by one."""
    files = "hashFiles('*/action.yml')"
    ran = run(
        act,
        f"""
- uses: actions/checkout@v4
- {{run: 'echo "it is $IT"', env: {{IT: "${{{{ {files} }}}}"}}}}
- {{uses: ./a, with: {{t: "at ${{{{ {files} }}}}"}}, env: {{V: "${{{{ {files} }}}}"}}}}
- {{uses: ./n, with: {{t: "at ${{{{ {files} }}}}"}}, if: "{files} != ''"}}
""",
        {
            "a/action.yml": composite("- {shell: sh, run: 'echo \"it is $V ${{ inputs.t }}\"'}", INPUTS),
            "n/action.yml": node("m.js"),
            "n/m.js": "console.log('it is', process.env.INPUT_T)",
        },
    )
    assert ran.failure is None, ran.log
    first, second, third = (line.split()[2:] for line in ran.log.splitlines() if line.startswith("it is"))
    assert len(first[0]) == 64
    assert (second, third) == ([first[0], "at", first[0]], ["at", first[0]])


def test_an_action_that_a_step_has_changed_is_not_run(act: ActBench) -> None:
    """Nobody has judged what it is now."""
    source = {"a/action.yml": composite("- {shell: sh, run: 'echo a ran'}")}
    for change in ("echo '# more' >> a/action.yml", "rm a/action.yml"):
        ran = run(act, f"{CHECKOUT}- uses: ./a\n- run: {change}\n- {{uses: ./a, if: always()}}\n", source)
        assert (ran.failure, ran.outcome.exit_code) == (FailureClass.PAYLOAD, 1), ran.log
        assert ran.log.count("a ran\n") == 1
        assert "is not what the source has: a step has changed it" in ran.log


def test_what_is_printed_sets_no_variables(act: ActBench) -> None:
    """Whatever a step would allow the next."""
    steps = """
- uses: actions/checkout@v4
- run: echo ACTIONS_ALLOW_UNSECURE_COMMANDS=true >> $GITHUB_ENV
- {run: cat message, if: always()}
- {run: 'echo "[$M]"', if: always()}
"""
    ran = run(act, steps, {"message": "::set-env name=M::a text\n"})
    assert ran.failure is FailureClass.PAYLOAD
    assert "lets what is printed set variables" in ran.log
    assert "\n[]\n" in ran.log


def test_power_shell_is_run_as_act_would_and_seen_to(act: ActBench) -> None:
    """With what act puts around a script of its own; in a job and in an action."""
    pwsh = '#!/bin/sh\nf=${2#. \\\'}; f=${f%\\\'}; echo "$1 ${f##*.}"; cat "$f"; cat message >> "$GITHUB_ENV"\n'
    source = {
        "message": "M=a ${{ secrets.TOKEN }} b\n",
        "a/action.yml": composite("- {shell: pwsh, run: Write-Host}"),
        "b/action.yml": composite("- {shell: '${{ inputs.t }}', run: Write-Host}", "inputs: {t: {default: pwsh}}\n"),
        "bin/pwsh": pwsh,
    }
    prepare = f"{CHECKOUT}- run: chmod +x bin/pwsh; echo $PWD/bin >> $GITHUB_PATH\n"
    for step in ("{run: Write-Host, shell: pwsh}", "uses: ./a", "uses: ./b"):
        ran = run(act, f"{prepare}- {step}\n{READS_VARIABLE}", source, path="/usr/local/bin:/usr/bin:/bin")
        assert (ran.failure, ran.outcome.exit_code) == (FailureClass.PAYLOAD, 1), ran.log
        assert "\n-command ps1\n$ErrorActionPreference = 'stop'\n" in ran.log
        assert "\nWrite-Host\n" in ran.log
        assert "{ exit $LASTEXITCODE }\n" in ran.log
        assert ENV_REFUSED in ran.log
        assert "LEAKED b" not in ran.log
