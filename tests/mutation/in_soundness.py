"""Mutations of the board in use that decide what counts and what is sound: authority (R), M3, P and F; heads (C)."""

from __future__ import annotations

from typing import Final

from tests.mutation.mutation import Mutation, in_file

_RULES: Final = "tests/crdt/test_rules.py"
_EDGES: Final = "tests/crdt/test_roster_edges.py"

IN_SOUNDNESS: Final[tuple[Mutation, ...]] = (
    *in_file(
        "crdt/members.py",
        ("R1", 'return "R1", "only owners admit"', "return None"),
        ("R1", '"an owner needs no admission") if op.actor', '"") if False and op.actor'),
        ("R2", 'return "R2", "only owners revoke"', "return None"),
        (
            "R2",
            "if op.grant == ledger:",
            "if False:",
            f"{_EDGES}::test_the_genesis_is_not_revoked_by_an_index",
        ),
        ("R2", '"owners are fixed by the genesis") if op.actor', '"") if False and op.actor'),
        ("R3", 'return "R3", "the grant lacks the role worker"', "return None"),
        ("R3", 'return "R3", "labels that the grant does not list"', "return None"),
        (
            "R4",
            "return self._fences.get((actor, grant), 0)",
            "return sum(bits for (other, _), bits in self._fences.items() if other == actor)",
        ),
        ("R5a", "            if grant == ledger and", "            if False and"),
        (
            "R5a",
            "if grant == ledger and admission is Admission.OPEN",
            "if grant == ledger",
            f"{_EDGES}::test_a_stranger_is_a_row_of_the_roster_only_where_strangers_act",
        ),
        (
            "R5b",
            "order_key(known.height, known.presence.cid) < order",
            "order_key(known.height, known.presence.cid) > order",
        ),
        (
            "R5c",
            " and not self.fences_against(actor, fact.presence.grant)",
            "",
            f"{_RULES}::test_r5c_who_is_revoked_is_no_active_worker",
        ),
    ),
    *in_file(
        "crdt/graph.py",
        (
            "R4",
            "self._store.state.roster.fences_against(node.actor, node.grant)",
            "0",
            f"{_RULES}::test_r4_what_arrives_after_a_revocation_is_beyond_it",
        ),
        ("R4", "if node.cid not in kept:", "if False:"),
        ("R4", "stack.extend(link for link in node.links if link not in past)", "pass"),
        (
            "R6",
            "            if state.voided:",
            "            if False:",
            f"{_RULES}::test_r6_what_an_event_that_counts_links_is_in_the_log",
        ),
        ("R6", "node.in_log = node.counts or node.cid in linked", "node.in_log = node.counts"),
        ("R6", "node.in_log = node.counts or node.cid in linked", "node.in_log = True"),
        ("C2", "state.heads.difference_update(taken.links)", "pass"),
        ("C2", "if node.cid not in linked:", "if True:"),
        ("C4", "self._store.add_to_vector(taken.actor, 1)", "self._store.add_to_vector(taken.actor, 2)"),
        ("C7", "stack.extend(linked for linked in map(self.node, seen.links) if not linked.seen & bit)", "pass"),
        ("C7", "seen[cid] = seen.get(cid, 0) | node.seen", "pass"),
    ),
    *in_file(
        "crdt/task_graph.py",
        (
            "M3",
            "found.setdefault(key, op)",
            "found[key] = op",
            f"{_RULES}::test_m3_what_came_second_stays_unread_when_a_task_is_folded_again",
        ),
        ("R4", "if node is not None and node.counts:", "if node is not None:"),
        ("P", "stack.extend(op.follows)", "pass"),
        ("P", " and not verdict.through)", ")"),
        ("P", " or (verdict.rule is not None and not verdict.through)", ""),
        (
            "P",
            " and not linked.fenced_by & node.revocations",
            "",
            f"{_RULES}::test_p_a_fence_in_the_past_takes_out_what_lies_beyond_it",
        ),
        (
            "P",
            " and not linked.fenced_by & node.revocations",
            " and not linked.fenced_by",
            f"{_RULES}::test_p_a_fence_that_was_not_seen_changes_nothing_that_was_sound",
        ),
        (
            "P",
            "        if not task.fenced:",
            "        if True:",
            f"{_RULES}::test_p_a_fence_that_was_not_seen_changes_nothing_that_was_sound",
        ),
    ),
    *in_file(
        "crdt/board.py",
        ("M3", "if mark is None or mark in seen:", "if mark is None:"),
        (
            "R5b",
            "            self._look_up_presence(actor)",
            "            pass",
            f"{_EDGES}::test_what_a_revocation_keeps_of_comings_and_goings_stands",
        ),
        ("F0a", "keys = [task_of(op) for op in read_operations(self.store.event(cid))]", "continue"),
        ("F1e", " and not self.graph.node(cid).fenced_by & node.revocations", ""),
        ("F1e", "if isinstance(op, Complete) and", "if"),
        (
            "C2",
            "tuple(sorted(self._state.heads)) or (self.ledger,)",
            "tuple(sorted(self._state.heads))",
            f"{_RULES}::test_c2_an_empty_log_has_the_genesis_for_its_head",
        ),
        (
            "C7",
            "return bool(active) and self.seen_by(cid) == active",
            "return True",
            f"{_RULES}::test_c7_stable_is_what_every_active_worker_has_seen",
        ),
        ("C7", "return bool(active) and", "return", f"{_RULES}::test_c7_stable_is_what_every_active_worker_has_seen"),
    ),
    *in_file(
        "crdt/soundness.py",
        ("F0a", 'return Verdict("F0a"', 'return _SOUND or Verdict("F0a"'),
        ("F0b", "return _SOUND if Role.SUBMITTER in grant.roles else", "return _SOUND or"),
        ("F0b", "return None if role in grant.roles else", "return None and"),
        ("F1a", 'return Verdict("F1a"', 'Verdict("F1a"'),
        ("F1b", 'return Verdict("F1b"', 'Verdict("F1b"'),
        ("F1c", 'return Verdict("F1c", f"too early', 'Verdict("F1c", f"too early'),
        ("F1c", 'return Verdict("F1c", f"too late', 'Verdict("F1c", f"too late'),
        ("F1d", 'return Verdict("F1d"', 'Verdict("F1d"'),
        ("F1e", 'return Verdict("F1e"', 'Verdict("F1e"'),
        ("F1f", 'return Verdict("F1f"', 'Verdict("F1f"'),
        ("F2a", 'return Verdict("F2a"', 'Verdict("F2a"'),
        ("F2b", 'return Verdict("F2b"', 'return _SOUND or Verdict("F2b"'),
        ("F2c", 'return Verdict("F2c"', 'Verdict("F2c"'),
        ("F2c", "op.claim in past.released or op.claim in past.failed", "op.claim in past.released"),
        ("F2d", 'return Verdict("F2d"', 'Verdict("F2d"'),
        ("F2e", 'return Verdict("F2e"', 'Verdict("F2e"'),
        ("F3a", 'return Verdict("F3a"', 'Verdict("F3a"'),
        ("F3a", "event.actor != past.submitter and not grant.is_owner", "event.actor != past.submitter"),
        ("F3b", 'return Verdict("F3b"', 'Verdict("F3b"'),
        ("F3c", 'return Verdict("F3c"', 'Verdict("F3c"'),
        ("D5", "distance(event.actor, past.anchor)", "0"),
    ),
)
