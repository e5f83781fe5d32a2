"""Logs of commands that run for long: a line for people, or a JSON object a line, on stderr.

Everything goes through `logging`. What a caller gives as `extra` (event, task, claim, …) becomes fields of the object.
Leaves out what is logged: no module logs a secret, a payload or an output.
"""

from __future__ import annotations

import json
import logging
import sys
from typing import Any, Final

from cli.output import printable, render_time

LOGGER: Final = "p2p_workflow"
"""What commands say themselves; the other loggers are named for their modules."""

_STANDARD: Final = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


class JsonFormatter(logging.Formatter):
    """One JSON object: time (ms since 1970), level, logger, message, the fields of `extra`, a traceback as `error`.

    `event` is always there: what happened, in one word; of what does not say, the level.
    """

    def format(self, record: logging.LogRecord) -> str:
        """Return the line of a record."""
        document: dict[str, Any] = {
            "time": round(record.created * 1000),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        document |= {name: value for name, value in vars(record).items() if name not in _STANDARD | document.keys()}
        document.setdefault("event", document["level"])
        if record.exc_info:
            document["error"] = self.formatException(record.exc_info)
        return json.dumps(document, ensure_ascii=False, default=str)


class TextFormatter(logging.Formatter):
    """Time and message, with the level where it is worse than usual; no control characters of others."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line of a record, its traceback below."""
        level = f"{record.levelname.lower()}: " if record.levelno >= logging.WARNING else ""
        line = f"{render_time(round(record.created * 1000))} {level}{printable(record.getMessage())}"
        return line + (f"\n{self.formatException(record.exc_info)}" if record.exc_info else "")


class _Handler(logging.StreamHandler[Any]):
    """Writes to a stream; where nobody reads it any more, or the disk is full, the work goes on."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 — logging's name
        """Say nothing: there is nowhere to say it."""


def start_logging(log_format: str, level: str, *, on_stdout: bool = False) -> logging.Logger:
    """Have everything that is logged from `level` on written to stderr in a format; return the commands' logger."""
    handler = _Handler(sys.stdout if on_stdout else sys.stderr)
    handler.setFormatter(JsonFormatter() if log_format == "json" else TextFormatter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    return logging.getLogger(LOGGER)
