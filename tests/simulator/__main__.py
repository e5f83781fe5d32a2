"""Run seeds of the simulator: `python -m tests.simulator [--homes|--fast] --seed N --count M`."""

from __future__ import annotations

import argparse
import sys
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from crdt.slow import reduce
from tests.simulator.homes import HOMES_STEPS, homes_run
from tests.simulator.replica import LawBrokenError, Reducer
from tests.simulator.simulation import Simulation
from tests.support.fast import reduce_fast

DEFAULT_STEPS: Final = 140

Seen = list[Counter[str]]
"""What a run came to, counted under several headings."""


def command(seed: int, steps: int, world: str = "") -> str:
    """Return the command that runs one seed again; `world` is the option that chooses another world, if any."""
    return " ".join(f"python -m tests.simulator {world} --seed {seed} --count 1 --steps {steps}".split())


@contextmanager
def telling(seed: int, steps: int, world: str = "") -> Iterator[None]:
    """Put the command that runs one seed again below whatever is raised inside, a failed assertion too."""
    try:
        yield
    except BaseException as error:
        error.add_note(command(seed, steps, world))
        raise


def run_rules(seed: int, steps: int, reducer: Reducer) -> Seen:
    """Run a seed of the world in memory, which tries the rules."""
    outcome = Simulation(seed, reducer).run(steps)
    seen = {name: getattr(outcome, name) for name in ("events", "superseded", "stable", "provable")}
    return [Counter(seen), outcome.ended, outcome.rules]


def run_homes(seed: int, steps: int) -> Seen:
    """Run a seed of the world of real homes, which tries the product."""
    with homes_run(seed) as simulation:
        outcome = simulation.run(steps)
    return [outcome.seen, outcome.ended, outcome.rules, outcome.refusals]


RUNS: Final[dict[str | None, Callable[[int, int], Seen]]] = {
    None: lambda seed, steps: run_rules(seed, steps, reduce),
    "--fast": lambda seed, steps: run_rules(seed, steps, reduce_fast),
    "--homes": run_homes,
}


def main() -> int:
    """Run `count` seeds from `seed`; print the command of each that breaks a law, and what was seen in all."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulator")
    worlds = parser.add_mutually_exclusive_group()
    worlds.add_argument("--homes", dest="world", action="store_const", const="--homes", help="real homes")
    worlds.add_argument("--fast", dest="world", action="store_const", const="--fast", help="the board in use")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--count", type=int, default=40)
    parser.add_argument("--steps", type=int)
    asked = parser.parse_args()
    steps: int = asked.steps or (HOMES_STEPS if asked.world == "--homes" else DEFAULT_STEPS)
    broken = 0
    seen: Seen = []
    for seed in range(asked.seed, asked.seed + asked.count):
        try:
            found = RUNS[asked.world](seed, steps)
        except Exception as error:  # noqa: BLE001  # whatever a seed raises, its command is printed and the rest run
            broken += 1
            if not isinstance(error, LawBrokenError):
                traceback.print_exc(file=sys.stdout)
            sys.stdout.write(f"{error}\n  {command(seed, steps, asked.world or '')}\n")
            sys.stdout.flush()
            continue
        seen = [some + other for some, other in zip(seen, found, strict=True)] if seen else found
    sys.stdout.write(f"{asked.count} seeds, {broken} broke a law\n")
    for counts in seen:
        sys.stdout.write(f"{dict(counts)}\n")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
