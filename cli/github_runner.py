"""What a step says to the runner of GitHub Actions: annotations, outputs, the job's summary; escaped, each its own way.

Names, errors and logs come from others: nothing in them may become a command of the runner, another output, or markup
that loads something. Leaves out what is said (cli.commands_github).

Source: GitHub's documentation of workflow commands, and the runner's source for what it escapes.
"""

from __future__ import annotations

import html
import os
import re
import secrets
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from cli.log_text import runner_heeds
from cli.output import printable

OUTPUT_BYTES_MAX: Final = 512 * 1024
"""A larger output is left out: the runner takes a megabyte of all outputs of a job."""
SUMMARY_BYTES_MAX: Final = 900 * 1024
_MARKUP: Final = re.compile(r"([\\`*_{}\[\]()#+\-.!|~:@])")
_CELL_CHARS: Final = 2_000


def annotation(kind: str, message: str, *, title: str = "", file: str = "", line: int | None = None) -> str:
    """Return the line that makes the runner show a message: kind `notice`, `warning` or `error`."""
    said = {"file": file, "line": "" if line is None else str(line), "title": title}
    properties = ",".join(f"{name}={_property(value)}" for name, value in said.items() if value)
    return f"::{kind}{' ' if properties else ''}{properties}::{_data(message)}"


def say(line: str) -> None:
    """Print a line for the runner."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


@contextmanager
def plain_lines(title: str) -> Iterator[None]:
    """Have the runner take all lines of the block as they are, folded under `title`: none of them is a command."""
    word = f"stop-{secrets.token_hex(16)}"
    say(f"::group::{_data(printable(title))}")
    say(f"::stop-commands::{word}")
    outside = runner_heeds.set(False)
    try:
        yield
    finally:
        runner_heeds.reset(outside)
        say(f"\n::{word}::")
        say("::endgroup::")


def set_outputs(outputs: Mapping[str, str]) -> list[str]:
    """Give the step its outputs; return the names of those that are too large, and left out."""
    path = os.environ.get("GITHUB_OUTPUT")
    left_out = [name for name, value in outputs.items() if len(value.encode()) > OUTPUT_BYTES_MAX]
    if path:
        with Path(path).open("a", encoding="utf-8") as stream:
            for name, value in outputs.items():
                if name not in left_out:
                    end = f"end-{secrets.token_hex(16)}"
                    stream.write(f"{name}<<{end}\n{value}\n{end}\n")
    return left_out


def add_summary(lines: Iterable[str]) -> None:
    """Add Markdown to the summary of the job."""
    path = os.environ.get("GITHUB_STEP_SUMMARY")
    if path:
        text = "\n".join(lines) + "\n\n"
        with Path(path).open("a", encoding="utf-8") as stream:
            stream.write(text.encode()[:SUMMARY_BYTES_MAX].decode(errors="ignore"))


def table(rows: Iterable[tuple[str, str]]) -> list[str]:
    """Return a table in Markdown of names and texts of whatever origin."""
    return ["| | |", "|---|---|", *(f"| {markdown(name)} | {markdown(text)} |" for name, text in rows)]


def markdown(text: str) -> str:
    """Return a text that Markdown shows as it is, in one line, with a break for each of its own."""
    lines = (text if len(text) <= _CELL_CHARS else text[:_CELL_CHARS] + "…").split("\n")
    return "<br>".join(_MARKUP.sub(r"\\\1", html.escape(printable(line), quote=False)) for line in lines)


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
