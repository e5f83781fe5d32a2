"""Run seeds of the simulator: `python -m tests.simulator --seed N --count M`."""

from __future__ import annotations

import argparse
import sys
from collections import Counter

from crdt.slow import reduce
from tests.simulator.replica import LawBrokenError
from tests.simulator.simulation import Simulation

DEFAULT_STEPS = 140


def command(seed: int, steps: int) -> str:
    """Return the command that runs one seed again."""
    return f"python -m tests.simulator --seed {seed} --count 1 --steps {steps}"


def main() -> int:
    """Run `count` seeds from `seed`; print the command of each that breaks a law, and what was seen in all."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulator")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--count", type=int, default=40)
    parser.add_argument("--steps", type=int, default=DEFAULT_STEPS)
    asked = parser.parse_args()
    broken, seen, ended, rules = 0, Counter[str](), Counter[str](), Counter[str]()
    for seed in range(asked.seed, asked.seed + asked.count):
        try:
            outcome = Simulation(seed, reduce).run(asked.steps)
        except LawBrokenError as error:
            broken += 1
            sys.stdout.write(f"{error}\n  {command(seed, asked.steps)}\n")
            continue
        seen.update(
            events=outcome.events, superseded=outcome.superseded, stable=outcome.stable, provable=outcome.provable
        )
        ended += outcome.ended
        rules += outcome.rules
    sys.stdout.write(f"{asked.count} seeds, {broken} broken a law\n{dict(seen)}\n{dict(ended)}\n{dict(rules)}\n")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
