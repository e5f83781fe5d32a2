"""What a member gains by breaking the rules that acceptance cannot enforce: nothing, or no more than is written.

Each test names an attack and the rule that stops it. Acceptance's own adversaries are tests of the ledger.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

import pytest

from crdt.order import anchor_of, distance
from crdt.records import Snapshot, TaskRecord
from crdt.slow import reduce
from ledger.cid import Cid
from ledger.events import PARENTS_MAX
from ledger.operations import (
    Admit,
    Cancel,
    Claim,
    Complete,
    Fail,
    Join,
    Prioritize,
    Release,
    Renew,
    Requeue,
    Revoke,
)
from tests.simulator.judgement import holder, status
from tests.simulator.replica import Reducer
from tests.support.fast import reduce_fast
from tests.support.worlds import BACKOFF, CREATED, POLICY, Raw, World, a_spec, signing_key

REDUCERS: dict[str, Reducer] = {"slow": reduce, "board": reduce_fast}
ADA, BEN, MAL = (signing_key(name) for name in ("ada", "ben", "mal"))
ROLES = ("submitter", "worker")


@pytest.fixture(params=list(REDUCERS.values()), ids=list(REDUCERS))
def stage(request: pytest.FixtureRequest) -> Stage:
    """Return a world with one task of ada's, and ben and mal to work on it."""
    return Stage(request.param)


class Stage:
    """A world where ada has submitted one task."""

    def __init__(self, reducer: Reducer) -> None:
        self.reducer = reducer
        self.world = World()
        self.olga, self.otto = self.world.owners
        admits = [Admit(key.actor, ROLES) for key in (ADA, BEN, MAL)]
        self.start = self.world.event(self.olga, *admits, time=CREATED)
        op = self.world.submit(ADA, a_spec("target"))
        self.submit = self.world.event(ADA, op)
        self.key = op.key
        self.asked = op

    def board(self, cids: Iterable[Cid] | None = None) -> Snapshot:
        """Return the board of all events, or of some."""
        return self.reducer(
            self.world.ledger, self.world.genesis, self.world.of(self.world.events if cids is None else cids)
        )

    def task(self) -> TaskRecord:
        """Return the record of the task."""
        return self.board().tasks[self.key]

    def rules(self, cid: Cid) -> list[str]:
        """Return the rules that the event's operations break, in their order."""
        found = sorted((item.index, item.rule) for item in self.board().ignored if item.event == cid)
        return [rule for _, rule in found]

    def claim(self, *follows: Cid, lease_ms: int = 1_000) -> Claim:
        """Return a claim of the task."""
        return Claim(self.key, follows or (self.submit,), lease_ms)


# ---- fences


def test_backdating_after_a_revocation_gains_nothing(stage: Stage) -> None:
    """R4: a fence is fixed by hashes; what it did not keep is void, whatever time and parents it claims."""
    world = stage.world
    claim = world.event(MAL, stage.claim())
    world.event(stage.olga, Revoke(stage.start, MAL.actor, (claim,)))
    late = world.event(MAL, Complete(stage.key, (claim,), claim), parents=(claim,), time=0)
    board = stage.board()
    assert claim in board.counts
    assert late not in board.log
    assert board.tasks[stage.key].result is None
    assert late not in board.heads


def test_a_backdated_submission_moves_no_anchor_after_a_revocation(stage: Stage) -> None:
    """R4, D5: a submit beyond the fence is no submit of the task."""
    world = stage.world
    op = world.submit(MAL, a_spec("bait"))
    kept = world.event(MAL, op)
    world.event(stage.olga, Revoke(stage.start, MAL.actor, (kept,)))
    world.event(MAL, op, parents=(stage.start,), time=0)
    assert stage.board().tasks[op.key].submits == (kept,)


def test_a_stale_keep_undoes_the_revoked_actor_alone(stage: Stage) -> None:
    """R4, F2: a revocation that keeps little of mal voids what mal did, never what ben did on it."""
    world = stage.world
    failed = world.event(MAL, stage.claim())
    ended = world.event(MAL, Fail(stage.key, (failed,), failed, "error", ""))
    again = world.event(BEN, stage.claim(ended), time=CREATED + 3_000)
    world.event(stage.olga, Revoke(stage.start, MAL.actor, ()), parents=(stage.submit,))
    done = world.event(BEN, Complete(stage.key, (again,), again), parents=(again,))
    board = stage.board()
    assert {failed, ended} & board.counts == set()
    assert {failed, ended} <= board.log
    task = board.tasks[stage.key]
    assert task.result is not None
    assert task.result.cid == done
    assert [claim.attempt for claim in task.claims] == [2]


