"""The steps of a job, by the strict check: what act would read past, fetch, or could not run."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from scheduler.workflows.findings import Finding
from scheduler.workflows.local_actions import check_local_action
from scheduler.workflows.reading import KeyPath, Workflow
from scheduler.workflows.strict_env import check_env
from scheduler.workflows.strict_expressions import Names, check_expressions
from scheduler.workflows.strict_rules import Rule
from scheduler.workflows.strict_situation import Situation

CHECKOUT: Final = re.compile(r"actions/checkout@\S+", re.IGNORECASE)
DOCKER: Final = "docker://"
LOCAL: Final = ("./", ".\\")

_COMMON: Final = frozenset(("id", "name", "if", "env", "continue-on-error", "timeout-minutes"))
RUN_KEYS: Final = _COMMON | {"run", "shell", "working-directory"}
USES_KEYS: Final = _COMMON | {"uses", "with"}

CHECKOUT_IGNORED: Final = frozenset(
    ("fetch-depth", "fetch-tags", "clean", "persist-credentials", "show-progress", "set-safe-directory", "token")
)
"""What a checkout may say and nothing here depends on."""
_OWN: Final[Mapping[str, re.Pattern[str]]] = {
    "repository": re.compile(r"\$\{\{\s*github\.repository\s*\}\}", re.IGNORECASE),
    "ref": re.compile(r"\$\{\{\s*github\.(ref|sha|ref_name|head_ref)\s*\}\}", re.IGNORECASE),
}
"""What a checkout may name, since it is what the task's source is."""
_WORKSPACE: Final = re.compile(r"^\$\{\{\s*github\.workspace\s*\}\}/", re.IGNORECASE)
_ID: Final = re.compile("[A-Za-z_][A-Za-z0-9_-]*")
_OFF: Final = re.compile(r"^\s*(?:echo\s+)?[\"']?::(set-env|add-path)\b", re.MULTILINE)
_PROGRAMS: Final[Mapping[str, str]] = {"python": "python", "pwsh": "pwsh", "sh": "sh", "bash": "sh"}
_OTHER_SHELLS: Final = frozenset(("cmd", "powershell"))


def folder_of(given: Mapping[str, Any]) -> str:
    """Return where in the work folder a checkout puts the source, by what it is given."""
    return _WORKSPACE.sub("", str(given.get("path") or ""))


