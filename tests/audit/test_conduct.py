"""Who forks a key, hides what it saw, or takes what is not its turn is found; who stays honest beside it is not."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from crdt.conduct import FINDINGS_MAX, Finding
from crdt.order import anchor_of, distance
from crdt.prospect import FOLLOWS_MAX
from ledger.cid import Cid
from ledger.operations import Admit, Cancel, Claim, Complete, Join, Leave, Prioritize, Renew, Revoke
from tests.audit.judging import findings_of
from tests.support.worlds import CREATED, POLICY, World, a_spec, signing_key

ROLES = ("submitter", "worker")


class Ledger:
    """A ledger with one task of ada's, and two workers, the nearer and the farther, that have joined."""

    def __init__(self) -> None:
        self.world = World()
        self.olga = self.world.owners[0]
        self.ada, ben, mal = (signing_key(name) for name in ("ada", "ben", "mal"))
        self.grant = self.world.event(self.olga, *(Admit(key.actor, ROLES) for key in (self.ada, ben, mal)))
        for key in (ben, mal):
            self.world.event(key, Join(), time=CREATED + 10)
        op = self.world.submit(self.ada, a_spec("target"))
        self.task = op.key
        self.submit = self.world.event(self.ada, op, time=CREATED + 20)
        anchor = anchor_of(self.submit, self.task)
        self.near, self.far = sorted((ben, mal), key=lambda key: distance(key.actor, anchor))

    def claim(self, *follows: Cid, lease_ms: int = 1_000) -> Claim:
        """Return a claim of the task that follows these events, else the submit."""
        return Claim(self.task, follows or (self.submit,), lease_ms)

    def found(self, cids: Iterable[Cid] | None = None) -> list[tuple[str, Cid]]:
        """Return rules and events of all findings."""
        return [(finding.rule, finding.event) for finding in self.findings(cids)]

    def findings(self, cids: Iterable[Cid] | None = None) -> list[Finding]:
        """Return all findings."""
        return findings_of(self.world, cids).kept


@pytest.fixture
def ledger() -> Ledger:
    """Return a ledger with one task."""
    return Ledger()


# ---- J1


def test_a_key_that_is_used_in_two_places_is_found_once_it_shows(ledger: Ledger) -> None:
    """The second of two concurrent events is named with the first; what merges both is in order again."""
    one = ledger.world.event(ledger.near, parents=(ledger.submit,))
    two = ledger.world.event(ledger.near, parents=(ledger.submit,), time=CREATED + 900)
    ledger.world.event(ledger.near)
    first, second = sorted((one, two))  # of one height
    assert [(each.rule, each.event, each.about) for each in ledger.findings()] == [("J1", second, (first,))]


def test_a_merge_of_more_heads_than_parents_is_no_fork(ledger: Ledger) -> None:
    """Who merges a flood of heads in witnesses, its own event not among the first 64, is not said to fork."""
    own = ledger.world.event(ledger.near)
    flood = [ledger.world.event(ledger.far, parents=(ledger.submit,), time=CREATED + 100 + n) for n in range(70)]
    witness = ledger.world.event(ledger.near, parents=flood[:64])
    ledger.world.event(ledger.near, parents=(own, witness, *flood[64:]))
    assert {finding.actor for finding in ledger.findings()} == {ledger.far.actor}


def test_who_was_revoked_by_mistake_need_not_link_what_became_void(ledger: Ledger) -> None:
    """The first event under a new grant has not the voided ones in its past, and is no fork (R6)."""
    ledger.world.event(ledger.near)
    later = ledger.world.event(ledger.olga, parents=(ledger.submit,))  # so that the revocation comes after it
    ledger.world.event(ledger.olga, Revoke(ledger.grant, ledger.near.actor, ()), parents=(later,))
    mine = [cid for cid, event in ledger.world.events.items() if event.event.actor == ledger.olga.actor]
    again = ledger.world.event(ledger.olga, Admit(ledger.near.actor, ROLES), parents=mine)
    ledger.world.event(ledger.near, parents=(again,), grant=again)
    assert not ledger.found()


# ---- J2


def test_who_hides_a_result_it_has_seen_is_found(ledger: Ledger) -> None:
    """Counter-example 4: the completion that follows its claim alone is named, with the result it left out."""
    world = ledger.world
    claimed = world.event(ledger.near, ledger.claim(), time=CREATED + 20)
    after = CREATED + 1_500
    taken = world.event(ledger.far, ledger.claim(claimed), time=after)
    done = world.event(ledger.far, Complete(ledger.task, (taken,), taken), time=after)
    hidden = world.event(ledger.near, Complete(ledger.task, (claimed,), claimed), time=after)
    assert [(each.rule, each.event, each.about[-1]) for each in ledger.findings()] == [("J2", hidden, done)]