def test_work_goes_on_over_a_fence_that_is_in_its_past(stage: Stage) -> None:
    """P, F1b: who has seen the revocation does not wait for the claim that it made void."""
    world = stage.world
    world.event(MAL, stage.claim(lease_ms=4_000))
    world.event(stage.olga, Revoke(stage.start, MAL.actor, ()))
    claim = world.event(BEN, stage.claim())
    assert stage.rules(claim) == []
    assert [found.cid for found in stage.task().claims] == [claim]


def test_what_is_kept_keeps_its_past(stage: Stage) -> None:
    """R4: `keep` and all before it still count, and nothing beside it."""
    world = stage.world
    claim = world.event(MAL, stage.claim())
    kept = world.event(MAL, Renew(stage.key, (claim,), claim, 1_000))
    beside = world.event(MAL, parents=(claim,))
    world.event(stage.olga, Revoke(stage.start, MAL.actor, (kept,)))
    assert {claim, kept, beside} & stage.board().counts == {claim, kept}


def test_every_revocation_narrows(stage: Stage) -> None:
    """R4: what one revocation keeps another can deny; nothing that one denies is restored by the other."""
    world = stage.world
    claim = world.event(MAL, stage.claim())
    wide = world.event(stage.olga, Revoke(stage.start, MAL.actor, (claim,)))
    narrow = world.event(stage.otto, Revoke(stage.start, MAL.actor, ()), parents=(claim,))
    assert claim in stage.board(world.closure((wide,))).counts
    assert claim not in stage.board(world.closure((narrow,))).counts
    assert claim not in stage.board().counts


def test_readmission_is_a_new_grant(stage: Stage) -> None:
    """R4, A8: a denial under one grant says nothing about the next, and the next restores nothing."""
    world = stage.world
    claim = world.event(MAL, stage.claim())
    world.event(stage.olga, Revoke(stage.start, MAL.actor, ()))
    world.event(stage.otto, Admit(MAL.actor, ROLES))
    anew = world.event(MAL, stage.claim())
    assert claim not in stage.board().counts
    assert anew in stage.board().counts
    assert [found.cid for found in stage.task().claims] == [anew]


def test_members_neither_admit_nor_revoke_and_owners_stay(stage: Stage) -> None:
    """R1, R2: only owners rule the roster, and over others than owners."""
    world = stage.world
    by_member = world.event(MAL, Admit(MAL.actor, ROLES), Revoke(stage.start, BEN.actor, ()))
    by_owner = world.event(stage.otto, Admit(stage.olga.actor, ROLES), Revoke(None, stage.olga.actor, ()))
    assert stage.rules(by_member) == ["R1", "R2"]
    assert stage.rules(by_owner) == ["R1", "R2"]
    assert by_member in stage.board().counts
    assert BEN.actor not in {row.actor for row in stage.board().roster.members if row.revoked_by}


def test_nobody_calls_himself_prod(stage: Stage) -> None:
    """R3: labels beyond those of the grant, or no role to work, and a join has no effect."""
    world = stage.world
    world.event(stage.olga, Admit(MAL.actor, ("worker",), labels=("gpu",)))
    false, true = world.event(MAL, Join(("prod",))), world.event(MAL, Join(("gpu",)))
    world.event(stage.olga, Admit(BEN.actor, ("submitter",)))
    idle = world.event(BEN, Join())
    assert (stage.rules(false), stage.rules(true), stage.rules(idle)) == (["R3"], [], ["R3"])
    assert stage.board().active_workers == {MAL.actor}


# ---- claims


def test_pumped_attempts_give_no_precedence(stage: Stage) -> None:
    """D4: the nearest running claim holds, whatever attempt, height or time the other has worked up."""
    world = stage.world
    anchor = anchor_of(stage.submit, stage.key)
    near, far = sorted((BEN, MAL), key=lambda key: distance(key.actor, anchor))
    honest = world.event(near, stage.claim(lease_ms=4_000), time=CREATED + 100)
    pumped = world.event(far, stage.claim(), parents=(stage.submit,), time=CREATED + 50)
    for _ in range(5):
        freed = world.event(far, Release(stage.key, (pumped,), pumped), parents=(pumped,))
        pumped = world.event(far, stage.claim(freed, lease_ms=4_000), parents=(freed,))
    task = stage.task()
    assert max(claim.attempt for claim in task.claims) == 6
    held = holder(task, CREATED + 200)
    assert held is not None
    assert held.cid == honest


