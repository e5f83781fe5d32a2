"""`explain` says what decides: ranks and turns, needs, claims, results, the events they rest on."""

from __future__ import annotations

import json
from dataclasses import asdict
from datetime import UTC, datetime

import pytest

from crdt.records import TaskRecord
from crdt.view import ObstacleKind
from ledger.cid import Cid
from ledger.events import Policy, Role
from ledger.operations import Attachment, Backoff, Claim, Complete, Revoke
from scheduler.actions import (
    NotReadyError,
    SubmitRequest,
    cancel,
    complete,
    fail,
    release,
    requeue,
    submit,
    take,
)
from scheduler.explain import explain
from scheduler.explanation import Explanation
from scheduler.running.files import FileRef
from scheduler.running.payloads import Command, write_payload
from tests.scheduler.desk import START_MS, Desk
from tests.scheduler.test_actions import spec

POLICY = Policy()
LARGE = Attachment("text/plain", blob=Cid.of_raw(b"payload"), size=7)


def of(desk: Desk, record: TaskRecord) -> Explanation:
    """Explain a task as it is now, and check that it shows as words and as JSON."""
    found = explain(desk.home, desk.record(record.key))
    assert json.loads(json.dumps(found.to_dict()))["task_key"] == record.key.hex()
    assert found.task_id in "".join(found.render_lines())
    return found


