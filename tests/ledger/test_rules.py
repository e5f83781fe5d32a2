"""Rules of the exchange, one small directed world each: what the vectors do not show of them."""

from __future__ import annotations

from pathlib import Path

from ledger.cid import Cid
from ledger.exchange import SAMPLES_PER_HEIGHT, Frontier, frontier_of
from tests.ledger.world import Home, World


def test_x6_samples_go_down_by_powers_of_two(tmp_path: Path) -> None:
    """X6: a frontier has the heads, and from 1, 2, 4, 8 ... below the top of each height the eight least CIDs."""
    world = World()
    by_height: list[list[Cid]] = [[world.ledger]]
    for height in range(1, 22):
        width = 12 if height == 17 else 1
        parent = by_height[-1][0]
        by_height.append(
            [world.add(world.event(parents=[parent], ops=[{"op": "n", "n": n}])) for n in range(width)],
        )
    home = Home(tmp_path / "a", world)
    home.offer(world.blocks)
    frontier = frontier_of(home.replica)
    samples = [cid for below in (1, 2, 4, 8, 16) for cid in sorted(by_height[21 - below])[:SAMPLES_PER_HEIGHT]]
    assert frontier == Frontier(world.ledger, home.heads_kept(), tuple(samples))
    assert len(samples) == 4 + SAMPLES_PER_HEIGHT