def test_released_attempts_do_not_kill_a_task(stage: Stage) -> None:
    """F1d: an attempt that was released by all did not fail, so pumping wastes no attempts."""
    world, last = stage.world, stage.submit
    for _ in range(5):
        claim = world.event(MAL, stage.claim(last))
        last = world.event(MAL, Release(stage.key, (claim,), claim))
    assert stage.rules(world.event(BEN, stage.claim(last))) == []


def test_a_resubmission_with_a_lower_height_moves_no_claim(stage: Stage) -> None:
    """D5: a claim's distance is to the least submit in its own past; a lesser one that comes later moves ranks only."""
    world = stage.world
    op = world.submit(MAL, a_spec("bait"))
    world.event(stage.otto)
    high = world.event(MAL, op)
    claim = world.event(BEN, Claim(op.key, (high,), 4_000))
    before = stage.board().tasks[op.key].claims
    low = world.event(MAL, op, parents=(stage.start,))
    task = stage.board().tasks[op.key]
    assert task.submits == (low, high)
    assert task.claims == before
    assert before[0].distance == distance(BEN.actor, anchor_of(high, op.key))
    assert claim == before[0].cid
    both = world.event(BEN, Claim(op.key, (low, high), 1_000), parents=(low, high))
    found = next(record for record in stage.board().tasks[op.key].claims if record.cid == both)
    assert found.distance == distance(BEN.actor, anchor_of(low, op.key))
    assert found.distance != before[0].distance


def test_omitted_follows_open_no_door(stage: Stage) -> None:
    """D1, D4: who follows less than it saw may be sound, and gains no more than a concurrent claim would."""
    world = stage.world
    anchor = anchor_of(stage.submit, stage.key)
    near, far = sorted((BEN, MAL), key=lambda key: distance(key.actor, anchor))
    honest = world.event(near, stage.claim(lease_ms=4_000))
    hidden = world.event(far, stage.claim(lease_ms=4_000))  # it has seen the other claim, and says it has not
    assert stage.rules(hidden) == []
    held = holder(stage.task(), world.time_of(hidden))
    assert held is not None
    assert held.cid == honest
    loser = world.event(far, Complete(stage.key, (hidden,), hidden))
    winner = world.event(near, Complete(stage.key, (honest,), honest), parents=(honest,))
    assert [done.cid for done in stage.task().completions] == [winner, loser]


def test_omitting_the_submit_or_the_claim_makes_an_operation_void(stage: Stage) -> None:
    """F0a, F2b: "X is in P" binds everybody."""
    world = stage.world
    claim = world.event(MAL, stage.claim())
    nothing = world.event(MAL, Claim(stage.key, (), 1_000))
    without = world.event(MAL, Complete(stage.key, (stage.submit,), claim))
    assert (stage.rules(nothing), stage.rules(without)) == (["F0a"], ["F2b"])


def test_an_unsound_operation_is_a_dead_end(stage: Stage) -> None:
    """P: nothing is reached through what has no effect, so a chain of junk leads nowhere."""
    world = stage.world
    junk = world.event(MAL, Cancel(stage.key, (stage.submit,)))
    assert stage.rules(world.event(MAL, Claim(stage.key, (junk,), 1_000))) == ["F0a"]


def test_a_second_claim_waits_for_the_first(stage: Stage) -> None:
    """F1b, M3: no claim while one runs in P; of two in one event the second is not read."""
    world = stage.world
    double = world.event(MAL, stage.claim(), stage.claim())
    again = world.event(MAL, stage.claim(double))
    assert (stage.rules(double), stage.rules(again)) == (["M3"], ["F1b"])
    assert [claim.cid for claim in stage.task().claims] == [double]


def test_a_lease_ends_however_it_is_renewed(stage: Stage) -> None:
    """F2e, F1f, "until": no lease is longer than the policy's, and no claim runs beyond its timeout."""
    world = stage.world
    long = world.event(MAL, stage.claim(lease_ms=POLICY.lease_ms_max + 1))
    last = claim = world.event(MAL, stage.claim(lease_ms=4_000))
    for step in range(1, 9):
        last = world.event(MAL, Renew(stage.key, (last,), claim, 4_000), time=world.time_of(claim) + step * 1_000)
    longer = world.event(MAL, Renew(stage.key, (last,), claim, POLICY.lease_ms_max + 1))
    assert (stage.rules(long), stage.rules(longer)) == (["F1f"], ["F2e"])
    assert stage.task().claims[0].until == world.time_of(claim) + POLICY.timeout_ms


