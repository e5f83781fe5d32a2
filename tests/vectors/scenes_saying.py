"""Boards on saying things at all: a whole life of a task, operations that mean nothing, who may say what."""

from __future__ import annotations

from ledger.cid import Cid
from ledger.events import TaskKey
from tests.vectors.scene import Scene, crew
from tests.vectors.world import MINUTE_MS, START_MS, OpMap, World, claim_op, key_of, on_task, spec_of, submit_op


def life() -> Scene:
    """One task from submit to result, and who has seen it."""
    w = World("life")
    crew(w, labels=("linux", "python"))
    for at, name in ((10, "w1"), (11, "w2")):
        w.say(f"join-{name}", name, f"{name} joins", {"op": "join", "labels": ["linux"], "slots": 2}, at=at)
    payload: dict[str, object] = {"media_type": "text/plain", "data": b"make test"}
    task = w.submit("T", "alice", spec_of("build", payload=payload, requires=["linux"]), at=20, priority=7)  # type: ignore[arg-type]  # a map of values
    c = w.say("claim", "w1", "w1 takes T for a minute", claim_op(task, w.cids("T")), at=1_000)
    r = w.say(
        "renew",
        "w1",
        "w1 is at half",
        on_task("renew", task, [c], claim=c, lease_ms=MINUTE_MS, progress="50 %"),
        at=30_000,
    )
    done = on_task(
        "complete",
        task,
        [r],
        claim=c,
        output={"media_type": "text/plain", "data": b"ok"},
        report={"exit_code": 0, "duration_ms": 40_000},
    )
    w.say("complete", "w1", "w1 is done", done, at=41_000)
    w.say("witness", "w2", "w2 says no more than that it has seen it", at=42_000)
    w.submit("U", "alice", spec_of("deploy", needs=[task]), at=43_000)
    return Scene(
        "life",
        "One task from submit to result. The witness makes the completion stable; U, which nobody has seen, is not.",
        ("P", "D1", "D8", "C1", "C2", "C3", "C4", "C6", "C7", "R3", "R5", "R6"),
        w,
        {43_000: {"T": "done", "U": "ready"}},
        {"T": "complete"},
    )


def operations() -> Scene:
    """Operations that mean nothing, and how the task's DAG goes on through them."""
    w = World("operations")
    crew(w)
    task = w.submit("T", "alice", spec_of("build"), at=20)
    unknown = w.say(
        "bookmark",
        "alice",
        "an operation of a later version, on T",
        on_task("bookmark", task, w.cids("T")),
        at=30,
        breaks="M1",
    )
    w.say("greet", "alice", "an unknown operation on no task", {"op": "greet"}, at=31, breaks="M1")
    claim = {**claim_op(task, [unknown]), "mood": "an unknown field means nothing"}
    c = w.say("claim", "w1", "follows T through the unknown operation", claim, at=40)
    bad = w.say(
        "bad-renew", "w1", "a lease of 0 ms", on_task("renew", task, [c], claim=c, lease_ms=0), at=50, breaks="M2"
    )
    w.say(
        "malformed",
        "owner",
        "each malformed in its own way",
        *_malformed(),
        at=60,
        breaks=dict.fromkeys(range(18), "M2"),
    )
    w.say(
        "complete",
        "w1",
        "follows the claim through the malformed one",
        on_task("complete", task, [bad], claim=c),
        at=70,
    )
    other = spec_of("other")
    w.task_names[w.key("alice", other)] = "U"
    w.say(
        "U",
        "alice",
        "the same request twice",
        submit_op(other, 5, START_MS),
        submit_op(other, 9, 1),
        at=80,
        breaks={1: "M3"},
    )
    u = w.key("alice", other)
    w.say(
        "two-priorities",
        "alice",
        "the malformed one is the first on U, so the second has no effect either",
        on_task("prioritize", u, w.cids("U"), priority=11),
        on_task("prioritize", u, w.cids("U"), priority=8),
        at=81,
        breaks={0: "M2", 1: "M3"},
    )
    bob, gone = key_of("bob").actor, key_of("stranger").actor
    grant = w.cid("grant-alice")
    w.say(
        "twice",
        "owner",
        "two admits of one actor, two revokes of one grant",
        {"op": "admit", "actor": bob, "roles": ["worker"]},
        {"op": "admit", "actor": bob, "roles": ["submitter"]},
        {"op": "revoke", "grant": grant, "actor": gone, "keep": []},
        {"op": "revoke", "grant": grant, "actor": gone, "keep": [grant]},
        at=82,
        breaks={1: "M3", 3: "M3"},
    )
    w.say(
        "join-leave",
        "w1",
        "joins and leaves at once",
        {"op": "join", "labels": []},
        {"op": "leave"},
        at=83,
        breaks={1: "M3"},
    )
    return Scene(
        "operations",
        "Unknown and malformed operations, and several on one thing in one event.",
        ("M1", "M2", "M3", "P", "E5"),
        w,
        {90_000: {"T": "done", "U": "ready"}},
        {"T": "complete"},
    )


