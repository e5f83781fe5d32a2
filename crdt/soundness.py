"""Does an operation mean anything? Decided once, from what its author had in the event's own past.

Implements: specs/tasks.md, F0-F3. "X is in P" binds everybody; "X is not in P" binds only the honest, since `follows`
can leave things out: nothing in the fold may rest on the second kind alone.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import assert_never

from crdt.attempts import failed_attempts, is_dead, max_attempts, retry_at, runs
from crdt.fold import TaskFold, Verdict
from crdt.order import distance
from ledger.cid import Cid
from ledger.events import Event, Grant, Policy, Role, TaskKey
from ledger.keys import ActorKey
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
    TaskOperation,
)

HasInput = Callable[[TaskKey, tuple[Cid, ...]], bool]
"""Whether one of the events holds a sound completion of the task, not beyond a fence in the event's own past (F1e)."""

ActorOf = Callable[[Cid], ActorKey | None]
"""The author of a cited event, None for the genesis (F2a)."""

_SOUND = Verdict()


@dataclass(frozen=True, slots=True)
class Context:
    """What a rule may ask of the event's own past beside P."""

    policy: Policy
    has_input: HasInput
    actor_of: ActorOf


def judge(op: Submit | TaskOperation, event: Event, grant: Grant, past: TaskFold, context: Context) -> Verdict:
    """Return whether `op` of `event` is sound, `past` being P of specs/tasks.md; else the first rule it breaks.

    Never raises.
    """
    if isinstance(op, Submit):
        return _SOUND if Role.SUBMITTER in grant.roles else Verdict("F0b", "the grant lacks the role submitter")
    if not past.submits:
        return Verdict("F0a", "no submit of this task in what it follows")
    match op:
        case Claim():
            return _needs_role(Role.WORKER, grant) or _judge_claim(op, event, past, context)
        case Renew() | Release() | Fail() | Complete():
            return _needs_role(Role.WORKER, grant) or _judge_holder(op, event, past, context)
        case Cancel() | Prioritize() | Requeue():
            return _needs_role(Role.SUBMITTER, grant) or _judge_submitter(op, event, grant, past, context.policy)
        case _:
            assert_never(op)


def _needs_role(role: Role, grant: Grant) -> Verdict | None:
    return None if role in grant.roles else Verdict("F0b", f"the grant lacks the role {role}")


def _judge_claim(op: Claim, event: Event, past: TaskFold, context: Context) -> Verdict:
    policy = context.policy
    closed = refuse_claim(past, event.time, policy)
    if closed is not None:
        return closed
    if not all(context.has_input(need, op.inputs) for need in past.spec.needs):
        return Verdict("F1e", "a need has no completion among the inputs")
    if op.lease_ms > policy.lease_ms_max:
        return Verdict("F1f", f"a lease of {op.lease_ms} ms, at most {policy.lease_ms_max}")
    return Verdict(attempt=past.next_attempt, distance=distance(event.actor, past.anchor), inputs=op.inputs)


def refuse_claim(past: TaskFold, at: int, policy: Policy) -> Verdict | None:
    """Return the first of F1a to F1d that a claim at `at` (ms) with this P breaks, None where it breaks none."""
    spec = past.spec
    if past.completions or past.cancels:
        return Verdict("F1a", "the task was done or cancelled")
    claims = past.claim_records(policy)
    if any(runs(claim, at) for claim in claims):
        return Verdict("F1b", "another claim was running")
    wait_until = max(spec.not_before or 0, retry_at(claims, past.base, past.key, spec))
    if at < wait_until:
        return Verdict("F1c", f"too early: not before {wait_until}")
    if spec.expires_at is not None and at >= spec.expires_at:
        return Verdict("F1c", f"too late: expired at {spec.expires_at}")
    if failed_attempts(claims, past.base, at) >= max_attempts(spec, policy):
        return Verdict("F1d", "the attempts were used up")
    return None


def _judge_holder(op: Renew | Release | Fail | Complete, event: Event, past: TaskFold, context: Context) -> Verdict:
    policy = context.policy
    if context.actor_of(op.claim) != event.actor:
        return Verdict("F2a", "the claim is another actor's")
    claim = past.claims.get(op.claim)
    if claim is None:
        return Verdict("F2b", "it follows no such claim")
    if op.claim in past.released or op.claim in past.failed:
        return Verdict("F2c", "the claim was released or had failed")
    if past.completions or past.cancels:
        return Verdict("F2d", "the task was done or cancelled")
    if isinstance(op, Renew) and op.lease_ms > policy.lease_ms_max:
        return Verdict("F2e", f"a lease of {op.lease_ms} ms, at most {policy.lease_ms_max}")
    return Verdict(distance=claim.distance, inputs=claim.inputs) if isinstance(op, Complete) else _SOUND


def _judge_submitter(
    op: Cancel | Prioritize | Requeue, event: Event, grant: Grant, past: TaskFold, policy: Policy
) -> Verdict:
    if event.actor != past.submitter and not grant.is_owner:
        return Verdict("F3a", "neither the submitter nor an owner")
    if past.completions:
        return Verdict("F3b", "the task was done")
    if not isinstance(op, Requeue):
        return _SOUND
    claims = past.claim_records(policy)
    if past.cancels or not is_dead(claims, past.base, past.spec, policy, event.time):
        return Verdict("F3c", "the task was not dead")
    return Verdict(base=past.highest_attempt)
