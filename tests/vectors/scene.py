"""What a scene is: a small ledger told event by event, with what its author expects of it.

Beside each operation without effect stands the rule it is to break, beside each task the status it is to have: worked
out by hand from specs/, so that a vector is a claim about the rules and not an echo of the reducer.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from crdt.order import anchor_of, distance
from ledger.cid import Cid
from ledger.events import TaskKey
from tests.vectors.world import World, key_of


@dataclass(frozen=True, slots=True)
class Scene:
    """A finished ledger: what it shows, and the statuses its author expects at times after START_MS.

    A status is a word, or ("held", name of the claim's event).
    """

    name: str
    what: str
    rules: tuple[str, ...]
    world: World
    views: Mapping[int, Mapping[str, str | tuple[str, str]]]
    results: Mapping[str, str] = field(default_factory=dict)
    """Task to the event that holds its result."""
    tainted: tuple[str, ...] = ()
    """Tasks whose result rests on an input that no longer counts (D7)."""


def nearer(task: TaskKey, submit: Cid, *names: str) -> list[str]:
    """Return the names, the nearest to the task first."""
    anchor = anchor_of(submit, task)
    return sorted(names, key=lambda name: distance(key_of(name).actor, anchor))


def crew(world: World, *, labels: tuple[str, ...] = ()) -> None:
    """Admit alice to submit, w1 and w2 to work."""
    world.admit("grant-alice", "alice", at=1, roles=("submitter",))
    world.admit("grant-workers", "w1", "w2", at=2, labels=labels)
