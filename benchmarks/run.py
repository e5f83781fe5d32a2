"""Print the figures of benchmarks/README.md: `python benchmarks/run.py [NAME …] [--json] [--quick]`."""

from __future__ import annotations

import argparse
import json
import platform
import sqlite3
import statistics
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Final

sys.path.insert(0, str(Path(__file__).parents[1]))  # benchmarks are run from a checkout, as a program

from benchmarks import drain, exchange, hint_path, loop, nodes, overhead, recovery, replay
from ledger.events import Policy

Figures = dict[str, float]


def measure_replay(*, quick: bool) -> Figures:
    """Return cold replay and import against raw verification, with what the ratios are made of."""
    events, rounds = (600, 1) if quick else (6_000, 5)
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


def measure_loop(*, quick: bool) -> Figures:
    """Return our loop against huey's, with what the ratio is made of."""
    rounds, tasks = (2, 10) if quick else (12, 25)
    with tempfile.TemporaryDirectory() as name:
        found = loop.measure(Path(name), rounds, tasks)
    return {
        "loop_over_huey": statistics.median(r.ours_s / r.huey_s for r in found),
        "tasks": rounds * tasks,
        "ours_ms_per_task": 1e3 * statistics.median(r.ours_s for r in found) / tasks,
        "huey_ms_per_task": 1e3 * statistics.median(r.huey_s for r in found) / tasks,
    }


def measure_exchange(*, quick: bool) -> Figures:
    """Return exchanges over a link of 50 ms: cold, of a few events, and of two sides that have gone on."""
    with tempfile.TemporaryDirectory() as name:
        return exchange.measure(Path(name), 3_000 if quick else 100_000, say)


def measure_publish(*, quick: bool) -> Figures:
    """Return publishing against Kubo's own import of the same CAR, with what the ratio is made of."""
    events, rounds = (1_500, 1) if quick else (60_000, 3)
    found = []
    for _ in range(rounds):
        with tempfile.TemporaryDirectory() as name:
            found.append(nodes.measure(Path(name), events, say))
    return {
        "publishing_rate_over_import_rate": statistics.median(kubo_s / ours_s for ours_s, kubo_s in found),
        "events": events,
        "published_events_per_s": events / statistics.median(ours_s for ours_s, _ in found),
        "imported_blocks_per_s": events / statistics.median(kubo_s for _, kubo_s in found),
    }


def measure_hints(*, quick: bool) -> Figures:
    """Return the way of an event to another's board against gossipsub's own delivery."""
    say("two peers on real nodes: events appended at one, seen at the other")
    found = hint_path.measure(5 if quick else 40)
    return {
        "hint_path_over_gossipsub": found.ratio,
        "trials": len(found.path_s),
        "hint_path_ms": 1e3 * statistics.median(found.path_s),
        "gossipsub_ms": 1e3 * statistics.median(found.gossip_s),
    }


def measure_overhead(*, quick: bool) -> Figures:
    """Return what a command costs beside its bare process, without and with the sandbox."""
    with tempfile.TemporaryDirectory() as name:
        found = overhead.measure(Path(name), 5 if quick else 100)
    say("the same as tasks of a worker")
    with tempfile.TemporaryDirectory() as name:
        tasks = overhead.measure_tasks(Path(name), 10 if quick else 300, 1 if quick else 5)
    return found | {f"task_{one}_ms": ms - found["bare_process_ms"] for one, ms in tasks.items()}


def measure_drain(*, quick: bool) -> Figures:
    """Return our drain against huey's and dramatiq's, and how soon idle workers begin against huey's."""
    tasks, rounds, samples = (60, 1, 3) if quick else (2_000, 3, 40)
    with tempfile.TemporaryDirectory() as name:
        found = drain.measure(Path(name), tasks, rounds, say)
    say("one task at a time for idle workers")
    with tempfile.TemporaryDirectory() as name:
        starts = drain.measure_starts(Path(name), samples)

    def over(theirs: list[float], ours: list[float]) -> float:
        return statistics.median(their / our for their, our in zip(theirs, ours, strict=True))

    def start_over(part: float) -> float:
        return drain.percentile(starts.ours_ms, part) / drain.percentile(starts.huey_ms, part)

    return {
        "drain_rate_over_huey": over(found.huey_s, found.ours_s),
        "drain_rate_over_dramatiq": over(found.dramatiq_s, found.ours_s),
        "drain_rate_over_huey_submitted_singly": over(found.huey_s, found.ours_single_s),
        "start_over_huey_median": start_over(0.5),
        "start_over_huey_p95": start_over(0.95),
        "tasks": tasks,
        "ours_tasks_per_s": tasks / statistics.median(found.ours_s),
        "ours_submitted_singly_tasks_per_s": tasks / statistics.median(found.ours_single_s),
        "huey_tasks_per_s": tasks / statistics.median(found.huey_s),
        "dramatiq_tasks_per_s": tasks / statistics.median(found.dramatiq_s),
        "ours_start_ms": drain.percentile(starts.ours_ms, 0.5),
        "huey_start_ms": drain.percentile(starts.huey_ms, 0.5),
    }