def test_time_ahead_buys_one_lease_at_most(stage: Stage) -> None:
    """F1b: a claim from the future runs no longer than its lease after its own time; then the task is free."""
    world = stage.world
    ahead = world.event(MAL, stage.claim(lease_ms=4_000), time=CREATED + POLICY.skew_ms)
    freed = world.time_of(ahead) + 4_000
    early = world.event(BEN, stage.claim(ahead), time=freed - 1)
    due = world.event(BEN, stage.claim(ahead), time=freed, parents=(ahead,))
    assert (stage.rules(early), stage.rules(due)) == (["F1b"], [])


# ---- floods


def latest(world: World, heads: Iterable[Cid], count: int) -> tuple[Cid, ...]:
    """Return the `count` latest heads in the linear order."""
    return tuple(sorted(heads, key=lambda cid: (world.events[cid].event.height, cid))[-count:])


def test_a_flood_of_heads_hides_no_revocation_from_who_merges_first(stage: Stage) -> None:
    """P, counter-example 2: an author with more heads than parents merges them first, lest it lack a fence."""
    world = stage.world
    claim = world.event(MAL, stage.claim(lease_ms=4_000))
    raised = world.event(ADA, Prioritize(stage.key, (claim,), 9))
    world.event(stage.olga, Revoke(stage.start, MAL.actor, ()), parents=(raised,))
    later = world.event(ADA, parents=(world.event(ADA, parents=(raised,)),))
    for step in range(PARENTS_MAX + 1):
        world.event(BEN, parents=(later,), time=CREATED + 100 + step)
    heads = stage.board().heads
    assert len(heads) == PARENTS_MAX + 2
    assert stage.task().claims == ()
    assert stage.task().heads == (raised,)
    vain = world.event(BEN, stage.claim(raised), parents=latest(world, heads, PARENTS_MAX))
    assert stage.rules(vain) == ["F1b"]
    merged = world.event(BEN, parents=latest(world, heads, PARENTS_MAX))
    seen = {merged, *heads} - set(latest(world, heads, PARENTS_MAX))
    assert stage.rules(world.event(BEN, stage.claim(raised), parents=seen)) == []


def test_a_flooded_task_is_claimed_and_completed_by_following_less(stage: Stage) -> None:
    """S7, counter-example 3: who cannot follow all heads judges by what it follows: the submit or its claim may do."""
    world = stage.world
    claim = world.event(MAL, stage.claim(lease_ms=1_000))
    renewed = [world.event(MAL, Renew(stage.key, (claim,), claim, 4_000), time=CREATED + 900)]
    world.event(MAL, Release(stage.key, (claim,), claim), parents=(claim,))
    renewed += [world.event(MAL, Renew(stage.key, (claim,), claim, 4_000)) for _ in range(64)]
    heads = stage.task().heads
    assert len(heads) == 66
    assert stage.task().claims[0].released
    assert stage.rules(world.event(BEN, stage.claim(*latest(world, heads, 64)))) == ["F1b"]
    mine = world.event(BEN, stage.claim(stage.submit))
    assert stage.rules(mine) == []
    assert stage.rules(world.event(BEN, Complete(stage.key, (mine,), mine))) == []


# ---- others' tasks and claims


def test_nobody_ends_the_claim_of_another(stage: Stage) -> None:
    """F2a: to complete, fail, release or renew a claim is its actor's alone."""
    world = stage.world
    claim = world.event(BEN, stage.claim())
    for op in (
        Complete(stage.key, (claim,), claim),
        Fail(stage.key, (claim,), claim, "error", ""),
        Release(stage.key, (claim,), claim),
        Renew(stage.key, (claim,), claim, 1_000),
    ):
        assert stage.rules(world.event(MAL, op)) == ["F2a"]
    assert stage.rules(world.event(BEN, Complete(stage.key, (claim,), claim))) == []


