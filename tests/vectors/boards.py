"""The boards of specs/vectors/boards: small ledgers told event by event, with what their author expects of each.

Beside each operation without effect stands the rule it is to break, beside each task the status it is to have: worked
out by hand from specs/, so that a vector is a claim about the rules and not an echo of the reducer.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

from crdt.attempts import DEFAULT_BACKOFF, backoff_ms
from crdt.order import anchor_of, distance
from ledger.cid import Cid
from ledger.events import Admission, Policy, TaskKey
from ledger.operations import Backoff
from tests.vectors.world import (
    MINUTE_MS,
    START_MS,
    Blob,
    World,
    claim_op,
    key_of,
    on_task,
    spec_of,
    submit_op,
)

Expected = "str | tuple[str, str]"


@dataclass(frozen=True, slots=True)
class Scene:
    """A finished ledger: what it shows, and the statuses its author expects at times after START_MS. A status is a
    word, or ("held", name of the claim's event)."""

    name: str
    what: str
    rules: tuple[str, ...]
    world: World
    views: Mapping[int, Mapping[str, str | tuple[str, str]]]
    results: Mapping[str, str] = field(default_factory=dict)
    """Task to the event that holds its result."""
    tainted: tuple[str, ...] = ()
    """Tasks whose result rests on an input that no longer counts (D7)."""


def nearer(world: World, task: TaskKey, submit: Cid, *names: str) -> list[str]:
    """Return the names, the nearest to the task first."""
    anchor = anchor_of(submit, task)
    return sorted(names, key=lambda name: distance(key_of(name).actor, anchor))


def crew(world: World, *, labels: tuple[str, ...] = ()) -> None:
    """Admit alice to submit, w1 and w2 to work."""
    world.admit("grant-alice", "alice", at=1, roles=("submitter",))
    world.admit("grant-workers", "w1", "w2", at=2, labels=labels)


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


def _malformed() -> list[dict[str, object]]:
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


def claiming() -> Scene:
    """When a task may be claimed."""
    w = World("claiming")
    crew(w)
    a = w.submit("A", "alice", spec_of("a", max_attempts=2, backoff={"base_ms": 1_000, "max_ms": 4_000}), at=10)
    c1 = w.say("a-claim-1", "w1", "attempt 1", claim_op(a, w.cids("A")), at=1_000)
    w.say("a-early", "w2", "attempt 1 still runs", claim_op(a, [c1]), at=1_000 + MINUTE_MS - 1, breaks="F1b")
    fail = on_task("fail", a, [c1], claim=c1, **{"class": "exit", "error": "code 1"})
    f1 = w.say("a-fail", "w1", "attempt 1 fails", fail, at=70_000)
    wait = backoff_ms(a, Backoff(1_000, 4_000), 0)
    w.say("a-backoff", "w2", "1 ms before the backoff is over", claim_op(a, [f1]), at=70_000 + wait - 1, breaks="F1c")
    c2 = w.say("a-claim-2", "w2", "the backoff is over", claim_op(a, [f1]), at=70_000 + wait)
    w.say(
        "a-used-up",
        "w1",
        "attempt 2 has run out, as its lease did",
        claim_op(a, [c2]),
        at=70_000 + wait + MINUTE_MS,
        breaks="F1d",
    )
    opens, closes = START_MS + 200_000, START_MS + 300_000
    b = w.submit("B", "alice", spec_of("b", not_before=opens, expires_at=closes), at=150_000)
    w.say("b-early", "w1", "1 ms before not_before", claim_op(b, w.cids("B")), at=199_999, breaks="F1c")
    cb = w.say("b-claim", "w1", "at not_before", claim_op(b, w.cids("B")), at=200_000)
    done = w.say("b-complete", "w1", "w1 is done", on_task("complete", b, [cb], claim=cb), at=201_000)
    w.say("b-again", "w2", "B is done", claim_op(b, [done]), at=202_000, breaks="F1a")
    c = w.submit("C", "alice", spec_of("c", expires_at=closes), at=203_000)
    w.say("c-late", "w2", "at expires_at", claim_op(c, w.cids("C")), at=300_000, breaks="F1c")
    gone = w.say("c-cancel", "alice", "alice cancels C", on_task("cancel", c, w.cids("C")), at=300_001)
    w.say("c-claim", "w2", "C is cancelled", claim_op(c, [gone]), at=300_002, breaks="F1a")
    d = w.submit("D", "alice", spec_of("d", needs=[b]), at=300_003)
    w.say("d-no-input", "w2", "without what it needs", claim_op(d, w.cids("D")), at=300_004, breaks="F1e")
    w.say("d-claim-input", "w2", "a claim is no completion", claim_op(d, w.cids("D"), [cb]), at=300_005, breaks="F1e")
    w.say("d-claim", "w2", "with B's completion", claim_op(d, w.cids("D"), [done]), at=300_006)
    e = w.submit("E", "alice", spec_of("e"), at=300_007)
    most = w.policy.lease_ms_max
    w.say(
        "e-greedy",
        "w1",
        "1 ms longer than allowed",
        claim_op(e, w.cids("E"), lease_ms=most + 1),
        at=300_008,
        breaks="F1f",
    )
    ce = w.say("e-claim-1", "w1", "as long as allowed", claim_op(e, w.cids("E"), lease_ms=most), at=300_009)
    re = w.say(
        "e-release", "w1", "gives it back", on_task("release", e, [ce], claim=ce, reason="shutting down"), at=300_010
    )
    w.say("e-claim-2", "w2", "attempt 2; the first was released and did not fail", claim_op(e, [re]), at=300_011)
    now = 300_012
    return Scene(
        "claiming",
        "When a task may be claimed: running claims, backoff, attempts, times, needs, lease.",
        ("F1a", "F1b", "F1c", "F1d", "F1e", "F1f", "D3", "D4", "P"),
        w,
        {
            now: {"A": "dead", "B": "done", "C": "cancelled", "D": ("held", "d-claim"), "E": ("held", "e-claim-2")},
            now + MINUTE_MS: {"A": "dead", "B": "done", "C": "cancelled", "D": "ready", "E": "ready"},
        },
        {"B": "b-complete"},
    )


def holding() -> Scene:
    """What the holder of a claim may say of it."""
    w = World("holding")
    crew(w)
    t = w.submit("T", "alice", spec_of("t"), at=10)
    c1 = w.say("claim-1", "w1", "attempt 1", claim_op(t, w.cids("T")), at=1_000)
    w.say(
        "steal", "w2", "completes the claim of another", on_task("complete", t, [c1], claim=c1), at=1_001, breaks="F2a"
    )
    w.say(
        "blind",
        "w1",
        "does not follow its claim",
        on_task("complete", t, w.cids("T"), claim=c1),
        at=1_002,
        breaks="F2b",
    )
    x = w.say("second", "w1", "claims while its own claim runs", claim_op(t, [c1]), at=1_003, breaks="F1b")
    w.say(
        "on-unsound",
        "w1",
        "completes its unsound claim",
        on_task("complete", t, [c1, x], claim=x),
        at=1_004,
        breaks="F2b",
    )
    r1 = w.say("release", "w1", "gives it back", on_task("release", t, [c1], claim=c1), at=1_005)
    renew = on_task("renew", t, [r1], claim=c1, lease_ms=1)
    w.say("renew-released", "w1", "renews what it gave back", renew, at=1_006, breaks="F2c")
    c2 = w.say("claim-2", "w2", "attempt 2", claim_op(t, [r1]), at=1_007)
    fail = on_task("fail", t, [c2], claim=c2, **{"class": "exit", "error": ""})
    f2 = w.say("fail", "w2", "attempt 2 fails", fail, at=1_008)
    w.say(
        "complete-failed", "w2", "completes what failed", on_task("complete", t, [f2], claim=c2), at=1_009, breaks="F2c"
    )
    at = 1_008 + backoff_ms(t, DEFAULT_BACKOFF, 0)
    c3 = w.say("claim-3", "w1", "attempt 3", claim_op(t, [f2]), at=at)
    gone = w.say("cancel", "alice", "alice cancels", on_task("cancel", t, [c3]), at=at + 1)
    w.say(
        "after-cancel",
        "w1",
        "completes what it saw cancelled",
        on_task("complete", t, [gone], claim=c3),
        at=at + 2,
        breaks="F2d",
    )
    u = w.submit("U", "alice", spec_of("u", timeout_ms=150_000), at=20_000)
    most = w.policy.lease_ms_max
    cu = w.say("u-claim", "w2", "for a minute", claim_op(u, w.cids("U")), at=30_000)
    greedy = on_task("renew", u, [cu], claim=cu, lease_ms=most + 1)
    w.say("u-greedy", "w2", "1 ms longer than allowed", greedy, at=31_000, breaks="F2e")
    late = on_task("renew", u, [cu], claim=cu, lease_ms=most)
    w.say("u-renew", "w2", "after its lease ended; bounded by timeout_ms", late, at=95_000)
    v = w.submit("V", "alice", spec_of("v"), at=95_001)
    cv = w.say("v-claim", "w1", "for a minute", claim_op(v, w.cids("V")), at=95_002)
    dv = w.say(
        "v-complete",
        "w1",
        "done, late: the lease has ended",
        on_task("complete", v, [cv], claim=cv),
        at=95_002 + 2 * MINUTE_MS,
    )
    w.say(
        "v-again", "w1", "done twice", on_task("complete", v, [dv], claim=cv), at=95_003 + 2 * MINUTE_MS, breaks="F2d"
    )
    return Scene(
        "holding",
        "What the holder of a claim may say: renew, release, fail, complete. Renewals are bounded by timeout_ms.",
        ("F2a", "F2b", "F2c", "F2d", "F2e", "D3", "D4", "P"),
        w,
        {
            96_000: {"T": "cancelled", "U": ("held", "u-claim"), "V": "done"},
            179_999: {"U": ("held", "u-claim")},
            180_000: {"U": "ready"},
        },
        {"V": "v-complete"},
    )


def steering() -> Scene:
    """Cancel, prioritize, requeue."""
    w = World("steering")
    crew(w)
    w.admit("grant-bob", "bob", at=3, roles=("submitter",))
    t = w.submit("T", "alice", spec_of("t"), at=10)
    w.say("cancel-bob", "bob", "cancels the task of another", on_task("cancel", t, w.cids("T")), at=11, breaks="F3a")
    p1 = w.say("up", "alice", "to 8", on_task("prioritize", t, w.cids("T"), priority=8), at=12)
    p2 = w.say("down", "owner", "an owner may, to 2", on_task("prioritize", t, [p1], priority=2), at=13)
    c = w.say("claim", "w1", "w1 takes T", claim_op(t, [p2]), at=14)
    done = w.say("complete", "w1", "w1 is done", on_task("complete", t, [c], claim=c), at=15)
    w.say("cancel-late", "alice", "T is done", on_task("cancel", t, [done]), at=16, breaks="F3b")
    u = w.submit("U", "alice", spec_of("u", max_attempts=1, backoff={"base_ms": 0, "max_ms": 0}), at=20)
    w.say("requeue-open", "alice", "U is not dead", on_task("requeue", u, w.cids("U")), at=21, breaks="F3c")
    c1 = w.say("u-claim-1", "w1", "attempt 1", claim_op(u, w.cids("U")), at=22)
    fail = {"class": "exit", "error": "code 1"}
    f1 = w.say("u-fail-1", "w1", "attempt 1 fails: dead", on_task("fail", u, [c1], claim=c1, **fail), at=23)
    w.say("requeue-bob", "bob", "neither submitter nor owner", on_task("requeue", u, [f1]), at=24, breaks="F3a")
    q1 = w.say("requeue", "alice", "writes off attempt 1", on_task("requeue", u, [f1]), at=25)
    c2 = w.say("u-claim-2", "w2", "attempt 2", claim_op(u, [q1]), at=26)
    w.say("requeue-held", "alice", "attempt 2 runs", on_task("requeue", u, [c2]), at=27, breaks="F3c")
    f2 = w.say("u-fail-2", "w2", "attempt 2 fails: dead again", on_task("fail", u, [c2], claim=c2, **fail), at=28)
    v = w.submit("V", "alice", spec_of("v"), at=30)
    gone = w.say("v-cancel", "alice", "alice cancels V", on_task("cancel", v, w.cids("V")), at=31)
    w.say("v-requeue", "alice", "a cancelled task is not dead", on_task("requeue", v, [gone]), at=32, breaks="F3c")
    x = w.submit("X", "alice", spec_of("x", max_attempts=1, backoff={"base_ms": 0, "max_ms": 0}), at=33)
    cx = w.say("x-claim", "w1", "attempt 1", claim_op(x, w.cids("X")), at=34)
    fx = w.say("x-fail", "w1", "attempt 1 fails: dead", on_task("fail", x, [cx], claim=cx, **fail), at=35)
    w.say("x-requeue", "owner", "an owner may", on_task("requeue", x, [fx]), at=36)
    assert f2 != fx
    return Scene(
        "steering",
        "Cancel, prioritize, requeue: by whom and when. A requeue writes off the attempts it has seen.",
        ("F3a", "F3b", "F3c", "D1", "D3", "D6", "P"),
        w,
        {40: {"T": "done", "U": "dead", "V": "cancelled", "X": "ready"}},
        {"T": "complete"},
    )


def partition() -> Scene:
    """Two workers that do not see each other."""
    w = World("partition")
    crew(w)
    keys = {name: w.submit(name, "alice", spec_of(name.lower()), at=10 + n) for n, name in enumerate("ABCDE")}
    shared = tuple(w.heads)
    order = {name: nearer(w, keys[name], w.cid(name), "w1", "w2") for name in keys}
    for name in "AB":
        for who in ("w1", "w2"):
            w.say(
                f"{name}-claim-{who}",
                who,
                f"takes {name}, unseen by the other",
                claim_op(keys[name], w.cids(name)),
                at=1_000,
                after=shared,
            )
    for who in ("w1", "w2"):
        c = w.cid(f"B-claim-{who}")
        w.say(
            f"B-complete-{who}",
            who,
            "is done with B",
            on_task("complete", keys["B"], [c], claim=c),
            at=2_000,
            after=[c],
        )
    for name in "CD":
        c = w.say(f"{name}-claim", "w1", f"takes {name}", claim_op(keys[name], w.cids(name)), at=1_000, after=shared)
        cancel = on_task("cancel", keys[name], w.cids(name))
        w.say(f"{name}-cancel", "alice", f"cancels {name}, unseen by w1", cancel, at=2_000, after=shared)
    c = w.cid("C-claim")
    w.say("C-complete", "w1", "is done with C", on_task("complete", keys["C"], [c], claim=c), at=3_000, after=[c])
    far, near = reversed(order["E"])
    e = keys["E"]
    c1 = w.say("E-claim-far", far, "takes E", claim_op(e, w.cids("E")), at=1_000, after=shared)
    c2 = w.say(
        "E-claim-near", near, "the lease has ended: attempt 2", claim_op(e, [c1]), at=1_000 + MINUTE_MS, after=[c1]
    )
    w.say(
        "E-complete-far",
        far,
        "late, without having seen attempt 2",
        on_task("complete", e, [c1], claim=c1),
        at=70_000,
        after=[c1],
    )
    w.say(
        "E-complete-near",
        near,
        "without having seen the late one",
        on_task("complete", e, [c2], claim=c2),
        at=80_000,
        after=[c2],
    )
    return Scene(
        "partition",
        "Concurrent claims, completions and cancels: the nearest holds, a completion beats a cancel, the rest is kept.",
        ("D1", "D2", "D3", "D4", "D8", "C1", "C2"),
        w,
        {
            3_000: {"A": ("held", f"A-claim-{order['A'][0]}"), "B": "done", "C": "done", "D": "cancelled", "E": "done"},
            1_000 + MINUTE_MS: {"A": "ready"},
        },
        {"B": f"B-complete-{order['B'][0]}", "C": "C-complete", "E": "E-complete-near"},
    )


def resubmit() -> Scene:
    """One request sent twice, and priorities set at once."""
    w = World("resubmit")
    crew(w)
    early = tuple(w.heads)
    w.say("news", "alice", "alice has seen more on this machine", at=5)
    spec = spec_of("build")
    task = w.submit("T", "alice", spec, at=10, priority=5)
    claimed = w.say(
        "claim-1", "w1", "measured from T, the only submit it follows", claim_op(task, w.cids("T")), at=1_000
    )
    w.say("release", "w1", "gives it back", on_task("release", task, [claimed], claim=claimed), at=1_001)
    w.submit(
        "T-again",
        "alice",
        spec,
        "the same request from another machine, which had seen less",
        at=20,
        priority=9,
        after=early,
    )
    w.say(
        "claim-2", "w2", "follows both; measured from the least", claim_op(task, w.cids("release", "T-again")), at=2_000
    )
    other = w.submit("U", "alice", spec_of("other"), at=3_000)
    seen = tuple(w.heads)
    for who, priority in (("alice", 2), ("owner", 10)):
        w.say(
            f"priority-{who}",
            who,
            f"to {priority}",
            on_task("prioritize", other, w.cids("U"), priority=priority),
            at=3_001,
            after=seen,
        )
    return Scene(
        "resubmit",
        "The same request twice is one task; the submit that is least in the linear order rules. Of two concurrent priorities the greatest rules.",
        ("D5", "D6", "C1", "E4"),
        w,
        {3_002: {"T": ("held", "claim-2"), "U": "ready"}},
    )


def fences() -> Scene:
    """Revocations: what still counts, what is in the log, what is tainted."""
    w = World("fences", owners=("owner", "owner2"))
    crew(w)
    w.admit("grant-bob", "bob", at=3, roles=("submitter",))
    w.say("join-w1", "w1", "w1 joins", {"op": "join", "labels": []}, at=4)
    w.say("join-w2", "w2", "w2 joins", {"op": "join", "labels": []}, at=5)
    t = w.submit("T", "alice", spec_of("t"), at=10)
    u = w.submit("U", "alice", spec_of("u", needs=[t]), at=11)
    v = w.submit("V", "alice", spec_of("v"), at=12)
    y = w.submit("Y", "alice", spec_of("y", needs=[t]), at=13)
    z = w.submit("Z", "bob", spec_of("z"), at=14)
    x1 = w.say("x1", "w1", "w1 takes T", claim_op(t, w.cids("T")), at=1_000)
    x2 = w.say("x2", "w1", "and completes it", on_task("complete", t, [x1], claim=x1), at=2_000)
    w.say(
        "x3",
        "w1",
        "hidden and back-dated: completes T once more",
        on_task("complete", t, [x1], claim=x1),
        at=1_001,
        after=[x1],
    )
    w.heads.discard(w.cid("x3"))
    uc = w.say("U-claim", "w2", "w2 takes U, which rests on x2", claim_op(u, w.cids("U"), [x2]), at=3_000)
    w.say("U-complete", "w2", "and completes it", on_task("complete", u, [uc], claim=uc), at=4_000)
    x4 = w.say("x4", "w1", "w1 takes V for an hour", claim_op(v, w.cids("V"), lease_ms=60 * MINUTE_MS), at=4_001)
    w.say("V-early", "w2", "x4 runs, and no revocation is in its past", claim_op(v, [x4]), at=4_002, breaks="F1b")
    w.say(
        "Z-claim",
        "w2",
        "takes Z: sound, but Z's submit is about to be void",
        claim_op(z, w.cids("Z")),
        at=4_003,
        breaks="F0a",
    )
    w1, bob = key_of("w1").actor, key_of("bob").actor
    grant = w.cid("grant-workers")
    revoke = {"op": "revoke", "grant": grant, "actor": w1, "keep": [x2]}
    w.say("revoke", "owner", "keeps x2 and its past; x3 and x4 are beyond", revoke, at=5_000)
    w.say("V-claim", "w2", "x4 is beyond a fence in its past", claim_op(v, [x4]), at=5_001)
    narrow = {"op": "revoke", "grant": grant, "actor": w1, "keep": [x1], "reason": "the output was wrong"}
    w.say("revoke-narrow", "owner2", "keeps x1 only: x2 is beyond", narrow, at=6_000)
    bobs = {"op": "revoke", "grant": w.cid("grant-bob"), "actor": bob, "keep": []}
    w.say("revoke-bob", "owner", "keeps nothing: Z is no task any more", bobs, at=6_001)
    w.say("Y-claim", "w2", "x2 is beyond a fence in its past", claim_op(y, w.cids("Y"), [x2]), at=6_002, breaks="F1e")
    w.admit("regrant", "w1", at=7_000)
    w.say("rejoin", "w1", "a new grant, which old fences do not touch", {"op": "join", "labels": []}, at=7_001)
    w.say("T-claim", "w1", "T is open again: x2 is beyond a fence in its past", claim_op(t, [x2, x1]), at=70_000)
    return Scene(
        "fences",
        "Revocations. x3 is outside the log; x2 and x4 are in it, since others link them, but do not count. U is tainted.",
        ("R4", "R5", "R6", "D7", "P", "F0a", "F1e", "C2", "C4", "C7"),
        w,
        {
            70_001: {"T": ("held", "T-claim"), "U": "done", "V": "ready", "Y": "waiting"},
            6_002: {"V": ("held", "V-claim")},
        },
        {"U": "U-complete"},
        ("U",),
    )


def openly() -> Scene:
    """A ledger where anyone may submit."""
    w = World("open", Policy(admission=Admission.OPEN))
    w.admit("grant-w1", "w1", at=1)
    w.say("join-w1", "w1", "w1 joins", {"op": "join", "labels": []}, at=2)
    blob = b"a payload too large to stand in an event"
    named: dict[str, object] = {"media_type": "text/plain", "blob": bytes(Cid.of_raw(blob)), "size": len(blob)}
    s = w.submit("S", "stranger", spec_of("s", payload=named), at=10, blobs=[Cid.of_raw(blob)])  # type: ignore[arg-type]  # a map of values
    w.say("join-stranger", "stranger", "but workers are admitted", {"op": "join", "labels": []}, at=11, breaks="R3")
    c = w.say("claim", "w1", "w1 takes S", claim_op(s, w.cids("S")), at=12)
    output = {"media_type": "text/plain", "blob": Blob(Cid.of_raw(b"the output")), "size": 10}
    w.say("complete", "w1", "the output is a blob", on_task("complete", s, [c], claim=c, output=output), at=13)
    w.submit("spam", "stranger", spec_of("spam"), at=14)
    revoke = {"op": "revoke", "grant": None, "actor": key_of("stranger").actor, "keep": [w.cid("join-stranger")]}
    w.say("revoke", "owner", "keeps what the stranger did up to its join; spam is beyond", revoke, at=15)
    return Scene(
        "open",
        "Open admission: a stranger submits under the genesis and is revoked there.",
        ("R3", "R4", "R5", "R6", "E5", "C6"),
        w,
        {100: {"S": "done"}},
        {"S": "complete"},
    )


def needs() -> Scene:
    """What time and needs make of open tasks."""
    w = World("needs")
    crew(w)
    keys: dict[str, TaskKey] = {}

    def task(name: str, at: int, **more: object) -> TaskKey:
        keys[name] = w.submit(name, "alice", spec_of(name, **more), at=at)  # type: ignore[arg-type]  # values of a spec
        return keys[name]

    free = task("free", 10)
    w.say("cancel", "alice", "cancels one", on_task("cancel", task("cancelled", 11), w.cids("cancelled")), at=12)
    doomed = task("dead", 13, max_attempts=1)
    w.say("dead-claim", "w1", "its only attempt", claim_op(doomed, w.cids("dead"), lease_ms=1_000), at=14)
    task("expiring", 15, expires_at=START_MS + 5_000)
    task("later", 16, not_before=START_MS + 10_000)
    failing = task("failing", 17)
    task("needs-free", 20, needs=[free])
    task("needs-cancelled", 21, needs=[keys["cancelled"]])
    task("needs-dead", 22, needs=[doomed])
    task("needs-expiring", 23, needs=[keys["expiring"]])
    task("needs-unknown", 24, needs=[bytes(32)])
    task("needs-blocked", 25, needs=sorted([free, keys["needs-cancelled"]]))
    c = w.say("failing-claim", "w1", "attempt 1", claim_op(failing, w.cids("failing")), at=4_000)
    fail = on_task("fail", failing, [c], claim=c, **{"class": "exit", "error": ""})
    w.say("fail", "w1", "and so it waits out its backoff", fail, at=4_900)
    w.say("held-claim", "w2", "w2 takes free", claim_op(free, w.cids("free"), lease_ms=6_000), at=4_901)
    always = {
        "cancelled": "cancelled",
        "needs-cancelled": "blocked",
        "needs-unknown": "blocked",
        "needs-blocked": "blocked",
        "needs-free": "waiting",
    }
    retry = 4_900 + backoff_ms(failing, DEFAULT_BACKOFF, 0)
    return Scene(
        "needs",
        "The statuses that time and needs make: held, dead, expired, blocked, waiting, ready.",
        ("D3", "D4", "F1c", "F1e", "S2"),
        w,
        {
            1_013: {"dead": ("held", "dead-claim"), "needs-dead": "waiting", "expiring": "ready", "later": "waiting"},
            4_999: always
            | {
                "dead": "dead",
                "needs-dead": "blocked",
                "expiring": "ready",
                "needs-expiring": "waiting",
                "free": ("held", "held-claim"),
            },
            5_000: always | {"expiring": "expired", "needs-expiring": "blocked", "failing": "waiting"},
            retry - 1: {"failing": "waiting"},
            retry: {"failing": "ready"},
            9_999: {"later": "waiting"},
            10_000: {"later": "ready"},
            10_901: {"free": "ready"},
        },
    )


def scheduling() -> Scene:
    """Open tasks for the cases of specs/vectors/scheduling.json."""
    w = World("scheduling")
    w.admit("grant-alice", "alice", at=1, roles=("submitter",))
    w.admit("grant-workers", "w1", "w2", "w3", at=2)
    for at, (who, labels) in enumerate((("w1", ["linux"]), ("w2", ["gpu", "linux"]), ("w3", ["linux"]))):
        w.say(f"join-{who}", who, f"{who} joins", {"op": "join", "labels": labels}, at=10 + at)
    plain = w.key("alice", spec_of("plain"))
    w.task_names[plain] = "plain"
    w.say(
        "plain",
        "alice",
        "back-dates created_at by a day",
        submit_op(spec_of("plain"), 5, START_MS - 86_400_000),
        at=10_000,
    )
    w.submit("gpu", "alice", spec_of("gpu", requires=["gpu", "linux"]), at=11_000, priority=9)
    w.submit("later", "alice", spec_of("later", not_before=START_MS + 50_000), at=12_000, priority=1)
    need = w.submit("need", "alice", spec_of("need"), at=13_000)
    c = w.say("need-claim", "w3", "w3 takes it", claim_op(need, w.cids("need")), at=14_000)
    w.say("need-complete", "w3", "and is done", on_task("complete", need, [c], claim=c), at=20_000)
    w.submit("rests-on-need", "alice", spec_of("rests-on-need", needs=[need]), at=20_001, priority=6)
    for at, name, op, fields in (
        (30_000, "failed", "fail", {"class": "exit", "error": ""}),
        (31_500, "released", "release", {}),
    ):
        key = w.submit(name, "alice", spec_of(name), at=at - 1_000)
        c = w.say(f"{name}-claim", "w2", f"takes {name}", claim_op(key, w.cids(name)), at=at - 500)
        w.say(f"{name}-end", "w2", op, on_task(op, key, [c], claim=c, **fields), at=at)
    for at, name, lease_ms in ((32_000, "ran-out", 1_000), (33_000, "held", MINUTE_MS)):
        key = w.submit(name, "alice", spec_of(name), at=at - 1)
        w.say(f"{name}-claim", "w3", f"takes {name}", claim_op(key, w.cids(name), lease_ms=lease_ms), at=at)
    w.say("raise", "alice", "to 8", on_task("prioritize", plain, w.cids("plain"), priority=8), at=34_000)
    ready = ("plain", "gpu", "later", "rests-on-need", "failed", "released", "ran-out")
    return Scene(
        "scheduling",
        "Open tasks of several kinds: the board behind scheduling.json.",
        ("S2", "D6", "R5"),
        w,
        {60_000: dict.fromkeys(ready, "ready") | {"need": "done", "held": ("held", "held-claim")}},
        {"need": "need-complete"},
    )


SCENES: Final[tuple[Callable[[], Scene], ...]] = (
    life,
    operations,
    roles,
    claiming,
    holding,
    steering,
    partition,
    resubmit,
    fences,
    openly,
    needs,
    scheduling,
)
