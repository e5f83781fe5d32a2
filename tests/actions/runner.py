"""A runner of GitHub Actions as act is one: a repository with workflows of ours and our action, run without docker.

Jobs run on this machine, in a copy of the repository, with the programs under test on the PATH and no home.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

BIN: Final = Path(sys.executable).parent
ROOT: Final = Path(__file__).resolve().parents[2]
DEADLINE_S: Final = 120
_GIT: Final = ("git", "-c", "user.name=tests", "-c", "user.email=tests@localhost")


@dataclass(frozen=True)
class Ran:
    """How act ended, and what it printed."""

    code: int
    out: str

    @property
    def lines(self) -> list[str]:
        """What the steps printed."""
        return [line.partition("  | ")[2] for line in self.out.splitlines() if "  | " in line]


@dataclass
class Runner:
    """One repository in `folder`, and the secrets its workflows can read."""

    folder: Path
    secrets: dict[str, str] = field(default_factory=dict)

    def run(self, workflow: str, *more: str, files: Mapping[str, str] | None = None) -> Ran:
        """Run a workflow, as it is dispatched after a push of it and of `files`; `more` are options of act."""
        with self._start(workflow, more, files or {}) as process:
            try:
                out, _ = process.communicate(timeout=DEADLINE_S)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)  # act with what it has started
                out, _ = process.communicate()
                raise AssertionError(f"the workflow does not end:\n{out}") from None
        return Ran(process.returncode, out)

    def _start(self, workflow: str, more: Sequence[str], files: Mapping[str, str]) -> subprocess.Popen[str]:
        repository = self.folder / "repository"
        place = repository / ".github" / "workflows" / "flow.yml"
        if not repository.exists():
            place.parent.mkdir(parents=True)
            (repository / "action.yml").write_bytes((ROOT / "action.yml").read_bytes())
            subprocess.run([*_GIT, "init", "-q", "-b", "main", "."], cwd=repository, check=True)
        for path, text in {**files, str(place.relative_to(repository)): workflow}.items():
            (repository / path).write_text(text, encoding="utf-8")
        subprocess.run([*_GIT, "add", "-A"], cwd=repository, check=True)
        if subprocess.run(["git", "diff", "--cached", "--quiet"], cwd=repository, check=False).returncode:
            subprocess.run([*_GIT, "commit", "-q", "-m", "flow"], cwd=repository, check=True)  # a re-run has none
        secrets = self.folder / "secrets"
        secrets.write_text("".join(f"{name}={value}\n" for name, value in self.secrets.items()), encoding="utf-8")
        return subprocess.Popen(
            [
                *(str(BIN / "act"), "workflow_dispatch", "-P", "ubuntu-latest=-self-hosted"),
                *("-W", str(place.relative_to(repository)), "--secret-file", str(secrets), "--no-cache-server", *more),
            ],
            cwd=repository,
            env=self._environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def _environment(self) -> dict[str, str]:
        user = self.folder / "user"
        user.mkdir(exist_ok=True)
        own = {name: value for name, value in os.environ.items() if not name.startswith(("P2P_", "XDG_", "GITHUB_"))}
        return own | {"HOME": str(user), "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}"}

    @property
    def user_files(self) -> list[str]:
        """What the jobs left in the user's folder, what act itself keeps there aside."""
        user = self.folder / "user"
        return sorted(str(path.relative_to(user)) for path in user.glob("*") if path.name not in {".cache", ".config"})
