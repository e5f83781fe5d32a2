"""The words of the task rules, each in one function: over the operations of one task, and over claims at a time.

Implements: "until", "runs", "attempt", "base", "failed", "dead", "retry_at" of specs/tasks.md. Soundness asks them of
an operation's own past, the fold and the view of what counts: one spelling for all.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, TypeAlias

from crdt.order import anchor_of, distance, order_key
from crdt.records import ClaimRecord
from crdt.slow.dag import OnTask
from ledger.cid import Cid
from ledger.events import Event, Policy, TaskKey
from ledger.operations import Backoff, Cancel, Claim, Complete, Fail, Release, Renew, Requeue, Spec, Submit

DEFAULT_BACKOFF: Final = Backoff()


@dataclass(frozen=True, slots=True, eq=False)
class Sound:
    """A sound operation on a task, with P: the sound operations of the task's own past that it was judged by."""

    cid: Cid
    event: Event
    op: OnTask
    own_past: Ops
    attempt: int
    """Of a claim `next_attempt` of its own past; 0 of anything else."""


Ops: TypeAlias = tuple[Sound, ...]
"""Sound operations on one task, in linear order."""


# ---- over operations


def submits(ops: Ops) -> Ops:
    """Return the submits, the least first."""
    found = (sound for sound in ops if isinstance(sound.op, Submit))
    return tuple(sorted(found, key=lambda sound: order_key(sound.event.height, sound.cid)))


def least_submit(ops: Ops) -> Submit:
    """Return the least submit's operation; `ops` has one. Its spec is that of all, for it is in the key."""
    op = submits(ops)[0].op
    assert isinstance(op, Submit)  # noqa: S101  # narrows the type
    return op


def completed(ops: Ops) -> bool:
    """Return whether there is a completion."""
    return any(isinstance(sound.op, Complete) for sound in ops)


def cancelled(ops: Ops) -> bool:
    """Return whether there is a cancel."""
    return any(isinstance(sound.op, Cancel) for sound in ops)


def highest_attempt(ops: Ops) -> int:
    """Return the highest attempt among the claims, 0 without one."""
    return max((sound.attempt for sound in ops), default=0)


def next_attempt(own_past: Ops) -> int:
    """Return the attempt of a claim with this past: 1 + the highest in it, or what a requeue in it wrote off.

    The second part is counter-example 1 of specs/counterexamples.md: a fence can take the claims that were written
    off out of the past, and a claim numbered from 1 again would be written off as it is made.
    """
    return 1 + max(highest_attempt(own_past), base(own_past))


def base(ops: Ops) -> int:
    """Return the highest attempt in the past of any requeue: what it has written off."""
    return max((highest_attempt(sound.own_past) for sound in ops if isinstance(sound.op, Requeue)), default=0)


def last_requeue(ops: Ops) -> Cid | None:
    """Return the requeue that has written off the most, the greatest by CID where several have; None without one."""
    requeues = [(highest_attempt(sound.own_past), sound.cid) for sound in ops if isinstance(sound.op, Requeue)]
    return max(requeues)[1] if requeues else None


def claim_distance(claim: Sound) -> int:
    """D5: return the distance from the actor to the anchor of the least submit in the claim's own past."""
    least = submits(claim.own_past)[0]
    task = least_submit(claim.own_past).key
    return distance(claim.event.actor, anchor_of(least.cid, task))


def until(claim: Sound, ops: Ops, policy: Policy) -> int:
    """Return when the claim's lease with its renewals ends: never later than its time + the timeout. In ms."""
    assert isinstance(claim.op, Claim)  # noqa: S101  # narrows the type
    renewals = [
        sound.event.time + sound.op.lease_ms
        for sound in ops
        if isinstance(sound.op, Renew) and sound.op.claim == claim.cid
    ]
    timeout_ms = least_submit(claim.own_past).spec.timeout_ms or policy.timeout_ms
    return min(max([claim.event.time + claim.op.lease_ms, *renewals]), claim.event.time + timeout_ms)


def claim_records(ops: Ops, policy: Policy) -> tuple[ClaimRecord, ...]:
    """Return what `ops` say of each claim in them, sorted by CID. Ended: failed before released."""
    records: list[ClaimRecord] = []
    for sound in ops:
        if not isinstance(sound.op, Claim):
            continue
        on_it = [other for other in ops if isinstance(other.op, Fail | Release) and other.op.claim == sound.cid]
        failed_at = max((other.event.time for other in on_it if isinstance(other.op, Fail)), default=0)
        records.append(
            ClaimRecord(
                cid=sound.cid,
                actor=sound.event.actor,
                attempt=sound.attempt,
                distance=claim_distance(sound),
                time=sound.event.time,
                until=until(sound, ops, policy),
                released=not failed_at and any(isinstance(other.op, Release) for other in on_it),
                failed_at=failed_at,
                inputs=sound.op.inputs,
            )
        )
    return tuple(sorted(records, key=lambda record: record.cid))


# ---- over claims, at a time


def runs(claim: ClaimRecord, time: int) -> bool:
    """Return whether the claim is not ended and its lease not over."""
    return not claim.released and not claim.failed_at and time < claim.until


def failed_count(claims: Iterable[ClaimRecord], after: int, time: int) -> int:
    """Return how many attempts beyond `after` (the base) failed: none of its claims runs, not all were released."""
    claims = tuple(claims)
    failed = 0
    for number in {claim.attempt for claim in claims if claim.attempt > after}:
        tries = [claim for claim in claims if claim.attempt == number]
        if not any(runs(claim, time) for claim in tries) and not all(claim.released for claim in tries):
            failed += 1
    return failed


def max_attempts(spec: Spec, policy: Policy) -> int:
    """Return how many attempts may fail before the task is dead."""
    return spec.max_attempts or policy.max_attempts


def worn_out(claims: Iterable[ClaimRecord], after: int, spec: Spec, policy: Policy, time: int) -> bool:
    """Return whether the attempts are used up and nothing runs: dead, where there is no completion and no cancel."""
    claims = tuple(claims)
    used_up = failed_count(claims, after, time) >= max_attempts(spec, policy)
    return used_up and not any(runs(claim, time) for claim in claims)


def dead(ops: Ops, policy: Policy, time: int) -> bool:
    """Return whether only a requeue helps the task."""
    if completed(ops) or cancelled(ops):
        return False
    return worn_out(claim_records(ops, policy), base(ops), least_submit(ops).spec, policy, time)


def retry_at(task: TaskKey, spec: Spec, claims: Iterable[ClaimRecord], after: int) -> int:
    """Return when the task may be tried again after its latest failure; 0 without one: only failures have a backoff."""
    failed = [claim for claim in claims if claim.failed_at and claim.attempt > after]
    if not failed:
        return 0
    number = len({claim.attempt for claim in failed}) - 1
    return max(claim.failed_at for claim in failed) + delay_ms(task, spec.backoff or DEFAULT_BACKOFF, number)


def delay_ms(task: TaskKey, backoff: Backoff, number: int) -> int:
    """Return the delay after failure `number` (from 0): doubled each time, less up to a quarter by the task's key."""
    delay = min(backoff.max_ms, backoff.base_ms * (1 << number))
    jitter = hashlib.sha256(task + number.to_bytes(4)).digest()[0]
    return delay - delay * jitter // 1024
