"""The words about claims: runs, failed attempt, retry, dead. Each is defined here once, for soundness and for the view.

Implements: specs/tasks.md, section Words. Two spellings of one of them once left tasks stuck in a model of the rules.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection
from typing import Final

from crdt.records import ClaimRecord
from ledger.events import Policy, TaskKey
from ledger.operations import Backoff, Spec

DEFAULT_BACKOFF: Final = Backoff()


def runs(claim: ClaimRecord, at: int) -> bool:
    """Return whether `claim` still runs at `at` (ms): neither released nor failed, and its lease has not ended."""
    return not claim.released and not claim.failed_at and at < claim.until


def failed_attempts(claims: Collection[ClaimRecord], base: int, at: int) -> int:
    """Return how many attempts after `base` have failed at `at`: none of their claims runs, not all were released."""
    running: set[int] = set()
    lost: set[int] = set()
    for claim in claims:
        if claim.attempt > base:
            if runs(claim, at):
                running.add(claim.attempt)
            elif not claim.released:
                lost.add(claim.attempt)
    return len(lost - running)


def max_attempts(spec: Spec, policy: Policy) -> int:
    """Return how many attempts a task has before it is dead."""
    return policy.max_attempts if spec.max_attempts is None else spec.max_attempts


def is_dead(claims: Collection[ClaimRecord], base: int, spec: Spec, policy: Policy, at: int) -> bool:
    """Return whether the attempts are used up and no claim runs at `at`. Completion and cancel are the caller's."""
    if any(runs(claim, at) for claim in claims):
        return False
    return failed_attempts(claims, base, at) >= max_attempts(spec, policy)


def retry_at(claims: Collection[ClaimRecord], base: int, task: TaskKey, spec: Spec) -> int:
    """Return the time (ms) before which backoff forbids a claim; a lease that ran out has none, and 0 means none."""
    failed = [claim for claim in claims if claim.failed_at and claim.attempt > base]
    if not failed:
        return 0
    failures = len({claim.attempt for claim in failed})
    return max(claim.failed_at for claim in failed) + backoff_ms(task, spec.backoff or DEFAULT_BACKOFF, failures - 1)


def backoff_ms(task: TaskKey, backoff: Backoff, failure: int) -> int:
    """Return the wait in ms after failure number `failure`, from 0.

    The task key takes up to a quarter off, so that tasks that failed together do not come back together.
    """
    delay = min(backoff.max_ms, backoff.base_ms << failure)
    jitter = hashlib.sha256(task + failure.to_bytes(4, "big")).digest()[0]
    return delay - delay * jitter // 1024