def test_a_stranger_to_a_task_neither_cancels_nor_moves_it(stage: Stage) -> None:
    """F3a: cancel, prioritize and requeue are the submitter's and the owners'."""
    world = stage.world
    for op in (
        Cancel(stage.key, (stage.submit,)),
        Prioritize(stage.key, (stage.submit,), 10),
        Requeue(stage.key, (stage.submit,)),
    ):
        assert stage.rules(world.event(MAL, op)) == ["F3a"]
    assert status(stage.board(), stage.key, CREATED + 100, POLICY) == "ready"
    assert stage.rules(world.event(stage.otto, Prioritize(stage.key, (stage.submit,), 10))) == []
    assert stage.task().priority == 10


def test_a_living_task_is_not_requeued(stage: Stage) -> None:
    """F3c: a requeue is of a dead task; after it attempts count anew."""
    world, last = stage.world, stage.submit
    assert stage.rules(world.event(ADA, Requeue(stage.key, (last,)))) == ["F3c"]
    for step in range(1, 3):
        claim = world.event(MAL, stage.claim(last), time=CREATED + step * 2_000)
        last = world.event(MAL, Fail(stage.key, (claim,), claim, "error", ""))
    assert status(stage.board(), stage.key, CREATED + 10_000, POLICY) == "dead"
    assert stage.rules(world.event(BEN, stage.claim(last), time=CREATED + 10_000)) == ["F1d"]
    requeue = world.event(ADA, Requeue(stage.key, (last,)))
    assert stage.rules(requeue) == []
    assert stage.task().base == 2
    assert stage.rules(world.event(BEN, stage.claim(requeue))) == []


def test_who_says_what_it_saw_is_bound_by_it(stage: Stage) -> None:
    """F1a, F2c, F2d: nothing is claimed, ended or gone on with after an end that the operation follows."""
    world = stage.world
    claim = world.event(BEN, stage.claim())
    released = world.event(BEN, Release(stage.key, (claim,), claim))
    assert stage.rules(world.event(BEN, Complete(stage.key, (released,), claim))) == ["F2c"]
    again = world.event(MAL, stage.claim(released))
    cancelled = world.event(ADA, Cancel(stage.key, (again,)))
    assert stage.rules(world.event(MAL, Complete(stage.key, (cancelled,), again))) == ["F2d"]
    assert stage.rules(world.event(BEN, stage.claim(cancelled), time=CREATED + 9_000)) == ["F1a"]
    assert status(stage.board(), stage.key, CREATED + 9_000, POLICY) == "cancelled"


def test_a_task_is_claimed_in_its_time_alone(stage: Stage) -> None:
    """F1c: not before not_before, not from expires_at on."""
    world = stage.world
    op = world.submit(ADA, a_spec("timed", not_before=CREATED + 1_000, expires_at=CREATED + 2_000))
    asked = world.event(ADA, op)
    found = [
        stage.rules(world.event(BEN, Claim(op.key, (asked,), 1), parents=(asked,), time=CREATED + at))
        for at in (999, 1_000, 1_999, 2_000)
    ]
    assert found == [["F1c"], [], [], ["F1c"]]


def test_a_failure_backs_off_and_a_lease_that_ran_out_does_not(stage: Stage) -> None:
    """F1c, "retry_at": only failures make a task wait, twice as long each time, less a part fixed by its key."""
    world = stage.world
    claim = world.event(BEN, stage.claim(lease_ms=100), time=CREATED + 100)
    after = world.event(MAL, stage.claim(claim, lease_ms=100), time=CREATED + 200)
    assert stage.rules(after) == []
    failed = world.event(MAL, Fail(stage.key, (after,), after, "error", ""), time=CREATED + 250)
    longer = world.submit(ADA, a_spec("longer", max_attempts=5))
    last = world.event(ADA, longer)
    for number, time in enumerate((CREATED + 5_000, CREATED + 10_000, CREATED + 15_000)):
        tried = world.event(BEN, Claim(longer.key, (last,), 1_000), time=time)
        last = world.event(BEN, Fail(longer.key, (tried,), tried, "error", ""), time=time)
        full = min(BACKOFF.max_ms, BACKOFF.base_ms * 2**number)
        due = time + full - full * hashlib.sha256(longer.key + number.to_bytes(4)).digest()[0] // 1024
        early = world.event(BEN, Claim(longer.key, (last,), 1_000), time=due - 1)
        assert stage.rules(early) == ["F1c"]
        timely = world.event(BEN, Claim(longer.key, (last,), 1), parents=(last,), time=due)
        assert stage.rules(timely) == []
    assert failed in stage.board().counts


