"""Mutations of the ledger: form (E), acceptance (A), reading operations (M), files and exchange (X)."""

from __future__ import annotations

from typing import Final

from tests.mutation.mutation import Mutation, in_file

_ACCEPTANCE: Final = "tests/ledger/test_acceptance.py"
_CAR: Final = "tests/ledger/test_car.py"
_CAR_IO: Final = "tests/ledger/test_car_io.py"
_EXCHANGE: Final = "tests/ledger/test_exchange.py"
_HOSTILE: Final = "tests/ledger/test_hostile_answers.py"
_DOOR: Final = "tests/ledger/test_doorkeeper.py"
_TASK: Final = "tests/scheduler/test_task_answers.py"
_RANGES: Final = "tests/ledger/test_ranges.py"

IN_LEDGER: Final[tuple[Mutation, ...]] = (
    *in_file(
        "ledger/cid.py",
        ("E1", " or data[2:4] != _SHA2_256", ""),
        ("E1", "return cls(data)\n\n    def __str__", "return _new(cls, data)\n\n    def __str__"),
    ),
    *in_file(
        "ledger/codec.py",
        ("E2", "if end != len(data):", "if False:"),
        ("E2", "if encoded <= last:", "if False:"),
        ("E2", "if argument < 24 or (width > 1 and argument >> (4 * width) == 0):", "if False:"),
        ("A1", "if len(data) > limits.block_bytes_max:", "if False:", f"{_ACCEPTANCE}::test_a1_size"),
        ("A1", "if depth > self.limits.nesting_max:", "if False:", f"{_ACCEPTANCE}::test_a1_nesting"),
        ("A1", "if self.items_left < 0:", "if False:", f"{_ACCEPTANCE}::test_a1_items"),
        ("A2", "if end != len(data):", "if False:", f"{_ACCEPTANCE}::test_a2_canonical"),
        ("A2", "if encoded <= last:", "if False:", f"{_ACCEPTANCE}::test_a2_canonical"),
    ),
    *in_file(
        "ledger/curve.py",
        ("A5", " and _y(encoding) < _P", "", f"{_ACCEPTANCE}::test_a5_actor_and_r"),
        ("A5", "return _y(encoding) % _P in _SMALL_ORDER_Y", "return False"),
    ),
    *in_file(
        "ledger/schema.py",
        ("A3", "    if extra:", "    if False:", f"{_ACCEPTANCE}::test_a3_schema"),
        ("A3", "    if not least <= value <= most:", "    if False:", f"{_ACCEPTANCE}::test_a3_schema"),
    ),
    *in_file(
        "ledger/events.py",
        ("E3", "EVENT_PREFIX + encode(self._unsigned())", "encode(self._unsigned())"),
        ("E4", "TASK_PREFIX + ledger + submitter +", "TASK_PREFIX + ledger +"),
        ("E4", "TASK_PREFIX + ledger + submitter +", "TASK_PREFIX + submitter +"),
        ("A3", "if policy.lease_ms < 4 * policy.skew_ms:", "if False:"),
    ),
    *in_file(
        "ledger/keys.py",
        ("E6", r'_PUBLIC_MULTICODEC: Final = b"\xed\x01"', '_PUBLIC_MULTICODEC: Final = b""'),
        ("E6", r'_SECRET_MULTICODEC: Final = b"\x80\x26"', '_SECRET_MULTICODEC: Final = b""'),
    ),
    *in_file(
        "ledger/acceptance.py",
        ("A4", "if event.ledger != ledger:", "if False:", f"{_ACCEPTANCE}::test_a4_ledger"),
        ("A4", 'raise Refusal("A4", "the genesis', 'Refusal("A4", "the genesis'),
        ("A5", '_check_key(event.actor, "actor")', "pass"),
        ("A5", "_check_r(event.sig)  # A5", "pass", f"{_ACCEPTANCE}::test_a5_actor_and_r"),
        ("A5", '_check_key(owner, "owner")', "pass"),
        ("A6", "if not verify_signature(", "if False and verify_signature(", f"{_ACCEPTANCE}::test_a6_signature"),
        ("A7", "missing.append(cid)", "found.append(Linked(0, 0))", f"{_ACCEPTANCE}::test_a7_missing_links"),
        ("A7", "elif linked.refused:", "elif False:", f"{_ACCEPTANCE}::test_a7_refused_link"),
        ("A8a", "if event.grant != ledger:", "if False:", f"{_ACCEPTANCE}::test_a8_owner_under_genesis_only"),
        (
            "A8b",
            "if genesis.policy.admission is not Admission.OPEN:",
            "if False:",
            f"{_ACCEPTANCE}::test_a8_members_only",
        ),
        (
            "A8c",
            "if event.actor not in genesis.owners:",
            "if False:",
            f"{_ACCEPTANCE}::test_a8_grant_of_a_non_owner_or_of_another",
        ),
        (
            "A8c",
            "    if grant is None:",
            "    if False:",
            f"{_ACCEPTANCE}::test_a8_grant_of_a_non_owner_or_of_another",
        ),
        (
            "A8c",
            "found.setdefault(op.actor, Grant(frozenset(op.roles), labels=op.labels, name=op.name))",
            "found[op.actor] = Grant(frozenset(op.roles), labels=op.labels, name=op.name)",
            f"{_ACCEPTANCE}::test_a8_the_first_admit_of_an_actor_decides",
        ),
        ("A8c", "spoiled.add(op.admits)", "pass", f"{_ACCEPTANCE}::test_a8_the_first_admit_of_an_actor_decides"),
        ("A9", "if event.height != height:", "if False:", f"{_ACCEPTANCE}::test_a9_height"),
        (
            "A9",
            "max(block.height for block in linked)",
            "max(block.height for block in linked[1:])",
            f"{_ACCEPTANCE}::test_a9_counts_the_grant",
        ),
        ("A10", "if event.time < latest:", "if False:", f"{_ACCEPTANCE}::test_a10_time"),
        ("A11", "if not 1 <= len(event.parents)", "if not 0 <= len(event.parents)"),
        ("A11", "<= PARENTS_MAX:", "<= 1_024:", f"{_ACCEPTANCE}::test_a11_order_of_parents"),
        ("A11", "if any(a >= b for", "if any(a > b for", f"{_ACCEPTANCE}::test_a11_order_of_parents"),
        ("A11", "if any(a >= b for", "if any(a == b for", f"{_ACCEPTANCE}::test_a11_order_of_parents"),
        ("A11", "if len(set(links)) != len(links):", "if False:", f"{_ACCEPTANCE}::test_a11_unique_cites_and_blobs"),
    ),
    *in_file(
        "ledger/operation_codec.py",
        ("E5", "return linked[schema.integer(", "return linked[len(linked) - 1 - schema.integer("),
        (
            "M2",
            'priority=schema.integer(fields, "priority", 1, 10)',
            'priority=schema.integer(fields, "priority", 0, 99)',
        ),
        ("M1", "reader = _READERS.get(name)", 'reader = _READERS.get(name, _READERS["leave"])'),
        (
            "M3",
            "        admits = ActorKey(actor)\n",
            "        return Unread(rule, words, admits=ActorKey(actor))\n",
            "tests/crdt/test_adversaries.py::test_a_task_is_followed_through_a_malformed_admit",
        ),
        ("M2", 'raise SchemaError("spec: the payload', 'SchemaError("spec: the payload'),
    ),
    *in_file(
        "ledger/car.py",
        ("X4", "if cid.names(block):", "if True:"),
        ("X4", "if byte[0] == 0 and index:", "if False:", f"{_CAR}::test_other_headers_are_refused"),
        ("X4", " or version != 1:", ":", f"{_CAR}::test_other_headers_are_refused"),
        ("X4", "if not 0 < length <= _SECTION_BYTES_MAX:", "if False:", f"{_CAR}::test_other_lengths_end_the_reading"),
        (
            "X4",
            "                continue\n",
            "                return\n",
            f"{_CAR}::test_foreign_blocks_are_skipped_and_counted",
        ),
    ),
    *in_file(
        "ledger/car_io.py",
        ("X1", "    if genesis:\n", "    if False:\n", f"{_CAR_IO}::test_an_export_streams_through"),
        (
            "X2",
            "past_without(replica, roots, known)",
            "past_without(replica, roots, ())",
            f"{_CAR_IO}::test_a_part_since_heads",
        ),
        ("X2", "genesis=not known", "genesis=True", f"{_CAR_IO}::test_a_part_since_heads"),
        (
            "X2",
            "replica.heads() if heads is None else tuple(heads)",
            "replica.heads()",
            f"{_CAR_IO}::test_a_part_with_the_past_of_some_events",
        ),
        ("X3", "in batches(sorted(blobs), BLOB_BATCH)", "in ()", f"{_CAR_IO}::test_an_export_streams_through"),
        (
            "X3",
            "sorted(replica.intake.blobs.get_many(some).items())",
            "sorted(replica.intake.blobs.get_many(some).items(), reverse=True)",
            f"{_CAR_IO}::test_an_export_streams_through",
        ),
    ),
    *in_file(
        "ledger/car_import.py",
        (
            "X4",
            "if taking.is_unfinished:",
            "if False:",
            f"{_CAR_IO}::test_import_backwards_with_a_small_waiting_room",
        ),
    ),
    *in_file(
        "ledger/replica.py",
        ("X1", "for _, cid in sorted(found)]", "for _, cid in found]", f"{_CAR_IO}::test_an_export_streams_through"),
        (
            "X5",
            "self.held += len(report.held)",
            "pass",
            f"{_CAR_IO}::test_an_import_says_what_became_of_each",
        ),
        (
            "X5",
            "self.reasons += report.refused[",
            "report.refused[",
            f"{_CAR_IO}::test_an_import_says_what_became_of_each",
        ),
    ),
    *in_file(
        "ledger/answerer.py",
        ("X6", "require_ledger(self._ledger, frontier.ledger)", "pass", f"{_EXCHANGE}::test_two_ledgers_and_one_store"),
        (
            "X7",
            "if not all(is_here(replica, cid) for cid in frontier.heads):",
            "if False:",
            f"{_EXCHANGE}::test_both_have_gone_on",
        ),
        (
            "X7",
            "past_without(self._replica, heads, frontier.heads)",
            "past_without(self._replica, heads, ())",
            f"{_EXCHANGE}::test_what_is_missing_is_found_without_walking_the_log",
        ),
        (
            "X8",
            "if found is None or not self._replica.log.count((found[0], cid), _after((found[0], cid))):",
            "if found is None:",
            f"{_EXCHANGE}::test_only_the_log_is_sent",
        ),
        ("X11", "items = sorted(item for", "items = list(item for", f"{_EXCHANGE}::test_what_is_wanted_comes_in_order"),
        (
            "X12",
            "blobs_wanted = intake.blobs.wanted(most=BATCH_BLOCKS)",
            "blobs_wanted = ()",
            f"{_EXCHANGE}::test_an_offer_is_asked_for_its_blobs",
        ),
        (
            "X13",
            "state = replica.state()",
            "state = State(self._ledger, (self._ledger,), 0)",
            f"{_EXCHANGE}::test_a_state_is_told",
        ),
    ),
    *in_file(
        "ledger/exchange_codec.py",
        ("X6", "if any(a >= b for a, b in pairwise(heads)):", "if False:"),
        ("X10", "len(said) > SPANS_MAX", "False"),
        ("X11", "if len(packed) % _HASH_BYTES or len(packed) > most * _HASH_BYTES:", "if len(packed) % _HASH_BYTES:"),
    ),
    *in_file(
        "ledger/ranges.py",
        ("X9", "if before[0] < after[0]:", "if False:", f"{_RANGES}::test_a_bound_separates"),
        ("X9", "if any(a.span.high is None or a.span.high > b.span.low for a, b in pairwise(said)):", "if False:"),
        (
            "X10",
            "if isinstance(one, Fingerprint) and one.span == within[at].span:",
            "if False:",
            f"{_RANGES}::test_answers_that_lead_nowhere_are_refused",
        ),
        (
            "X10",
            "        said.append(Fingerprint(Span(LOWEST, high), 0, None))\n",
            "        pass\n",
            f"{_RANGES}::test_where_they_differ_at_the_end_only_little_is_said",
        ),
        (
            "X10",
            "if found.count > FEW_EVENTS:\n            room -= found.count",
            "if False:\n            room -= found.count",
            f"{_RANGES}::test_an_answer_is_bounded_whatever_is_asked",
        ),
    ),
    *in_file(
        "ledger/pulling.py",
        (
            "X10",
            "if rest is not None and self._unknown(opening.heads):",
            "if False:",
            f"{_RANGES}::test_differences_far_below",
        ),
        ("X16", "if self._useless > USELESS_MAX:", "if False:", f"{_HOSTILE}::test_useless_blocks_end_a_pull"),
        (
            "X16",
            "if self._fruitless > FRUITLESS_ROUNDS_MAX:",
            "if False:",
            f"{_HOSTILE}::test_questions_that_bring_nothing_end",
        ),
        (
            "X16",
            "if self._most is not None and count > self._most:",
            "if False:",
            f"{_HOSTILE}::test_more_events_than_said",
        ),
    ),
    *in_file(
        "ledger/pushing.py",
        (
            "X12",
            "_others(source, [cid for cid in wanted if cid not in offered])",
            "iter(())",
            f"{_EXCHANGE}::test_an_offer_is_asked_for_its_blobs",
        ),
    ),
    *in_file(
        "ledger/challenge.py",
        (
            "X14",
            "if not verify_signature(proof.actor, message, proof.signature):",
            "if False:",
            f"{_DOOR}::test_only_the_key_itself_answers_and_in_this_ledger",
        ),
    ),
    *in_file(
        "ledger/exchange_server.py",
        (
            "X15",
            'if environ.get("REQUEST_METHOD") != "POST":',
            "if False:",
            "tests/scheduler/test_serving.py::test_a_strange_request_gets_a_short_answer",
        ),
    ),
    *in_file(
        "ledger/doorkeeper.py",
        ("X17", "if proof.nonce in self._used:", "if False:", f"{_DOOR}::test_an_answer_counts_once_and_in_time"),
        (
            "X17",
            "if not made <= now <= made + CHALLENGE_MS:",
            "if False:",
            f"{_DOOR}::test_an_answer_counts_once_and_in_time",
        ),
        ("X18", "if not self._admits(session.actor):", "if False:", f"{_DOOR}::test_a_revoked_member_is_out_at_once"),
    ),
    *in_file(
        "ledger/task_exchange.py",
        ("X19", 'integer(fields, "wait_ms", 0, WAIT_MS_MAX)', 'integer(fields, "wait_ms", 0, 10 * WAIT_MS_MAX)'),
        ("X19", "if any(a >= b for a, b in pairwise(heads)):", "if False:"),
    ),
    *in_file(
        "ledger/task_asking.py",
        (
            "X19",
            "if len(events) != told.events:",
            "if False:",
            f"{_TASK}::test_answers_that_lie_are_found_out",
        ),
        (
            "X19",
            "events[cid] = check_alone(block, question.ledger)",
            "events[cid] = __import__('ledger.acceptance').acceptance.unsafe_signed(block)",
            f"{_TASK}::test_answers_that_lie_are_found_out",
        ),
    ),
)
