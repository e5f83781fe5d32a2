"""The state root kept incrementally: only the buckets and groups of changed tasks are hashed again.

Implements: C6 of specs/clock.md over a BoardStore; `crdt.state_root` does the hashing and has the same from nothing.
"""

from __future__ import annotations

from collections.abc import Iterable

from crdt.board_store import BoardStore
from crdt.records import Roster, TaskRecord
from crdt.state_root import bucket_hash, group_hash, leaf_hash, roster_hash, state_root
from ledger.cid import Cid
from ledger.events import TaskKey


def update_tree(store: BoardStore, changed: Iterable[tuple[TaskKey, TaskRecord | None]]) -> None:
    """Hash the changed tasks and the branches above them; a record of None takes its task out."""
    buckets: set[bytes] = set()
    for key, record in changed:
        store.put_leaf(key, None if record is None else leaf_hash(record))
        buckets.add(key[:2])
    for bucket in buckets:
        leaves = store.leaves(bucket)
        store.put_branch(bucket, bucket_hash(leaves) if leaves else None)
    for group in {bucket[:1] for bucket in buckets}:
        below = store.branches(group)
        store.put_branch(group, group_hash(below) if below else None)


def read_root(store: BoardStore, ledger: Cid, roster: Roster) -> bytes:
    """Return the state root over the tree as it stands."""
    return state_root(ledger, roster_hash(roster), store.branches(b""))
