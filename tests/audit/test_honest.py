"""An honest run yields no findings: whatever the network, the clocks and the hostile did to the honest."""

from __future__ import annotations

from collections import Counter

import pytest

from tests.audit.judging import findings_of, rules_of
from tests.simulator.__main__ import DEFAULT_STEPS, command
from tests.simulator.judgement import PARENTS_MAX
from tests.simulator.simulation import Simulation
from tests.support.fast import reduce_fast

SEEDS = range(900, 912)


@pytest.mark.parametrize("seed", SEEDS)
def test_nothing_is_found_of_honest_members(seed: int) -> None:
    """Of who follows what it has seen, claims in turn and uses a key in one place, nothing is found."""
    simulation = Simulation(seed, reduce_fast)
    simulation.run(DEFAULT_STEPS)
    findings = findings_of(simulation.world, parents_max=PARENTS_MAX)
    honest = {peer.actor for peer in simulation.honest}
    wrong = [finding for finding in findings.kept if finding.actor in honest]
    assert not wrong, command(seed, DEFAULT_STEPS, "--fast")


def test_the_hostile_are_found_under_every_rule() -> None:
    """Over a few runs the adversaries fork their keys, hide what they saw, and claim out of turn; all three show."""
    found: Counter[str] = Counter()
    for seed in SEEDS[:4]:
        simulation = Simulation(seed, reduce_fast)
        simulation.run(DEFAULT_STEPS)
        findings = findings_of(simulation.world, parents_max=PARENTS_MAX)
        for rogue in simulation.rogues:
            found.update(rules_of(findings, rogue.key.actor))
    assert found.keys() == {"J1", "J2", "J3"}
