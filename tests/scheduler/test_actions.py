"""Actions on tasks: each does what it says in one durable transaction, or refuses, says why and changes nothing."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from crdt.prospect import FOLLOWS_MAX, claim_follows
from crdt.records import TaskRecord
from crdt.view import Status, holder_of, view
from ledger.events import Policy, Role
from ledger.keys import SigningKey
from ledger.operations import Attachment, Backoff, Claim, Fail, Prioritize, Release, Renew, Report, Spec
from scheduler.acting import INLINE_BYTES_MAX, write
from scheduler.actions import (
    LEASE_BY_HAND_MS,
    AmbiguousTaskError,
    ConflictError,
    HeldByOtherError,
    NotAllowedError,
    NotDeadError,
    NotHeldError,
    NotReadyError,
    RequestError,
    SubmitRequest,
    TaskNotFoundError,
    TaskOverError,
    WithoutEffectError,
    bump,
    cancel,
    complete,
    fail,
    release,
    renew,
    request_of,
    requeue,
    resolve,
    submit,
    take,
)
from scheduler.home import Home
from scheduler.membership import NotAMemberError
from scheduler.queue import TaskQueue
from scheduler.tags import WorkflowTag
from scheduler.task import P2PTask, Payload
from tests.scheduler.desk import START_MS, Desk

POLICY = Policy()


def spec(task_id: str, workflow_id: str = "w", **fields: object) -> Spec:
    """Return a spec with these fields."""
    return replace(Spec(task_id, workflow_id, "n", ("p2p-only",)), **fields)  # type: ignore[arg-type]  # fields of Spec


def events(desk: Desk) -> int:
    """Return how many events the home has."""
    with desk.home.reading():
        return desk.home.events.count()


# ---- submit


def test_the_same_request_is_the_same_task(desk: Desk) -> None:
    """Submitting a request again makes no event, whatever became of its task, and whatever its priority says."""
    me = desk.peer("me")
    first = desk.submit(me, "t")
    complete(desk.home, me, first.key)
    before = events(desk)
    again = submit(desk.home, me, SubmitRequest(spec("t", name="name of t"), priority=9))[0]
    assert (again.created, again.record.key, again.event) == (False, first.key, first.submits[0])
    assert (events(desk), bool(again.record.completions)) == (before, True)


def test_another_request_under_a_used_name_is_a_conflict(desk: Desk) -> None:
    """Within one submitter a name is used once; another submitter, or workflow, has names of its own."""
    me, other = desk.peer("me"), desk.peer("other")
    used = desk.submit(me, "t")
    before = events(desk)
    with pytest.raises(ConflictError, match=used.key.hex()):
        submit(desk.home, me, SubmitRequest(spec("t", name="something else")))
    with pytest.raises(ConflictError):  # in one call, too
        submit(desk.home, me, [SubmitRequest(spec("u")), SubmitRequest(spec("u", name="other"))])
    assert events(desk) == before
    submit(desk.home, me, SubmitRequest(spec("t", "another workflow")))
    assert submit(desk.home, other, SubmitRequest(spec("t")))[0].record.key != used.key


def test_a_batch_is_one_event_and_all_or_nothing(desk: Desk) -> None:
    """Many submits share an event; needs name earlier ones of the batch; an error leaves nothing of it."""
    me = desk.peer("me")
    before = events(desk)
    requests = [SubmitRequest(spec("build"))] + [SubmitRequest(spec(f"test{i}"), needs=("build",)) for i in range(20)]
    submitted = submit(desk.home, me, requests)
    assert events(desk) == before + 1
    assert all(one.record.spec.needs == (submitted[0].record.key,) for one in submitted[1:])
    with pytest.raises(TaskNotFoundError):
        submit(desk.home, me, [SubmitRequest(spec("fine")), SubmitRequest(spec("lost"), needs=("nothing",))])
    assert events(desk) == before + 1


def test_a_large_batch_takes_as_few_events_as_hold_it(desk: Desk) -> None:
    """Beyond what one event holds, a batch goes on in the next, in the same transaction."""
    me = desk.peer("me")
    before = events(desk)
    labels = tuple(f"{i:02}" for i in range(32))
    submitted = submit(desk.home, me, [SubmitRequest(spec(f"t{i}", requires=labels)) for i in range(300)])
    assert all(one.created for one in submitted)
    assert before + 2 <= events(desk) <= before + 4


def test_a_repetition_in_one_batch_counts_once(desk: Desk) -> None:
    """The same request twice in one call is one submit; the second was there before."""
    me = desk.peer("me")
    one, two = submit(desk.home, me, [SubmitRequest(spec("t")), SubmitRequest(spec("t"))])
    assert (one.created, two.created, one.record.key) == (True, False, two.record.key)


def test_what_cannot_be_written_is_refused(desk: Desk) -> None:
    """A spec beyond the format's limits is the request's error, before anything is written."""
    me = desk.peer("me")
    for bad in (spec("t", name="n" * 2_000), spec("t", max_attempts=0), spec("t", tags=("b", "a"))):
        with pytest.raises(RequestError):
            submit(desk.home, me, SubmitRequest(bad))
    with pytest.raises(WithoutEffectError):  # a priority no submit may have: P2PTask and the command line check it
        submit(desk.home, me, SubmitRequest(spec("t"), priority=99))
    with pytest.raises(TaskNotFoundError):
        resolve(desk.home, me, "t")


@pytest.mark.parametrize("size", [0, INLINE_BYTES_MAX, INLINE_BYTES_MAX + 1, 500_000])
def test_payloads_of_any_size(desk: Desk, size: int) -> None:
    """A payload is inline when small, else a blob that the home keeps; the same payload is the same task."""
    me = desk.peer("me")
    task = P2PTask("t", "w", "n", [WorkflowTag.P2P_ONLY], payload=Payload("application/octet-stream", b"x" * size))
    record = submit(desk.home, me, request_of(task))[0].record
    payload = record.spec.payload
    assert payload is not None
    assert (payload.size, payload.blob is None) == (size, size <= INLINE_BYTES_MAX)
    if payload.blob is not None:
        with desk.home.reading():
            assert desk.home.intake.blobs.get_many((payload.blob,)) == {payload.blob: b"x" * size}
    assert not submit(desk.home, me, request_of(task))[0].created


def test_a_need_prefers_its_own_workflow(desk: Desk) -> None:
    """Two workflows may have tasks of the same names: a need means the one of its own."""
    me = desk.peer("me")
    submit(desk.home, me, SubmitRequest(spec("build", "one")))
    two = submit(desk.home, me, SubmitRequest(spec("build", "two")))[0].record
    waits = submit(desk.home, me, SubmitRequest(spec("test", "two"), needs=("build",)))[0].record
    assert waits.spec.needs == (two.key,)


def test_a_stranger_may_not_submit(desk: Desk) -> None:
    """A key without a grant is told whom to ask, and nothing is written."""
    before = events(desk)
    with pytest.raises(NotAMemberError, match="did:key:z6Mk"):
        submit(desk.home, SigningKey.generate(), SubmitRequest(spec("t")))
    with pytest.raises(NotAMemberError):
        take(desk.home, SigningKey.generate())
    assert events(desk) == before


# ---- take


def test_taking_claims_durably(desk: Desk) -> None:
    """What is taken is claimed in the ledger before the call answers: another home object sees it."""
    me = desk.peer("me")
    record = desk.submit(me, "t")
    taken = take(desk.home, me)
    assert taken is not None
    assert (taken.record.key, taken.assigned, taken.until) == (record.key, me.actor, START_MS + LEASE_BY_HAND_MS)
    with Home.open(desk.home.folder, clock=lambda: desk.now) as again, again.reading():
        found = again.board.find_record(record.key)
        assert found is not None
        assert [claim.cid for claim in found.claims] == [taken.claim]
    assert take(desk.home, me) is None


def test_a_lease_is_capped_by_the_policy(desk: Desk) -> None:
    """F1f: no claim asks for more than the policy's longest lease."""
    me = desk.peer("me")
    desk.submit(me, "t")
    taken = take(desk.home, me, lease_ms=10**12)
    assert taken is not None
    assert taken.until == START_MS + min(POLICY.lease_ms_max, POLICY.timeout_ms)


