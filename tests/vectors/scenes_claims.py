"""Boards on the rules of soundness: claiming (F1), holding (F2), steering (F3)."""

from __future__ import annotations

from crdt.attempts import DEFAULT_BACKOFF, backoff_ms
from ledger.operations import Backoff
from tests.vectors.scene import Scene, crew
from tests.vectors.world import MINUTE_MS, START_MS, World, claim_op, on_task, spec_of


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
