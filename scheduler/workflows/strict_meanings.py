"""Expressions that act computes otherwise than GitHub, without a word, by the strict check.

What act 0.2.89 was seen to do. Leaves out what only a value tells: an item of a list taken by a text or a fraction.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from scheduler.workflows.expression_syntax import COMPUTED, Expression, Filtered
from scheduler.workflows.strict_names import Doubt, Names
from scheduler.workflows.strict_rules import Rule

_NO_TEXT: Final = frozenset(("github", "job"))
"""Contexts that act does not write as `Object`."""


def judge_meaning(inner: str, read: Expression, names: Names) -> Iterator[Doubt]:
    """Yield what of an expression act would compute otherwise than GitHub."""
    if read.has_row:
        words = "act and GitHub read a row of comparisons in different orders"
        yield Doubt(Rule.MEANING, words, "put brackets around what is compared first")
    if inner.strip().lower() in _NO_TEXT:
        yield Doubt(
            Rule.MEANING, f"act writes {inner.strip()} in words of its own", "name a value in it, or use toJSON"
        )
    if read.has_lookup:
        words = "act finds a value of a map by a text only, an item of a list by a whole number only; else it is empty"
        yield Doubt(Rule.MEANING, words, "format('{0}', …) makes a text, fromJSON(…) a number", is_error=False)
    for path in read.filtered:
        yield from _judge_filter(path, names)


def _judge_filter(path: Filtered, names: Names) -> Iterator[Doubt]:
    """Judge a `.*`: act keeps maps as they are, has their values in no order, and null for what is missing."""
    is_asked = path.context == "needs" and path.within == "contains"
    match path.steps:
        case ("*", "result") if is_asked:
            return
        case ("*", "outputs", name) if is_asked and name not in {"*", COMPUTED}:
            lacking = sorted(need for need, outputs in names.needs.items() if name not in outputs)
            if lacking:
                words = (
                    f"act has an empty value for each need without {name!r}, GitHub leaves it out: {', '.join(lacking)}"
                )
                yield Doubt(Rule.MEANING, words, "name the needs one by one")
        case ("*", name) if not path.context and name not in {"*", COMPUTED}:
            words = f"act reads `.*.{name}` as GitHub does only of a list whose items all have {name!r}"
            yield Doubt(Rule.MEANING, words, is_error=False)
        case _:
            written = "".join(one if one == COMPUTED else f".{one}" for one in path.steps)
            words = f"act does not read `.*` as GitHub does: {path.context}{written}"
            yield Doubt(Rule.MEANING, words, "name the values one by one; contains(needs.*.result, …) is read")
