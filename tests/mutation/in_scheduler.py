"""Mutations of the scheduler: the policy S1 to S7, and the names of members (R5d)."""

from __future__ import annotations

from typing import Final

from tests.mutation.mutation import Mutation, in_file

_QUEUE: Final = "tests/scheduler/test_queue.py"
_ASSIGNMENT: Final = "tests/scheduler/test_assignment.py"
_ACTIONS: Final = "tests/scheduler/test_actions.py"
_RULES: Final = "tests/scheduler/test_rules.py"

IN_SCHEDULER: Final[tuple[Mutation, ...]] = (
    *in_file(
        "scheduler/assignment.py",
        ("S1", "ready_at + (PRIORITY_MAX - priority) * policy.aging_ms", "ready_at"),
        ("S1", "ready_at + (PRIORITY_MAX - priority) * policy.aging_ms", "10 - priority"),
        ("S2", "max(view.ready_at, first_seen_ms)", "view.ready_at"),
        ("S3", "if worker.is_live and wanted <= worker.labels]", "if worker.is_live]"),
        ("S3", "if worker.is_live and wanted <= worker.labels]", "if wanted <= worker.labels]"),
        ("S3", "presence.actor == me or heard", "heard"),
        (
            "S3",
            "(worker.actor) ^ anchor).bit_count(), worker.actor) for worker in",
            "(worker.actor) ^ 0).bit_count(), worker.actor) for worker in",
        ),
        (
            "S3",
            "            if presence.actor in active\n",
            "",
            f"{_ASSIGNMENT}::test_who_is_no_active_worker_has_no_rank",
        ),
        ("S4", "ready_at + rank * policy.grace_ms", "ready_at"),
        ("S4", "    if overdue:\n", "    if False:\n"),
        ("S4", "2 * policy.grace_ms >> rank", "2 * policy.grace_ms >> 1"),
        (
            "S6",
            "if all(worker.actor != actor for worker in eligible):",
            "if False:",
        ),
    ),
    *in_file(
        "scheduler/queue.py",
        ("S5", "if now < turn:", "if False:", f"{_QUEUE}::test_a_farther_peer_waits_a_grace"),
        (
            "S2",
            "return max(map(home.tasks.first_seen_ms, (record.key, *record.spec.needs)))",
            "return 0",
            f"{_QUEUE}::test_what_arrives_late_waits_a_grace_from_its_arrival",
        ),
        (
            "S2",
            "ready_since(seen, first_saw(home, record))",
            "seen.ready_at",
            f"{_QUEUE}::test_due_counts_from_arrival",
        ),
        (
            "S2",
            "(record.key, *record.spec.needs)",
            "(record.key,)",
            f"{_QUEUE}::test_what_a_late_completion_frees_waits_a_grace_from_its_arrival",
        ),
        (
            "S5",
            "due_at(taken_from, record.priority, policy))",
            "ready_at)",
            f"{_QUEUE}::test_ready_tasks_come_by_due_then_key",
        ),
        (
            "S1",
            "due_at(taken_from, record.priority, policy))",
            "due_at(ready_at, record.priority, policy))",
            f"{_QUEUE}::test_each_peer_begins_with_what_it_is_nearest_to",
        ),
        (
            "S5",
            "source.decrease_key(node, (standing.at, key))",
            "pass",
            f"{_QUEUE}::test_a_raised_priority_comes_first",
        ),
        (
            "S6",
            "self._crew.rank_of(self._me, record)",
            "self._crew.rank_of(self._me, record) or 0",
            f"{_QUEUE}::test_labels_keep_out",
        ),
    ),
    *in_file(
        "scheduler/acting.py",
        (
            "S7",
            "return record.heads\n",
            "return record.heads[:1]\n",
            f"{_RULES}::test_s7_an_operation_follows_all_heads",
        ),
        (
            "S7",
            "if len(record.heads) <= FOLLOWS_MAX:",
            "if True:",
            f"{_RULES}::test_s7_of_very_many_heads_what_is_needed",
        ),
        (
            "S7",
            " if claim is None else (record.submits[0], claim)",
            "",
        ),
    ),
    *in_file(
        "crdt/prospect.py",
        (
            "S7",
            "*requeue, *latest_first",
            "*requeue",
            f"{_ACTIONS}::test_a_flooded_task_uses_up_its_attempts_and_is_queued_again",
        ),
        (
            "S7",
            "*requeue, *latest_first",
            "*latest_first",
            f"{_ACTIONS}::test_what_a_requeue_wrote_off_stays_so_however_releases_cross",
        ),
        (
            "S7",
            "0 if refuse_claim(past, at, policy) else past.next_attempt",
            "past.next_attempt",
            f"{_ACTIONS}::test_what_a_requeue_wrote_off_stays_so_however_releases_cross",
        ),
        (
            "S7",
            " or any(runs(claim, at) for claim in claims):",
            ":",
            f"{_ACTIONS}::test_what_a_requeue_wrote_off_stays_so_however_releases_cross",
        ),
    ),
    *in_file(
        "scheduler/membership.py",
        ("R5d", "if m.name and not m.revoked_by]", "if m.name]", f"{_RULES}::test_r5d_the_name_shown"),
        ("R5d", "members.sort(key=", "sorted(members, key=", f"{_RULES}::test_r5d_the_name_shown"),
        ("R5d", "bearers[name] > 1", "bearers[name] > 2", f"{_RULES}::test_r5d_the_name_shown"),
    ),
)