def test_a_claim_cites_the_results_it_needs(desk: Desk) -> None:
    """F1e: the inputs of a claim are the completions of its task's needs."""
    me = desk.peer("me")
    need = desk.submit(me, "need")
    desk.submit(me, "t", needs=["need"])
    done = complete(desk.home, me, need.key)
    taken = take(desk.home, me)
    assert taken is not None
    assert taken.record.claims[0].inputs == (done.event,)


# ---- settle


def test_completing_an_open_task_claims_it_first(desk: Desk) -> None:
    """Completing what nobody holds is two events in one transaction: the claim and the completion."""
    me = desk.peer("me")
    record = desk.submit(me, "t")
    before = events(desk)
    settled = complete(desk.home, me, record.key, output=Attachment("text/plain", b"out"), report=Report(exit_code=0))
    assert events(desk) == before + 2
    assert settled.record.result is not None
    assert (settled.record.result.actor, settled.record.result.cid, settled.already) == (me.actor, settled.event, False)


def test_nobody_completes_anothers_task(desk: Desk) -> None:
    """Of a task another peer holds, every action of a worker is refused, and names the holder."""
    a, b = desk.peer("a"), desk.peer("b")
    record = desk.submit(a, "t")
    desk.now += POLICY.grace_ms
    assert desk.take_id(a) == "t"
    before = events(desk)
    for act in (complete, fail, release):
        with pytest.raises(HeldByOtherError, match="held by a") as refused:
            act(desk.home, b, record.key)
        assert refused.value.holder == a.actor
    assert events(desk) == before