class StepCheck:
    """Checks the steps of one job."""

    def __init__(
        self, workflow: Workflow, where: KeyPath, content: Mapping[str, Any], names: Names, at: Situation | None
    ) -> None:
        self._workflow = workflow
        self._where = where
        self._content = content
        self._names = names
        self._at = at
        steps = content.get("steps")
        self._steps = [(index, one) for index, one in enumerate(steps if isinstance(steps, list) else ())]
        self._checked_out: list[str] | None = None

    def findings(self) -> Iterator[Finding]:
        """Yield what is wrong with the steps, and with the shell that the job's or workflow's defaults name."""
        for place, content in (((), self._workflow.content), (self._where, self._content)):
            defaults = content.get("defaults")
            run = defaults.get("run") if isinstance(defaults, dict) else None
            if isinstance(run, dict) and "shell" in run:
                yield from self._shell((*place, "defaults", "run", "shell"), run["shell"])
        ids: dict[str, int] = {}
        for index, step in self._steps:
            if not isinstance(step, dict):
                continue
            where = (*self._where, "steps", index)
            if isinstance(step.get("id"), str):
                if _ID.fullmatch(step["id"]) is None and "${{" not in step["id"]:
                    words = "an id begins with a letter or _, and has letters, digits, - and _ in it"
                    yield self._workflow.error(Rule.STEP_ID, (*where, "id"), words, "GitHub takes no other, either")
                first = ids.setdefault(step["id"].lower(), self._workflow.line(*where, "id"))
                if first != self._workflow.line(*where, "id"):
                    words = f"the step of line {first} has this id: what it gives out would be lost"
                    yield self._workflow.error(Rule.STEP_ID, (*where, "id"), words)
            yield from self._step(where, step)

    def _step(self, where: KeyPath, step: Mapping[str, Any]) -> Iterator[Finding]:
        uses = step.get("uses")
        for key in step:
            if key not in (RUN_KEYS if uses is None else USES_KEYS):
                words = f"act does not know {key!r} here, or would read past it"
                yield self._workflow.error(Rule.KEY, (*where, key), words, "take it out")
        yield from self._frame(where, step)
        if isinstance(uses, str):
            yield from self._uses(where, uses.strip(), step.get("with"))
        else:
            yield from self._run(where, step)
        is_checkout = isinstance(uses, str) and CHECKOUT.fullmatch(uses.strip())
        judged = {key: value for key, value in step.items() if key != "with" or not is_checkout}
        yield from check_expressions(self._workflow, where, judged, self._names, self._at)

    def _frame(self, where: KeyPath, step: Mapping[str, Any]) -> Iterator[Finding]:
        """Judge what any step may say."""
        if "if" in step and (step["if"] is None or not str(step["if"]).strip()):
            words = "act takes an empty `if` for false, GitHub for success()"
            yield self._workflow.error(Rule.EMPTY, (*where, "if"), words, "take it out")
        minutes = step.get("timeout-minutes", 1)
        if type(minutes) is not int or minutes < 1:
            words = "act reads past all but whole numbers from 1: the step could run on for ever"
            yield self._workflow.error(Rule.STEP_TIMEOUT, (*where, "timeout-minutes"), words, "write a whole number")
        yield from check_env(self._workflow, where, step)

    def _run(self, where: KeyPath, step: Mapping[str, Any]) -> Iterator[Finding]:
        script = step.get("run")
        if not isinstance(script, str) or not script.strip():
            yield self._workflow.error(Rule.EMPTY, (*where, "run"), "a step without a command: act refuses the file")
            return
        if "shell" in step:
            yield from self._shell((*where, "shell"), step["shell"])
        found = _OFF.search(script)
        if found:
            words = f"the command ::{found[1]} is switched off, and nothing would come of it"
            line = self._workflow.text_line((*where, "run"), script, found.start(1))
            file = "$GITHUB_ENV" if found[1] == "set-env" else "$GITHUB_PATH"
            yield self._workflow.error(Rule.COMMAND, (*where, "run"), words, f"write to {file}", line=line)

    def _shell(self, where: KeyPath, said: Any) -> Iterator[Finding]:
        name = str(said).split()[0] if isinstance(said, str) and said.split() else ""
        if name.lower() in _OTHER_SHELLS:
            words = f"workers run Linux, where there is no {name}"
            yield self._workflow.error(Rule.SHELL, where, words, "bash, sh, python, pwsh, or a program with {0}")
        elif self._at is not None and name and "${{" not in name:
            program = _PROGRAMS.get(name, name)
            if not self._at.has_program(program):
                yield self._workflow.error(Rule.PROGRAM, where, f"this worker has no {program}")

    def _uses(self, where: KeyPath, uses: str, given: Any) -> Iterator[Finding]:
        place = (*where, "uses")
        given = given if isinstance(given, dict) else {}
        if CHECKOUT.fullmatch(uses):
            yield from self._checkout(where, given)
        elif uses.lower().startswith(DOCKER):
            words = "there is no docker here"
            yield self._workflow.error(Rule.DOCKER_ACTION, place, words, "run the program in a step")
        elif uses.startswith(LOCAL):
            if "\\" in uses:
                yield self._workflow.error(Rule.LOCAL_ACTION, place, "act takes no path with \\", "write it with /")
            else:
                yield from self._local(place, uses, given)
        else:
            words = f"{uses[:100]!r} would have to be fetched from GitHub, which a worker does not do"
            advice = "run its program in a step, or take the action into the repository (uses: ./…)"
            yield self._workflow.error(Rule.REMOTE_ACTION, place, words, advice)

    def _checkout(self, where: KeyPath, given: Mapping[str, Any]) -> Iterator[Finding]:
        folder = folder_of(given)
        self._checked_out = [*(self._checked_out or ()), folder]
        if f"{posixpath.normpath(folder)}/".startswith(("../", "/")):
            words = "outside of the work folder, where GitHub puts nothing, either"
            yield self._workflow.error(Rule.CHECKOUT, (*where, "with", "path"), words)
        if self._at is not None and self._at.read_source is None:
            words = "the task carries no source: the checkout would leave an empty folder"
            advice = "submit it with its source"
            yield self._workflow.error(Rule.SOURCE, (*where, "uses"), words, advice)
        for key, value in given.items():
            if key == "path" or key in CHECKOUT_IGNORED or value in (None, "", False):
                continue
            if key in _OWN and isinstance(value, str) and _OWN[key].fullmatch(value.strip()):
                continue
            words = f"nothing is fetched here: a checkout is the task's own source, {key!r} would be read past"
            yield self._workflow.error(Rule.CHECKOUT, (*where, "with", key), words, "take it out, or use git in a step")

    def _local(self, place: KeyPath, uses: str, given: Mapping[str, Any]) -> Iterator[Finding]:
        if self._checked_out is None:
            words = "no step before has checked out the repository: the action is not there"
            yield self._workflow.error(Rule.LOCAL_ACTION, place, words, "put `uses: actions/checkout@v4` before it")
        elif self._at is not None and self._at.read_source is not None:
            for finding in check_local_action(uses, self._checked_out, self._at, given):
                if finding.path:
                    yield finding
                else:
                    yield self._workflow.error(Rule(finding.rule), place, finding.words, finding.advice)
