"""What a command says: results on stdout, words on stderr.

With `--json` the result is one JSON document on stdout; else lines for people. Notes, warnings and progress are words
and go to stderr, so that a pipe carries results only. Text that other peers wrote (names, errors, reasons) is printed
without its control characters: it must not move the reader's cursor.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any, Final, TypeAlias

import typer

Json: TypeAlias = Mapping[str, Any]

_BAR_CHARS: Final = 24


class Output:
    """One run's two channels."""

    def __init__(self, *, as_json: bool) -> None:
        self.as_json = as_json

    def result(self, document: Json, lines: Iterable[str]) -> None:
        """Print the command's result: `document` with `--json`, else `lines`."""
        if self.as_json:
            typer.echo(json.dumps(document, ensure_ascii=False))
        else:
            for line in lines:
                typer.echo(printable(line))

    def line(self, line: str) -> None:
        """Print one line of a result that grows, for people; with `--json` the document at the end says it all."""
        if not self.as_json:
            typer.echo(printable(line))

    def note(self, words: str) -> None:
        """Say something beside the result."""
        typer.echo(printable(words), err=True)

    @contextmanager
    def progress(self, what: str, total: int | None = None) -> Iterator[Callable[[int], None]]:
        """Yield a function that is told how much more is done; a bar shows it where stderr is a terminal."""
        if not sys.stderr.isatty():
            yield lambda more: None
            return
        bar = _Bar(what, total)
        try:
            yield bar.advance
        finally:
            bar.clear()


class _Bar:
    """One line on a terminal, drawn anew at most 200 times."""

    def __init__(self, what: str, total: int | None) -> None:
        self.what, self.total, self.done = what, total, 0
        self._step = max(1, (total or 20_000) // 200)
        self._draw()

    def advance(self, more: int) -> None:
        before, self.done = self.done, self.done + more
        if before // self._step != self.done // self._step:
            self._draw()

    def clear(self) -> None:
        typer.echo("\r\x1b[K", err=True, nl=False)

    def _draw(self) -> None:
        shown = f"{self.done:,}"
        if self.total:
            full = min(_BAR_CHARS, _BAR_CHARS * self.done // self.total)
            shown = f"[{'#' * full}{'.' * (_BAR_CHARS - full)}] {shown}/{self.total:,}"
        typer.echo(f"\r\x1b[K{self.what} {shown}", err=True, nl=False)


def printable(text: str) -> str:
    """Return `text` with every control character, line ends too, written as an escape."""
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)


def render_time(ms: int) -> str:
    """Return a time in ms since 1970 as ISO 8601 in UTC, with ms; beyond the year 9999 as the number it is."""
    try:
        return datetime.fromtimestamp(ms / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%S.") + f"{ms % 1000:03}Z"
    except (OverflowError, ValueError):
        return f"{ms} ms"


def render_table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """Return a table with aligned columns, two spaces between them; the last column is not padded."""
    table = [tuple(header), *(tuple(map(printable, row)) for row in rows)]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    return [
        "  ".join([cell.ljust(width) for cell, width in zip(row[:-1], widths, strict=False)] + [row[-1]])
        for row in table
    ]