def test_priority_is_that_of_the_latest_in_the_linear_order(stage: Stage) -> None:
    """D5, D6: the greatest prioritize, else the least submit's; created_at is the least submit's."""
    world = stage.world
    op = world.submit(ADA, a_spec("target"), priority=9, created_at=CREATED + 7)
    high = world.event(ADA, op)
    assert (stage.task().priority, stage.task().created_at) == (5, CREATED)
    first = world.event(ADA, Prioritize(stage.key, (high,), 2))
    world.event(stage.olga, Prioritize(stage.key, (first,), 8))
    world.event(stage.otto, Prioritize(stage.key, (stage.submit,), 1), parents=(stage.submit,))
    assert stage.task().priority == 8


def test_an_attempt_is_not_written_off_as_it_is_made(stage: Stage) -> None:
    """Attempt, counter-example 1: after a requeue attempts go on from what it wrote off, fence or not."""
    world, last = stage.world, stage.submit
    for step in range(1, 3):
        claim = world.event(MAL, stage.claim(last), time=CREATED + step * 2_000)
        last = world.event(MAL, Fail(stage.key, (claim,), claim, "error", ""))
    requeue = world.event(ADA, Requeue(stage.key, (last,)))
    world.event(stage.olga, Revoke(stage.start, MAL.actor, ()))
    claim = world.event(BEN, stage.claim(requeue))
    failed = world.event(BEN, Fail(stage.key, (claim,), claim, "error", ""))
    assert [(found.cid, found.attempt) for found in stage.task().claims] == [(claim, 3)]
    assert stage.rules(world.event(BEN, stage.claim(failed))) == ["F1c"]


def test_the_requeue_that_wrote_off_the_most_gives_the_base(stage: Stage) -> None:
    """Base, S7: of several requeues the one with the highest attempt in its P, then the one with the greatest CID."""
    world, last = stage.world, stage.submit
    requeues: dict[int, list[Cid]] = {}
    for attempt in (1, 2, 3, 4):
        at = CREATED + attempt * 10_000
        claim = world.event(MAL, stage.claim(last), time=at)
        failed = last = world.event(MAL, Fail(stage.key, (claim,), claim, "error", ""))
        if attempt in (2, 4):
            op = Requeue(stage.key, (failed,))
            requeues[attempt] = [world.event(ADA, op, parents=(failed,), time=at + n) for n in range(5, 9)]
            last = requeues[attempt][0]
            assert (stage.task().base, stage.task().requeue) == (attempt, max(requeues[attempt]))
    assert all(stage.rules(cid) == [] for found in requeues.values() for cid in found)


def test_a_completion_beats_a_cancel_that_had_not_seen_it(stage: Stage) -> None:
    """D2, F3b: work that was done is not thrown away, and is not cancelled afterwards."""
    world = stage.world
    claim = world.event(BEN, stage.claim())
    done = world.event(BEN, Complete(stage.key, (claim,), claim))
    concurrent = world.event(ADA, Cancel(stage.key, (claim,)), parents=(claim,))
    after = world.event(ADA, Cancel(stage.key, (done,)), parents=(done,))
    assert (stage.rules(concurrent), stage.rules(after)) == ([], ["F3b"])
    assert status(stage.board(), stage.key, CREATED + 100, POLICY) == "done"


def test_nobody_takes_over_a_task_by_its_name(stage: Stage) -> None:
    """Task key: the same spec from another submitter is another task."""
    world = stage.world
    theirs = world.submit(MAL, a_spec("target"))
    world.event(MAL, theirs)
    assert theirs.key != stage.key
    assert len(stage.board().tasks) == 2
    assert stage.task().submitter == ADA.actor


def test_junk_inputs_meet_no_need(stage: Stage) -> None:
    """F1e: an input counts where it holds a sound completion of the very task that is needed."""
    world = stage.world
    after = world.submit(ADA, a_spec("after", needs=(stage.key,)))
    asked = world.event(ADA, after)
    claim = world.event(BEN, stage.claim())
    false = world.event(MAL, Complete(stage.key, (claim,), claim))
    early = world.event(MAL, Claim(after.key, (asked,), 1_000, (false, claim, asked)))
    done = world.event(BEN, Complete(stage.key, (claim,), claim))
    assert stage.rules(early) == ["F1e"]
    assert stage.rules(world.event(MAL, Claim(after.key, (asked,), 1_000, (done,)))) == []


