"""Where the programs begin: Ctrl-C while modules are still being loaded ends them quietly, with the code it has later.

Nothing has been done by then, so there is nothing to say. Leaves out all else (cli.main).
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

INTERRUPTED: Final = 130
"""ExitCode.INTERRUPTED, whose module is not loaded yet."""


def p2p_workflow() -> None:
    """Run the program `p2p-workflow`."""
    with _quiet_interrupts():
        from cli.main import make_app, run

        app = make_app()
    sys.exit(run(app, "p2p-workflow", sys.argv[1:]))


def ipfs_accelerate() -> None:
    """Run the program `ipfs-accelerate`."""
    with _quiet_interrupts():
        from cli.main import make_outer_app, run

        app = make_outer_app()
    sys.exit(run(app, "ipfs-accelerate", sys.argv[1:]))


@contextmanager
def _quiet_interrupts() -> Iterator[None]:
    """End the process at once on Ctrl-C inside this block: an exception would surface in the midst of an import.

    A process that was started to ignore it, as `nohup` or a shell's `&` do, goes on ignoring it.
    """
    if signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield
        return
    signal.signal(signal.SIGINT, lambda number, frame: os._exit(INTERRUPTED))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)
