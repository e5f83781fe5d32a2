"""Where act is, and the words to it."""

from __future__ import annotations

import importlib.util
import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from scheduler.extras import missing
from scheduler.workflows.act_workflow import PLATFORM
from scheduler.workflows.guard import GUARD_VARIABLE

INSIDE: Final = "/opt/p2p-workflow/act"
"""Where a run in bubblewrap sees act."""

_NOTHING: Final = "nothing"
# Act looks for them in the source, which may hold an .env or .secrets for somebody's use of act by hand.
_FILES: Final = {
    "-W": "job.yml", "-e": "event.json", "--secret-file": "secrets.yml", "--env-file": _NOTHING, "--var-file": _NOTHING,
    "--input-file": _NOTHING, "--action-cache-path": "cache",
}  # fmt: skip
_ALWAYS: Final = (
    "--json", "--no-cache-server", "--use-gitignore=false", "--pull=false", "--rebuild=false", "--concurrent-jobs=1",
    "--action-offline-mode",
)  # fmt: skip
_ERRORS_APART: Final = 'exec "$0" "$@" 2>errors'


def find_act() -> Path:
    """Return where act is: beside the Python that runs us, else on the PATH; raise MissingExtraError without one."""
    found = _act()
    if found is None:
        raise missing("act", "workflows")
    return found.resolve()


def has_act() -> bool:
    """Whether act, and what else the extra `workflows` brings, is installed."""
    libraries = ("ruamel.yaml", "check_jsonschema", "jsonschema")
    try:
        return _act() is not None and all(importlib.util.find_spec(name) is not None for name in libraries)
    except ModuleNotFoundError:  # what `ruamel.yaml` is within
        return False


def _act() -> Path | None:
    own = Path(sys.prefix, "bin", "act")
    found = str(own) if own.is_file() else shutil.which("act")
    return None if found is None else Path(found)


def write_nothing(folder: Path) -> None:
    """Make the empty file that the arguments name."""
    (folder / _NOTHING).touch()


def arguments(program: str, *, event: str, folder: str, source: str, github: Mapping[str, str]) -> Sequence[str]:
    """Return how act is started in `folder`: there are job.yml, event.json and secrets.yml, and come errors.

    `github`: variables that say for what commit and run this is.
    """
    told = [word for name, value in github.items() if value for word in ("--env", f"{name}={value}")]
    files = [word for option, name in _FILES.items() for word in (option, f"{folder}/{name}")]
    return (
        "/bin/sh", "-c", _ERRORS_APART, program, event, "-C", source, *files, *_ALWAYS, *told,
        "--var", f"{GUARD_VARIABLE}=true", "-P", f"{PLATFORM}=-self-hosted",
    )  # fmt: skip
