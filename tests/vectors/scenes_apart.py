"""Boards on peers apart and at odds: partitions, one request sent twice, revocations, open admission."""

from __future__ import annotations

from ledger.cid import Cid
from ledger.events import Admission, Policy
from tests.vectors.scene import Scene, crew, nearer
from tests.vectors.world import MINUTE_MS, Blob, World, claim_op, key_of, on_task, spec_of


def partition() -> Scene:
    """Two workers that do not see each other."""
    w = World("partition")
    crew(w)
    keys = {name: w.submit(name, "alice", spec_of(name.lower()), at=10 + n) for n, name in enumerate("ABCDEFGH")}
    shared = tuple(w.heads)
    order = {name: nearer(keys[name], w.cid(name), "w1", "w2") for name in keys}
    for name in "ABFGH":
        for who in ("w1", "w2"):
            w.say(
                f"{name}-claim-{who}",
                who,
                f"takes {name}, unseen by the other",
                claim_op(keys[name], w.cids(name)),
                at=1_000,
                after=shared,
            )
    # The least CID must not be the nearest everywhere, or these show nothing.
    least = {name: min((w.cid(f"{name}-claim-{who}"), who) for who in ("w1", "w2"))[1] for name in "ABFGH"}
    assert any(least[name] != order[name][0] for name in "AF")
    assert any(least[name] != order[name][0] for name in "BGH")
    for name in "BGH":
        for who in ("w1", "w2"):
            c = w.cid(f"{name}-claim-{who}")
            done = on_task("complete", keys[name], [c], claim=c)
            w.say(f"{name}-complete-{who}", who, f"is done with {name}", done, at=2_000, after=[c])
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
            3_000: {name: ("held", f"{name}-claim-{order[name][0]}") for name in "AF"}
            | {"B": "done", "C": "done", "D": "cancelled", "E": "done", "G": "done", "H": "done"},
            1_000 + MINUTE_MS: {"A": "ready", "F": "ready"},
        },
        {name: f"{name}-complete-{order[name][0]}" for name in "BGH"} | {"C": "C-complete", "E": "E-complete-near"},
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
        "One request sent twice is one task: its least submit rules; of two priorities set at once the greater event.",
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
        "Revocations. x3 is outside the log; x2 and x4 are in it, being linked, but do not count. U is tainted.",
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
