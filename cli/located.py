"""Where an error stands in a file: the place goes before its words, and what programs read of it stays the same."""

from __future__ import annotations

from cli.errors import InputError, tell


def located(place: str, error: Exception, advice: str = "") -> Exception:
    """Return what to raise for an error found at `place`, such as `line 3`.

    An error that is told by a kind of its own keeps it, with its rule, advice and details; any other becomes an
    InputError, with `advice` where it has none.
    """
    words = f"{place}: {error}"
    told = tell(error)
    if told is None:
        return InputError(words, advice)
    if isinstance(error, InputError):
        return InputError(words, error.advice or advice, rule=error.rule)
    error.args = (words,)
    return error
