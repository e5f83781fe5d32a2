"""The cases of specs/vectors/scheduling.json: whose turn a task is, when, and which is taken first (S1 to S7)."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from crdt.order import anchor_of
from crdt.prospect import FOLLOWS_MAX
from crdt.records import TaskRecord
from crdt.view import Status, is_overdue, view
from ledger.cid import Cid
from ledger.events import TaskKey
from ledger.operations import Spec
from scheduler.acting import follows
from scheduler.assignment import Crew, crew_of, due_at, ready_since, take_at
from tests.vectors.board_vector import Json, snapshot_of
from tests.vectors.scenes_time import scheduling
from tests.vectors.world import START_MS, World, key_of

NOW = 60_000


@dataclass(frozen=True, slots=True)
class Case:
    """One peer at one instant; times after START_MS."""

    name: str
    what: str
    rules: tuple[str, ...]
    me: str
    heard: Mapping[str, int]
    first_seen: int = 0
    now: int = NOW


def _cases(lease_ms: int) -> Sequence[Case]:
    heard = {"w1": 11, "w2": 31_500, "w3": 33_000}
    limit = NOW - 2 * lease_ms
    rules = ("S1", "S2", "S3", "S4", "S5")
    return (
        Case("ranks", "all three are heard of", rules, "w1", heard),
        Case("nearest", "the same, as another peer sees it", rules, "w3", heard),
        Case(
            "silent",
            "w2 was last heard of just now enough, w3 a millisecond too early",
            ("S3",),
            "w1",
            heard | {"w2": limit, "w3": limit - 1},
        ),
        Case(
            "self",
            "a peer counts itself as heard of",
            ("S3",),
            "w3",
            {"w1": limit - 1, "w2": limit - 1, "w3": limit - 1},
        ),
        Case(
            "first-seen",
            "this home saw all of them a second ago: every grace begins anew",
            ("S2", "S4", "S5"),
            "w2",
            heard,
            NOW - 1_000,
        ),
        Case("not-eligible", "alice is no worker: nothing is hers to take", ("S6",), "alice", heard),
        Case("labels", "w1 lacks a label that one task requires", ("S3", "S6"), "w1", heard, 0, NOW + 60_000),
    )


def scheduling_vector() -> Json:
    """Return the vector file."""
    world = scheduling().world
    return {
        "what": "What a peer makes of boards/scheduling.json. `ready_at` null: not ready; `rank` null: not eligible.",
        "rules": [f"S{n}" for n in range(1, 8)],
        "board": "boards/scheduling.json",
        "cases": [_case(world, case) for case in _cases(world.policy.lease_ms)],
        "follows": _follows(),
    }


def _case(world: World, case: Case) -> Json:
    snapshot = snapshot_of(world)
    now, me = START_MS + case.now, key_of(case.me).actor
    heard = {key_of(name).actor: START_MS + at for name, at in case.heard.items()}
    crew = crew_of(snapshot.roster, snapshot.active_workers, heard, me, world.policy, now)
    tasks: list[Json] = []
    delayed: list[tuple[int, TaskKey]] = []
    ready: list[tuple[int, TaskKey]] = []
    for key in sorted(snapshot.tasks):
        task = snapshot.tasks[key]
        seen = view(task, snapshot.tasks.get, world.policy, now)
        if seen.status is not Status.READY:
            continue
        ready_at = ready_since(seen, START_MS + case.first_seen)
        assert ready_at is not None
        due, rank = due_at(ready_at, task.priority, world.policy), crew.rank_of(me, task)
        at = None if rank is None else take_at(ready_at, rank, world.policy, overdue=is_overdue(task))
        tasks.append(
            _turn(world, crew, key, snapshot.tasks[key].submits[0])
            | {"ready_at": ready_at, "due": due, "rank": rank, "take_at": at}
        )
        if at is not None and at > now:
            delayed.append((at, key))
        elif at is not None:
            ready.append((due + at - ready_at, key))
        assert [c.actor for c in crew.ranking(task)].count(me) == (rank is not None)
    names = world.task_names
    return {
        "name": case.name,
        "what": case.what,
        "rules": list(case.rules),
        "now": now,
        "me": case.me,
        "heard": {name: START_MS + at for name, at in case.heard.items()},
        "first_seen": START_MS + case.first_seen,
        "tasks": tasks,
        "delayed": [names[key] for _, key in sorted(delayed)],
        "ready": [names[key] for _, key in sorted(ready)],
    }


def _turn(world: World, crew: Crew, key: TaskKey, submit: Cid) -> Json:
    task = snapshot_of(world).tasks[key]
    return {
        "task": world.task_names[key],
        "anchor": anchor_of(submit, key).to_bytes(32).hex(),
        "ranking": [[world.actor_name(peer.actor), peer.distance] for peer in crew.ranking(task)],
    }


def _follows() -> list[Json]:
    """S7 on invented heads: what an honest operation follows."""
    cids = [Cid.of(hashlib.sha256(bytes([n])).digest()) for n in range(FOLLOWS_MAX + 3)]
    submit, claim, *others = cids  # 65 others
    cases = (
        ("few heads: all of them", others[:3], None),
        ("as many as an operation follows, on a claim: all of them", cids[:FOLLOWS_MAX], claim),
        ("one more, of a cancel or a prioritize: the least submit", others, None),
        ("the same, of an operation on a claim: that claim and the least submit", others, claim),
    )
    return [
        {
            "what": what,
            "least_submit": str(submit),
            "heads": [str(head) for head in heads],
            "acts_on": None if on is None else str(on),
            "follows": sorted(str(cid) for cid in follows(_task(submit, heads), on)),
        }
        for what, heads, on in cases
    ]


def _task(submit: Cid, heads: Sequence[Cid]) -> TaskRecord:
    """Return an invented task with these heads."""
    key, spec = TaskKey(bytes(32)), Spec("t", "w", "n", ())
    return TaskRecord(key, key_of("alice").actor, spec, (submit,), 0, 0, 5, (), (), (), 0, tuple(heads))
