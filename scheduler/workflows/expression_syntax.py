"""Whether an expression can be read at all, as act reads it: the grammar of what stands within `${{ }}`. Pure.

Source: "Evaluate expressions in workflows and actions" of GitHub's documentation, and what act 0.2.89 was seen to
refuse; act calls the whole file invalid for one expression that it cannot read.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

DEPTH_MAX: Final = 50
"""How deep brackets may be nested."""
FILTER: Final = "*"
COMPUTED: Final = "[]"

_SPACE: Final = re.compile(r"[ \t\r\n]*")
_TOKEN: Final = re.compile(
    r"(?P<text>'(?:[^']|'')*')"
    r"|(?P<number>-?(?:0x(?:0|[1-9A-Fa-f][0-9A-Fa-f]*)|(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE]-?(?:0|[1-9][0-9]*))?)(?![0-9.]))"
    r"|(?P<name>[A-Za-z_][A-Za-z0-9_-]*)"
    r"|(?P<mark>&&|\|\||==|!=|<=|>=|[<>!()\[\].,*])"
)
_INT_MAX: Final = 2**31 - 1
"""Whole numbers are read as 32 bits, those with a dot or an exponent as floating-point numbers of 64."""
_COMPARING: Final = frozenset(("==", "!=", "<", "<=", ">", ">="))
_WORDS: Final = frozenset(("true", "false", "null"))
_END: Final = ("end", "")
_SHOWN: Final = 40
"""How many characters of a number a message shows."""
_ADVICE: Final = {
    "=": "`==` compares",
    "&": "`&&` says and",
    "|": "`||` says or",
    '"': "a text stands in single quotes",
    "'": "the text is not closed: a quote within it is written twice",
    "+": "there is no arithmetic: format() joins texts",
    "{": "there are no braces within an expression",
}


class ExpressionSyntaxError(Exception):
    """An expression that cannot be read; the message says what stands where it should not."""

    def __init__(self, words: str, advice: str = "") -> None:
        super().__init__(words)
        self.advice = advice


@dataclass(frozen=True, slots=True)
class Call:
    """A function, as it is written, and how many values it is given."""

    function: str
    arguments: int


@dataclass(frozen=True, slots=True)
class Filtered:
    """A path with a `.*` in it: `needs.*.result`.

    Args:
        context: the name it begins with, in small letters; "" for a value that is computed.
        steps: what is taken from that, each a name in small letters or `FILTER`; `COMPUTED` for what stands in `[]`.
        within: the function whose argument it is in, in small letters, "" for none.
    """

    context: str
    steps: tuple[str, ...]
    within: str = ""


@dataclass(frozen=True, slots=True)
class Expression:
    """An expression that could be read.

    Args:
        calls: the functions that it calls.
        filtered: the paths in it with a `.*`.
        has_row: whether a comparison is compared again without brackets: `1 < 2 == true`.
        has_lookup: whether something is taken out of a computed value by what is no literal: `fromJSON(x)[matrix.y]`.
    """

    calls: tuple[Call, ...]
    filtered: tuple[Filtered, ...]
    has_row: bool
    has_lookup: bool = False


def read_expression(expression: str) -> Expression:
    """Read an expression, without `${{ }}`; raise ExpressionSyntaxError."""
    parser = _Parser(_tokens(expression))
    parser.whole()
    return Expression(tuple(parser.calls), tuple(parser.filtered), parser.has_row, parser.has_lookup)


def _tokens(expression: str) -> list[tuple[str, str]]:
    tokens: list[tuple[str, str]] = []
    at = _end_of_space(expression, 0)
    while at < len(expression):
        found = _TOKEN.match(expression, at)
        if found is None:
            mark = expression[at]
            raise ExpressionSyntaxError(f"{mark!r} cannot stand in an expression", _ADVICE.get(mark, ""))
        if found.lastgroup == "number":
            _check_number(found[0])
        tokens.append((str(found.lastgroup), found[0]))
        at = _end_of_space(expression, found.end())
    return tokens


def _check_number(text: str) -> None:
    is_hex = "0x" in text
    if not is_hex and not text.lstrip("-").isdigit():
        if math.isinf(float(text)):
            raise ExpressionSyntaxError(f"{text[:_SHOWN]} is too large for a number")
        return
    # Not more digits than tell: int() of very many takes its time, or none at all.
    number = int(text, 16) if is_hex else int(text[: len(str(_INT_MAX)) + 2])
    if not -_INT_MAX - 1 <= number <= _INT_MAX:
        words = f"{text[:_SHOWN]} is too large for a whole number: act reads 32 bits"
        raise ExpressionSyntaxError(words, f"write {number if is_hex else text}.0" if len(text) < _SHOWN else "")


def _end_of_space(expression: str, at: int) -> int:
    found = _SPACE.match(expression, at)
    return at if found is None else found.end()


class _Parser:
    """By recursive descent: or, and, comparison, not, what `.` and `[]` take from a value."""

    def __init__(self, tokens: list[tuple[str, str]]) -> None:
        self.calls: list[Call] = []
        self.filtered: list[Filtered] = []
        self.has_row = self.has_lookup = False
        self._within = [""]
        self._tokens = tokens
        self._at = 0
        self._depth = 0

    def whole(self) -> None:
        if not self._tokens:
            raise ExpressionSyntaxError("an expression with nothing in it")
        self._any()
        if self._next is not _END:
            raise ExpressionSyntaxError(f"{self._next[1]!r} stands where an operator should, or the end")

    @property
    def _next(self) -> tuple[str, str]:
        return self._tokens[self._at] if self._at < len(self._tokens) else _END

    def _takes(self, *marks: str) -> bool:
        """Go on behind the next token where it is one of these marks."""
        kind, text = self._next
        if kind != "mark" or text not in marks:
            return False
        self._at += 1
        return True

    def _must_take(self, mark: str) -> None:
        if not self._takes(mark):
            raise ExpressionSyntaxError(f"{mark!r} is missing {self._before_next()}")

    def _before_next(self) -> str:
        return "at its end" if self._next is _END else f"before {self._next[1]!r}"

    def _any(self) -> None:
        """Read values that are joined: what binds more or less does not matter for whether it can be read."""
        self._depth += 1
        if self._depth > DEPTH_MAX:
            raise ExpressionSyntaxError(f"nested more than {DEPTH_MAX} deep")
        self._value()
        compared = False
        while self._takes("&&", "||", *_COMPARING):
            compares = self._tokens[self._at - 1][1] in _COMPARING
            self.has_row |= compared and compares
            compared = compares
            self._value()
        self._depth -= 1

    def _value(self) -> None:
        while self._takes("!"):
            pass
        kind, text = self._next
        context = ""
        if kind == "mark" and text == "(":
            self._at += 1
            self._any()
            self._must_take(")")
        elif kind in {"text", "number"}:
            self._at += 1
        elif kind == "name":
            self._at += 1
            context = self._named(text)
        else:
            raise ExpressionSyntaxError(f"a value is missing {self._before_next()}")
        found = list(self._steps())
        steps = tuple(step for step, _ in found)
        self.has_lookup |= not context and any(is_computed for _, is_computed in found)
        if FILTER in steps:
            self.filtered.append(Filtered(context, steps, self._within[-1]))

    def _named(self, name: str) -> str:
        """Return the context that a name is, "" for a function that is called."""
        if self._takes("("):
            self._within.append(name.lower())
            self.calls.append(Call(name, self._arguments()))
            self._within.pop()
            return ""
        if name.lower() in _WORDS and name not in _WORDS:
            raise ExpressionSyntaxError(f"{name!r} is nothing", f"write {name.lower()}")
        return name.lower()

    def _arguments(self) -> int:
        if self._takes(")"):
            return 0
        count = 1
        self._any()
        while self._takes(","):
            self._any()
            count += 1
        self._must_take(")")
        return count

    def _steps(self) -> Iterator[tuple[str, bool]]:
        """Yield what is taken from a value, and whether that is computed."""
        while True:
            if self._takes("."):
                kind, text = self._next
                if kind != "name" and self._next != ("mark", FILTER):
                    raise ExpressionSyntaxError(f"a name is missing behind the dot, {self._before_next()}")
                self._at += 1
                yield text.lower(), False
            elif self._takes("["):
                begin = self._at
                self._any()
                is_literal = self._at == begin + 1 and self._tokens[begin][0] in {"text", "number"}
                self._must_take("]")
                yield COMPUTED, not is_literal
            else:
                return
