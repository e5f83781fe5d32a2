"""Rules and words on the board in use, one small directed world each: what the vectors do not show of them.

Events are folded as they are made, so that a test says in which order they arrive. `make mutants` takes each rule out
of the code and wants its test to fail.
"""

from __future__ import annotations

import pytest

from crdt.attempts import failed_attempts
from crdt.board import Board
from crdt.board_store import MemoryBoardStore
from crdt.records import ClaimRecord, TaskRecord
from crdt.view import tainted_inputs
from ledger.cid import Cid
from ledger.events import TaskKey
from ledger.keys import SigningKey
from ledger.operations import (
    Admit,
    Cancel,
    Claim,
    Complete,
    Fail,
    Join,
    Operation,
    Prioritize,
    Release,
    Requeue,
    Revoke,
)
from tests.support.worlds import CREATED, Raw, World, a_spec, signing_key

ADA, BEN, MAL = (signing_key(name) for name in ("ada", "ben", "mal"))


class Desk:
    """A world with a board that has folded all of it; ada has submitted `task`, ben and mal are admitted like her."""

    def __init__(self) -> None:
        self.world = World()
        self.olga = self.world.owners[0]
        self.store = MemoryBoardStore()
        self.board = Board(self.world.ledger, self.world.genesis, self.store)
        admits = [Admit(key.actor, ("submitter", "worker")) for key in (ADA, BEN, MAL)]
        self.grant = self.say(self.olga, *admits, time=CREATED)
        self.task, self.submit = self.ask("target")

    def say(
        self, author: SigningKey, *ops: Operation | Raw, parents: tuple[Cid, ...] | None = None, time: int | None = None
    ) -> Cid:
        """Make an event and fold it."""
        cid = self.world.event(author, *ops, parents=parents, time=time)
        self.store.add_event(self.world.events[cid])
        self.board.apply(self.world.events[cid])
        return cid

    def ask(
        self, name: str, *, needs: tuple[TaskKey, ...] = (), max_attempts: int | None = None
    ) -> tuple[TaskKey, Cid]:
        """Have ada submit a task; return its key and the event."""
        op = self.world.submit(ADA, a_spec(name, needs=needs, max_attempts=max_attempts))
        return op.key, self.say(ADA, op)

    def fail(self, author: SigningKey, claim: Cid, *, parents: tuple[Cid, ...] | None = None) -> Cid:
        """Have the attempt under a claim of `task` fail."""
        return self.say(author, Fail(self.task, (claim,), claim, "error", ""), parents=parents)

    def rules(self, cid: Cid) -> list[str]:
        """Return the rules that an event's operations break, in their order."""
        return [found.rule for found in self.board.ignored() if found.event == cid]

    def record(self, task: TaskKey | None = None) -> TaskRecord:
        """Return the record of a task."""
        found = self.board.find_record(task or self.task)
        assert found is not None
        return found

    def in_log(self, cid: Cid) -> bool:
        """Return whether an event is in the log."""
        return self.board.graph.node(cid).in_log


@pytest.fixture
def desk() -> Desk:
    """Return a desk."""
    return Desk()


# ---- who may do what


def test_m3_what_came_second_stays_unread_when_a_task_is_folded_again(desk: Desk) -> None:
    """M3: of two operations on one task the first is the one, also after a revocation has the task folded anew."""
    both = desk.say(ADA, Claim(desk.task, (desk.submit,), 1_000), Cancel(desk.task, (desk.submit,)))
    desk.say(MAL, Prioritize(desk.task, (desk.submit,), 9), parents=(desk.submit,))
    void = desk.say(MAL, Claim(desk.task, (desk.submit,), 1_000), parents=(desk.submit,))
    assert [claim.cid for claim in desk.record().claims] == sorted((both, void))
    desk.say(desk.olga, Revoke(desk.grant, MAL.actor, ()))
    assert desk.rules(both) == ["M3"]
    assert ([claim.cid for claim in desk.record().claims], desk.record().cancels) == ([both], ())


def test_r4_what_arrives_after_a_revocation_is_beyond_it(desk: Desk) -> None:
    """R4: an event that its fence does not keep does not count, whichever of the two a peer has first."""
    desk.say(desk.olga, Revoke(desk.grant, MAL.actor, (desk.submit,)))
    late = desk.say(MAL, Claim(desk.task, (desk.submit,), 1_000), parents=(desk.submit,))
    assert not desk.board.graph.counts(late)
    assert (desk.record().claims, desk.rules(late)) == ((), [])


