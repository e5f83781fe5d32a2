"""Mutations of what peers tell each other: hints and witnesses (H)."""

from __future__ import annotations

from typing import Final

from tests.mutation.mutation import Mutation, in_file

_TASK: Final = "tests/scheduler/test_task_answers.py"
_WITNESS: Final = "tests/scheduler/test_witness.py"

IN_NETWORK: Final[tuple[Mutation, ...]] = (
    *in_file(
        "ledger/hints.py",
        ("H1", "if any(a >= b for a, b in pairwise(hint.heads)):", "if False:"),
        ("H1", "if hint.heads and hashlib.sha256(", "if not hint.heads and hashlib.sha256("),
        ("H2", "HINT_PREFIX + encode(self._unsigned())", "encode(self._unsigned())"),
        ("H2", "if not verify_signature(", "if False and not verify_signature("),
    ),
    *in_file(
        "ledger/hint_gate.py",
        ("H3", "if hint.ledger != self._ledger:", "if False:"),
        ("H3", "if sender and hint.peer_id != sender:", "if False:"),
        ("H3", "if not is_member(hint.actor):", "if False:"),
        ("H4", "if hint.time > now_ms + self._skew_ms:", "if False:"),
        ("H4", "if hint.time < now_ms - self._age_ms_max:", "if False:"),
        ("H4", "if hint.time <= self._latest.get(", "if hint.time < self._latest.get("),
        ("H5", "if not bucket.take(", "if False and not bucket.take("),
        (
            "H5",
            "if not self._total.take(",
            "if False and not self._total.take(",
            "tests/ledger/test_hints.py::test_h5_many_names",
        ),
        ("H6", "hint.reducer == reducer and ", ""),
    ),
    *in_file(
        "ledger/news.py",
        ("H8", "if of != ledger:", "if False:"),
        ("H8", "keys_exactly(fields, _FIELDS)", "pass"),
    ),
    *in_file(
        "scheduler/witness.py",
        ("H7", "if board.store.event(cid).ops:", "if True:"),
        ("H7", "if node.seen & bit:", "if False:"),
        ("H7", "        if heads != self._heads or", "        if", f"{_WITNESS}::test_h7_when"),
        ("H7", "min(self._quiet_until, self._since + self.most_ms)", "self._quiet_until", f"{_WITNESS}::test_h7_when"),
    ),
    *in_file(
        "scheduler/task_answers.py",
        (
            "X19",
            "since = bool(heads) and state is not None and not state.fenced",
            "since = bool(heads) and state is not None",
            f"{_TASK}::test_what_a_revocation_voids_is_told_as_void",
        ),
        (
            "X19",
            "if found.heads != question.heads or not may_wait",
            "if True or not may_wait",
            f"{_TASK}::test_an_answer_is_kept_back_until_something_changes",
        ),
        (
            "X19",
            "events |= {grant for cid in events",
            "{grant for cid in events",
            f"{_TASK}::test_what_is_told_is_what_the_board_says",
        ),
    ),
    *in_file(
        "scheduler/light/proof.py",
        (
            "X19",
            "return None if granted is None else admissions(granted.event, genesis).get(event.actor)",
            "return OWNER_GRANT",
            f"{_TASK}::test_nobody_completes_who_was_not_admitted",
        ),
    ),
)
