"""What a mutation is: one rule taken out of the code in use by an exact replacement of text, and the test that fails.

Of a rule with several parts each part may have its own, named by the rule and a letter (R5c). The words of
specs/tasks.md that rules are made of stand beside the rules. Leaves out running them (rules.py).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[2]
WORDS: Final = ("until", "runs", "attempt", "base", "failed", "dead", "retry", "delay")
"""The words of specs/tasks.md: each is a rule of its own here."""
VECTOR_TEST: Final = "tests/vectors/test_vectors.py::test_rule"
_ROW: Final = re.compile(r"^\| ([A-Z]\d*[a-z]?) \| \[", re.MULTILINE)

Row = tuple[str, str, str] | tuple[str, str, str, str]
"""Id, text before, text after, test; without a test it is the one that specs/README.md names for the rule."""


class StaleMutationError(Exception):
    """The text to replace does not stand exactly once in its file: the table must follow the code."""


@dataclass(frozen=True, slots=True)
class Mutation:
    """Replace `before`, which stands once in `path`, by `after`; then `test` (a node id of pytest) fails."""

    id: str
    path: str
    before: str
    after: str
    test: str

    def mutated(self, source: str) -> str:
        """Return the source without the rule; raise StaleMutationError where `before` does not stand in it once."""
        found = source.count(self.before)
        if found != 1:
            raise StaleMutationError(f"{self.id}: {self.path} has {found} times, not once: {self.before!r}")
        return source.replace(self.before, self.after)


def rules_of_specs(root: Path = ROOT) -> tuple[str, ...]:
    """Return the rule ids in the table of specs/README.md, in its order."""
    return tuple(_ROW.findall((root / "specs" / "README.md").read_text(encoding="utf-8")))


def rule_of(mutation: str, rules: tuple[str, ...]) -> str:
    """Return the rule or word that the id of a mutation is about: itself, or what it is a part of."""
    return mutation if mutation in rules or mutation in WORDS else mutation[:-1]


_RULES: Final = rules_of_specs()


def in_file(path: str, *rows: Row) -> tuple[Mutation, ...]:
    """Return the mutations of one file."""
    return tuple(
        Mutation(row[0], path, row[1], row[2], row[3] if len(row) == 4 else f"{VECTOR_TEST}[{rule_of(row[0], _RULES)}]")
        for row in rows
    )
