"""Chaos by hand, as long as one likes: `python -m tests.chaos [--over ipfs] --seed N --tasks M`."""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from tests.chaos.running import run_chaos
from tests.chaos.towns import IpfsTown, SyncedTown, Town


def main() -> None:
    """Run once, tell what came of it, and fail where something is not as it must be."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--over", choices=("sync", "ipfs"), default="sync", help="what carries events between homes")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--tasks", type=int, default=2_000)
    parser.add_argument("--minutes", type=float, default=60.0, help="fail where it is not over by then")
    asked = parser.parse_args()
    towns: dict[str, Callable[[Path], Town]] = {"sync": SyncedTown, "ipfs": IpfsTown}
    with tempfile.TemporaryDirectory() as name, towns[asked.over](Path(name) / "places") as town:
        found = run_chaos(Path(name), town, seed=asked.seed, tasks=asked.tasks, deadline_s=60 * asked.minutes)
    sys.stdout.write(found.told() + "\n")
    found.check()


if __name__ == "__main__":
    main()
