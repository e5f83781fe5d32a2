"""A board vector: the events of a scene in several orders of arrival, and what the slow reducer makes of them.

Every expectation of the scene's author is checked here against the reducer before it is written. Events stand by the
names the scene gives them, actors by the names of specs/vectors/keys.json.
"""

from __future__ import annotations

import random

from crdt.clock import clock_root
from crdt.records import ClaimRecord, Member, Presence, Snapshot, TaskRecord
from crdt.slow import reduce
from crdt.state_root import leaf_hash, roster_hash
from crdt.view import view
from ledger.cid import Cid
from tests.vectors.boards import Scene
from tests.vectors.world import START_MS, World

Json = dict[str, object]


class Names:
    """Texts for what a board names."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.events: dict[Cid, str] = {said.cid: said.name for said in world.said.values()} | {world.ledger: "genesis"}

    def of(self, cids: tuple[Cid, ...] | frozenset[Cid]) -> list[str]:
        """Return the names of events, in the order of their CIDs where they come as a set."""
        return [self.events[cid] for cid in (sorted(cids) if isinstance(cids, frozenset) else cids)]


def snapshot_of(world: World) -> Snapshot:
    """Return the board of everything said."""
    return reduce(world.ledger, world.genesis, world.verified.values())


def board_vector(scene: Scene) -> Json:
    """Return the vector of a scene; AssertionError where the reducer disagrees with the scene's author."""
    world, snapshot = scene.world, snapshot_of(scene.world)
    names = Names(world)
    _check(scene, snapshot, names)
    told = world.events()
    return {
        "what": scene.what,
        "rules": list(scene.rules),
        "ledger": str(world.ledger),
        "genesis": world.genesis.encode().hex(),
        "events": [
            {"name": said.name, "what": said.words, "cid": str(said.cid), "block": said.block.hex()} for said in told
        ],
        "orders": _orders(scene.name, len(told)),
        "expect": _expectation(scene, snapshot, names),
    }


def _orders(title: str, count: int) -> list[list[int]]:
    """Orders of arrival as indices into the events: backwards, two shuffles, one with each event twice."""
    chance = random.Random(title)
    orders = [list(reversed(range(count)))]
    orders += [chance.sample(range(count), count) for _ in range(2)]
    return [*orders, [*range(0, count, 2), *range(count)]]


def _expectation(scene: Scene, snapshot: Snapshot, names: Names) -> Json:
    world = scene.world
    actor = world.actor_name
    return {
        "heads": names.of(snapshot.heads),
        "clock_root": clock_root(snapshot.heads).hex(),
        "vector": {actor(who): count for who, count in sorted(snapshot.vector.items())},
        "counts_not": names.of(frozenset(snapshot.log | world.verified.keys()) - snapshot.counts),
        "outside_log": names.of(frozenset(world.verified) - snapshot.log),
        "ignored": [
            {"event": said.name, "index": index, "rule": rule}
            for said in world.events()
            for index, rule in sorted(said.breaks.items())
        ],
        "active_workers": [actor(who) for who in sorted(snapshot.active_workers)],
        "seen_by": {
            said.name: [actor(who) for who in sorted(snapshot.seen_by[said.cid])]
            for said in world.events()
            if snapshot.seen_by.get(said.cid)
        },
        "members": [_member(member, names) for member in snapshot.roster.members],
        "presences": [_presence(presence, names) for presence in snapshot.roster.presences],
        "tasks": [_task(snapshot.tasks[key], names) for key in sorted(snapshot.tasks)],
        "roster_hash": roster_hash(snapshot.roster).hex(),
        "state_root": snapshot.state_root.hex(),
        "views": [
            {
                "now": START_MS + at,
                "status": {task: status if isinstance(status, str) else status[0] for task, status in found.items()},
                "holder": {task: status[1] for task, status in found.items() if not isinstance(status, str)},
            }
            for at, found in scene.views.items()
        ],
        "tainted": list(scene.tainted),
    }


def _member(member: Member, names: Names) -> Json:
    return {
        "actor": names.world.actor_name(member.actor),
        "grant": names.events[member.grant],
        "roles": list(member.roles),
        "labels": list(member.labels),
        "name": member.name,
        "revoked_by": names.of(member.revoked_by),
    }


def _presence(presence: Presence, names: Names) -> Json:
    return {
        "actor": names.world.actor_name(presence.actor),
        "joined": presence.joined,
        "labels": list(presence.labels),
        "slots": presence.slots,
        "event": names.events[presence.cid],
        "grant": names.events[presence.grant],
    }


def _task(task: TaskRecord, names: Names) -> Json:
    return {
        "task": names.world.task_names[task.key],
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
        "actor": names.world.actor_name(claim.actor),
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
