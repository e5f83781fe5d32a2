"""Mutations of the words, the fold (D) and what time makes of it, order, clock and state root (C)."""

from __future__ import annotations

from typing import Final

from tests.mutation.mutation import VECTOR_TEST, Mutation, in_file

_RULES: Final = "tests/crdt/test_rules.py"
_ADVERSARIES: Final = "tests/crdt/test_adversaries.py"

IN_FOLD: Final[tuple[Mutation, ...]] = (
    *in_file(
        "crdt/attempts.py",
        ("runs", "not claim.released and not", "not", f"{_RULES}::test_runs_a_claim_that_was_released_runs_no_more"),
        ("runs", " and not claim.failed_at and", " and", f"{_RULES}::test_runs_a_claim_that_failed_runs_no_more"),
        ("runs", " and at < claim.until", "", f"{_RULES}::test_runs_a_lease_ends_at_its_until"),
        (
            "failed",
            "elif not claim.released:",
            "else:",
            f"{_RULES}::test_failed_an_attempt_has_not_failed_while_a_claim_of_it_runs",
        ),
        (
            "failed",
            "len(lost - running)",
            "len(lost)",
            f"{_RULES}::test_failed_an_attempt_has_not_failed_while_a_claim_of_it_runs",
        ),
        (
            "failed",
            "        if claim.attempt > base:",
            "        if True:",
            f"{_RULES}::test_failed_an_attempt_has_not_failed_while_a_claim_of_it_runs",
        ),
        (
            "dead",
            "if any(runs(claim, at) for claim in claims):",
            "if False:",
            f"{_RULES}::test_dead_is_no_task_with_a_claim_that_runs",
        ),
        ("dead", "failed_attempts(claims, base, at) >=", "0 >=", f"{VECTOR_TEST}[F3c]"),
        ("retry", " + backoff_ms(task, spec.backoff or DEFAULT_BACKOFF, failures - 1)", "", f"{VECTOR_TEST}[F1c]"),
        (
            "retry",
            " and claim.attempt > base]",
            "]",
            f"{_RULES}::test_retry_what_a_requeue_wrote_off_backs_off_no_more",
        ),
        ("delay", "backoff.base_ms << failure", "backoff.base_ms", f"{VECTOR_TEST}[F1c]"),
        ("delay", "min(backoff.max_ms, backoff.base_ms", "(backoff.base_ms", f"{VECTOR_TEST}[F1c]"),
        ("delay", "return delay - delay * jitter // 1024", "return delay", f"{VECTOR_TEST}[F1c]"),
    ),
    *in_file(
        "crdt/fold.py",
        ("until", "max(fact.lease_end, self.renewed.get(cid, 0))", "fact.lease_end", f"{VECTOR_TEST}[F2e]"),
        ("until", ", fact.time + timeout_ms)", ", 2**63)", f"{VECTOR_TEST}[F2e]"),
        ("attempt", "1 + max(self.highest_attempt, self.base)", "1 + self.base", f"{VECTOR_TEST}[F1d]"),
        (
            "attempt",
            "1 + max(self.highest_attempt, self.base)",
            "1 + self.highest_attempt",
            f"{_ADVERSARIES}::test_an_attempt_is_not_written_off_as_it_is_made[board]",
        ),
        ("base", "self.base, self.requeue = verdict.base, cid", "pass", f"{VECTOR_TEST}[F3c]"),
        ("D1", "tuple(sorted(self.completions.values()))", "tuple(sorted(self.completions.values(), reverse=True))"),
        ("D8", "tuple(sorted(self.completions.values()))", "tuple(sorted(self.completions.values()))[:1]"),
        ("D5", "return min(self.submits.values()", "return max(self.submits.values()"),
        ("D5", "created_at=submits[0].created_at", "created_at=submits[-1].created_at"),
        ("D6", "self.prioritized[2] if self.prioritized else", ""),
        ("D6", "max(self.prioritized or (0, cid, 0), (event.height, cid, op.priority))", "(0, cid, op.priority)"),
    ),
    *in_file(
        "crdt/view.py",
        ("D2", "    if task.completions:\n", "    if task.completions and not task.cancels:\n"),
        ("D3", "    if task.cancels:\n", "    if False:\n"),
        ("D4", "(claim.distance, claim.cid), default=None", "(claim.time, claim.cid), default=None"),
        ("D4", "(claim.distance, claim.cid), default=None", "(-claim.attempt, claim.cid), default=None"),
        ("D7", "voided.append(cid)", "pass"),
        (
            "D7",
            "stack.extend(completion.inputs)",
            "pass",
            f"{_RULES}::test_d7_a_result_is_tainted_through_what_its_inputs_rest_on",
        ),
        ("S2", "task.submitted_at, task.spec", "task.created_at, task.spec"),
        ("S2", "task.spec.not_before or 0, waits", "waits"),
    ),
    *in_file(
        "crdt/order.py",
        ("C1", "return (height, cid)", "return (0, cid)", f"{_RULES}::test_c1_the_order_is_by_height_then_bytes"),
        (
            "C1",
            "return (height, cid)",
            "return (height, str(cid))",
            f"{_RULES}::test_c1_the_order_is_by_height_then_bytes",
        ),
        ("S3", "ANCHOR_PREFIX + submit + task", "ANCHOR_PREFIX + task"),
    ),
    *in_file(
        "crdt/clock.py",
        ("C3", '"".join(sorted(heads))', '"".join(heads)'),
        ("C3", "hashlib.sha256(CLOCK_PREFIX + b", "hashlib.sha256(b"),
        ("C5", "return int(more) - int(less)", "return int(more) or -int(less)"),
    ),
    *in_file(
        "crdt/state_root.py",
        ("C6", "        task.base,\n", ""),
        ("C6", "            claim.until,\n", ""),
        ("C6", "_hash(_LEAF, ", '_hash(b"", '),
        ("C6", "_hash(_BUCKET, ", '_hash(b"", '),
        ("C6", "_hash(_GROUP, ", '_hash(b"", '),
        ("C6", "_hash(_ROSTER, ", '_hash(b"", '),
        ("C6", "[REDUCER_VERSION, ledger, roster,", "[ledger, roster,"),
    ),
    *in_file(
        "crdt/state_tree.py",
        ("C6", "buckets.add(key[:2])", "pass"),
        ("C6", "for group in {bucket[:1] for bucket in buckets}:", "for group in ():"),
    ),
)