# ---- versions to come


def test_a_task_is_followed_through_what_cannot_be_read(stage: Stage) -> None:
    """M1, M2, P: an unknown or malformed operation has no effect, and hides nothing of what it follows."""
    world = stage.world
    claim = world.event(BEN, stage.claim())
    unknown = world.event(BEN, Raw("ponder", stage.key, (claim,), {"mood": "good"}))
    malformed = world.event(BEN, Raw("renew", stage.key, (unknown,), {"lease_ms": "long"}))
    done = world.event(BEN, Complete(stage.key, (malformed,), claim))
    assert [stage.rules(cid) for cid in (unknown, malformed, done)] == [["M1"], ["M2"], []]
    assert stage.task().result is not None


def test_a_task_is_followed_through_a_malformed_admit(stage: Stage) -> None:
    """M2, M3, P: what a malformed admit says of a task is read beside whom it names, and it is the first on both."""
    world = stage.world
    claim = world.event(BEN, stage.claim())
    bad = Raw("admit", stage.key, (claim,), {"actor": MAL.actor, "roles": "worker"})
    both = world.event(stage.olga, bad, Cancel(stage.key, (claim,)), Admit(MAL.actor, ROLES))
    done = world.event(BEN, Complete(stage.key, (both,), claim), grant=stage.start)
    assert (stage.rules(both), stage.rules(done)) == (["M2", "M3", "M3"], [])
    after = world.event(stage.olga, Admit(ADA.actor, ROLES), Raw("admit", stage.key, (done,), {"actor": ADA.actor}))
    assert stage.rules(after) == ["M2"]
    assert stage.rules(world.event(ADA, Cancel(stage.key, (after,)), grant=stage.start)) == ["F3b"]


def test_unknown_fields_mean_nothing(stage: Stage) -> None:
    """M2: a known operation with a field to come has its effect."""
    world = stage.world
    claim = world.event(BEN, stage.claim())
    raw = Raw("complete", stage.key, (claim,), {"claim": 0, "verdict": "splendid"})
    done = world.event(BEN, raw)
    assert stage.rules(done) == []
    assert [found.cid for found in stage.task().completions] == [done]


def test_the_first_operation_on_a_task_is_the_one(stage: Stage) -> None:
    """M3: what cannot be read takes the place all the same, so two versions agree which one is first."""
    world = stage.world
    mixed = world.event(MAL, Raw("ponder", stage.key, (stage.submit,)), stage.claim())
    twice = world.event(ADA, stage.asked, Cancel(stage.key, (stage.submit,)))
    assert (stage.rules(mixed), stage.rules(twice)) == (["M1", "M3"], ["M3"])
    assert stage.task().claims == ()
    assert stage.task().cancels == ()


def test_roles_bind(stage: Stage) -> None:
    """F0b: a worker submits nothing, a submitter claims nothing, an unknown role allows nothing."""
    world = stage.world
    world.event(stage.olga, Admit(MAL.actor, ("worker",)))
    spam = world.event(MAL, world.submit(MAL, a_spec("spam")))
    world.event(stage.olga, Admit(MAL.actor, ("submitter", "wizard")))
    claim = world.event(MAL, stage.claim())
    assert (stage.rules(spam), stage.rules(claim)) == (["F0b"], ["F0b"])


def test_who_hides_what_it_saw_can_change_a_stable_result_provably(stage: Stage) -> None:
    """C7, the limit: what follows less than its author had seen still counts, and is evidence until it is revoked."""
    world = stage.world
    anchor = anchor_of(stage.submit, stage.key)
    near, far = sorted((BEN, MAL), key=lambda key: distance(key.actor, anchor))
    joined = [world.event(key, Join()) for key in (near, far)]
    hoarded = world.event(near, stage.claim(lease_ms=1), parents=(stage.submit, joined[0]))
    claim = world.event(far, stage.claim(hoarded), time=world.time_of(hoarded) + 10)
    result = world.event(far, Complete(stage.key, (claim,), claim))
    seen = world.event(near)
    assert stage.board().seen_by[result] == stage.board().active_workers == {near.actor, far.actor}
    late = world.event(near, Complete(stage.key, (hoarded,), hoarded))
    assert [done.cid for done in stage.task().completions] == [late, result]
    assert result in world.closure((seen,))
    world.event(stage.olga, Revoke(stage.start, near.actor, (seen,)))
    assert [done.cid for done in stage.task().completions] == [result]
