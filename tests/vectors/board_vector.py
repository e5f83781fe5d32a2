"""A board vector: the events of a scene in several orders of arrival, and what the slow reducer makes of them.

Every expectation of the scene's author is checked here against the reducer before it is written. Events stand by the
names the scene gives them, actors by the names of specs/vectors/keys.json.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from crdt.clock import clock_root
from crdt.records import ClaimRecord, Member, Presence, Snapshot, TaskRecord
from crdt.slow import reduce
from crdt.state_root import leaf_hash, roster_hash
from crdt.view import view
from ledger.cid import Cid
from ledger.events import TaskKey
from tests.vectors.scene import Scene
from tests.vectors.world import ACTOR_NAMES, START_MS, World

Json = dict[str, object]


@dataclass(frozen=True, slots=True)
class Names:
    """Texts for what a board names."""

    events: Mapping[Cid, str]
    tasks: Mapping[TaskKey, str]

    def of(self, cids: Iterable[Cid]) -> list[str]:
        """Return the names of events, in the order given."""
        return [self.events[cid] for cid in cids]


def names_of(world: World) -> Names:
    """Return the names that a scene gives to its events and tasks."""
    events = {said.cid: said.name for said in world.events()} | {world.ledger: "genesis"}
    return Names(events, world.task_names)


def snapshot_of(world: World) -> Snapshot:
    """Return the board of everything said."""
    return reduce(world.ledger, world.genesis, world.verified.values())


def board_vector(scene: Scene) -> Json:
    """Return the vector of a scene; AssertionError where the reducer disagrees with the scene's author."""
    world, snapshot = scene.world, snapshot_of(scene.world)
    names = names_of(world)
    _check(scene, snapshot, names)
    events = world.events()
    return {
        "what": scene.what,
        "rules": list(scene.rules),
        "ledger": str(world.ledger),
        "genesis": world.genesis.encode().hex(),
        "events": [
            {"name": said.name, "what": said.words, "cid": str(said.cid), "block": said.block.hex()} for said in events
        ],
        "orders": _orders(scene.name, len(events)),
        "expect": _expectation(scene, snapshot, names),
    }


def _orders(title: str, count: int) -> list[list[int]]:
    """Orders of arrival as indices into the events: backwards, two shuffles, one with each event twice."""
    chance = random.Random(title)
    orders = [list(reversed(range(count)))]
    orders += [chance.sample(range(count), count) for _ in range(2)]
    return [*orders, [*range(0, count, 2), *range(count)]]


def _expectation(scene: Scene, snapshot: Snapshot, names: Names) -> Json:
    views = [
        {
            "now": START_MS + at,
            "status": {task: status if isinstance(status, str) else status[0] for task, status in found.items()},
            "holder": {task: status[1] for task, status in found.items() if not isinstance(status, str)},
        }
        for at, found in scene.views.items()
    ]
    return told(snapshot, names) | {"views": views, "tainted": list(scene.tainted)}


def told(snapshot: Snapshot, names: Names) -> Json:
    """Return what a snapshot says, in the form of the vectors. Events come in the order that `names` has them in."""
    order = {cid: place for place, cid in enumerate(names.events)}
    ignored = sorted(snapshot.ignored, key=lambda entry: (order[entry.event], entry.index))
    events = [cid for cid in names.events if cid != snapshot.ledger]
    return {
        "heads": names.of(snapshot.heads),
        "clock_root": clock_root(snapshot.heads).hex(),
        "vector": {ACTOR_NAMES[who]: count for who, count in sorted(snapshot.vector.items())},
        "counts_not": names.of(cid for cid in events if cid not in snapshot.counts),
        "outside_log": names.of(cid for cid in events if cid not in snapshot.log),
        "ignored": [{"event": names.events[it.event], "index": it.index, "rule": it.rule} for it in ignored],
        "active_workers": [ACTOR_NAMES[who] for who in sorted(snapshot.active_workers)],
        "seen_by": {
            names.events[cid]: [ACTOR_NAMES[who] for who in sorted(snapshot.seen_by[cid])]
            for cid in events
            if snapshot.seen_by.get(cid)
        },
        "members": [_member(member, names) for member in snapshot.roster.members],
        "presences": [_presence(presence, names) for presence in snapshot.roster.presences],
        "tasks": [_task(snapshot.tasks[key], names) for key in sorted(snapshot.tasks)],
        "roster_hash": roster_hash(snapshot.roster).hex(),
        "state_root": snapshot.state_root.hex(),
    }


def _member(member: Member, names: Names) -> Json:
    return {
        "actor": ACTOR_NAMES[member.actor],
        "grant": names.events[member.grant],
        "roles": list(member.roles),
        "labels": list(member.labels),
        "name": member.name,
        "revoked_by": names.of(member.revoked_by),
    }


def _presence(presence: Presence, names: Names) -> Json:
    return {
        "actor": ACTOR_NAMES[presence.actor],
        "joined": presence.joined,
        "labels": list(presence.labels),
        "slots": presence.slots,
        "event": names.events[presence.cid],
        "grant": names.events[presence.grant],
    }


def _task(task: TaskRecord, names: Names) -> Json:
    return {
        "task": names.tasks[task.key],
        "key": task.key.hex(),
        "submits": names.of(task.submits),
        "priority": task.priority,
        "created_at": task.created_at,
        "claims": [_claim(claim, names) for claim in task.claims],
        "completions": [
            {"distance": done.distance, "claim": names.events[done.claim], "event": names.events[done.cid]}
            for done in task.completions
        ],
        "cancels": names.of(task.cancels),
        "base": task.base,
        "leaf": leaf_hash(task).hex(),
        "heads": names.of(task.heads),
    }


def _claim(claim: ClaimRecord, names: Names) -> Json:
    return {
        "event": names.events[claim.cid],
        "actor": ACTOR_NAMES[claim.actor],
        "attempt": claim.attempt,
        "distance": claim.distance,
        "until": claim.until,
        "end": 2 if claim.failed_at else int(claim.released),
        "failed_at": claim.failed_at,
    }


def _check(scene: Scene, snapshot: Snapshot, names: Names) -> None:
    """Compare what the scene's author expects with what the reducer says."""
    world = scene.world
    ignored = {(names.events[entry.event], entry.index, entry.rule) for entry in snapshot.ignored}
    expected = {(said.name, index, rule) for said in world.said.values() for index, rule in said.breaks.items()}
    assert ignored == expected, f"{scene.name}: {sorted(ignored ^ expected)}"
    keys = {name: key for key, name in world.task_names.items()}
    for at, found in scene.views.items():
        for task, status in found.items():
            seen = view(snapshot.tasks[keys[task]], snapshot.tasks.get, world.policy, START_MS + at)
            said = ("held", names.events[seen.holder.cid]) if seen.holder else str(seen.status)
            assert said == status, f"{scene.name}: {task} at {at} is {said}, not {status}"
    results = {
        world.task_names[key]: names.events[task.result.cid] for key, task in snapshot.tasks.items() if task.result
    }
    assert results == dict(scene.results), f"{scene.name}: results {results}"
    tainted = {
        world.task_names[key]
        for key, task in snapshot.tasks.items()
        if task.result and not snapshot.counts.issuperset(task.result.inputs)
    }
    assert tainted == set(scene.tainted), f"{scene.name}: tainted {tainted}"
