"""Maps of variables, by the strict check: those of the file, of jobs, of steps, and of steps within actions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from scheduler.workflows.findings import Finding
from scheduler.workflows.reading import KeyPath, Workflow
from scheduler.workflows.strict_rules import Rule

_COMMANDS: Final = "ACTIONS_ALLOW_UNSECURE_COMMANDS"


def check_env(workflow: Workflow, where: KeyPath, content: Mapping[str, Any]) -> Iterator[Finding]:
    """Yield what is wrong with the `env` of the file, a job or a step."""
    said = content.get("env")
    if isinstance(said, str):
        words = "act reads nothing of an `env` that is one expression: no variable would be set"
        yield workflow.error(Rule.ENV_MAP, (*where, "env"), words, "write the variables out, each with its own value")
    elif isinstance(said, dict) and _COMMANDS in said:
        words = "whatever a step prints, of strangers' texts too, could set variables, which act would compute"
        yield workflow.error(Rule.COMMAND, (*where, "env", _COMMANDS), words, "take it out, and write to $GITHUB_ENV")
