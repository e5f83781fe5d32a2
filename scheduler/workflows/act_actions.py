"""Actions of the repository, `uses: ./…`, so that what act would compute of a stranger's text is seen to in them, too.

Act reads an action's file in the work folder when the step begins. So before each such step comes one of ours, which
puts another in that file's place, by which scripts and node run through the program of act_shell; and that program puts
the file back before anything of the action's own runs. Our step also fails where the file is not the source's, or where
what is handed to a composite action holds an expression: there act computes it again. Pure.
"""

from __future__ import annotations

import json
import posixpath
import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from scheduler.workflows.act_shell import ACTIONS, wrapped
from scheduler.workflows.act_values import as_meant, yaml_of
from scheduler.workflows.local_actions import find_action, is_composite, is_node
from scheduler.workflows.matrix import render_value
from scheduler.workflows.reading import read_workflow
from scheduler.workflows.strict_situation import Situation

PUT: Final = "p2p_put_"
"""How the ids of our steps begin."""
_DIRECTORY: Final = "P2P_ACTION"
_GIVEN: Final = "P2P_GIVEN_"
_INPUT: Final = "INPUT_"
"""By such a name act computes a variable when it knows the others of the step."""
_SUM: Final = re.compile(r"hashfiles\s*\(", re.IGNORECASE)
_UP: Final = "../" * 64
"""From wherever to the root: what act joins to the action's folder."""
_SCRIPT: Final = r"""PATH=/usr/local/bin:/usr/bin:/bin
own=@OWN@
refuse() {
  printf 'error: %s: %s\n' @USES@ "$1"
  exit 1
}
plain() {
  case $2 in *'$''{{'*) refuse "$1 holds an expression, which act would compute within the action" ;; esac
}
hand() {
  end=end-$(cat /proc/sys/kernel/random/uuid)
  printf '%s<<%s\n%s\n%s\n' "$1" "$end" "$2" "$end" >> "$GITHUB_OUTPUT"
}
@LINES@
at=@USES@
place=$at/action.yml
[ -e "$place" ] || place=$at/action.yaml
cmp -s -- "$place" "$own/@NUMBER@.source" || refuse "$place is not what the source has: a step has changed it"
printf %s "$PWD/$place" > "$own/place"
mv -f -- "$place" "$own/held"
cp -- "$own/@NUMBER@.yml" "$place"
"""
_NODE: Final = r"""const { P2P_ACTION: action, ...env } = process.env;
const main = require("path").join(process.cwd(), action, @MAIN@);
const ended = require("child_process").spawnSync(@SHELL@, [process.execPath, main], { env, stdio: "inherit" });
process.exitCode = ended.status ?? 1;
"""


