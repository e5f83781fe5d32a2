"""Expressions, by the strict check: whether act can read them, whether they may stand there, and what they call.

Leaves out the grammar (expression_syntax), what may stand where (strict_places), what is named (strict_names), and what
act computes otherwise (strict_meanings).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from scheduler.workflows.expression_syntax import Call, ExpressionSyntaxError, read_expression
from scheduler.workflows.expressions import CHARS_MAX, find_expressions, references
from scheduler.workflows.findings import Finding
from scheduler.workflows.reading import KeyPath, Workflow, values_at
from scheduler.workflows.strict_meanings import judge_meaning
from scheduler.workflows.strict_names import Doubt, Names, judge
from scheduler.workflows.strict_places import ARGUMENTS_MAX, CONTEXTS, STATUS_FUNCTIONS, Place, place_of
from scheduler.workflows.strict_rules import Rule
from scheduler.workflows.strict_situation import Situation

__all__ = ["Names", "check_expressions"]

FUNCTIONS: Final[Mapping[str, tuple[int, int]]] = {
    "contains": (2, 2), "startswith": (2, 2), "endswith": (2, 2), "format": (1, ARGUMENTS_MAX), "join": (1, 2),
    "tojson": (1, 1), "fromjson": (1, 1),
}  # fmt: skip
"""Those that may stand in any expression, with how many values they take, least and most."""
_HASH: Final = "hashfiles"


def check_expressions(
    workflow: Workflow, where: KeyPath, value: Any, names: Names, at: Situation | None
) -> Iterator[Finding]:
    """Yield what is wrong with the expressions anywhere in a value; those of an `if` may do without `${{ }}`."""
    for place, text in values_at(where, value):
        if len(place) > len(where) and "${{" in str(place[-1]):
            yield workflow.error(Rule.PLACE, place, "a key is taken as it is written: no expression in it is computed")
        if not isinstance(text, str):
            continue
        for start, inner, closed in _expressions(text, is_if=place[-1] == "if"):
            line = workflow.text_line(place, text, start)
            if not closed:
                words = "an expression that is not closed: `}}` is missing"
                yield workflow.error(Rule.FUNCTION, place, words, line=line)
                continue
            for doubt in _judge(inner, names, place, at):
                tell = workflow.error if doubt.is_error else workflow.warning
                yield tell(doubt.rule, place, doubt.words, doubt.advice, line=line)


def _expressions(text: str, *, is_if: bool) -> Iterator[tuple[int, str, bool]]:
    """Yield where each expression begins, what is in it, and whether it is closed."""
    if is_if and "${{" not in text:
        if text.strip():  # an empty one has a rule of its own
            yield 0, text, True
        return
    for span in find_expressions(text):
        yield span.start, span.inner, text.startswith("}}", span.end - 2) and span.end - span.start >= len("${{}}")


def _judge(inner: str, names: Names, where: KeyPath, at: Situation | None) -> Iterator[Doubt]:
    place = place_of(where)
    if not place.contexts:
        yield Doubt(Rule.PLACE, "no expression can stand here: act calls the whole file invalid", "write it out")
        return
    if len(inner) > CHARS_MAX:  # which check_lengths tells of
        return
    try:
        read = read_expression(inner)
    except ExpressionSyntaxError as error:
        yield Doubt(Rule.FUNCTION, f"an expression that cannot be read: {error}", error.advice)
        return
    for call in dict.fromkeys(read.calls):
        yield from _judge_call(call, place, at)
    yield from judge_meaning(inner, read, names)
    for reference in references(inner):
        context = reference[0]
        if context not in CONTEXTS:
            yield Doubt(Rule.CONTEXT, f"there is no {context!r} that an expression could name")
        elif context not in place.contexts:
            words = f"{context} is not known at this place: act calls the whole file invalid, as GitHub does"
            yield Doubt(Rule.PLACE, words, f"known here: {', '.join(sorted(place.contexts))}")
        else:
            yield from judge(reference, names, where, at)


def _judge_call(call: Call, place: Place, at: Situation | None) -> Iterator[Doubt]:
    name = call.function.lower()
    known = FUNCTIONS.get(name) or place.functions.get(name)
    if known is None:
        if name in STATUS_FUNCTIONS:
            yield Doubt(Rule.FUNCTION, f"{name}() is for `if` only")
        elif name == _HASH:
            yield Doubt(Rule.PLACE, "hashFiles is for steps only: act calls the whole file invalid, as GitHub does")
        else:
            advice = f"it has {', '.join(sorted((*FUNCTIONS, _HASH)))}"
            yield Doubt(Rule.FUNCTION, f"act has no function {name!r}", advice)
    elif not known[0] <= call.arguments <= known[1]:
        least, most = known
        count = f"{least}" if least == most else f"{least} to {most}" if most < ARGUMENTS_MAX else f"{least} or more"
        words = f"{call.function} takes {count} value{'' if count == '1' else 's'}, not {call.arguments}"
        yield Doubt(Rule.FUNCTION, words)
    elif name == _HASH and at is not None and not at.has_program("node"):
        yield Doubt(Rule.PROGRAM, "hashFiles is done by node, which this worker lacks: it would be empty")