def _malformed() -> list[OpMap]:
    tasks = iter(TaskKey(bytes([n]) * 32) for n in range(32))
    absent = Cid.of_raw(b"not among the blobs")
    payload: dict[str, object] = {"media_type": "text/plain", "blob": bytes(absent), "size": 19}
    blob_spec = spec_of("x", payload=payload)  # type: ignore[arg-type]  # a map of values
    return [
        {"op": "claim", "task": next(tasks), "follows": [], "inputs": []},
        {**claim_op(next(tasks), []), "follows": [99]},
        {**claim_op(next(tasks), []), "follows": 0},
        on_task("renew", next(tasks), [], lease_ms=1),
        on_task("fail", next(tasks), [], claim=0, **{"class": "", "error": "no class"}),
        on_task("complete", next(tasks), [], claim=0, output={"media_type": "text/plain", "blob": 0, "size": 1}),
        on_task("cancel", next(tasks), [], reason=None),
        on_task("prioritize", next(tasks), [], priority=True),
        {"op": "requeue", "task": b"short", "follows": []},
        submit_op(spec_of("x", tags=["b", "a"]), 5, START_MS),
        submit_op(spec_of("y"), 0, START_MS),
        submit_op(blob_spec, 5, START_MS),
        submit_op(spec_of("z"), 5, -1),
        {"op": "admit", "actor": key_of("bob").actor, "roles": []},
        {"op": "revoke", "actor": key_of("bob").actor, "keep": []},
        {"op": "revoke", "grant": None, "actor": key_of("bob").actor, "keep": [99]},
        {"op": "join", "labels": ["b", "a"]},
        {"op": "join", "labels": [], "slots": 0},
    ]


def roles() -> Scene:
    """Who may say what."""
    w = World("roles")
    w.admit("grant-alice", "alice", at=1, roles=("submitter",))
    w.admit("grant-w1", "w1", at=2, labels=("linux",))
    w.admit("grant-w2", "w2", at=3)
    w.admit("grant-bob", "bob", at=4, roles=("auditor",))
    task = w.submit("T", "alice", spec_of("build"), at=10)
    follows = w.cids("T")
    w.say("claim-alice", "alice", "a submitter claims", claim_op(task, follows), at=11, breaks="F0b")
    w.say("claim-empty", "w1", "follows nothing", claim_op(task, []), at=12, breaks="F0a")
    w.say(
        "claim-beside",
        "w1",
        "follows an event without operation on T",
        claim_op(task, w.cids("grant-w1")),
        at=13,
        breaks="F0a",
    )
    w.say(
        "claim-junk",
        "w1",
        "the walk stops at an unsound claim",
        claim_op(task, w.cids("claim-alice")),
        at=14,
        breaks="F0a",
    )
    c = w.say("claim", "w1", "w1 takes T", claim_op(task, follows), at=15)
    for at, op, fields in (
        (16, "renew", {"lease_ms": 1}),
        (17, "release", {}),
        (18, "fail", {"class": "x", "error": ""}),
        (19, "complete", {}),
    ):
        w.say(
            f"{op}-alice",
            "alice",
            f"a submitter says {op}",
            on_task(op, task, [c], claim=c, **fields),
            at=at,
            breaks="F0b",
        )
    for at, op, more in ((20, "cancel", {}), (21, "prioritize", {"priority": 1}), (22, "requeue", {})):
        w.say(f"{op}-w1", "w1", f"a worker says {op}", on_task(op, task, [c], **more), at=at, breaks="F0b")
    w.say("submit-w1", "w1", "a worker submits V", submit_op(spec_of("v"), 5, START_MS), at=23, breaks="F0b")
    v = w.key("w1", spec_of("v"))
    w.say("claim-v", "owner", "follows an unsound submit", claim_op(v, w.cids("submit-w1")), at=24, breaks="F0a")
    w.say("submit-bob", "bob", "an unknown role is none", submit_op(spec_of("b"), 5, START_MS), at=25, breaks="F0b")
    _roster_without_effect(w)
    w.say("join-w1", "w1", "within what its grant lists", {"op": "join", "labels": ["linux"]}, at=40)
    w.say("join-w2", "w2", "its grant lists no labels", {"op": "join", "labels": ["linux", "prod"]}, at=41)
    w.say("join-owner", "owner", "owners hold every role", {"op": "join", "labels": []}, at=42)
    w.say("leave-w2", "w2", "w2 leaves", {"op": "leave"}, at=43)
    return Scene(
        "roles",
        "Roles and rights: who may say what. w1 and the owner are at work in the end.",
        ("F0a", "F0b", "R1", "R2", "R3", "R5", "P", "D4"),
        w,
        {100: {"T": ("held", "claim")}, 15 + MINUTE_MS: {"T": "ready"}},
    )


def _roster_without_effect(w: World) -> None:
    owner, w2, stranger = key_of("owner").actor, key_of("w2").actor, key_of("stranger").actor
    w.say(
        "admit-w1", "w1", "a worker admits", {"op": "admit", "actor": stranger, "roles": ["worker"]}, at=30, breaks="R1"
    )
    w.say(
        "admit-owner",
        "owner",
        "an owner is admitted",
        {"op": "admit", "actor": owner, "roles": ["worker"]},
        at=31,
        breaks="R1",
    )
    revoke = {"op": "revoke", "grant": w.cid("grant-w2"), "actor": w2, "keep": []}
    w.say("revoke-w1", "w1", "a worker revokes", revoke, at=32, breaks="R2")
    w.say(
        "revoke-owner",
        "owner",
        "an owner is revoked",
        {"op": "revoke", "grant": None, "actor": owner, "keep": []},
        at=33,
        breaks="R2",
    )
    w.say("join-alice", "alice", "a submitter joins", {"op": "join", "labels": []}, at=34, breaks="R3")
    w.say("leave-alice", "alice", "a submitter leaves", {"op": "leave"}, at=35, breaks="R3")
    w.say(
        "join-mac", "w1", "a label that the grant does not list", {"op": "join", "labels": ["mac"]}, at=36, breaks="R3"
    )