class LocalActions:
    """Collects the actions that one job uses.

    Args:
        at: where the source is read; the strict check has passed with it.
        inside: the folder, as the run sees it, that has the program of act_shell.
        shell: that program.
    """

    def __init__(self, at: Situation, inside: str, shell: str) -> None:
        self._at = at
        self._own = f"{inside}/{ACTIONS}"
        self._shell = shell
        self._numbers: dict[tuple[str, tuple[str, ...]], int] = {}
        self._kinds: dict[int, tuple[Mapping[str, Any], bool]] = {}
        self.files: dict[str, bytes] = {}
        """What is to lie in `inside`/actions, by name."""

    def steps(self, step: Mapping[str, Any], index: int, checked_out: Sequence[str]) -> Iterator[dict[str, Any]]:
        """Yield the steps that stand for one that uses an action: ours, and itself, where ours has succeeded."""
        uses = step["uses"].strip()
        found = find_action(uses, checked_out, self._at)
        if found is None:  # which the strict check refuses
            yield dict(step)
            return
        number = self._number(*found, tuple(checked_out))
        inputs, is_again = self._kinds[number]
        put, env = f"{PUT}{index}", _map(step.get("env"))
        itself = {**step, "if": f"always() && steps.{put}.outcome == 'success'"}
        if not is_again:
            itself["env"] = {**env, _DIRECTORY: uses}
        told: dict[str, str] = {}
        lines: list[str] = []
        for at, (key, name, text) in enumerate(_given(step, inputs)):
            variable = f"{_INPUT if key == 'with' else ''}{_GIVEN}{at}"
            if is_again:
                lines.append(f'plain {shlex.quote(_shown(f"{key}.{name}"))} "${variable}"')
                told[variable] = text
            if _SUM.search(text) is not None:  # of files, one of which our step is to change
                lines.append(f'hand given{at} "${variable}"')
                told[variable] = text
                itself[key] = {**_map(itself.get(key)), name: f"${{{{ steps.{put}.outputs.given{at} }}}}"}
        script = _SCRIPT.replace("@OWN@", self._own).replace("@NUMBER@", str(number))
        yield {
            "id": put,
            "name": f"look at {_shown(uses)}",
            "run": script.replace("@USES@", shlex.quote(posixpath.normpath(uses))).replace("@LINES@", "\n".join(lines)),
            "shell": f"{self._shell} /bin/sh -e {{0}}",
            "working-directory": "${{ github.workspace }}",
            "env": {**env, **told},
            **{key: step[key] for key in ("if", "continue-on-error") if key in step},
        }
        yield itself

    def _number(self, path: str, data: bytes, checked_out: tuple[str, ...]) -> int:
        """Return the number of an action, whose files are made the first time."""
        key = (path, checked_out)
        if key not in self._numbers:
            number = self._numbers[key] = len(self._numbers)
            content = read_workflow(data, path).content
            self._kinds[number] = (_map(content.get("inputs")), is_composite(content))
            self.files[f"{number}.source"] = data
            if is_composite(content):
                content = self._composite(content, checked_out)
            elif is_node(content):
                content = self._node(content, number)
            self.files[f"{number}.yml"] = yaml_of(content).encode()
        return self._numbers[key]

    def _composite(self, content: Mapping[str, Any], checked_out: Sequence[str]) -> dict[str, Any]:
        steps: list[dict[str, Any]] = []
        said = content["runs"].get("steps")
        for index, step in enumerate(said if isinstance(said, list) else ()):
            if not isinstance(step, dict):
                continue
            found = as_meant(step)
            uses = step.get("uses")
            if isinstance(uses, str) and uses.startswith("./"):
                steps += self.steps(found, index, checked_out)
                continue
            through = wrapped(self._shell, step.get("shell")) if uses is None else None
            steps.append(found | ({} if through is None else {"shell": through}))
        return {
            **content,
            "runs": {**content["runs"], "steps": steps},
            **{key: _as_texts(content.get(key)) for key in ("inputs", "outputs") if content.get(key)},
        }

    def _node(self, content: Mapping[str, Any], number: int) -> dict[str, Any]:
        runs = dict(content["runs"])
        for key in ("main", "post"):
            if isinstance(runs.get(key), str) and runs[key]:
                name = f"{number}-{key}.cjs"
                script = _NODE.replace("@MAIN@", json.dumps(runs[key])).replace("@SHELL@", json.dumps(self._shell))
                self.files[name] = script.encode()
                runs[key] = f"{_UP}{self._own.lstrip('/')}/{name}"
        return {**content, "runs": runs, **({"inputs": _as_texts(content["inputs"])} if content.get("inputs") else {})}


def _as_texts(said: Any) -> Any:
    """Return inputs or outputs with their defaults and values as the texts that they are."""
    if not isinstance(said, dict):
        return said
    return {
        name: {key: render_value(value) if key in {"default", "value"} else value for key, value in one.items()}
        if isinstance(one, dict)
        else one
        for name, one in said.items()
    }


def _given(step: Mapping[str, Any], inputs: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    """Yield what is computed of what a step hands to an action, by key and name; inputs, too, that it does not give."""
    for key in ("env", "with"):
        for name, value in _map(step.get(key)).items():
            if isinstance(value, str) and "${{" in value:
                yield key, name, value
    given = _map(step.get("with"))
    for name, said in inputs.items():
        default = _map(said).get("default")
        if name not in given and isinstance(default, str) and "${{" in default:
            yield "with", name, default


def _map(said: Any) -> dict[str, Any]:
    return said if isinstance(said, dict) else {}


def _shown(name: str) -> str:
    return re.sub(r"[^\w./-]", "?", name)