def test_who_hides_it_behind_a_fork_is_found_by_its_other_events(ledger: Ledger) -> None:
    """Where only another event of the key has seen the result, both the fork and the hiding show."""
    world = ledger.world
    claimed = world.event(ledger.near, ledger.claim(), time=CREATED + 20)
    after = CREATED + 1_500
    taken = world.event(ledger.far, ledger.claim(claimed), time=after)
    done = world.event(ledger.far, Complete(ledger.task, (taken,), taken), time=after)
    world.event(ledger.near, parents=(done,))
    pumped = world.event(ledger.ada, parents=(claimed,), time=after)
    for _ in range(4):  # so that it comes late in the linear order
        pumped = world.event(ledger.ada, parents=(pumped,))
    hidden = world.event(ledger.near, Complete(ledger.task, (claimed,), claimed), parents=(pumped,))
    assert [one for one in ledger.found() if one[1] == hidden] == [("J1", hidden), ("J2", hidden)]


def test_who_had_not_seen_it_is_not_found(ledger: Ledger) -> None:
    """Of two claims made apart neither ignores the other; nor does a completion made before the other arrived."""
    world = ledger.world
    one = world.event(ledger.near, ledger.claim(), parents=(ledger.submit,), time=CREATED + 20)
    two = world.event(ledger.far, ledger.claim(), parents=(ledger.submit,), time=CREATED + 500)
    world.event(ledger.near, Complete(ledger.task, (one,), one), parents=(one,))
    world.event(ledger.far, Complete(ledger.task, (two,), two), parents=(two,))
    assert not ledger.found()


def test_a_submitter_that_never_joined_is_judged_by_its_past(ledger: Ledger) -> None:
    """A cancel that leaves out a priority its author had seen is found, although no worker's bit is there to tell."""
    world = ledger.world
    world.event(ledger.ada, Prioritize(ledger.task, (ledger.submit,), 9))
    cancel = world.event(ledger.ada, Cancel(ledger.task, (ledger.submit,)))
    assert ledger.found() == [("J2", cancel)]


def flooded(ledger: Ledger, heads: int) -> Cid:
    """Let the nearer claim the task and renew so often at once; return the claim."""
    claimed = ledger.world.event(ledger.near, ledger.claim(), time=CREATED + 20)
    renew = Renew(ledger.task, (claimed,), claimed, 1)
    many = [ledger.world.event(ledger.near, renew, parents=(claimed,), time=CREATED + 30 + n) for n in range(heads)]
    for at in range(0, heads, 60):
        ledger.world.event(ledger.olga, parents=many[at : at + 60])
    return claimed


@pytest.mark.parametrize(("heads", "excused"), [(FOLLOWS_MAX + 1, True), (FOLLOWS_MAX, False)])
def test_a_flooded_task_may_be_followed_less(ledger: Ledger, heads: int, excused: bool) -> None:
    """S7: with more heads than an operation names, the least submit is enough for what all that was seen allows."""
    flooded(ledger, heads)
    claim = ledger.world.event(ledger.far, ledger.claim(), time=CREATED + 2_000)
    assert (("J2", claim) in ledger.found()) is not excused


def test_a_flood_excuses_nothing_that_was_over(ledger: Ledger) -> None:
    """A claim of a flooded task whose completion its author had seen is found."""
    claimed = flooded(ledger, FOLLOWS_MAX + 1)
    ledger.world.event(ledger.near, Complete(ledger.task, (claimed,), claimed))
    claim = ledger.world.event(ledger.far, ledger.claim(), time=CREATED + 2_000)
    assert ("J2", claim) in ledger.found()


def test_what_a_flood_of_findings_repeats_is_counted_and_not_kept(ledger: Ledger) -> None:
    """Memory stays bounded: of one actor on one task so many findings are kept, all are counted."""
    ledger.world.event(ledger.ada, Prioritize(ledger.task, (ledger.submit,), 9))
    for _ in range(FINDINGS_MAX + 5):
        ledger.world.event(ledger.ada, Prioritize(ledger.task, (ledger.submit,), 8))
    findings = findings_of(ledger.world)
    assert len(findings.kept) == FINDINGS_MAX
    assert findings.counts["J2", ledger.ada.actor] == FINDINGS_MAX + 5


# ---- J3


@pytest.mark.parametrize(("late_ms", "in_turn"), [(POLICY.grace_ms - 1, False), (POLICY.grace_ms, True)])
def test_the_farther_worker_waits_one_grace(ledger: Ledger, late_ms: int, in_turn: bool) -> None:
    """A claim of rank 1 is out of turn until a grace has passed since the task was ready, to the millisecond."""
    claim = ledger.world.event(ledger.far, ledger.claim(), time=CREATED + 20 + late_ms)
    assert ledger.found() == ([] if in_turn else [("J3", claim)])