def measure_recovery(*, quick: bool) -> Figures:
    """Return what becomes of tasks whose worker is killed: ours in one home and in two, huey's, dramatiq's."""
    policy, wait_s = (Policy(lease_ms=4_000, skew_ms=1_000), 15.0) if quick else (Policy(), 300.0)
    with tempfile.TemporaryDirectory() as name:
        found = recovery.measure(Path(name), policy, wait_s, say)
    lease_s = policy.lease_ms / 1_000
    figures = {"lease_s": lease_s, "waited_s": wait_s}
    for side, one in found.items():
        if side.startswith("ours") and one.rerun_s:
            figures[f"{side}_rerun_after_lease_s"] = max(one.rerun_s) - lease_s
        figures[f"{side}_cut_off"] = one.cut_off
        figures[f"{side}_rerun"] = len(one.rerun_s)
        if one.rerun_s:
            figures[f"{side}_rerun_s_median"] = statistics.median(one.rerun_s)
            figures[f"{side}_rerun_s_max"] = max(one.rerun_s)
        figures[f"{side}_lost"] = one.lost
        figures[f"{side}_run_twice"] = one.run_twice
    return figures


MEASURES: Final[dict[str, Callable[..., Figures]]] = {
    "replay": measure_replay,
    "loop": measure_loop,
    "exchange": measure_exchange,
    "publish": measure_publish,
    "hints": measure_hints,
    "overhead": measure_overhead,
    "drain": measure_drain,
    "recovery": measure_recovery,
}
WANTED: Final[dict[str, tuple[str, float]]] = {
    "cold_round_trips": ("at most", exchange.EVENTS_WANTED / 1_000 + 5),
    "cold_sync_over_local_replay": ("at most", 1.5),
    "delta_round_trips": ("at most", 2),
    "delta_bytes": ("at most", 20_000),
    "apart_round_trips": ("at most", 6),
    "apart_bytes_over_missing_events": ("at most", 1.5),
    "hint_path_over_gossipsub": ("at most", 3),
    "added_without_sandbox_ms": ("at most", 20),
    "added_with_sandbox_ms": ("at most", 20),
    "task_added_without_sandbox_ms": ("at most", 20),
    "task_added_with_sandbox_ms": ("at most", 20),
    "publishing_rate_over_import_rate": ("at least", 0.5),
    "drain_rate_over_huey": ("at least", 0.8),
    "drain_rate_over_dramatiq": ("at least", 0.5),
    "start_over_huey_median": ("at most", 2),
    "start_over_huey_p95": ("at most", 2),
    "ours_rerun_after_lease_s": ("at most", 5),
    "ours_two_homes_rerun_after_lease_s": ("at most", 5),
    "ours_lost": ("at most", 0),
    "ours_two_homes_lost": ("at most", 0),
}
"""What a figure is to be, at full size."""


def say(words: str) -> None:
    """Tell on stderr what is being done: some of it takes minutes."""
    print(words, file=sys.stderr, flush=True)


def is_missed(figure: str, value: float) -> bool:
    """Return whether a figure is not what it is to be."""
    if figure not in WANTED:
        return False
    bound, wanted = WANTED[figure]
    return value > wanted if bound == "at most" else value < wanted


def tell(found: dict[str, Figures]) -> None:
    """Print figures for people, with what they are to be."""
    for name, figures in found.items():
        print(name)
        for figure, value in figures.items():
            words = f"    {figure.replace('_', ' ')}: {value:,.2f}"
            if figure in WANTED:
                bound, wanted = WANTED[figure]
                words += f"   ({'MISSED: ' if is_missed(figure, value) else ''}to be {bound} {wanted:g})"
            print(words)


def main() -> None:
    """Measure and print; end with 1 where a figure at full size is not what it is to be."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", metavar="NAME", nargs="*", choices=[*MEASURES, []], help=", ".join(MEASURES))
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--quick", action="store_true", help="small numbers: to see that it runs")
    asked = parser.parse_args()
    found = {name: MEASURES[name](quick=asked.quick) for name in asked.names or MEASURES}
    about = {"python": platform.python_version(), "sqlite": sqlite3.sqlite_version, "machine": platform.machine()}
    if asked.json:
        print(json.dumps(found | {"about": about}))
    else:
        tell(found)
    if not asked.quick and any(is_missed(*one) for figures in found.values() for one in figures.items()):
        sys.exit(1)


if __name__ == "__main__":
    main()