def test_completing_again_changes_nothing(desk: Desk) -> None:
    """Who completed a task may say so again; anybody else is told that it is done, and by whom."""
    a, b = desk.peer("a"), desk.peer("b")
    record = desk.submit(a, "t")
    first = complete(desk.home, a, record.key)
    before = events(desk)
    again = complete(desk.home, a, record.key)
    assert (again.already, again.event) == (True, first.event)
    with pytest.raises(TaskOverError, match="done already, by a"):
        complete(desk.home, b, record.key)
    with pytest.raises(TaskOverError):
        fail(desk.home, b, record.key)
    assert events(desk) == before


def test_completing_after_the_lease_ran_out(desk: Desk) -> None:
    """A claim that ran out still completes while nobody else holds the task, and not once somebody does."""
    a, b = desk.peer("a"), desk.peer("b")
    one, two = desk.submit(a, "one", priority=9), desk.submit(a, "two")
    desk.now += POLICY.grace_ms
    taken = [take(desk.home, a, lease_ms=1_000) for _ in range(2)]
    assert [one and one.record.spec.task_id for one in taken] == ["one", "two"]
    desk.now += 1_000
    assert complete(desk.home, a, one.key).record.result is not None
    desk.now += 10 * POLICY.grace_ms
    assert desk.take_id(b) == "two"
    with pytest.raises(HeldByOtherError, match="held by b"):
        complete(desk.home, a, two.key)


def test_what_cannot_be_taken_cannot_be_completed(desk: Desk) -> None:
    """Completing a task that waits, is blocked, expired or cancelled says why not."""
    me = desk.peer("me")
    need = desk.submit(me, "need")
    waits, late = desk.submit(me, "waits", needs=["need"]), desk.submit(me, "late", not_before=START_MS / 1000 + 60)
    gone = desk.submit(me, "gone", expires_at=START_MS / 1000 + 1)
    with pytest.raises(NotReadyError, match="needs that are not done"):
        complete(desk.home, me, waits.key)
    with pytest.raises(NotReadyError, match="not before"):
        complete(desk.home, me, late.key)
    desk.now += 1_000
    with pytest.raises(NotReadyError, match="expired"):
        complete(desk.home, me, gone.key)
    cancel(desk.home, me, need.key)
    with pytest.raises(TaskOverError, match="cancelled"):
        complete(desk.home, me, need.key)
    with pytest.raises(NotReadyError, match="blocked"):
        complete(desk.home, me, waits.key)


