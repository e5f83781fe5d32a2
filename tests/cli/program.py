"""Running the real programs: in processes of their own, as people start them, with homes of their own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

BIN: Final = Path(sys.executable).parent
DEADLINE_S: Final = 60


@dataclass(frozen=True)
class Ran:
    """How a program ended, and what it said."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """The one JSON document on stdout."""
        return json.loads(self.out)


@dataclass(frozen=True)
class Program:
    """The program with a home and a peer of its own. `prefix` is how its commands are spelled."""

    home: Path
    peer: str = "worker"
    prefix: tuple[str, ...] = ("p2p-workflow",)
    extra: dict[str, str] = field(default_factory=dict)

    def environment(self) -> dict[str, str]:
        """Return an environment in which nothing of the machine's own settings is left."""
        own = {name: value for name, value in os.environ.items() if not name.startswith(("P2P_WORKFLOW", "XDG_"))}
        own |= {"P2P_WORKFLOW_HOME": str(self.home), "P2P_WORKFLOW_PEER": self.peer, "HOME": str(self.home.parent)}
        return own | {"COLUMNS": "100", "PYTHONWARNINGS": "error"} | self.extra

    def command(self, *args: str) -> list[str]:
        """Return the words of a command line."""
        return [str(BIN / self.prefix[0]), *self.prefix[1:], *args]

    def run(self, *args: str, text: str = "", cwd: Path | None = None) -> Ran:
        """Run a command to its end, with `text` on stdin."""
        done = subprocess.run(
            self.command(*args),
            input=text,
            env=self.environment(),
            capture_output=True,
            text=True,
            timeout=DEADLINE_S,
            check=False,
            cwd=cwd,
        )
        assert "Traceback" not in done.stderr, done.stderr
        return Ran(done.returncode, done.stdout, done.stderr)

    def ok(self, *args: str, text: str = "") -> Ran:
        """Run a command that must succeed."""
        ran = self.run(*args, text=text)
        assert ran.code == 0, f"{args}: exit {ran.code}\n{ran.out}\n{ran.err}"
        return ran

    def json(self, *args: str, text: str = "") -> Any:
        """Run a command that must succeed with `--json`, and return its document."""
        return self.ok(*args, "--json", text=text).json

    def start(self, *args: str) -> subprocess.Popen[str]:
        """Start a command that goes on."""
        return subprocess.Popen(
            self.command(*args),
            env=self.environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def submit(self, task_id: str, *more: str) -> Any:
        """Submit a small task."""
        return self.json("submit", "--task-id", task_id, "--workflow-id", "flow", "--name", f"Task {task_id}", *more)


def operation_lines(count: int) -> str:
    """Return JSON lines that submit `count` tasks."""
    return "".join(
        json.dumps({"op": "submit", "spec": {"task_id": f"t{number}", "workflow_id": "flow", "name": f"Task {number}"}})
        + "\n"
        for number in range(count)
    )
