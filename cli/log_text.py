"""Logs of runs on stdout: as they are into a file or a pipe, made harmless on a terminal.

A run prints what its author likes, and its log comes from another peer: on a terminal line ends, tabs, backspaces and
colours pass, everything else that could move the cursor or ask the terminal something is written as an escape.
"""

from __future__ import annotations

import codecs
import os
import re
import secrets
import sys
from contextvars import ContextVar
from typing import BinaryIO, Final

_PLAIN: Final = frozenset("\n\t")
_COLOUR: Final = re.compile(r"\x1b\[[0-9;:]{0,64}m")
_UNFINISHED: Final = re.compile(r"\x1b(?:\[[0-9;:]{0,64})?\Z")


runner_heeds: ContextVar[bool] = ContextVar("runner_heeds", default=True)
"""Whether a runner of GitHub Actions, where one reads, takes lines of stdout for commands now."""


def _stop_word() -> str:
    """Return the word that has such a runner take lines as they are until it comes again; "" where none reads."""
    heeds = os.environ.get("GITHUB_ACTIONS") == "true" and runner_heeds.get()
    return f"stop-{secrets.token_hex(16)}" if heeds else ""


class LogPrinter:
    """Write a log to a stream as it comes, piece by piece. No line of it becomes a command of a runner that reads it.

    Args:
        stream: where to.
        is_terminal: whether a person reads.
        stop_word: has the runner take the lines of the log as they are; "" for no runner.
    """

    def __init__(self, stream: BinaryIO, *, is_terminal: bool, stop_word: str = "") -> None:
        self._stream = stream
        self._stop_word = stop_word
        self._is_stopped = False
        self._is_terminal = is_terminal
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._held = ""
        self._ended_line = True

    @classmethod
    def to_stdout(cls) -> LogPrinter:
        """Return one that writes to stdout."""
        return cls(sys.stdout.buffer, is_terminal=sys.stdout.isatty(), stop_word=_stop_word())

    @classmethod
    def to_stderr(cls) -> LogPrinter:
        """Return one that writes to stderr, where stdout has a document."""
        return cls(sys.stderr.buffer, is_terminal=sys.stderr.isatty(), stop_word=_stop_word())

    def write(self, data: bytes) -> None:
        """Write the next piece."""
        if not data:
            return
        if self._stop_word and not self._is_stopped:
            self._is_stopped = True
            self._stream.write(f"::stop-commands::{self._stop_word}\n".encode())
        self._ended_line = data.endswith(b"\n")
        if self._is_terminal:
            data = self._harmless(self._decoder.decode(data)).encode()
        self._stream.write(data)
        self._stream.flush()

    def end(self) -> None:
        """Write what was held back; on a terminal the next words begin on a line of their own."""
        if self._is_stopped:
            self._is_stopped = False
            self._stream.write(f"{'' if self._ended_line else chr(10)}::{self._stop_word}::\n".encode())
            self._stream.flush()
        if not self._is_terminal:
            return
        rest = self._held + self._decoder.decode(b"", final=True)
        self._held = ""
        self._stream.write(harmless(rest).encode() + (b"" if self._ended_line else b"\n"))
        self._stream.flush()

    def _harmless(self, text: str) -> str:
        text = self._held + text
        cut = _UNFINISHED.search(text)
        self._held = "" if cut is None else text[cut.start() :]
        return harmless(text if cut is None else text[: cut.start()])


def harmless(text: str) -> str:
    """Return `text` with everything but line ends, tabs and colours that is not printable written as an escape."""
    done: list[str] = []
    at = 0
    for colour in _COLOUR.finditer(text):
        done += (_escaped(text[at : colour.start()]), colour[0])
        at = colour.end()
    return "".join([*done, _escaped(text[at:])])


def _escaped(text: str) -> str:
    text = text.replace("\r\n", "\n")
    return "".join(
        char if char.isprintable() or char in _PLAIN else char.encode("unicode_escape").decode() for char in text
    )