def test_complete_and_next_is_one_event(desk: Desk) -> None:
    """Completing one task and claiming the next is one event; what only this completion made ready is one more."""
    me = desk.peer("me")
    first = desk.submit(me, "first", priority=9)
    desk.submit(me, "second")
    desk.submit(me, "third", needs=["second"])
    assert desk.take_id(me) == "first"
    queue = TaskQueue(desk.home, me.actor)
    before = events(desk)
    settled = complete(desk.home, me, first.key, and_next=True, queue=queue)
    assert settled.next is not None
    assert (settled.next.record.spec.task_id, settled.next.claim, events(desk)) == ("second", settled.event, before + 1)
    settled = complete(desk.home, me, settled.next.record.key, and_next=True, queue=queue)
    assert settled.next is not None
    assert (settled.next.record.spec.task_id, events(desk)) == ("third", before + 3)
    settled = complete(desk.home, me, settled.next.record.key, and_next=True)
    assert (settled.next, events(desk)) == (None, before + 4)


def test_failures_use_up_attempts(desk: Desk) -> None:
    """A task is dead once its attempts failed, is given no more, and comes back by a requeue alone."""
    me = desk.peer("me")
    record = submit(desk.home, me, SubmitRequest(spec("t", max_attempts=2, backoff=Backoff(0, 0))))[0].record
    with pytest.raises(NotDeadError):
        requeue(desk.home, me, record.key)
    for _ in range(2):
        assert desk.take_id(me) == "t"
        fail(desk.home, me, record.key, failure_class="exit", error="it broke")
    assert desk.take_id(me) is None
    with desk.home.reading():
        assert view(desk.record(record.key), desk.home.board.find_record, POLICY, desk.now).status is Status.DEAD
    with pytest.raises(NotReadyError, match="dead"):
        complete(desk.home, me, record.key)
    requeue(desk.home, me, record.key)
    assert desk.take_id(me) == "t"


def test_settling_needs_a_claim(desk: Desk) -> None:
    """Failing or releasing a task that nobody holds is refused."""
    me = desk.peer("me")
    record = desk.submit(me, "t")
    with pytest.raises(NotHeldError):
        fail(desk.home, me, record.key)
    assert desk.take_id(me) == "t"
    release(desk.home, me, record.key, reason="not now")
    with pytest.raises(NotHeldError):
        release(desk.home, me, record.key)


# ---- renew


def test_all_claims_are_renewed_in_one_event(desk: Desk) -> None:
    """Renewing carries every claim on from now, in one event; what was settled or lost is named and left alone."""
    a, b = desk.peer("a"), desk.peer("b")
    for i in range(4):
        desk.submit(a, f"t{i}")
    desk.now += POLICY.grace_ms
    taken = [take(desk.home, a, lease_ms=10_000) for _ in range(4)]
    claims = {one.record.key: one.claim for one in taken if one is not None}
    kept, done, lost, cancelled = claims
    complete(desk.home, a, done)
    cancel(desk.home, a, cancelled)
    desk.now += 9_000
    assert set(renew(desk.home, a, {kept: claims[kept]}, lease_ms=10_000).until.values()) == {desk.now + 10_000}
    desk.now += 10 * POLICY.grace_ms
    renew(desk.home, a, {kept: claims[kept]}, lease_ms=60_000)
    complete(desk.home, b, lost)
    before = events(desk)
    found = renew(desk.home, a, claims, lease_ms=60_000, progress="half")
    assert events(desk) == before + 1
    assert (found.until, found.settled) == ({kept: desk.now + 60_000}, {done})
    assert found.lost == {lost: "the task was done by b", cancelled: "the task was cancelled"}


def test_no_claim_outlives_its_timeout(desk: Desk) -> None:
    """A claim runs at most until its timeout, however often it is renewed; then it is lost."""
    me = desk.peer("me")
    desk.submit(me, "t", timeout_seconds=20)
    taken = take(desk.home, me, lease_ms=10_000)
    assert taken is not None
    claims = {taken.record.key: taken.claim}
    desk.now += 9_000
    assert renew(desk.home, me, claims, lease_ms=60_000).until == {taken.record.key: START_MS + 20_000}
    desk.now = START_MS + 20_000
    assert renew(desk.home, me, claims, lease_ms=60_000).lost == {taken.record.key: "its timeout has passed"}


# ---- steer


