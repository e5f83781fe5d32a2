"""Which operations are sound: each judged once, from its own event's past.

Implements: P and rules F0-F3 of specs/tasks.md. What arrives later, a revocation too, changes no judgement.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from crdt.slow import words
from crdt.slow.dag import Dag, OnTask
from crdt.slow.roster import Fence, beyond
from crdt.slow.words import Ops, Sound
from ledger.cid import Cid
from ledger.events import Event, Policy, Role, TaskKey
from ledger.operations import (
    Cancel,
    Claim,
    Complete,
    Fail,
    Prioritize,
    Release,
    Renew,
    Requeue,
    Submit,
    Unread,
)

OnClaim: TypeAlias = Renew | Release | Fail | Complete
ByOwner: TypeAlias = Cancel | Prioritize | Requeue


@dataclass(frozen=True, slots=True)
class Judgement:
    """The first rule that the operation of an event on a task breaks; or "", and the sound operation."""

    rule: str
    sound: Sound | None


Judged: TypeAlias = dict[tuple[Cid, TaskKey], Judgement]
"""By event and task, in linear order."""


@dataclass(frozen=True, slots=True)
class Case:
    """What one operation on a task is judged by, none of it later than its event: P, and the revocations seen."""

    dag: Dag
    judged: Judged
    cid: Cid
    task: TaskKey
    own_past: Ops
    seen_fences: tuple[Fence, ...]

    @property
    def event(self) -> Event:
        """The event that carries the operation."""
        return self.dag.event(self.cid)

    @property
    def policy(self) -> Policy:
        """The ledger's policy."""
        return self.dag.genesis.policy


def judge_all(dag: Dag, fences: tuple[Fence, ...]) -> Judged:
    """Return the judgement of every operation on a task, those beyond a fence included."""
    judged: Judged = {}
    for cid in dag.events:  # in linear order: an operation's past is judged before it
        seen_fences = tuple(fence for fence in fences if fence.event in dag.past[cid])
        for task in dag.tasks_of(cid):
            op = dag.on_task(cid, task)
            if op is not None and not isinstance(op, Unread):
                own_past = past_of(dag, judged, cid, task, seen_fences)
                judged[cid, task] = _judge(Case(dag, judged, cid, task, own_past, seen_fences), op)
    return judged


def past_of(dag: Dag, judged: Judged, cid: Cid, task: TaskKey, seen_fences: tuple[Fence, ...]) -> Ops:
    """P: return the sound operations that `follows` reaches, less those beyond a fence in the event's own past.

    What cannot be read here is followed through; what is unsound is a dead end.
    """
    reached: set[Cid] = set()
    open_ends = [cid]
    while open_ends:
        op = dag.on_task(open_ends.pop(), task)
        for followed in () if op is None or isinstance(op, Submit) else op.follows:
            on_task = followed in dag.events and dag.on_task(followed, task) is not None
            unsound = (followed, task) in judged and judged[followed, task].rule
            if on_task and not unsound and followed not in reached:
                reached.add(followed)
                open_ends.append(followed)
    found = (judged[other, task].sound for other in dag.events if other in reached and (other, task) in judged)
    return tuple(
        sound
        for sound in found
        if sound is not None and not any(beyond(dag, sound.cid, fence) for fence in seen_fences)
    )


def _judge(case: Case, op: OnTask) -> Judgement:
    rule = _rule(case, op)
    if rule:
        return Judgement(rule, None)
    attempt = words.next_attempt(case.own_past) if isinstance(op, Claim) else 0
    return Judgement("", Sound(case.cid, case.event, op, case.own_past, attempt))


def _rule(case: Case, op: OnTask) -> str:
    rule = _rule_for_all(case, op)
    if rule:
        return rule
    match op:
        case Submit():
            return ""
        case Claim():
            return _claim_rule(case, op)
        case Renew() | Release() | Fail() | Complete():
            return _on_claim_rule(case, op)
        case Cancel() | Prioritize() | Requeue():
            return _by_owner_rule(case, op)


def _rule_for_all(case: Case, op: OnTask) -> str:
    """F0: a) there is a submit; b) the grant holds the role."""
    if not isinstance(op, Submit) and not words.submits(case.own_past):
        return "F0a"
    role = Role.WORKER if isinstance(op, Claim | OnClaim) else Role.SUBMITTER
    return "" if case.dag.has_role(case.cid, role) else "F0b"


def _claim_rule(case: Case, op: Claim) -> str:
    """F1: the task is open, idle, due, not worn out, its needs are met, and the lease is no longer than allowed."""
    time, spec = case.event.time, words.least_submit(case.own_past).spec
    claims, base = words.claim_records(case.own_past, case.policy), words.base(case.own_past)
    if words.completed(case.own_past) or words.cancelled(case.own_past):
        return "F1a"
    if any(words.runs(claim, time) for claim in claims):
        return "F1b"
    if max(spec.not_before or 0, words.retry_at(case.task, spec, claims, base)) > time:
        return "F1c"
    if spec.expires_at is not None and time >= spec.expires_at:
        return "F1c"
    if words.failed_count(claims, base, time) >= words.max_attempts(spec, case.policy):
        return "F1d"
    if not all(any(_completes(case, cited, need) for cited in op.inputs) for need in spec.needs):
        return "F1e"
    return "F1f" if op.lease_ms > case.policy.lease_ms_max else ""


def _completes(case: Case, cited: Cid, need: TaskKey) -> bool:
    """F1e for one input: a sound completion of the needed task, beyond no fence that the claimer has seen."""
    judgement = case.judged.get((cited, need))
    if judgement is None or judgement.sound is None or not isinstance(judgement.sound.op, Complete):
        return False
    return not any(beyond(case.dag, cited, fence) for fence in case.seen_fences)


def _on_claim_rule(case: Case, op: OnClaim) -> str:
    """F2: by the claim's actor, on a claim that it has seen and not ended, on a task that it has not seen closed."""
    if op.claim not in case.dag.events or case.dag.event(op.claim).actor != case.event.actor:
        return "F2a"
    if not any(sound.cid == op.claim and isinstance(sound.op, Claim) for sound in case.own_past):
        return "F2b"
    if any(isinstance(sound.op, Fail | Release) and sound.op.claim == op.claim for sound in case.own_past):
        return "F2c"
    if words.completed(case.own_past) or words.cancelled(case.own_past):
        return "F2d"
    return "F2e" if isinstance(op, Renew) and op.lease_ms > case.policy.lease_ms_max else ""


def _by_owner_rule(case: Case, op: ByOwner) -> str:
    """F3: by the task's submitter or a ledger's owner, not after a completion; a requeue of a dead task only."""
    submitters = {sound.event.actor for sound in words.submits(case.own_past)}
    if not case.dag.is_owner(case.cid) and case.event.actor not in submitters:
        return "F3a"
    if words.completed(case.own_past):
        return "F3b"
    if isinstance(op, Requeue) and not words.dead(case.own_past, case.policy, case.event.time):
        return "F3c"
    return ""
