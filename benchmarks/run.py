"""Print the two ratios of benchmarks/README.md: `python benchmarks/run.py [--json] [--quick]`."""

from __future__ import annotations

import argparse
import json
import platform
import sqlite3
import statistics
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))  # benchmarks are run from a checkout, as a program

from benchmarks import loop, replay


def measure_replay(events: int, rounds: int) -> dict[str, float]:
    """Return the first ratio with what it is made of."""
    load = replay.make_load(events)
    count = len(load.blocks)
    found = [replay.measure(load) for _ in range(rounds)]
    return {
        "cold_replay_over_raw_verification": statistics.median(r.replay_s / r.raw_s for r in found),
        "import_over_raw_verification": statistics.median(r.import_s / r.raw_s for r in found),
        "events": count,
        "raw_verifications_per_s": count / statistics.median(r.raw_s for r in found),
        "replayed_events_per_s": count / statistics.median(r.replay_s for r in found),
        "imported_events_per_s": count / statistics.median(r.import_s for r in found),
    }


def measure_loop(rounds: int, tasks: int) -> dict[str, float]:
    """Return the second ratio with what it is made of."""
    with tempfile.TemporaryDirectory() as name:
        found = loop.measure(Path(name), rounds, tasks)
    return {
        "loop_over_huey": statistics.median(r.ours_s / r.huey_s for r in found),
        "tasks": rounds * tasks,
        "ours_ms_per_task": 1e3 * statistics.median(r.ours_s for r in found) / tasks,
        "huey_ms_per_task": 1e3 * statistics.median(r.huey_s for r in found) / tasks,
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--quick", action="store_true", help="small numbers: to see that it runs")
    asked = parser.parse_args()
    first = measure_replay(*((600, 1) if asked.quick else (6_000, 5)))
    second = measure_loop(*((2, 10) if asked.quick else (12, 25)))
    about = {"python": platform.python_version(), "sqlite": sqlite3.sqlite_version, "machine": platform.machine()}
    if asked.json:
        print(json.dumps({"replay": first, "loop": second, "about": about}))
        return
    for title, figures in (("cold replay / raw verification", first), ("our loop / huey's", second)):
        (_, ratio), *rest = figures.items()
        print(f"{title}: {ratio:.2f}")
        for name, value in rest:
            print(f"    {name.replace('_', ' ')}: {value:,.2f}")


if __name__ == "__main__":
    main()