def test_only_submitter_and_owner_steer(desk: Desk) -> None:
    """F3a: cancel, priority and requeue are the submitter's and the owners'."""
    a, b = desk.peer("a"), desk.peer("b")
    owner = desk.home.members.owner_key()
    assert owner is not None
    record = desk.submit(a, "t")
    with pytest.raises(NotAllowedError, match="submitted by a"):
        cancel(desk.home, b, record.key)
    with pytest.raises(NotAllowedError):
        bump(desk.home, b, record.key, 9)
    assert bump(desk.home, owner, record.key, 9).record.priority == 9
    assert bump(desk.home, a, record.key, 9).event is None
    assert cancel(desk.home, owner, record.key, reason="enough").record.cancels
    assert cancel(desk.home, a, record.key).event is None
    with pytest.raises(TaskOverError):
        bump(desk.home, a, record.key, 3)


@pytest.mark.parametrize("priority", [0, 11, 99, -1])
def test_priorities_are_1_to_10(desk: Desk, priority: int) -> None:
    """A priority outside 1..10 is refused."""
    me = desk.peer("me")
    record = desk.submit(me, "t")
    with pytest.raises(RequestError):
        bump(desk.home, me, record.key, priority)


def test_a_done_task_is_not_cancelled(desk: Desk) -> None:
    """F3b: after its completion a task is steered no more."""
    me = desk.peer("me")
    record = desk.submit(me, "t")
    complete(desk.home, me, record.key)
    for act in (cancel, requeue):
        with pytest.raises(TaskOverError):
            act(desk.home, me, record.key)


# ---- names


def test_names_mean_held_then_own_then_any(desk: Desk) -> None:
    """A name means the task one holds, else one's own, else the only one; else the key must say."""
    a, b, c = desk.peer("a"), desk.peer("b"), desk.peer("c")
    of_a = submit(desk.home, a, SubmitRequest(spec("t", "one")))[0].record
    assert resolve(desk.home, c, "t").key == of_a.key
    of_b = submit(desk.home, b, SubmitRequest(spec("t", "two")))[0].record
    assert resolve(desk.home, a, "t").key == of_a.key
    assert resolve(desk.home, b.actor, "t").key == of_b.key
    for onlooker in (c, None):
        with pytest.raises(AmbiguousTaskError) as ambiguous:
            resolve(desk.home, onlooker, "t")
        assert set(ambiguous.value.keys) == {of_a.key, of_b.key}
        assert {f"  one/t: {of_a.key.hex()}", f"  two/t: {of_b.key.hex()}"} == set(
            str(ambiguous.value).splitlines()[1:]
        )
        assert "complete --task-id" in ambiguous.value.advice
    assert resolve(desk.home, c, of_b.key.hex().upper()).key == of_b.key
    complete(desk.home, a, of_a.key)
    desk.now += 5 * POLICY.grace_ms
    taken = take(desk.home, a)
    assert taken is not None
    assert resolve(desk.home, a, "t").key == of_b.key
    assert holder_of(taken.record, desk.now) is not None
    with pytest.raises(TaskNotFoundError, match="Task nothing not found"):
        resolve(desk.home, a, "nothing")


# ---- what they share


def test_a_flooded_task_is_still_taken_completed_and_steered(desk: Desk) -> None:
    """S7, counter-example 3: more heads than anybody can follow do not keep the honest from a task."""
    mal, me = desk.peer("mal"), desk.peer("me")
    record = desk.submit(me, "t")
    flood(desk, mal, record)
    assert len(desk.record(record.key).heads) == FOLLOWS_MAX + 2
    bump(desk.home, me, record.key, 9)
    complete(desk.home, me, record.key)
    done = desk.record(record.key)
    assert done.priority == 9
    assert done.result is not None
    assert done.result.actor == me.actor


def test_a_flooded_task_uses_up_its_attempts_and_is_queued_again(desk: Desk) -> None:
    """S7, counter-examples 1 and 3: claims of a flooded task are numbered on, past what a requeue has written off."""
    mal, me = desk.peer("mal"), desk.peer("me", ("mine",))
    asked = SubmitRequest(spec("t", requires=("mine",), max_attempts=2, backoff=Backoff(0, 0)))
    key = submit(desk.home, me, asked)[0].record.key
    for numbers in ([2, 3], [5, 6]):  # between them those of mal, released
        flood(desk, mal, desk.record(key))
        assert [take_and_fail(desk, me) for _ in range(2)] == numbers
        assert len(desk.record(key).heads) > FOLLOWS_MAX
        with desk.home.reading():
            assert view(desk.record(key), desk.home.board.find_record, POLICY, desk.now).status is Status.DEAD
        assert requeue(desk.home, me, key).record.base == numbers[-1]
    assert complete(desk.home, me, key).record.result is not None


