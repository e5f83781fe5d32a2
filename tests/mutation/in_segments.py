"""Mutations of segments and manifests (G)."""

from __future__ import annotations

from typing import Final

from tests.mutation.mutation import Mutation, in_file

_SEGMENTS: Final = "tests/ledger/test_segments.py"
_PUBLISHING: Final = "tests/scheduler/test_publishing.py"
_ODD: Final = f"{_SEGMENTS}::test_what_is_no_segment_is_said_and_what_is_whole_is_kept"
_COPY: Final = f"{_PUBLISHING}::test_the_copy_is_the_log_and_closed_segments_never_change"
_FENCE: Final = f"{_PUBLISHING}::test_what_is_beyond_a_fence_stays_packed_or_waits_for_a_link"
_COLD: Final = f"{_PUBLISHING}::test_a_cold_peer_gets_all_of_it"

IN_SEGMENTS: Final[tuple[Mutation, ...]] = (
    *in_file(
        "ledger/segments.py",
        ("G1", "if not data.startswith(car_header(ledger)):", "if False:", _ODD),
        ("G1", "if sections > 1:", "if False:", _ODD),
        ("G1", "elif cid in events:", "elif False:", _ODD),
        ("G2", "if self._size + len(packed) > SEGMENT_BYTES_MAX:", "if False:"),
    ),
    *in_file(
        "ledger/gathering.py",
        ("G2", "if row.in_log and row.cid not in packed}", "if row.cid not in packed}", _FENCE),
        ("G2", "_late(log, outbox, after, fresh) if after.skipped or outbox.has_skipped() else {}", "{}", _FENCE),
    ),
    *in_file(
        "ledger/manifest.py",
        ("G3", "Limits(MANIFEST_BYTES_MAX, 3,", "Limits(MANIFEST_BYTES_MAX, 8,"),
        ("G4", "if any(a >= b for a, b in pairwise(manifest.heads)):", "if False:"),
        ("G4", "if manifest.events > packed:", "if False:"),
        ("G4", "if (manifest.events == 0) != (manifest.heads == (manifest.ledger,)):", "if False:"),
        ("G4", "if not isinstance(cid, Cid) or cid.codec != CODEC_RAW:", "if not isinstance(cid, Cid):"),
        ("G5", "MANIFEST_PREFIX + encode(self._unsigned())", "encode(self._unsigned())"),
        ("G5", "if not verify_signature(", "if False and not verify_signature("),
    ),
    *in_file(
        "ledger/publishing.py",
        ("G6", "segments.append(SegmentEntry(tail.cid, tail.events, len(tail.data)))", "", _COLD),
        ("G6", "events=state.events,", "events=sum(one.events for one in segments),", _FENCE),
        ("G8", "elif self._is_name_old(now_ms):", "elif False:", f"{_PUBLISHING}::test_nothing_new_is_published_twice"),
    ),
    *in_file(
        "ledger/cold_start.py",
        ("G7", "if len(absent) > len(ahead):", "if False:"),
        ("G7", "if (len(unpacked.events), len(data)) != (entry.events, entry.size):", "if False:"),
        ("G7", "if fault is None and (unpacked.genesis is not None) != (number == 0):", "if False:"),
        ("G7", "if events != manifest.events:", "if False:"),
        ("G7", "if found.root_agrees is False:", "if False:"),
    ),
    *in_file(
        "ledger/outbox.py",
        (
            "G8",
            "if number >= SUPERSEDED_MAX or not now_ms - SUPERSEDED_GRACE_MS < since <= now_ms",
            "if False",
            f"{_PUBLISHING}::test_growth_is_bounded",
        ),
    ),
)
