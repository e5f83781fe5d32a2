"""The simulator's quick part: fifty seeds. More by hand: `python -m tests.simulator --seed N --count M`."""

from __future__ import annotations

import pytest

from crdt.slow import reduce
from tests.simulator.__main__ import DEFAULT_STEPS, command, telling
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
    with telling(seed, DEFAULT_STEPS, option):
        outcome = Simulation(seed, reducer).run(DEFAULT_STEPS)
        assert outcome.events > DEFAULT_STEPS // 4
        assert outcome.ended["done"]


def test_a_seed_is_a_whole_run() -> None:
    """The same seed is the same run, so that a failure can be seen again."""
    with telling(7, DEFAULT_STEPS):
        one, two = (Simulation(7, reduce) for _ in range(2))
        assert one.run(DEFAULT_STEPS) == two.run(DEFAULT_STEPS)
        assert list(one.world.events) == list(two.world.events)


@pytest.mark.parametrize("error", [LawBrokenError("a law"), AssertionError("an assertion"), KeyError("a defect")])
def test_whatever_a_seed_raises_its_command_stands_below(error: Exception) -> None:
    """A failure of any kind comes with the command that shows it again."""
    with pytest.raises(type(error)) as caught, telling(5, 9, "--fast"):
        raise error
    assert caught.value.__notes__ == [command(5, 9, "--fast")]
    assert command(5, 9, "--fast") == "python -m tests.simulator --fast --seed 5 --count 1 --steps 9"
