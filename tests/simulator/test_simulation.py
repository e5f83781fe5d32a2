"""The simulator's quick part: fifty seeds. More by hand: `python -m tests.simulator --seed N --count M`."""

from __future__ import annotations

import pytest

from crdt.slow import reduce
from tests.simulator.__main__ import DEFAULT_STEPS, command
from tests.simulator.replica import LawBrokenError, Reducer
from tests.simulator.simulation import Simulation
from tests.support.fast import reduce_fast

RUNS = [
    *(pytest.param(seed, reduce, "", id=f"slow-{seed}") for seed in range(40)),
    *(pytest.param(seed, reduce_fast, "--fast", id=f"fast-{seed}") for seed in range(40, 50)),
]
"""Seeds, each under the slow reducer or the one in use, with the option that chooses it."""


@pytest.mark.parametrize(("seed", "reducer", "option"), RUNS)
def test_every_law_holds_in_a_hostile_run(seed: int, reducer: Reducer, option: str) -> None:
    """Boards agree, no task is stuck, no honest operation is vain, no honest work undone, stable results stay."""
    try:
        outcome = Simulation(seed, reducer).run(DEFAULT_STEPS)
    except LawBrokenError as error:
        pytest.fail(f"{error}\n  {command(seed, DEFAULT_STEPS, option)}")
    assert outcome.events > DEFAULT_STEPS // 4
    assert outcome.ended["done"]


def test_a_seed_is_a_whole_run() -> None:
    """The same seed is the same run, so that a failure can be seen again."""
    one, two = (Simulation(7, reduce) for _ in range(2))
    assert one.run(DEFAULT_STEPS) == two.run(DEFAULT_STEPS)
    assert list(one.world.events) == list(two.world.events)
