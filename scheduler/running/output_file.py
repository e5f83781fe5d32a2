"""Reads the outputs that a run has written to the file `P2P_WORKFLOW_OUTPUT` names, in the form of GITHUB_OUTPUT.

Lines `name=value`, and blocks for values of several lines: `name<<WORD`, the lines, then `WORD` alone. Of two values
for one name the last holds. What lies there may have been made by anybody's program: it is opened without following
links, read with a bound, and must be UTF-8.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from scheduler.running.inputs import OUTPUT
from scheduler.running.outputs import ENTRIES_MAX, OUTPUT_NAME_BYTES_MAX
from scheduler.running.payloads import canonical_json

OUTPUT_BYTES_MAX: Final = 512 * 1_024
"""All outputs of one run, in bytes, as they stand in the file and as they stand in JSON: half of what a result has."""

_LINE: Final = re.compile(r"(?P<name>[^=<\s\0][^=<\0]*?)(?P<kind>=|<<)(?P<rest>.*)", re.DOTALL)


class OutputFileError(Exception):
    """The file of outputs is not in its form; the message says which line."""


class TooMuchError(Exception):
    """A run hands over more than it may; the message says what."""


def read_output_file(folder: Path) -> dict[str, str]:
    """Return the outputs of the run that had this folder; raise OutputFileError or TooMuchError for other content."""
    data = _read(folder)
    if len(data) > OUTPUT_BYTES_MAX:
        raise TooMuchError(f"the outputs are more than {OUTPUT_BYTES_MAX} bytes")
    try:
        outputs = parse_outputs(data.decode())
    except UnicodeDecodeError:
        raise OutputFileError("the outputs are not UTF-8") from None
    if len(outputs) > ENTRIES_MAX or len(canonical_json(outputs)) > OUTPUT_BYTES_MAX:
        raise TooMuchError(f"the outputs are more than {ENTRIES_MAX}, or than {OUTPUT_BYTES_MAX} bytes as JSON")
    return outputs


def parse_outputs(text: str) -> dict[str, str]:
    """Return the outputs that a text in the form of GITHUB_OUTPUT says; raise OutputFileError for another."""
    outputs: dict[str, str] = {}
    lines = iter(enumerate(text.split("\n"), 1))
    for number, line in lines:
        if not line.rstrip("\r"):
            continue
        found = _LINE.fullmatch(line.removesuffix("\r"))
        if found is None or len(found["name"].encode()) > OUTPUT_NAME_BYTES_MAX:
            raise OutputFileError(f"outputs, line {number}: name=value or name<<WORD is wanted, not {line[:64]!r}")
        name, rest = found["name"], found["rest"]
        outputs[name] = rest if found["kind"] == "=" else _block(name, rest, lines, number)
    return outputs


def _block(name: str, word: str, lines: Iterator[tuple[int, str]], number: int) -> str:
    if not word:
        raise OutputFileError(f"outputs, line {number}: the word that ends the value of {name!r} is missing")
    block: list[str] = []
    for _, line in lines:
        if line.removesuffix("\r") == word:
            return "\n".join(block)
        block.append(line)
    raise OutputFileError(f"outputs, line {number}: the value of {name!r} has no end: no line {word[:64]!r}")


def _read(folder: Path) -> bytes:
    """Return the file's bytes, one more than the bound at most; a run may have put anything in its place."""
    own, _, name = OUTPUT.rpartition("/")
    try:
        above = os.open(folder / own, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    except OSError:
        raise OutputFileError(f"the run has put something else in the place of {own}") from None
    try:
        descriptor = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=above)
    except FileNotFoundError:
        return b""
    except OSError:
        raise OutputFileError("the run has put something else in the place of its outputs") from None
    finally:
        os.close(above)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OutputFileError("the run has put something else in the place of its outputs")
    with open(descriptor, "rb") as file:  # noqa: PTH123 - a descriptor
        return file.read(OUTPUT_BYTES_MAX + 1)
