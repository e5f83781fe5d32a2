"""What act prints, one JSON object a line, told on as a log that people read; and what it says of steps and job.

The log has a line for each step that begins, then what it prints, then how it failed. Stubs and teller are left out.
Secrets are masked here, after the JSON is undone, since a value may be broken over several of act's lines.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from typing import Any, Final

from scheduler.running.job import Live, StopSignal
from scheduler.running.masking import Masker
from scheduler.workflows.act_actions import PUT
from scheduler.workflows.act_shell import NAME as SHELL
from scheduler.workflows.joined_stop import JoinedStop

LINE_BYTES_MAX: Final = 64 * 1_048_576
SUMMARY_CHARS_MAX: Final = 1_048_576

_UNSTARTED: Final = re.compile(rf"fork/exec \S*/{SHELL}: no such file or directory")
"""That program is always there: what is not is the folder to run it in."""
NO_FOLDER: Final = "its working-directory is not there"
_EXIT: Final = re.compile(r"exit status (\d{1,3})")
_RUN: Final = re.compile("⭐ Run (?:Pre|Main|Post) ")
_NOISE: Final = ("unable to get git", "path/", "Couldn't get a valid docker")
_INDENTED_MASK: Final = re.compile(r"\s*::add-mask::(.*)\s*", re.IGNORECASE)
"""A command for GitHub, a line like any other for act."""
_UNKNOWN: Final = "❓"
"""How act begins what it says of a command that it does not know; for GitHub that is a line like any other."""
_SILENT: Final = frozenset(("endgroup", "echo", "add-matcher", "remove-matcher"))
"""Commands that GitHub takes, and act does not."""
_MARKS: Final = {"error": "error", "warning": "warning", "notice": "note"}


class ActLog:
    """Takes what act prints, as a `Live` of the sandbox, and tells it on.

    Args:
        live: where the log goes.
        job: the id of the job whose log it is.
        secrets: the values to mask.
        bytes_max: how much the log may have; more ends the run.
        stop: set when there is more.
    """

    def __init__(self, live: Live, job: str, *, secrets: Iterable[str], bytes_max: int, stop: JoinedStop) -> None:
        self._live, self._job, self._stop = live, job, stop
        self._masker = Masker(secrets)
        self._left = bytes_max
        self._held: list[bytes] = []
        self._held_bytes = 0
        self._pending: str | None = None
        self.full = False
        self.results: dict[tuple[str, str], str] = {}
        """Of stage and step id: success or failure."""
        self.job_results: dict[str, str] = {}
        """Of the id of each job that has ended, stubs and teller too: success or failure."""
        self.exit_code: int | None = None
        self.faults: list[str] = []
        """What act says went wrong in the job, beside exit codes."""
        self.summary = ""
        self.masks: list[str] = []
        """What steps asked to be masked."""

    @property
    def stop(self) -> StopSignal:
        """Set when the run is to end."""
        return self._stop

    def progress(self, words: str) -> None:
        """Pass it on."""
        self._live.progress(words)

    def log(self, data: bytes) -> None:
        """Take a piece of act's output."""
        *lines, rest = data.split(b"\n")
        for line in lines:
            self._line(b"".join([*self._held, line]))
            self._held, self._held_bytes = [], 0
        if rest:
            self._held.append(rest)
            self._held_bytes += len(rest)
            if self._held_bytes > LINE_BYTES_MAX:
                self._overflow()
                self._held, self._held_bytes = [], 0

    def finish(self) -> None:
        """Tell the rest: act has ended."""
        if self._held:
            self._line(b"".join(self._held))
            self._held = []
        rest = b"" if self.full else self._masker.finish()
        if rest:
            self._live.log(rest)

    def say(self, words: str) -> None:
        """Write a line of our own into the log."""
        self._tell(f"{words}\n")

    def _line(self, line: bytes) -> None:
        try:
            said = json.loads(line)
        except (ValueError, RecursionError):
            said = None
        if not isinstance(said, dict):
            if line.strip():
                self._tell(line.decode(errors="replace") + "\n")
            return
        text = said.get("msg")
        if isinstance(said.get("jobResult"), str):
            self.job_results[str(said.get("jobID"))] = said["jobResult"]
        elif isinstance(text, str) and said.get("jobID") == self._job:
            self._job_line(said, text)
        elif said.get("level") == "error" and isinstance(text, str) and not text.startswith(_NOISE):
            self._tell(f"error: {text.rstrip()}\n")
            self.faults.append(text.rstrip())

    def _job_line(self, said: dict[str, Any], text: str) -> None:
        if said.get("raw_output"):
            masked = _INDENTED_MASK.fullmatch(text)
            if masked is not None:
                self._mask(masked[1])
                return
            self._tell(text if text.endswith("\n") else f"{text}\n")
        elif isinstance(said.get("stepResult"), str):
            self._step_ended(said)
        elif isinstance(said.get("command"), str):
            self._command(said["command"], said, text)
        elif _RUN.match(text) and "stage" in said:
            if _is_ours(said):
                return
            name = _first_line(str(said.get("step", "")))
            self._tell(f"▶ {name}\n" if said["stage"] == "Main" else f"▶ {name} ({str(said['stage']).lower()})\n")
        elif said.get("level") == "error" and not text.startswith(_NOISE):
            self._error(text.rstrip())
        elif text.startswith("🚧"):
            self.faults.append(text.removeprefix("🚧").strip())
            self._tell(f"{self.faults[-1]}\n")

    def _step_ended(self, said: dict[str, Any]) -> None:
        ids = said.get("stepID")
        if isinstance(ids, list) and len(ids) == 1:  # those within an action have more
            self.results[(str(said.get("stage")), str(ids[0]))] = said["stepResult"]

    def _error(self, text: str) -> None:
        text = NO_FOLDER if _UNSTARTED.fullmatch(text) else text
        found = _EXIT.fullmatch(text)
        if found is None:
            self.faults.append(text)
            self._tell(f"✗ {text}\n")
        elif self.exit_code is None:
            self.exit_code = int(found[1])
            self._tell(f"✗ exit code {found[1]}\n")

    def _command(self, command: str, said: dict[str, Any], text: str) -> None:
        """Tell what a step said by a workflow command, its name in any case; what it sets is not for the log."""
        arg, name = str(said.get("arg", "")), command.lower()
        if name == "add-mask":
            self._mask(arg)
        elif name in _MARKS:
            self._tell(f"{_MARKS[name]}: {_where(said.get('kvPairs'))}{arg}\n")
        elif name == "group":
            self._tell(f"── {arg}\n")
        elif name == "summary":
            self.summary = (self.summary + str(said.get("content", "")))[:SUMMARY_CHARS_MAX]
        elif name == "ignored" or (text.lstrip().startswith(_UNKNOWN) and name not in _SILENT):
            self._tell(f"{str(said.get('raw', '')).rstrip()}\n")

    def _mask(self, value: str) -> None:
        """Mask a value from now on: act does so in the lines that steps print, and nowhere else."""
        if value.strip():
            self.masks.append(value)
            self._masker.add(value)

    def _tell(self, text: str) -> None:
        if self.full:
            return
        data = text.encode(errors="replace")
        self._left -= len(data)
        if self._left < 0:
            self._overflow()
            return
        shown = self._masker.feed(data)
        if shown:
            self._live.log(shown)

    def _overflow(self) -> None:
        if not self.full:
            rest = self._masker.finish()
            self._live.log(rest + b"\n[it printed more than it may: its log ends here]\n")
            self.full = True
            self._stop.set("log")


def _is_ours(said: dict[str, Any]) -> bool:
    """Whether act speaks of a step that only looks at the action of the next one."""
    ids = said.get("stepID")
    return isinstance(ids, list) and bool(ids) and str(ids[-1]).startswith(PUT)


def _first_line(text: str) -> str:
    return next((line.strip() for line in text.splitlines() if line.strip()), "step")[:200]


def _where(pairs: Any) -> str:
    """Return where an annotation points: `a.py:3: `."""
    if not isinstance(pairs, dict) or not isinstance(pairs.get("file"), str):
        return ""
    line = pairs.get("line")
    return f"{pairs['file']}:{line}: " if isinstance(line, str) and line else f"{pairs['file']}: "
