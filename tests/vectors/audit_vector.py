"""audit.json: ledgers with the findings that an auditor must report; manifests with what of them is proven false."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Final

from crdt.state_root import REDUCER_VERSION
from ledger.cid import Cid
from ledger.events import TaskKey
from ledger.gateway_walk import Walk
from ledger.keys import ActorKey
from ledger.manifest import Manifest, SegmentEntry, decode_manifest, sign_manifest
from ledger.segments import Packer, section
from ledger.spool import Spool
from scheduler.audit import Audit, judge
from scheduler.audit_sources import Collected, FoundManifest
from tests.vectors.board_vector import Json, names_of, snapshot_of
from tests.vectors.boards import SCENES
from tests.vectors.scene import crew, nearer
from tests.vectors.world import ACTOR_NAMES, MINUTE_MS, START_MS, World, claim_op, key_of, on_task, spec_of

_STANDINGS: Final = ("life", "partition", "fences")
"""Boards whose standings (J4) are told, too."""


def audit_vector() -> Json:
    """Return the vector file; AssertionError where the auditor disagrees with the author of a ledger."""
    return {
        "what": "Ledgers, and what an auditor finds in them; manifests over one, and which of their claims are false.",
        "rules": ["J1", "J2", "J3", "J4", "J5"],
        "ledgers": [_ledger(*make()) for make in (_behaved, _misbehaved)],
        "standings": [_standing(name) for name in _STANDINGS],
        "manifests": _manifests(),
    }


# ---- judging


def judged(genesis: bytes, events: Iterable[bytes], manifests: Iterable[tuple[bytes, Iterable[Cid]]] = ()) -> Audit:
    """Judge blocks that are at hand, and manifests with the events that their segments hold."""
    with Spool() as blocks:
        ledger = Cid.of(genesis)
        for block in (genesis, *events):
            blocks.put(Cid.of(block), block)
        found = [
            FoundManifest(Cid.of(block), decode_manifest(block), [], packed=set(packed)) for block, packed in manifests
        ]
        return judge(Collected(ledger, blocks, Walk((), blocks), (), found, [], [], frozenset()))


def findings_told(audit: Audit, names: Mapping[Cid, str], tasks: Mapping[TaskKey, str]) -> list[Json]:
    """Return findings as the vector has them, in the linear order of their events."""
    return [
        {
            "rule": one.rule,
            "event": names[one.event],
            "task": None if one.task is None else tasks[one.task],
            "about": [names[cid] for cid in one.about],
        }
        for one in audit.findings.kept
    ]


def standing_told(audit: Audit, names: Mapping[Cid, str], actors: Mapping[ActorKey, str]) -> Json:
    """Return what J4 tells beside findings, as the vector has it."""
    board = audit.replay.board
    records = sorted(audit.records(), key=lambda one: one.key)
    results = [record.result for record in records if record.result is not None]
    return {
        "fenced": [names[cid] for cid in audit.fenced()],
        "superseded": sorted(names[done.cid] for record in records for done in record.completions[1:]),
        "tentative": sorted(names[result.cid] for result in results if not board.is_stable(result.cid)),
        "tainted": sorted(names[result.cid] for result in results if _is_tainted(audit, result.cid)),
        "authorities": [
            {
                "actor": actors[one.actor],
                "grant": names[one.grant],
                "granted_by": None if one.granted_by is None else actors[one.granted_by],
                "revoked_by": [names[cid] for cid, _ in one.revoked_by],
                "events": one.events,
            }
            for one in audit.authorities
        ],
    }


def _is_tainted(audit: Audit, result: Cid) -> bool:
    board, tainted = audit.replay.board, audit.tainted()
    return any(
        record.result is not None and record.result.cid == result and record.key in tainted
        for record in map(board.record_of, board.store.tasks())
        if record is not None
    )


# ---- ledgers


def _behaved() -> tuple[str, str, World, list[tuple[str, str]]]:
    """Everything that is near a finding and is none."""
    world, task, near, far = _start("audit behaved")
    submit = world.cid("ask")
    world.say(
        "claim-near", near, f"{near} is of rank 0 and claims at once", claim_op(task, [submit]), at=100, after=[submit]
    )
    world.say(
        "claim-far",
        far,
        f"{far} has not seen it, and has waited a grace",
        claim_op(task, [submit]),
        at=2_100,
        after=[submit],
    )
    world.say(
        "done-near",
        near,
        f"{near} completes, without having seen the other claim",
        on_task("complete", task, [world.cid("claim-near")], claim=world.cid("claim-near")),
        at=2_200,
        after=[world.cid("claim-near")],
    )
    world.say(
        "done-far",
        far,
        f"{far} completes, without having seen the other completion",
        on_task("complete", task, [world.cid("claim-far")], claim=world.cid("claim-far")),
        at=2_300,
        after=[world.cid("claim-far")],
    )
    world.say("merge", near, f"{near} has seen both", at=3_000)
    return "behaved", "Claims in turn and apart, completions apart, a merge: nothing is found.", world, []


def _misbehaved() -> tuple[str, str, World, list[tuple[str, str]]]:
    """One of each finding, each beside what would have been in order."""
    world, task, near, far = _start("audit misbehaved")
    submit = world.cid("ask")
    world.say("early", far, f"{far} is of rank 1 and claims a ms too early", claim_op(task, [submit]), at=2_099)
    late = 2_099 + 2 * MINUTE_MS
    early = world.cid("early")
    world.say("second", near, f"{near} claims when that lease is over", claim_op(task, [early]), at=late)
    second = world.cid("second")
    world.say("done", near, f"{near} completes", on_task("complete", task, [second], claim=second), at=late + 1)
    world.say(
        "hidden",
        far,
        f"{far} has seen the result, and completes its own claim as if it had not",
        on_task("complete", task, [early], claim=early),
        at=late + 2,
    )
    before = [world.cid("ask")]
    world.say("fork", "alice", "alice, who had not said anything since", at=late + 3, after=before)
    world.say("fork-two", "alice", "alice again, in another place", at=late + 4, after=before)
    expected = [("J3", "early"), ("J2", "hidden"), ("J1", max("fork", "fork-two", key=world.cid))]
    return "misbehaved", "A claim out of turn, a completion that hides a result, a key in two places.", world, expected


def _start(title: str) -> tuple[World, TaskKey, str, str]:
    """Return a ledger where both workers have joined and one task is asked for, and who is nearer to it."""
    world = World(title)
    crew(world)
    for number, worker in enumerate(("w1", "w2")):
        world.say(f"join-{worker}", worker, f"{worker} joins", {"op": "join", "labels": []}, at=3 + number)
    task = world.submit("ask", "alice", spec_of("contested"), at=100)
    near, far = nearer(task, world.cid("ask"), "w1", "w2")
    return world, task, near, far


def _ledger(name: str, what: str, world: World, expected: list[tuple[str, str]]) -> Json:
    audit = judged(world.genesis.encode(), [said.block for said in world.events()])
    names = names_of(world)
    findings = findings_told(audit, names.events, names.tasks)
    assert sorted((str(one["rule"]), str(one["event"])) for one in findings) == sorted(expected), findings
    assert not audit.refused
    return {
        "name": name,
        "what": what,
        "ledger": str(world.ledger),
        "genesis": world.genesis.encode().hex(),
        "events": [
            {"name": said.name, "what": said.words, "cid": str(said.cid), "block": said.block.hex()}
            for said in world.events()
        ],
        "tasks": {task: key.hex() for key, task in world.task_names.items()},
        "findings": findings,
    }


def _standing(name: str) -> Json:
    world = next(scene for scene in (make() for make in SCENES) if scene.name == name).world
    audit = judged(world.genesis.encode(), [said.block for said in world.events()])
    names = names_of(world)
    return {"board": f"boards/{name}.json"} | standing_told(audit, names.events, ACTOR_NAMES)


# ---- manifests


def _manifests() -> Json:
    _, _, world, _ = _behaved()
    whole = [said.cid for said in world.events()]
    early = [cid for cid in whole if world.verified[cid].event.time < START_MS + 2_000]
    publisher = "w1"
    late = START_MS + 10 * MINUTE_MS
    true, part = _manifest(world, whole, late), _manifest(world, early, START_MS + 2_500)
    cases: tuple[tuple[str, str, Manifest, list[Cid], list[str]], ...] = (
        ("true", "all of it is as it says", true, whole, []),
        ("older", "made before the rest: behind, and no lie", part, early, []),
        ("miscounted", "another number of events", replace(true, events=true.events - 1), whole, ["events"]),
        ("other root", "another state root", replace(true, state_root=bytes(32)), whole, ["state root"]),
        ("left out", "its segments lack an event that its heads reach", true, whole[1:], ["left out"]),
        (
            "not heads",
            "a head that another one reaches",
            replace(true, heads=tuple(sorted((*true.heads, whole[3])))),
            whole,
            ["heads"],
        ),
        (
            "withheld",
            "later than its publisher's own events, which it leaves out",
            replace(part, time=late),
            early,
            ["withheld"],
        ),
    )
    told = []
    for name, what, manifest, packed, lies in cases:
        block = sign_manifest(key_of(publisher), manifest)
        [verdict] = judged(world.genesis.encode(), [said.block for said in world.events()], [(block, packed)]).manifests
        assert [str(lie.kind) for lie in verdict.lies] == lies, (name, verdict.lies)
        told.append(
            {
                "name": name,
                "what": what,
                "block": block.hex(),
                "packed": names_of(world).of(packed),
                "lies": lies,
                "behind": verdict.behind,
            }
        )
    return {"ledger": "behaved", "publisher": publisher, "cases": told}


def _manifest(world: World, cids: list[Cid], time: int) -> Manifest:
    part = World(world.title, world.policy, world.owners)
    part.verified = {cid: world.verified[cid] for cid in cids}
    board = snapshot_of(part)
    packer = Packer(world.ledger, world.genesis.encode())
    for cid in cids:
        packer.add(section(cid, world.verified[cid].block))
    segment = packer.open_segment()
    entry = SegmentEntry(segment.cid, segment.events, len(segment.data))
    return Manifest(
        world.ledger, key_of("w1").actor, time, board.heads, len(cids), REDUCER_VERSION, board.state_root, (entry,)
    )