@pytest.mark.parametrize(("graces", "lost", "in_turn"), [(1.5, True, True), (1.499, True, False), (1.5, False, False)])
def test_after_a_lost_lease_the_third_waits_less(graces: float, lost: bool, in_turn: bool) -> None:
    """S4: rank 2 waits a grace and a half for a task whose lease ran out, two for another."""
    world = World()
    ada, *others = (signing_key(name) for name in ("ada", "ben", "mal", "zoe"))
    start = world.event(world.owners[0], *(Admit(key.actor, ROLES) for key in (ada, *others)))
    op = world.submit(ada, a_spec("target"))
    joined = [world.event(key, Join(), parents=(start,), time=CREATED + 10) for key in others]
    head = world.event(ada, op, parents=tuple(joined), time=CREATED + 20)
    near, _, far = sorted(others, key=lambda key: distance(key.actor, anchor_of(head, op.key)))
    follows, ready = (head,), CREATED + 20
    if lost:
        head = world.event(near, Claim(op.key, follows, 1_000), time=ready)
        follows, ready = (head,), ready + 1_000
    claim = world.event(far, Claim(op.key, follows, 1_000), time=ready + int(graces * POLICY.grace_ms))
    assert [(finding.rule, finding.event) for finding in findings_of(world).kept] == (
        [] if in_turn else [("J3", claim)]
    )


def test_the_nearer_worker_need_not_wait(ledger: Ledger) -> None:
    """A claim of rank 0 is in turn at once."""
    ledger.world.event(ledger.near, ledger.claim(), time=CREATED + 20)
    assert not ledger.found()


def test_nobody_waits_for_a_worker_it_has_long_not_heard_of() -> None:
    """Nearer workers count only where a word of theirs in the claim's past is at most two leases old."""
    fresh = CREATED + 10 + 2 * POLICY.lease_ms
    for at, found in ((fresh, 1), (fresh + 1, 0)):
        other = Ledger()
        op = other.world.submit(other.ada, a_spec("later", not_before=at))
        asked = other.world.event(other.ada, op, time=CREATED + 20)
        anchor = anchor_of(asked, op.key)
        farther = max((other.near, other.far), key=lambda key: distance(key.actor, anchor))
        other.world.event(farther, Claim(op.key, (asked,), 1_000), time=at)
        assert len(other.found()) == found


def test_nobody_waits_for_a_worker_whose_join_it_had_not_seen() -> None:
    """Nearer workers count only where the claim's past has their join."""
    world = World()
    ada, ben, mal = (signing_key(name) for name in ("ada", "ben", "mal"))
    start = world.event(world.owners[0], *(Admit(key.actor, ROLES) for key in (ada, ben, mal)))
    op = world.submit(ada, a_spec("target"))
    asked = world.event(ada, op)
    anchor = anchor_of(asked, op.key)
    near, far = sorted((ben, mal), key=lambda key: distance(key.actor, anchor))
    world.event(near, Join(), parents=(start,))
    joined = world.event(far, Join(), parents=(asked,))
    world.event(far, Claim(op.key, (asked,), 1_000), parents=(joined,))
    assert not findings_of(world).kept


def test_a_worker_whose_leaving_was_not_seen_is_waited_for(ledger: Ledger) -> None:
    """What counts is what the claim's author had seen, not what the auditor knows."""
    join = next(cid for cid, one in ledger.world.events.items() if one.event.actor == ledger.near.actor)
    gone = ledger.world.event(ledger.near, Leave(), parents=(join,))
    claim = ledger.world.event(ledger.far, ledger.claim(), parents=(ledger.submit,), time=CREATED + 20)
    assert ledger.world.events[gone].event.height < ledger.world.events[claim].event.height
    assert ledger.found() == [("J3", claim)]


def test_who_is_not_at_work_takes_nothing_of_its_own_accord(ledger: Ledger) -> None:
    """S6: a claim by who never joined is out of turn, however late it comes."""
    claim = ledger.world.event(ledger.ada, ledger.claim(), time=CREATED + 90_000)
    assert ledger.found() == [("J3", claim)]


def test_who_lacks_a_required_label_is_found(ledger: Ledger) -> None:
    """S3: a task that requires a label is nobody's to take who has not joined with it."""
    op = ledger.world.submit(ledger.ada, a_spec("gpu", requires=("gpu",)))
    asked = ledger.world.event(ledger.ada, op)
    claim = ledger.world.event(ledger.near, Claim(op.key, (asked,), 1_000), time=CREATED + 90_000)
    assert ledger.found() == [("J3", claim)]
