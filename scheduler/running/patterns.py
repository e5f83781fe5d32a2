"""Patterns of paths below a folder: `*`, `?`, `[…]` within one name, `**` for any folders, a folder for all in it.

A pattern comes from whoever submitted the task and names from whatever ran, so no pattern may take long: a path is
matched name by name with a set of places in the pattern, and a name by an expression that never goes back on a choice.
Pure.
"""

from __future__ import annotations

import functools
import re
from typing import Final

ANY_FOLDERS: Final = "**"

_MAGIC: Final = re.compile(r"[*?\[]")
_TOKEN: Final = re.compile(r"\*+|\?|\[!?\]?[^\]]*\]|.", re.DOTALL)
_SET: Final = re.compile(r"(.)-(.)|(.)", re.DOTALL)


def is_plain(pattern: str) -> bool:
    """Return whether a pattern is the path of one thing."""
    return not _MAGIC.search(pattern)


def matches(pattern: str, path: str) -> bool:
    """Return whether a pattern names a file at `path`, itself or by a folder above it."""
    steps = pattern.split("/")
    places = _with_none(steps, {0})
    for name in path.split("/"):
        if len(steps) in places:
            return True
        places = _with_none(
            steps,
            {place if steps[place] == ANY_FOLDERS else place + 1 for place in places if _fits(steps[place], name)},
        )
    return len(steps) in places


def _with_none(steps: list[str], places: set[int]) -> set[int]:
    """Return places in a pattern with those that are reached where `**` stands for no folder."""
    found = set(places)
    for place in sorted(places):
        while place < len(steps) and steps[place] == ANY_FOLDERS:
            place += 1  # noqa: PLW2901 - one step further along the pattern
            found.add(place)
    return found


def _fits(step: str, name: str) -> bool:
    return step == ANY_FOLDERS or _expression(step).fullmatch(name) is not None


@functools.lru_cache(maxsize=4_096)
def _expression(step: str) -> re.Pattern[str]:
    """Return the expression of one name. The first place where what follows a `*` fits is as good as any other."""
    pieces = [""]
    for sign in _TOKEN.findall(step):
        if sign[0] == "*":
            pieces.append("")
        elif sign == "?":
            pieces[-1] += "."
        elif len(sign) > 2 and sign[0] == "[":
            pieces[-1] += _one_of(sign)
        else:
            pieces[-1] += re.escape(sign)
    first, *others = pieces
    if not others:
        return re.compile(first, re.DOTALL)
    *between, last = others
    return re.compile(first + "".join(f"(?>.*?{piece})" for piece in between) + f".*{last}", re.DOTALL)


def _one_of(token: str) -> str:
    negated = token.startswith("[!") and len(token) > 3
    body = token[2:-1] if negated else token[1:-1]
    found = ""
    for low, high, single in _SET.findall(body):
        if single:
            found += re.escape(single)
        elif low <= high:
            found += f"{re.escape(low)}-{re.escape(high)}"
    if not found:
        return "." if negated else "(?!)"
    return f"[{'^' if negated else ''}{found}]"
