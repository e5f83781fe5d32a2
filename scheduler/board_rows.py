"""The tables a board is kept in, and its values as their rows.

Leaves out when rows are read and written (scheduler.board_tables).
"""

from __future__ import annotations

from typing import Final

from crdt.board_store import Node
from crdt.fold import Verdict
from ledger.cid import Cid
from ledger.events import TaskKey
from ledger.keys import ActorKey
from scheduler.board_codec import join_cids, pack_bits, split_cids, unpack_bits

DDL: Final = (
    """CREATE TABLE nodes (cid BLOB PRIMARY KEY, height INTEGER NOT NULL,
       actor BLOB NOT NULL, grant_cid BLOB NOT NULL, links BLOB NOT NULL, revocations NOT NULL,
       own_revocations NOT NULL, fenced_by NOT NULL,
       in_log INTEGER NOT NULL, seen NOT NULL) WITHOUT ROWID""",
    "CREATE INDEX nodes_by_actor ON nodes (actor, grant_cid)",
    """CREATE TABLE verdicts (task BLOB NOT NULL, cid BLOB NOT NULL, rule TEXT, words TEXT NOT NULL,
       attempt INTEGER NOT NULL, distance INTEGER NOT NULL, base INTEGER NOT NULL,
       inputs BLOB NOT NULL, through INTEGER NOT NULL,
       PRIMARY KEY (task, cid)) WITHOUT ROWID""",
    """CREATE TABLE tasks (key BLOB PRIMARY KEY, state BLOB NOT NULL, standing TEXT NOT NULL, task_id TEXT,
       workflow_id TEXT, submitter BLOB, height INTEGER NOT NULL, changed INTEGER NOT NULL, instant INTEGER NOT NULL,
       first_seen INTEGER NOT NULL, leaf BLOB) WITHOUT ROWID""",
    "CREATE INDEX tasks_by_standing ON tasks (standing, height)",
    "CREATE INDEX tasks_by_name ON tasks (task_id)",
    "CREATE INDEX tasks_by_change ON tasks (changed)",
    "CREATE INDEX tasks_stale ON tasks (key) WHERE leaf IS NULL",
    """CREATE TABLE ignored (event BLOB NOT NULL, op_index INTEGER NOT NULL, rule TEXT NOT NULL, words TEXT NOT NULL,
       actor BLOB NOT NULL, task BLOB, PRIMARY KEY (event, op_index)) WITHOUT ROWID""",
    "CREATE INDEX ignored_by_actor ON ignored (actor, task)",
    """CREATE TABLE branches (above BLOB NOT NULL, byte INTEGER NOT NULL, digest BLOB NOT NULL,
       PRIMARY KEY (above, byte)) WITHOUT ROWID""",
    """CREATE TABLE board (id INTEGER PRIMARY KEY CHECK (id = 0), state BLOB NOT NULL, changes INTEGER NOT NULL,
       roster BLOB NOT NULL)""",
    "CREATE TABLE vector (actor BLOB PRIMARY KEY, events INTEGER NOT NULL) WITHOUT ROWID",
    "CREATE TABLE heartbeats (actor BLOB PRIMARY KEY, heard INTEGER NOT NULL) WITHOUT ROWID",
    """CREATE TABLE earlier (key BLOB PRIMARY KEY, old BLOB NOT NULL, submitter BLOB NOT NULL, task_id TEXT NOT NULL,
       workflow_id TEXT NOT NULL) WITHOUT ROWID""",
    "CREATE INDEX earlier_by_old ON earlier (old)",
    "CREATE INDEX earlier_by_name ON earlier (task_id, workflow_id, submitter)",
)
TABLES: Final = ("nodes", "verdicts", "tasks", "ignored", "branches", "board", "vector")
"""What a rebuild empties; heartbeats, and what was done in the ledger before, are not derived."""

NODE_COLUMNS: Final = "cid, height, actor, grant_cid, links, revocations, own_revocations, fenced_by, in_log, seen"


def node_row(node: Node) -> tuple[object, ...]:
    """Return the row of a new node."""
    bits = (pack_bits(node.revocations), pack_bits(node.own_revocations), pack_bits(node.fenced_by))
    links = join_cids(node.links)
    return (node.cid, node.height, node.actor, node.grant, links, *bits, node.in_log, pack_bits(node.seen))


def node_changes(node: Node) -> tuple[object, ...]:
    """Return what can change of a node, and its CID."""
    return pack_bits(node.own_revocations), pack_bits(node.fenced_by), node.in_log, pack_bits(node.seen), node.cid


def read_node(row: tuple[bytes, ...]) -> Node:
    """Return the node of a row."""
    cid, height, actor, grant, links, revocations, own, fenced_by, in_log, seen = row
    bits = (unpack_bits(revocations), unpack_bits(own), unpack_bits(fenced_by))
    return Node(
        Cid(cid), int(height), ActorKey(actor), Cid(grant), split_cids(links), *bits, bool(in_log), unpack_bits(seen)
    )


def verdict_row(key: TaskKey, cid: Cid, v: Verdict) -> tuple[object, ...]:
    """Return the row of what was decided of an operation."""
    return (key, cid, v.rule, v.words, v.attempt, v.distance, v.base, join_cids(v.inputs), v.through)


def read_verdict(row: tuple[object, ...]) -> Verdict:
    """Return the verdict of a row."""
    _, _, rule, words, attempt, distance, base, inputs, through = row
    return Verdict(rule, words, attempt, distance, base, split_cids(inputs), bool(through))  # type: ignore[arg-type]  # columns as the table declares them
