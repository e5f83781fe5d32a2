"""The program as the demo calls it: by its command line alone, as a script of anybody's would."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

BIN: Final = Path(sys.executable).parent
ROOT: Final = Path(__file__).resolve().parent.parent
DEADLINE_S: Final = 60.0
_RETRY_S: Final = 0.2


def workflow(home: Path, *arguments: str) -> Any:
    """Run `p2p-workflow --json` in a home and return what it printed; end the demo where it fails."""
    ran = subprocess.run(
        [BIN / "p2p-workflow", "--home", home, *arguments, "--json"], capture_output=True, text=True, check=False
    )
    if ran.returncode:
        raise SystemExit(f"p2p-workflow {' '.join(arguments)} ended with {ran.returncode}: {ran.stdout}{ran.stderr}")
    return json.loads(ran.stdout)


def until(look: Callable[[], Any], what: str) -> Any:
    """Return what `look` returns once that is true; end the demo where it does not become so."""
    deadline = time.monotonic() + DEADLINE_S
    while not (found := look()):
        if time.monotonic() > deadline:
            raise SystemExit(f"after {DEADLINE_S:.0f} s still not so: {what}")
        time.sleep(_RETRY_S)
    return found


@contextmanager
def daemon(home: Path, *options: str) -> Iterator[None]:
    """Run `peer run` for the block."""
    command = [str(BIN / "p2p-workflow"), "--home", str(home), "peer", "run", *options]
    with (home / "peer-run.log").open("wb") as log, subprocess.Popen(command, stdout=log, stderr=log) as process:
        try:
            yield
        finally:
            process.terminate()
            process.wait()
