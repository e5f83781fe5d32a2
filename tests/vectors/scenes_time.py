"""Boards on what time makes of tasks: needs and their statuses, and the tasks behind scheduling.json."""

from __future__ import annotations

from crdt.attempts import DEFAULT_BACKOFF, backoff_ms
from ledger.events import TaskKey
from tests.vectors.scene import Scene, crew
from tests.vectors.world import MINUTE_MS, START_MS, World, claim_op, on_task, spec_of, submit_op


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
