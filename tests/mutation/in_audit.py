"""Mutations of the audit (J), and of what keeps gateways from more than lying."""

from __future__ import annotations

from typing import Final

from tests.mutation.mutation import Mutation, in_file

_CONDUCT: Final = "tests/audit/test_conduct.py"
_MANIFESTS: Final = "tests/audit/test_manifests.py"

IN_AUDIT: Final[tuple[Mutation, ...]] = (
    *in_file(
        "crdt/conduct.py",
        ("J1", "if former is not None and not self.in_past(node, (former,)):", "if False:"),
        (
            "J1",
            "if not one.fenced_by & node.revocations), None)",
            "), None)",
            f"{_CONDUCT}::test_who_was_revoked_by_mistake_need_not_link_what_became_void",
        ),
        (
            "J1",
            "if event.event.ops or len(event.event.parents) < self._parents_max:",
            "if True:",
            f"{_CONDUCT}::test_a_merge_of_more_heads_than_parents_is_no_fork",
        ),
        ("J2", "if not missed and not elsewhere:", "if True:"),
        (
            "J2",
            "if number is None:",
            "if True:",
            f"{_CONDUCT}::test_who_hides_it_behind_a_fork_is_found_by_its_other_events",
        ),
        (
            "J2",
            "if len(heads) <= FOLLOWS_MAX:",
            "if False:",
            f"{_CONDUCT}::test_a_flooded_task_may_be_followed_less",
        ),
        (
            "J2",
            "return judge(op, event.event, event.grant, fold, context).rule is None",
            "return True",
            f"{_CONDUCT}::test_a_flood_excuses_nothing_that_was_over",
        ),
    ),
    *in_file(
        "scheduler/turns.py",
        ("J3", "if time < turn:", "if False:"),
        (
            "J3",
            "and self._heard(worker, bit) >= since:",
            "and True:",
            f"{_CONDUCT}::test_nobody_waits_for_a_worker_it_has_long_not_heard_of",
        ),
        (
            "J3",
            "if said.seen & bit and not said.fenced_by & node.revocations:",
            "if True:",
            f"{_CONDUCT}::test_a_worker_whose_leaving_was_not_seen_is_waited_for",
        ),
        (
            "J3",
            "not set(record.spec.requires) <= set(presence.labels):\n            why",
            "False:\n            why",
            f"{_CONDUCT}::test_who_lacks_a_required_label_is_found",
        ),
    ),
    *in_file(
        "scheduler/audit.py",
        ("J4", "if not node.counts]", "if node.counts]"),
        ("J4", "if not self.replay.board.graph.counts(cid):", "if False:"),
        ("J5", "if len(past) != manifest.events:", "if False:"),
        ("J5", "(left_out := len(past - found.packed))", "(left_out := 0)"),
        ("J5", "if board.board.heads != manifest.heads:", "if False:"),
        ("J5", "elif board.board.state_root() != manifest.state_root:", "elif False:"),
        ("J5", "node.cid not in past and", "False and"),
        ("J5", "manifest.time - replay.genesis.policy.lease_ms", "manifest.time + 10**9"),
        ("J5", "if len(past) == audit.replay.events:", "if True:"),
    ),
    *in_file(
        "scheduler/audit_sources.py",
        (
            "J5",
            "if (len(held.events), len(data)) != (entry.events, entry.size):",
            "if False:",
            f"{_MANIFESTS}::test_segments_that_leave_out_events_are_a_lie",
        ),
    ),
)