def test_r5c_who_is_revoked_is_no_active_worker(desk: Desk) -> None:
    """R5c: a join under a grant that was revoked makes nobody active, also where the revocation keeps the join."""
    joins = [desk.say(key, Join()) for key in (BEN, MAL)]
    assert desk.board.active_workers() == {BEN.actor, MAL.actor}
    desk.say(desk.olga, Revoke(desk.grant, MAL.actor, tuple(joins)))
    assert desk.board.graph.counts(joins[1])
    assert desk.board.active_workers() == {BEN.actor}
    assert [presence.actor for presence in desk.board.roster().presences] == sorted((BEN.actor, MAL.actor))


def test_r6_what_an_event_that_counts_links_is_in_the_log(desk: Desk) -> None:
    """R6: an event beyond a fence is outside the log, until one that counts is built on it."""
    fence = desk.say(desk.olga, Revoke(desk.grant, MAL.actor, ()))
    late = desk.say(MAL, Claim(desk.task, (desk.submit,), 1_000), parents=(desk.submit,))
    assert (desk.in_log(late), desk.board.heads, desk.board.vector.get(MAL.actor)) == (False, (fence,), None)
    on_it = desk.say(BEN, parents=(late,))
    assert (desk.in_log(late), desk.board.vector[MAL.actor]) == (True, 1)
    assert desk.board.heads == tuple(sorted((fence, on_it)))


# ---- P


def test_p_a_fence_in_the_past_takes_out_what_lies_beyond_it(desk: Desk) -> None:
    """P: who has seen a revocation judges without what it made void; F1b does not wait for a void claim."""
    void = desk.say(MAL, Claim(desk.task, (desk.submit,), 1_000))
    desk.say(desk.olga, Revoke(desk.grant, MAL.actor, ()))
    claim = desk.say(BEN, Claim(desk.task, (void, desk.submit), 1_000))
    assert desk.rules(claim) == []
    assert [found.cid for found in desk.record().claims] == [claim]


def test_p_a_fence_that_was_not_seen_changes_nothing_that_was_sound(desk: Desk) -> None:
    """P: soundness rests on fences in an event's own past alone, whenever the revocation comes."""
    first = desk.say(MAL, Claim(desk.task, (desk.submit,), 1_000))
    desk.say(desk.olga, Revoke(desk.grant, MAL.actor, ()))
    second = desk.say(BEN, Claim(desk.task, (first, desk.submit), 1_000), parents=(first,))
    assert desk.rules(second) == ["F1b"]


# ---- order and clock


def test_c1_the_order_is_by_height_then_bytes(desk: Desk) -> None:
    """C1, R5b: of joins of one height the latest has the greatest CID, as bytes; a greater height is later than all."""
    joins = [desk.say(BEN, Join((f"label-{n}",)), parents=(desk.submit,)) for n in range(128)]
    assert [presence.cid for presence in desk.board.roster().presences] == [max(joins)]
    assert max(joins) != max(joins, key=str)
    later = desk.say(BEN, Join(("later",)), parents=(joins[0],))
    assert later < max(joins)
    assert [presence.cid for presence in desk.board.roster().presences] == [later]


def test_c2_an_empty_log_has_the_genesis_for_its_head() -> None:
    """C2: the heads of a log without events are the genesis alone."""
    world = World()
    assert Board(world.ledger, world.genesis, MemoryBoardStore()).heads == (world.ledger,)


def test_c7_stable_is_what_every_active_worker_has_seen(desk: Desk) -> None:
    """C7: stable is seen by all active workers, of whom there must be one; else it is tentative."""
    assert not desk.board.is_stable(desk.submit)
    joined = desk.say(BEN, Join())
    assert desk.board.is_stable(desk.submit)
    desk.say(MAL, Join(), parents=(desk.submit,))
    assert desk.board.seen_by(desk.submit) == {BEN.actor, MAL.actor}
    assert (desk.board.is_stable(desk.submit), desk.board.is_stable(joined)) == (True, False)
    desk.say(MAL)
    assert desk.board.is_stable(joined)


# ---- the fold


def test_d7_a_result_is_tainted_through_what_its_inputs_rest_on(desk: Desk) -> None:
    """D7: where an input was made void, the completions that rest on it are tainted, however far on."""
    first, _ = desk.ask("first")
    done = {first: _done(desk, MAL, first)}
    last = first
    for name in ("second", "third"):
        key, _ = desk.ask(name, needs=(last,))
        done[key] = _done(desk, BEN, key, done[last])
        last = key
    kept = desk.submit
    desk.say(desk.olga, Revoke(desk.grant, MAL.actor, (kept,)))
    completions = {found.cid: found for key in list(done)[1:] for found in desk.record(key).completions}
    tainted = [tainted_inputs(desk.record(key), lambda cid: iter((completions.get(cid),))) for key in list(done)[1:]]
    assert tainted == [[done[first]], [done[first]]]


