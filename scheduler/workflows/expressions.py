"""The `${{ … }}` expressions of a workflow file, as far as they must be known without being computed.

Where they stand in a text, what contexts they name, and which of those carry what a stranger may have written. Leaves
out what they come to: act computes that when the job runs.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

Reference: TypeAlias = tuple[str, ...]
"""What an expression names, in small letters: ("github", "event", "inputs", "name"); `*` for what is computed."""

_OPEN: Final = "${{"
_TOKEN: Final = re.compile(
    r"""(?P<text>'(?:[^']|'')*(?:'|$))|(?P<number>[0-9][0-9A-Za-z_.]*)|(?P<name>[A-Za-z_][A-Za-z0-9_-]*)|(?P<space>\s+)|(?P<mark>.)""",
    re.DOTALL,
)
CHARS_MAX: Final = 21_000
"""Characters of an expression, as GitHub limits them; of a longer one nothing is known."""
_DEPTH_MAX: Final = 50
_WORDS: Final = frozenset(("true", "false", "null"))

_STRANGERS: Final = tuple(
    tuple(text.split("."))
    for text in (
        "inputs.*",
        "github.event.inputs.*",
        "github.event.client_payload.*",
        "github.head_ref",
        "github.ref_name",
        "github.event.ref",
        "github.event.issue.title",
        "github.event.issue.body",
        "github.event.discussion.title",
        "github.event.discussion.body",
        "github.event.comment.body",
        "github.event.review.body",
        "github.event.review_comment.body",
        "github.event.pull_request.title",
        "github.event.pull_request.body",
        "github.event.pull_request.head.ref",
        "github.event.pull_request.head.label",
        "github.event.pull_request.head.repo.default_branch",
        "github.event.head_commit.message",
        "github.event.head_commit.author.name",
        "github.event.head_commit.author.email",
        "github.event.commits.*.message",
        "github.event.commits.*.author.name",
        "github.event.commits.*.author.email",
        "github.event.pages.*.page_name",
        "github.event.workflow_run.head_branch",
        "github.event.workflow_run.display_title",
        "github.event.workflow_run.head_commit.message",
        "github.event.release.name",
        "github.event.release.body",
        "github.event.release.tag_name",
    )
)


@dataclass(frozen=True, slots=True)
class Span:
    """One `${{ … }}`: from `start` to before `end` of its text, with what stands within."""

    start: int
    end: int
    inner: str


def find_expressions(text: str) -> Iterator[Span]:
    """Yield the expressions of a text; one that is not closed reaches to the end of it."""
    at = 0
    while (start := text.find(_OPEN, at)) >= 0:
        close = _close(text, start + len(_OPEN))
        end = len(text) if close is None else close + 2
        yield Span(start, end, text[start + len(_OPEN) : len(text) if close is None else close])
        at = end


def _close(text: str, at: int) -> int | None:
    """Return where the `}}` stands that ends an expression: not within a text of it."""
    close = text.find("}}", at)
    while close >= 0:
        quote = text.find("'", at, close)
        if quote < 0:
            return close
        at = text.find("'", quote + 1) + 1
        if at == 0:
            return None
        if at > close:
            close = text.find("}}", at)
    return None


def has_expression(value: Any) -> bool:
    """Whether there is an expression anywhere in a value."""
    return any(_OPEN in text for text in texts_in(value))


def texts_in(value: Any) -> Iterator[str]:
    """Yield every text in a value, keys too."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for key, one in value.items():
            yield key
            yield from texts_in(one)
    elif isinstance(value, list):
        for one in value:
            yield from texts_in(one)


def references(expression: str) -> tuple[Reference, ...]:
    """Return what an expression (without `${{ }}`) names, functions and literals left out, in order."""
    if len(expression) > CHARS_MAX:
        return ()
    tokens = [found for found in _TOKEN.finditer(expression) if found.lastgroup != "space"]
    found: list[Reference] = []
    _scan(tokens, found, 0)
    return tuple(found)


def _scan(tokens: list[re.Match[str]], found: list[Reference], depth: int) -> None:
    at = 0
    while at < len(tokens):
        token = tokens[at]
        at += 1
        is_step = at > 1 and _is(tokens, at - 2, ".")  # of what a function returns
        if token.lastgroup != "name" or is_step or token[0].lower() in _WORDS or _is(tokens, at, "("):
            continue
        steps, at = _path(tokens, at, found, depth)
        found.append((token[0].lower(), *steps))


def _path(tokens: list[re.Match[str]], at: int, found: list[Reference], depth: int) -> tuple[list[str], int]:
    """Read the steps after a name; what stands computed within brackets is scanned for names of its own."""
    steps: list[str] = []
    while at < len(tokens):
        if _is(tokens, at, ".") and at + 1 < len(tokens):
            steps.append(tokens[at + 1][0].lower())
            at += 2
        elif _is(tokens, at, "["):
            end = _bracket(tokens, at)
            inner = tokens[at + 1 : end]
            if len(inner) == 1 and inner[0].lastgroup == "text":
                steps.append(inner[0][0][1:-1].replace("''", "'").lower())
            else:
                steps.append("*")
                if depth < _DEPTH_MAX:
                    _scan(inner, found, depth + 1)
            at = end + 1
        else:
            break
    return steps, at


def _bracket(tokens: list[re.Match[str]], at: int) -> int:
    depth = 0
    for index in range(at, len(tokens)):
        depth += {"[": 1, "]": -1}.get(tokens[index][0], 0)
        if depth == 0:
            return index
    return len(tokens)


def _is(tokens: list[re.Match[str]], at: int, mark: str) -> bool:
    return at < len(tokens) and tokens[at].lastgroup == "mark" and tokens[at][0] == mark


def references_in(value: Any) -> tuple[Reference, ...]:
    """Return what the expressions anywhere in a value name, each once."""
    named = (one for text in texts_in(value) for span in find_expressions(text) for one in references(span.inner))
    return tuple(dict.fromkeys(named))


def condition(value: Any) -> str:
    """Return the expression of an `if`, where `${{ }}` may be left out."""
    text = str(value).lower() if isinstance(value, bool) else str(value)
    spans = list(find_expressions(text.strip()))
    if len(spans) == 1 and spans[0].start == 0 and spans[0].end == len(text.strip()):
        return spans[0].inner.strip()
    return text.strip()


def is_strangers(reference: Reference) -> bool:
    """Whether a reference carries what somebody without write access may have chosen: a title, an input, a branch."""
    return any(_covers(reference, pattern) for pattern in _STRANGERS)


def _covers(reference: Reference, pattern: Reference) -> bool:
    """Whether a reference is, holds, or lies within what a pattern names."""
    if reference == ("github",):
        return True  # all of it, as toJSON(github) has it
    if len(reference) < len(pattern) and reference[:2] not in {("inputs",), ("github", "event")}:
        return False
    return all("*" in {mine, theirs} or mine == theirs for mine, theirs in zip(reference, pattern, strict=False))
