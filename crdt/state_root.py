"""The hash over a whole board: leaves of tasks, buckets, groups, then a root.

Implements: C6 of specs/clock.md. Pure hashing of records; who keeps what incrementally is the caller's matter.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from typing import Final

from crdt.records import Roster, TaskRecord
from ledger.cid import Cid
from ledger.codec import Encodable, encode
from ledger.events import TaskKey

REDUCER_VERSION: Final = 1
"""Peers compare state roots only under the same version: other rules give other boards."""

_LEAF: Final = b"p2p-workflow/leaf/v1\0"
_BUCKET: Final = b"p2p-workflow/bucket/v1\0"
_GROUP: Final = b"p2p-workflow/group/v1\0"
_ROSTER: Final = b"p2p-workflow/roster/v1\0"
_STATE: Final = b"p2p-workflow/state/v1\0"


def leaf_hash(task: TaskRecord) -> bytes:
    """Return the hash of one task's record."""
    claims: list[Encodable] = [
        [
            claim.cid,
            claim.actor,
            claim.attempt,
            claim.distance,
            claim.until,
            2 if claim.failed_at else 1 if claim.released else 0,
            claim.failed_at,
        ]
        for claim in task.claims
    ]
    completions: list[Encodable] = [[done.distance, done.claim, done.cid] for done in task.completions]
    record: list[Encodable] = [
        task.key,
        list(task.submits),
        task.priority,
        task.created_at,
        claims,
        completions,
        list(task.cancels),
        task.base,
    ]
    return _hash(_LEAF, encode(record))


def bucket_hash(leaves: Iterable[tuple[TaskKey, bytes]]) -> bytes:
    """Return the hash of one bucket: (key, leaf) pairs whose keys share the first two bytes, in key order."""
    return _hash(_BUCKET, b"".join(key + leaf for key, leaf in leaves))


def group_hash(buckets: Iterable[tuple[int, bytes]]) -> bytes:
    """Return the hash of one group's (second byte of the keys, bucket hash) pairs, given in ascending order."""
    return _hash(_GROUP, b"".join(bytes((second,)) + digest for second, digest in buckets))


def roster_hash(roster: Roster) -> bytes:
    """Return the hash of members and presences."""
    members = [[m.actor, m.grant, list(m.roles), list(m.labels), m.name, list(m.revoked_by)] for m in roster.members]
    presences = [[p.actor, p.joined, list(p.labels), p.slots, p.cid] for p in roster.presences]
    return _hash(_ROSTER, encode([members, presences]))


def state_root(ledger: Cid, roster: bytes, groups: Iterable[tuple[int, bytes]]) -> bytes:
    """Return the root from the roster hash and the (first byte of the keys, group hash) pairs in ascending order."""
    return _hash(_STATE, encode([REDUCER_VERSION, ledger, roster, [[first, digest] for first, digest in groups]]))


def whole_state_root(ledger: Cid, roster: Roster, tasks: Mapping[TaskKey, TaskRecord]) -> bytes:
    """Return the state root of a whole board, computed from nothing kept."""
    buckets: dict[bytes, list[tuple[TaskKey, bytes]]] = {}
    for key in sorted(tasks):
        buckets.setdefault(key[:2], []).append((key, leaf_hash(tasks[key])))
    groups: dict[int, list[tuple[int, bytes]]] = {}
    for prefix, leaves in buckets.items():
        groups.setdefault(prefix[0], []).append((prefix[1], bucket_hash(leaves)))
    return state_root(ledger, roster_hash(roster), [(first, group_hash(found)) for first, found in groups.items()])


def _hash(prefix: bytes, body: bytes) -> bytes:
    return hashlib.sha256(prefix + body).digest()
