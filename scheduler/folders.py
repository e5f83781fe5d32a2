"""Where the home is, by what the command line, the environment and the platform say. Imports nothing heavy.

Leaves out what is in it (scheduler.place).
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Final

HOME_VARIABLE: Final = "P2P_WORKFLOW_HOME"
POLICY_NAME: Final = "worker.toml"
"""The file, in the home, of what its worker may run."""


def home_folder(explicit: str | Path | None = None) -> Path:
    """Return the folder of the home: the one given, else P2P_WORKFLOW_HOME, else the platform's data folder."""
    chosen = explicit or os.environ.get(HOME_VARIABLE)
    if chosen:
        return Path(chosen).expanduser()
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA", Path.home() / "AppData" / "Local")) / "p2p-workflow"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Application Support" / "p2p-workflow"
    return Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share") / "p2p-workflow"
