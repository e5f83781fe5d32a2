"""The board in the home's database: what `crdt.board` derives, so that a command's cost does not grow with the log.

A write-back cache over tables: changes gather in memory and go out with `flush`, in the transaction of the blocks they
come from. All of it can be dropped and rebuilt from the blocks; `verify` compares.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Final, TypeVar

from crdt.attempts import retry_at
from crdt.board_store import BoardState, Node, TaskState
from crdt.fold import Verdict
from crdt.records import Ignored
from ledger.cid import Cid
from ledger.database import Database
from ledger.events import KEY_BYTES, Event, Policy, TaskKey
from ledger.keys import ActorKey
from scheduler.board_codec import decode_roster, decode_state, decode_task, encode_roster, encode_state, encode_task
from scheduler.board_rows import NODE_COLUMNS, TABLES, node_changes, node_row, read_node, read_verdict, verdict_row

IGNORED_MAX: Final = 64
"""Operations without effect that are kept for each actor and task."""
_NAMES_AT_ONCE: Final = 500  # fewer than the variables an SQL statement may have
_CACHED_MAX: Final = 50_000
"""Nodes and tasks kept in memory between transactions."""


_PUT_TASK: Final = """INSERT INTO tasks VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (key) DO UPDATE SET
    state = excluded.state, standing = excluded.standing, task_id = excluded.task_id,
    workflow_id = excluded.workflow_id, submitter = excluded.submitter, height = excluded.height,
    changed = excluded.changed, instant = excluded.instant, first_seen = excluded.first_seen, leaf = excluded.leaf"""
"""Not INSERT OR REPLACE, which writes every index of a task again whatever has changed."""

ReadEvent = Callable[[Cid], Event]
Row = TypeVar("Row")
Kept = TypeVar("Kept")


class SqliteBoardStore:
    """A BoardStore in the home's database, within the caller's transaction or reading.

    `read_event` reads an accepted event from the block store.
    """

    def __init__(self, database: Database, read_event: ReadEvent, policy: Policy) -> None:
        self._database = database
        self._read_event = read_event
        self._policy = policy
        self.changes = 0
        self.state = BoardState()
        self._roster_written = -1  # nothing is written yet
        self._forget()

    def _forget(self) -> None:
        self._nodes: dict[Cid, Node] = {}
        self._tasks: dict[TaskKey, TaskState | None] = {}
        self._forget_unwritten()

    def _forget_unwritten(self) -> None:
        self._new_nodes: dict[Cid, Node] = {}
        self._dirty_nodes: dict[Cid, Node] = {}
        self._dirty_tasks: dict[TaskKey, TaskState] = {}
        self._new_verdicts: dict[TaskKey, dict[Cid, Verdict]] = {}
        self._new_ignored: list[tuple[Ignored, ActorKey, TaskKey | None]] = []
        self._leaves: dict[TaskKey, bytes | None] = {}
        self._bucket_leaves: dict[bytes, dict[TaskKey, bytes | None]] = {}  # the same, by their first two bytes
        self._branches: dict[bytes, dict[int, bytes | None]] = {}
        self._stale: set[TaskKey] = set()
        self._state_changed = False
        self._vector_reset = False
        self._vector: dict[ActorKey, int] = {}  # what is to be added to the rows

    # ---- keeping up with the tables

    def reload(self, *, others_wrote: bool = False) -> None:
        """Forget what is in memory and read the state anew: after a rollback, or because others wrote meanwhile."""
        row = self._database.connection.execute("SELECT roster, state, changes FROM board").fetchone()
        known, tasks = self.changes, self._tasks
        if row:
            roster = self._intact(decode_roster, row[0])
            self.state = self._intact(lambda data: decode_state(data, roster), row[1])
            self.changes = row[2]
        else:
            self.state, self.changes = BoardState(), 0
        self._roster_written = self.state.roster.changes if row else -1
        self._forget()
        if others_wrote and self.changes >= known:
            # Others' changes are known by number, so tasks they left alone stay cached.
            for key, _ in self.changed_since(known):
                tasks.pop(key, None)
            self._tasks = tasks

    def drop(self) -> None:
        """Forget what is in memory, after a rollback; `reload` must follow before anything is read."""
        self._forget()

    def empty(self) -> list[TaskKey]:
        """Empty the tables, to be filled anew; return the tasks that were there.

        Changes go on being counted, since others know the board by the number of the last one they saw.
        """
        execute = self._database.connection.execute
        row = execute("SELECT changes FROM board").fetchone()
        known = [TaskKey(key) for (key,) in execute("SELECT key FROM tasks")]
        for table in TABLES:
            execute(f"DELETE FROM {table}")  # noqa: S608  # only constants
        self.reload()
        self.changes = row[0] if row else 0
        return known

    def _intact(self, read: Callable[[Row], Kept], row: Row) -> Kept:
        """Return what `read` makes of a row; raise StoreCorruptError for a row that nobody has written so."""
        try:
            return read(row)
        except (LookupError, TypeError, ValueError) as error:
            raise self._database.damaged(f"a row of the board has changed: {error}") from error

    def flush(self, now_ms: int) -> None:
        """Write all changes; the caller's transaction makes them durable. `now_ms` is when this home saw them."""
        execute = self._database.connection.executemany
        marks = ", ".join("?" * 10)
        execute(f"INSERT INTO nodes ({NODE_COLUMNS}) VALUES ({marks})", map(node_row, self._new_nodes.values()))  # noqa: S608  # only constants
        execute(
            "UPDATE nodes SET own_revocations = ?, fenced_by = ?, in_log = ?, seen = ? WHERE cid = ?",
            (node_changes(node) for cid, node in self._dirty_nodes.items() if cid not in self._new_nodes),
        )
        execute(
            "INSERT OR REPLACE INTO verdicts VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (verdict_row(k, cid, v) for k, found in self._new_verdicts.items() for cid, v in found.items()),
        )
        if self._dirty_tasks or self._new_nodes:
            self.changes += 1
        before = self._instants(list(self._dirty_tasks))
        execute(_PUT_TASK, [self._task_row(task, before, now_ms) for task in self._dirty_tasks.values()])
        self._flush_ignored()
        self._flush_tree()
        if self._state_changed or self._dirty_tasks or self._new_nodes:
            self._flush_state()
        self._forget_unwritten()  # stale tasks are known by their missing leaf from now on
        if len(self._nodes) + len(self._tasks) > _CACHED_MAX:
            self._forget()

    def _flush_state(self) -> None:
        """Write the state; the roster, which seldom changes and may be long, only where it has."""
        if self._vector_reset:
            self._database.connection.execute("DELETE FROM vector")
        self._database.connection.executemany(
            "INSERT INTO vector VALUES (?, ?) ON CONFLICT (actor) DO UPDATE SET events = events + excluded.events",
            self._vector.items(),
        )
        state = encode_state(self.state)
        changes = self.state.roster.changes
        if changes == self._roster_written:
            self._database.connection.execute("UPDATE board SET state = ?, changes = ?", (state, self.changes))
        else:
            row = (state, self.changes, encode_roster(self.state.roster))
            self._database.connection.execute("INSERT OR REPLACE INTO board VALUES (0, ?, ?, ?)", row)
            self._roster_written = changes

    def _flush_ignored(self) -> None:
        for entry, actor, task in self._new_ignored:
            count = self._database.connection.execute(
                "SELECT count(*) FROM (SELECT 1 FROM ignored WHERE actor = ? AND task IS ? LIMIT ?)",
                (actor, task, IGNORED_MAX),
            ).fetchone()[0]
            if count < IGNORED_MAX:
                row = (entry.event, entry.index, entry.rule, entry.words, actor, task)
                self._database.connection.execute("INSERT OR REPLACE INTO ignored VALUES (?, ?, ?, ?, ?, ?)", row)

    def _flush_tree(self) -> None:
        self._database.connection.executemany(
            "UPDATE tasks SET leaf = ? WHERE key = ?",
            ((leaf or b"", key) for key, leaf in self._leaves.items() if key not in self._stale),
        )
        for above, below in self._branches.items():
            for byte, digest in below.items():
                place = (above, byte)
                if digest is None:
                    self._database.connection.execute("DELETE FROM branches WHERE above = ? AND byte = ?", place)
                else:
                    row = (*place, digest)
                    self._database.connection.execute("INSERT OR REPLACE INTO branches VALUES (?, ?, ?)", row)

    def _instants(self, keys: list[TaskKey]) -> dict[TaskKey, tuple[int, int]]:
        """Return for tasks the instant their row has, and when it was first seen."""
        found: dict[TaskKey, tuple[int, int]] = {}
        for start in range(0, len(keys), _NAMES_AT_ONCE):
            some = keys[start : start + _NAMES_AT_ONCE]
            marks = ",".join("?" * len(some))
            sql = f"SELECT key, instant, first_seen FROM tasks WHERE key IN ({marks})"  # noqa: S608  # only marks
            for key, instant, first_seen in self._database.connection.execute(sql, some):
                found[TaskKey(key)] = (instant, first_seen)
        return found

    def _task_row(self, task: TaskState, before: dict[TaskKey, tuple[int, int]], now_ms: int) -> tuple[object, ...]:
        fold = task.fold
        standing = "void" if not fold.submits else "done" if fold.completions else "over" if fold.cancels else "open"
        instant = ready_instant(task, self._policy)
        known = before.get(fold.key)
        # S2: only a new instant is seen anew, so a raised priority does not cost a task its age.
        first_seen = known[1] if known is not None and known[0] == instant else now_ms
        spec = fold.request[1] if fold.request else None
        height = fold.least_submit.height if fold.submits else 0
        names = (spec.task_id, spec.workflow_id) if spec else (None, None)
        fresh = fold.key in self._leaves and fold.key not in self._stale
        leaf = (self._leaves[fold.key] or b"") if fresh else None
        found = (fold.key, encode_task(task), standing, *names, fold.request[0] if fold.request else None, height)
        return (*found, self.changes, instant, first_seen, leaf)

    # ---- BoardStore

    def event(self, cid: Cid) -> Event:
        try:
            return self._read_event(cid)
        except KeyError:
            raise self._database.damaged(f"the board names event {cid}, which is not there") from None

    def find_node(self, cid: Cid) -> Node | None:
        node = self._nodes.get(cid)
        if node is None:
            sql = f"SELECT {NODE_COLUMNS} FROM nodes WHERE cid = ?"  # noqa: S608  # only constants
            row = self._database.connection.execute(sql, (cid,)).fetchone()
            if row is None:
                return None
            node = self._nodes[cid] = self._intact(read_node, row)
        return node

    def put_node(self, node: Node) -> None:
        if node.cid not in self._nodes:
            self._new_nodes[node.cid] = self._nodes[node.cid] = node
        self._dirty_nodes[node.cid] = node

    def nodes_of(self, actor: ActorKey, grant: Cid | None = None) -> list[Node]:
        where, values = ("actor = ?", (actor,)) if grant is None else ("actor = ? AND grant_cid = ?", (actor, grant))
        rows = self._database.connection.execute(f"SELECT {NODE_COLUMNS} FROM nodes WHERE {where}", values)  # noqa: S608  # only constants
        known = {node.cid: node for node in map(self._known_node, rows)}
        for node in self._new_nodes.values():
            if node.actor == actor and grant in (None, node.grant):
                known[node.cid] = node
        return list(known.values())

    def nodes_downwards(self) -> Iterator[Node]:
        rows = self._database.connection.execute(f"SELECT {NODE_COLUMNS} FROM nodes").fetchall()  # noqa: S608  # only constants
        nodes = [*self._new_nodes.values(), *map(self._known_node, rows)]
        return iter(sorted(nodes, key=lambda node: -node.height))

    def _known_node(self, row: tuple[bytes, ...]) -> Node:
        cid = self._intact(Cid, row[0])
        return self._nodes.get(cid) or self._nodes.setdefault(cid, self._intact(read_node, row))

    def find_task(self, key: TaskKey) -> TaskState | None:
        if key not in self._tasks:
            row = self._database.connection.execute("SELECT state FROM tasks WHERE key = ?", (key,)).fetchone()
            if row is None:
                return None  # not cached: another process may submit it
            self._tasks[key] = self._intact(decode_task, row[0])
        return self._tasks[key]

    def put_task(self, task: TaskState) -> None:
        self._tasks[task.fold.key] = self._dirty_tasks[task.fold.key] = task
        self._stale.add(task.fold.key)

    def tasks(self) -> Iterator[TaskState]:
        return self.tasks_standing(None)

    def void_tasks(self) -> list[TaskKey]:
        rows = self._database.connection.execute("SELECT key FROM tasks WHERE standing = 'void'").fetchall()
        written = {TaskKey(row[0]) for row in rows} - self._dirty_tasks.keys()
        return sorted(written | {key for key, task in self._dirty_tasks.items() if not task.fold.submits})

    def find_verdict(self, key: TaskKey, cid: Cid) -> Verdict | None:
        found = self._new_verdicts.get(key, {}).get(cid)
        if found is not None:
            return found
        row = self._database.connection.execute(
            "SELECT * FROM verdicts WHERE task = ? AND cid = ?", (key, cid)
        ).fetchone()
        return None if row is None else self._intact(read_verdict, row)

    def verdicts(self, key: TaskKey) -> dict[Cid, Verdict]:
        rows = self._database.connection.execute("SELECT * FROM verdicts WHERE task = ?", (key,))
        return {Cid(row[1]): self._intact(read_verdict, row) for row in rows} | self._new_verdicts.get(key, {})

    def put_verdict(self, key: TaskKey, cid: Cid, verdict: Verdict) -> None:
        self._new_verdicts.setdefault(key, {})[cid] = verdict

    def add_ignored(self, ignored: Ignored, actor: ActorKey, task: TaskKey | None) -> None:
        self._new_ignored.append((ignored, actor, task))

    def ignored(self) -> Iterable[Ignored]:
        rows = self._database.connection.execute("SELECT event, op_index, rule, words FROM ignored").fetchall()
        return [Ignored(self._intact(Cid, row[0]), *row[1:]) for row in rows] + [
            entry for entry, _, _ in self._new_ignored
        ]

    def add_to_vector(self, actor: ActorKey, events: int) -> None:
        self._vector[actor] = self._vector.get(actor, 0) + events

    def vector(self) -> dict[ActorKey, int]:
        rows = () if self._vector_reset else self._database.connection.execute("SELECT actor, events FROM vector")
        found = {ActorKey(actor): events for actor, events in rows}
        for actor, events in self._vector.items():
            found[actor] = found.get(actor, 0) + events
        return found

    def reset_vector(self) -> None:
        self._vector_reset = True
        self._vector.clear()

    def put_state(self) -> None:
        self._state_changed = True

    def take_stale(self) -> list[TaskKey]:
        rows = self._database.connection.execute("SELECT key FROM tasks WHERE leaf IS NULL").fetchall()
        stale = self._stale | {TaskKey(row[0]) for row in rows if row[0] not in self._leaves}
        self._stale = set()
        return sorted(stale)

    def has_stale(self) -> bool:
        """Return whether some task's leaf is to be hashed anew."""
        return (
            self._database.connection.execute("SELECT 1 FROM tasks WHERE leaf IS NULL LIMIT 1").fetchone() is not None
        )

    def put_leaf(self, key: TaskKey, leaf: bytes | None) -> None:
        self._leaves[key] = leaf
        self._bucket_leaves.setdefault(key[:2], {})[key] = leaf

    def leaves(self, bucket: bytes) -> list[tuple[TaskKey, bytes]]:
        rows = self._database.connection.execute(
            "SELECT key, leaf FROM tasks WHERE key BETWEEN ? AND ? AND leaf IS NOT NULL",
            (bucket, bucket + b"\xff" * (KEY_BYTES - len(bucket))),
        )
        found: dict[TaskKey, bytes | None] = {TaskKey(key): leaf or None for key, leaf in rows}
        found |= self._bucket_leaves.get(bucket, {})
        return sorted((key, leaf) for key, leaf in found.items() if leaf is not None)

    def put_branch(self, prefix: bytes, digest: bytes | None) -> None:
        self._branches.setdefault(prefix[:-1], {})[prefix[-1]] = digest

    def branches(self, prefix: bytes) -> list[tuple[int, bytes]]:
        rows = self._database.connection.execute("SELECT byte, digest FROM branches WHERE above = ?", (prefix,))
        found: dict[int, bytes | None] = dict(rows.fetchall())
        found |= self._branches.get(prefix, {})
        return sorted((byte, digest) for byte, digest in found.items() if digest is not None)

    # ---- what the home asks beside the board

    def tasks_standing(self, standing: str | None) -> Iterator[TaskState]:
        """Return the tasks of one standing ("open", "done", "over"), or all, in the order they were submitted."""
        where, values = ("", ()) if standing is None else ("WHERE standing = ?", (standing,))
        sql = f"SELECT key, state FROM tasks {where} ORDER BY height, key"  # noqa: S608  # only constants
        rows = self._database.connection.execute(sql, values).fetchall()
        for key, state in rows:
            task = self._tasks.get(key)
            yield self._intact(decode_task, state) if task is None else task

    def tasks_named(self, task_id: str) -> list[TaskState]:
        """Return the tasks with this name, by key."""
        rows = self._database.connection.execute(
            "SELECT key FROM tasks WHERE task_id = ? ORDER BY key", (task_id,)
        ).fetchall()
        found = (self.find_task(TaskKey(row[0])) for row in rows)
        return [task for task in found if task is not None]

    def keys_with_prefix(self, prefix: bytes) -> list[TaskKey]:
        """Return up to two task keys that begin with `prefix`."""
        bounds = (prefix, prefix + b"\xff" * (KEY_BYTES - len(prefix)))
        rows = self._database.connection.execute("SELECT key FROM tasks WHERE key BETWEEN ? AND ? LIMIT 2", bounds)
        return [TaskKey(row[0]) for row in rows]

    def changed_since(self, changes: int) -> list[tuple[TaskKey, int]]:
        """Return the tasks changed after change number `changes`, with the number of their last change."""
        rows = self._database.connection.execute(
            "SELECT key, changed FROM tasks WHERE changed > ? ORDER BY changed", (changes,)
        )
        return [(TaskKey(key), changed) for key, changed in rows.fetchall()]

    def standing_since(self, changes: int) -> list[tuple[TaskKey, str]]:
        """Return the tasks changed after change number `changes`, with their standing now."""
        rows = self._database.connection.execute("SELECT key, standing FROM tasks WHERE changed > ?", (changes,))
        return [(TaskKey(key), standing) for key, standing in rows.fetchall()]

    def first_seen_ms(self, key: TaskKey) -> int:
        """Return when this home first saw the task ready at its present instant (S2), 0 for an unknown task."""
        row = self._database.connection.execute("SELECT first_seen FROM tasks WHERE key = ?", (key,)).fetchone()
        return int(row[0]) if row else 0

    def counts(self) -> dict[str, int]:
        """Return how many tasks there are of each standing."""
        return dict(
            self._database.connection.execute("SELECT standing, count(*) FROM tasks GROUP BY standing").fetchall()
        )


def ready_instant(task: TaskState, policy: Policy) -> int:
    """Return the time a task's readiness turns on: its completion's once it is done, else when it may next be taken."""
    fold = task.fold
    if fold.completions:
        return min(fold.completions.values()).time
    if not fold.submits:
        return 0
    claims = fold.claim_records(policy)
    ends = [claim.failed_at or (claim.time + 1 if claim.released else claim.until) for claim in claims]
    waits = retry_at(claims, fold.base, fold.key, fold.spec)
    return max(fold.least_submit.time, fold.spec.not_before or 0, waits, *ends)
