"""The simulator's real homes, fifteen seeds. More by hand: `python -m tests.simulator --homes --seed N --count M`."""

from __future__ import annotations

import pytest

from tests.simulator.__main__ import telling
from tests.simulator.homes import HOMES_STEPS, Outcome, homes_run


def run(seed: int) -> Outcome:
    """Return what a seed came to."""
    with homes_run(seed) as simulation:
        return simulation.run(HOMES_STEPS)


@pytest.mark.parametrize("seed", range(15))
def test_every_law_holds_among_real_homes(seed: int) -> None:
    """Homes agree with the slow reducer, lose nothing acknowledged, are never stuck, and say nothing vain."""
    with telling(seed, HOMES_STEPS, "--homes"):
        outcome = run(seed)
        assert outcome.seen["events"] > HOMES_STEPS // 4
        assert outcome.ended["done"]


def test_a_seed_is_a_whole_run_of_homes() -> None:
    """The same seed is the same run, so that a failure can be seen again."""
    with telling(3, HOMES_STEPS, "--homes"):
        assert run(3) == run(3)