def _done(desk: Desk, author: SigningKey, task: TaskKey, *inputs: Cid) -> Cid:
    claim = desk.say(author, Claim(task, desk.record(task).heads, 1_000, inputs))
    done = desk.say(author, Complete(task, (claim,), claim))
    assert (desk.rules(claim), desk.rules(done)) == ([], [])
    return done


# ---- the words


def test_runs_a_claim_that_failed_runs_no_more(desk: Desk) -> None:
    """Runs: a claim ends with its failure, though its lease goes on."""
    claim = desk.say(MAL, Claim(desk.task, (desk.submit,), 4_000), time=CREATED + 100)
    failed = desk.fail(MAL, claim)
    again = desk.say(BEN, Claim(desk.task, (failed,), 1_000), time=CREATED + 500)
    assert desk.rules(again) == []


def test_runs_a_claim_that_was_released_runs_no_more(desk: Desk) -> None:
    """Runs: a claim ends with its release, and the next may come at once."""
    claim = desk.say(MAL, Claim(desk.task, (desk.submit,), 4_000))
    released = desk.say(MAL, Release(desk.task, (claim,), claim))
    assert desk.rules(desk.say(BEN, Claim(desk.task, (released,), 1_000))) == []


def test_runs_a_lease_ends_at_its_until(desk: Desk) -> None:
    """Runs: a claim runs before `until` and no longer at it."""
    claim = desk.say(MAL, Claim(desk.task, (desk.submit,), 1_000), time=CREATED + 100)
    for at, rules in ((CREATED + 1_099, ["F1b"]), (CREATED + 1_100, [])):
        assert desk.rules(desk.say(BEN, Claim(desk.task, (claim,), 1_000), parents=(claim,), time=at)) == rules


def test_failed_an_attempt_has_not_failed_while_a_claim_of_it_runs() -> None:
    """Failed: of two claims of one attempt one ran out and one runs: the attempt has not failed yet."""

    def claim(name: bytes, until: int, *, released: bool = False) -> ClaimRecord:
        return ClaimRecord(Cid.of(name), ADA.actor, 1, 0, 0, until, released, 0, ())

    ran_out, running, released = claim(b"a", 10), claim(b"b", 20), claim(b"c", 20, released=True)
    assert failed_attempts([ran_out, running], 0, 10) == 0
    assert failed_attempts([ran_out, running], 0, 20) == 1
    assert failed_attempts([ran_out, released], 0, 10) == 1
    assert failed_attempts([released], 0, 10) == 0
    assert failed_attempts([ran_out, running], 1, 20) == 0


def test_dead_is_no_task_with_a_claim_that_runs() -> None:
    """Dead: while a claim runs a task is not dead, whatever its attempts, and is not requeued (F3c)."""
    desk = Desk()
    task, submit = desk.ask("once", max_attempts=1)
    claim = desk.say(MAL, Claim(task, (submit,), 1_000))
    released = desk.say(MAL, Release(task, (claim,), claim))
    second = desk.say(BEN, Claim(task, (released,), 1_000))
    failed = desk.say(MAL, Fail(task, (claim,), claim, "error", ""), parents=(claim,))
    running = desk.say(ADA, Requeue(task, (second, failed)))
    assert desk.rules(running) == ["F3c"]
    ended = desk.say(ADA, Requeue(task, (second, failed)), time=desk.world.time_of(second) + 1_000)
    assert desk.rules(ended) == []


def test_retry_what_a_requeue_wrote_off_backs_off_no_more(desk: Desk) -> None:
    """Retry, base: after a requeue the next claim waits for no backoff of the attempts before."""
    last = desk.submit
    for at in (CREATED + 1_000, CREATED + 2_000):
        claim = desk.say(BEN, Claim(desk.task, (last,), 1_000), time=at)
        last = desk.fail(BEN, claim)
    assert desk.rules(desk.say(BEN, Claim(desk.task, (last,), 1_000), parents=(last,))) == ["F1c"]
    requeue = desk.say(ADA, Requeue(desk.task, (last,)), parents=(last,))
    assert desk.rules(desk.say(BEN, Claim(desk.task, (requeue,), 1_000), parents=(requeue,))) == []
    assert desk.record().base == 2