def _iso(ms: int) -> str:
    moment = datetime.fromtimestamp(ms / 1000, UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{ms % 1000:03}Z"


def test_ranks_and_turns(desk: Desk) -> None:
    """Each peer has its distance; the eligible have ranks and turns, the others a reason why not."""
    a, b = desk.peer("a", ("gpu",)), desk.peer("b", ("gpu",))
    desk.peer("plain")
    record = desk.submit(a, "t", requires=["gpu"])
    found = of(desk, record)
    assert (found.status, found.ready_at, found.due_at) == ("ready", START_MS, START_MS + 5 * POLICY.aging_ms)
    assert [(peer.rank, peer.take_at) for peer in found.peers] == [
        (0, START_MS),
        (1, START_MS + POLICY.grace_ms),
        (None, None),
    ]
    assert found.peers[0].distance <= found.peers[1].distance
    assert {found.peers[0].peer, found.peers[1].peer} == {"a", "b"}
    assert (found.peers[2].peer, found.peers[2].words) == ("plain", "lacks the labels gpu")
    assert found.turn == f"{found.peers[0].peer} may take it now"
    desk.now += 2 * POLICY.lease_ms + 1
    silent = explain(desk.home, desk.record(record.key), me=b.actor)
    assert {peer.peer: (peer.rank, peer.words) for peer in silent.peers} == {
        "b": (0, "may take it"),
        "a": (None, "not heard of in the last 120 s"),
        "plain": (None, "lacks the labels gpu"),
    }


def test_what_it_waits_for(desk: Desk) -> None:
    """A task that waits or is blocked names the needs it waits for and where they stand."""
    me = desk.peer("me")
    need = desk.submit(me, "need")
    waits = desk.submit(me, "waits", needs=["need"])
    late = desk.submit(me, "late", not_before=START_MS / 1000 + 60)
    gone = desk.submit(me, "gone", expires_at=START_MS / 1000)
    assert (of(desk, waits).status, of(desk, waits).why) == ("waiting", "it waits for need")
    assert [(n.task_id, n.status, n.result) for n in of(desk, waits).needs] == [("need", "ready", None)]
    assert of(desk, late).why == "not before 2027-01-15T08:01:00.000Z"
    assert of(desk, gone).status == "expired"
    cancel(desk.home, me, need.key)
    assert (of(desk, need).status, of(desk, waits).status) == ("cancelled", "blocked")
    assert "need" in of(desk, waits).why


def test_who_holds_it_and_why(desk: Desk) -> None:
    """Of claims that run at once the nearest holds; the others are named as superseded."""
    peers = {name: desk.peer(name) for name in ("a", "b")}
    record = desk.submit(peers["a"], "t")
    desk.now += POLICY.grace_ms
    for key in peers.values():  # as two homes apart would: neither follows the other's claim
        desk.home.append(key, [Claim(record.key, record.submits, 60_000)], Role.WORKER)
    found = of(desk, record)
    states = {claim.peer: claim.state for claim in found.claims}
    nearest = min(found.claims, key=lambda claim: (claim.distance, claim.claim))
    assert states[nearest.peer] == "holds"
    assert set(states.values()) == {"holds", "runs, superseded"}
    assert f"held by {nearest.peer}" in found.why
    assert "nearest of 2 running claims" in found.why
    assert (nearest.claim, "claim") in {(event.event, event.what) for event in found.decided_by}


def test_which_result_counts_and_whether_it_is_stable(desk: Desk) -> None:
    """Of several completions that of the nearest claim is the result; it is stable once all workers have seen it."""
    a, b = desk.peer("a"), desk.peer("b")
    record = desk.submit(a, "t")
    claims = [desk.home.append(key, [Claim(record.key, record.submits, 60_000)], Role.WORKER).cid for key in (a, b)]
    for key, claim in zip((a, b), claims, strict=True):
        desk.home.append(key, [Complete(record.key, (claim,), claim)], Role.WORKER)
    found = of(desk, record)
    assert found.status == "done"
    assert len(found.superseded) == 1
    assert sorted(claim.state for claim in found.claims) == ["completed, superseded", "its completion is the result"]
    assert found.decided_by[-1].event == found.result
    assert {(event.seen_by, event.of) for event in found.decided_by} <= {(1, 2), (2, 2)}
    for key in (a, b):
        desk.home.append(key, ())
    assert all(event.stable for event in of(desk, record).decided_by)


def test_dead_and_failed(desk: Desk) -> None:
    """A dead task shows its failed attempts, and who can bring it back."""
    me = desk.peer("me")
    record = submit(desk.home, me, SubmitRequest(spec("t", max_attempts=2, backoff=Backoff(0, 0))))[0].record
    for _ in range(2):
        assert take(desk.home, me) is not None
        fail(desk.home, me, record.key)
    found = of(desk, record)
    assert (found.status, [(c.attempt, c.state) for c in found.claims]) == ("dead", [(1, "failed"), (2, "failed")])
    assert "requeue" in found.why


def test_a_voided_input_taints(desk: Desk) -> None:
    """A result whose input was voided by a revocation is shown with that input."""
    me, other = desk.peer("me"), desk.peer("other")
    need = desk.submit(me, "need")
    rests = desk.submit(me, "rests", needs=["need"])
    done = complete(desk.home, other, need.key)
    complete(desk.home, me, rests.key)
    assert of(desk, rests).tainted_inputs == ()
    owner = desk.home.members.owner_key()
    assert owner is not None
    with desk.home.reading():
        grant = desk.home.members.grant_for(other.actor, Role.WORKER)
    desk.home.append(owner, [Revoke(grant, other.actor, ())])
    found = of(desk, rests)
    assert (found.status, found.tainted_inputs) == ("done", (str(done.event),))
    assert "TAINTED" in "".join(found.render_lines())


def test_a_backoff_names_the_failure_it_waits_out(desk: Desk) -> None:
    """After a failure a task says which attempt of how many failed, why, and until when it waits; so does an action."""
    me = desk.peer("me")
    record = submit(desk.home, me, SubmitRequest(spec("t", max_attempts=3, backoff=Backoff(60_000, 60_000))))[0].record
    assert take(desk.home, me) is not None
    failed = fail(desk.home, me, record.key, failure_class="crash", error="out\n of memory\n")
    found = of(desk, record)
    (backoff,) = found.obstacles
    assert (found.status, backoff.kind, backoff.until) == ("waiting", ObstacleKind.BACKOFF, found.ready_at)
    assert backoff.until is not None
    until = _iso(backoff.until)
    assert found.why == f"backoff after failed attempt 1 of 3 until {until} (crash: out of memory)"
    assert [event.what for event in found.decided_by] == ["submit", "claim", "fail"]
    assert found.decided_by[-1].event == str(failed.event)
    with pytest.raises(NotReadyError, match=f"backoff after failed attempt 1 of 3 until {until}") as refused:
        complete(desk.home, me, record.key)
    assert refused.value.details["obstacles"] == [asdict(backoff)]


def test_all_that_is_in_the_way_is_told(desk: Desk) -> None:
    """A need that is not done hides no time before which the task cannot be taken, nor a death that it has expired."""
    me = desk.peer("me")
    need = desk.submit(me, "need")
    both = desk.submit(me, "both", needs=["need"], not_before=START_MS / 1000 + 60)
    assert of(desk, both).why == "it waits for need; not before 2027-01-15T08:01:00.000Z"
    complete(desk.home, me, need.key)
    assert of(desk, both).why == "not before 2027-01-15T08:01:00.000Z"
    fleeting = SubmitRequest(spec("t", max_attempts=1, expires_at=START_MS + 1_000))
    record = submit(desk.home, me, fleeting)[0].record
    assert take(desk.home, me) is not None
    fail(desk.home, me, record.key)
    assert "requeue" in of(desk, record).why
    desk.now += 1_000
    assert of(desk, record).why == "its attempts are used up; expired at 2027-01-15T08:00:01.000Z"


def test_only_a_ready_task_may_be_taken(desk: Desk) -> None:
    """Of a held, a waiting and a done task nobody is told that he may take it."""
    me = desk.peer("me")
    late = desk.submit(me, "late", not_before=START_MS / 1000 + 60)
    record = desk.submit(me, "t")
    assert take(desk.home, me) is not None
    told = [[peer.words for peer in of(desk, one).peers] for one in (late, record)]
    complete(desk.home, me, record.key)
    assert [*told, [peer.words for peer in of(desk, record).peers]] == [["is eligible"]] * 3


def test_what_freed_a_task_is_among_what_decided(desk: Desk) -> None:
    """The release of the last claim, the failures since the last requeue, and the requeue itself stand there."""
    me = desk.peer("me")
    record = submit(desk.home, me, SubmitRequest(spec("t", max_attempts=1, backoff=Backoff(0, 0))))[0].record
    assert take(desk.home, me) is not None
    release(desk.home, me, record.key)
    assert take(desk.home, me) is not None
    given_back = release(desk.home, me, record.key)
    found = of(desk, record).decided_by
    assert [event.what for event in found] == ["submit", "claim", "release"]
    assert found[-1].event == str(given_back.event)
    assert take(desk.home, me) is not None
    fail(desk.home, me, record.key)
    assert [event.what for event in of(desk, record).decided_by] == ["submit", "claim", "fail"]
    again = requeue(desk.home, me, record.key)
    found = of(desk, record).decided_by
    assert [(event.what, event.event) for event in found[1:]] == [("requeue", str(again.event))]


def test_events_ahead_of_the_instant_are_an_obstacle_too(desk: Desk) -> None:
    """Before the time of its own submit a task waits for that time, and the answer says so."""
    record = desk.submit(desk.peer("me"), "t")
    (ahead,) = explain(desk.home, record, now=START_MS - 1).obstacles
    assert (ahead.kind, ahead.until) == (ObstacleKind.LOG, START_MS)


def test_a_blob_that_has_not_come_is_named(desk: Desk) -> None:
    """A ready task that nobody here can run yet does not pass for one that has everything."""
    me, blobs = desk.peer("me"), {Cid.of_raw(data): data for data in (b"first", b"second")}
    files = {str(len(data)): FileRef(len(data), (cid,)) for cid, data in blobs.items()}
    payload = Attachment(*write_payload(Command(("true",), files=files)))
    record = submit(desk.home, me, SubmitRequest(spec("t", payload=payload), blobs=blobs))[0].record
    first, second = blobs
    for lacks, words in (
        ((first, second), f"2 blobs it needs have not come here yet, one of them {first}"),
        ((second,), f"a blob it needs has not come here yet: {second}"),
        ((), "everything it needs is there"),
    ):
        with desk.home.writing() as writing:
            desk.home.database.connection.execute("UPDATE blobs SET data = NULL")
            for cid in blobs.keys() - set(lacks):
                writing.add_blob(blobs[cid])
        found = of(desk, record)
        assert found.lacking == tuple(map(str, lacks))
        assert words in found.why
    found = of(desk, submit(desk.home, me, SubmitRequest(spec("u", payload=LARGE)))[0].record)
    assert (found.lacking, found.status) == ((str(LARGE.blob),), "ready")
