"""Output that nobody reads any more: on stdout it ends the program, as it does others; on stderr it is dropped.

Python ignores SIGPIPE, and so do we: a connection or a process that has gone is an error of what wrote to it, which is
told. By default the signal would end a worker or a long import on the spot, without a word, for a pipe of its own.
"""

from __future__ import annotations

import os
import signal
import sys
from io import BufferedWriter, FileIO, TextIOWrapper
from typing import TYPE_CHECKING, Any, Final, NoReturn

from cli.exit_codes import ExitCode

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

_STDOUT: Final = 1
_STDERR: Final = 2


class _Output(FileIO):
    """Standard output."""

    def write(self, data: ReadableBuffer, /) -> int:
        """Write; end the program where the reader has gone."""
        try:
            return super().write(data)
        except BrokenPipeError:
            _end_as_others_do()


class _Words(FileIO):
    """Standard error: a worker goes on though nobody reads its log any more."""

    def write(self, data: ReadableBuffer, /) -> int:
        """Write; drop it where the reader has gone."""
        try:
            return super().write(data)
        except BrokenPipeError:
            return memoryview(data).nbytes


def prepare_streams() -> None:
    """Have stdout and stderr do so, and print what the terminal's encoding lacks as `?`; other streams stay."""
    if sys.stdout is sys.__stdout__:
        sys.stdout = _wrapped(sys.stdout, _STDOUT, _Output)
    if sys.stderr is sys.__stderr__:
        sys.stderr = _wrapped(sys.stderr, _STDERR, _Words)


def _wrapped(stream: Any, descriptor: int, kind: type[FileIO]) -> Any:
    if not isinstance(stream, TextIOWrapper):  # None, where there is none
        return stream
    stream.flush()
    raw = kind(descriptor, "wb", closefd=False)
    return TextIOWrapper(
        BufferedWriter(raw),
        encoding=stream.encoding,
        errors="replace",
        line_buffering=stream.line_buffering,
        write_through=stream.write_through,
    )


def _end_as_others_do() -> NoReturn:
    if hasattr(signal, "SIGPIPE"):
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGPIPE)
    os._exit(ExitCode.PIPE_CLOSED)
