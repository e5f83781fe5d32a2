"""What is found in a workflow file: one fault or doubt, with its place and what to do."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any


class Severity(StrEnum):
    """Whether a finding keeps a file from being submitted."""

    ERROR = "error"
    WARNING = "warning"


@dataclass(frozen=True, slots=True)
class Finding:
    """A fault of a workflow file, or a doubt.

    Args:
        path: the file, as it was named.
        line: from 1.
        key: where in the file, such as jobs.build.steps[2].run; "" for the whole.
        severity: an error keeps the file from being submitted.
        rule: a stable word for programs, such as tags.unknown.
        words: what is wrong.
        advice: what to do; "" where the words say it.
    """

    path: str
    line: int
    key: str
    severity: Severity
    rule: str
    words: str
    advice: str = ""

    @property
    def is_error(self) -> bool:
        """Whether it keeps the file from being submitted."""
        return self.severity is Severity.ERROR

    def to_json(self) -> dict[str, Any]:
        """Return it for programs."""
        return {
            "path": self.path,
            "line": self.line,
            "key": self.key,
            "severity": str(self.severity),
            "rule": self.rule,
            "words": self.words,
            "advice": self.advice or None,
        }

    def render(self) -> str:
        """Return it as one line for people: file:line first, as compilers have it."""
        key = f"{self.key}: " if self.key else ""
        advice = f" ({self.advice})" if self.advice else ""
        return f"{self.path}:{self.line}: {self.severity}: {key}{self.words}{advice} [{self.rule}]"


class WorkflowRefusedError(ValueError):
    """A workflow file has errors, and nothing of it was submitted or run; `findings` has all of them."""

    def __init__(self, findings: Iterable[Finding]) -> None:
        self.findings = tuple(findings)
        errors = [one for one in self.findings if one.is_error]
        super().__init__("\n".join(["the workflow file is refused:", *(one.render() for one in errors)]))

    @property
    def details(self) -> dict[str, Any]:
        """The findings, for programs."""
        return {"findings": [one.to_json() for one in self.findings]}


def in_order(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """Return findings in the order of the file, each once."""
    return tuple(sorted(dict.fromkeys(findings), key=lambda one: (one.path, one.line, one.key, one.rule)))