def test_what_a_requeue_wrote_off_stays_so_however_releases_cross(desk: Desk) -> None:
    """S7, counter-example 1: where no head can be followed the requeue can: nothing is written off as it is made."""
    mal, me = desk.peer("mal"), desk.peer("me", ("mine",))
    asked = SubmitRequest(spec("t", requires=("mine",), max_attempts=2, backoff=Backoff(0, 0)))
    key = submit(desk.home, me, asked)[0].record.key
    assert [take_and_fail(desk, me) for _ in range(2)] == [1, 2]
    requeued = requeue(desk.home, me, key)
    assert (requeued.event, requeued.record.base) == (requeued.record.requeue, 2)
    with Home.open(desk.home.folder, clock=lambda: desk.now) as again, again.reading():
        assert again.board.find_record(key) == requeued.record
    with desk.home.writing() as writing:
        lost = write(writing, mal, (Claim(key, requeued.record.heads, 1_000),), Role.WORKER).cid
        start = (write(writing, mal, (Fail(key, (lost,), lost, "exit", ""),), Role.WORKER).cid,)
        one, two = (write(writing, mal, (Claim(key, start, 3_600_000),), Role.WORKER).cid for _ in range(2))
        write(writing, mal, (Release(key, (one, two), one),), Role.WORKER)  # in what each follows the other claim runs
        write(writing, mal, (Release(key, (two, one), two),), Role.WORKER)
        for _ in range(FOLLOWS_MAX):
            write(writing, mal, (Renew(key, (one,), one, 3_600_000),), Role.WORKER)
    assert [take_and_fail(desk, me) for _ in range(2)] == [3, 4]
    with desk.home.writing() as writing:  # the latest head has a failed attempt in its past, and a claim that runs
        write(writing, mal, (Renew(key, (one,), one, 3_600_000),), Role.WORKER)
    assert requeue(desk.home, me, key).record.base == 4
    assert complete(desk.home, me, key).record.result is not None


def take_and_fail(desk: Desk, key: SigningKey) -> int:
    """Take a task and fail; return the attempt."""
    taken = take(desk.home, key)
    assert taken is not None
    fail(desk.home, key, taken.record.key)
    return next(claim.attempt for claim in taken.record.claims if claim.cid == taken.claim)


def flood(desk: Desk, key: SigningKey, record: TaskRecord) -> None:
    """Give a task more heads than an operation follows, in all of which but one a claim runs that was released."""
    with desk.home.writing() as writing:
        follows = claim_follows(desk.home.board, record, writing.time)
        claim = write(writing, key, (Claim(record.key, follows, 3_600_000),), Role.WORKER).cid
        write(writing, key, (Release(record.key, (claim,), claim),), Role.WORKER)
        for _ in range(FOLLOWS_MAX + 1):  # concurrent to the release: each has the claim alone in its past
            write(writing, key, (Renew(record.key, (claim,), claim, 3_600_000),), Role.WORKER)


def test_an_operation_without_effect_is_taken_back(desk: Desk) -> None:
    """What an action wrote must count: else it is a defect, said loudly, and nothing of it stays."""
    me = desk.peer("me")
    record = desk.submit(me, "t")
    before = events(desk)
    with pytest.raises(WithoutEffectError, match="F0a"), desk.home.writing() as writing:
        write(writing, me, (Prioritize(record.key, (), 9),), Role.SUBMITTER)
    assert (events(desk), desk.record(record.key).priority) == (before, 5)


def test_a_home_behind_the_heads_still_acts(tmp_path: Path) -> None:
    """A10: where another's clock is ahead, events carry its time, and what is decided is decided for that time."""
    with Desk(tmp_path / "ahead") as desk:
        me = desk.peer("me")
        desk.now += 5_000
        record = desk.submit(me, "t")
        desk.now -= 4_000
        taken = take(desk.home, me, lease_ms=10_000)
        assert taken is not None
        assert taken.until == START_MS + 15_000
        assert complete(desk.home, me, record.key).record.result is not None
