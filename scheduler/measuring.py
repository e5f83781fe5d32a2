"""Numbers of a home for whoever operates it: tasks by status and age, claims, refused blocks, peers, disk. Reads only.

A `Measurer` stays: it keeps the open tasks, and looks again only at those that changed or that the clock changes, so
that measuring 20,000 of them again takes some 50 ms; what is over is counted in SQL. Claims are counted from its first
look on. Leaves out how numbers are shown (scheduler.metrics_text) and what only a running worker knows
(scheduler.working.counters).
"""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Final

from crdt.attempts import runs
from crdt.records import TaskRecord
from crdt.view import FINAL, Status, TaskView, view
from ledger.events import TaskKey
from scheduler.assignment import crew_of
from scheduler.home import Home
from scheduler.place import DATABASE_NAME

_OVER_KEPT: Final = 20_000
"""Of how many tasks that are over something is kept at most: what open ones need of them, what was counted."""

_NEVER: Final = 2**63

Tally = Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Measures:
    """A home at one instant. Ages in ms.

    Args:
        tasks: how many of each status.
        oldest_ms: of each status that is not final, for how long the oldest task has been in it: since it was ready,
            since it is held, else since it was submitted.
        claims_running: claims that run now.
        claims_ended: how many claims ended completed, failed, released or ran_out since the measurer's first look.
        retries: how many claims since then were of a second or later attempt.
        events: accepted; `waiting` wait for others, `held` are ahead of the clock.
        refused: blocks refused by rule, as far as the ring that keeps them goes back.
        without_effect: operations that mean nothing, by rule.
        heads: events that none follows.
        workers_active: those that have joined; `workers_heard` were heard of lately.
        store_bytes: of the files of the store; `free_bytes`: free on its disk.
    """

    tasks: Tally
    oldest_ms: Tally
    claims_running: int
    claims_ended: Tally
    retries: int
    events: int
    waiting: int
    held: int
    refused: Tally
    without_effect: Tally
    heads: int
    workers_active: int
    workers_heard: int
    store_bytes: int
    free_bytes: int


class Measurer:
    """Measures one home, again and again; for one thread at a time."""

    def __init__(self, home: Home) -> None:
        self._home = home
        self._seen = -1
        self._open: dict[TaskKey, TaskRecord] = {}
        self._views: dict[TaskKey, tuple[TaskView, int]] = {}
        """Views of open tasks, and until when they hold unless the task changes."""
        self._over: dict[TaskKey, TaskRecord | None] = {}
        """What open tasks need and is over, or not known."""
        self._claims: dict[TaskKey, Counter[str]] = {}
        """What was counted of each task that has claims: of the open ones, and those that ended last."""
        self._began = 0
        self._ended: Counter[str] = Counter()
        self._retries = 0

    def measure(self) -> Measures:
        """Return the numbers of this instant; raises as reading a home does."""
        home = self._home
        with home.reading():
            now = home.now_ms()
            self._catch_up(now)
            views = {key: self._view(record, now) for key, record in self._open.items()}
            self._count_claims((record for record in self._open.values() if record.claims), now)
            crew = crew_of(
                home.board.roster(), home.board.active_workers(), home.heard_of(), None, home.policy, now
            ).workers
            counts = home.tasks.counts()
            sql = home.database.connection.execute
            return Measures(
                tasks=self._statuses(views, counts),
                oldest_ms=self._oldest(views, now),
                claims_running=sum(runs(claim, now) for record in self._open.values() for claim in record.claims),
                claims_ended=dict(self._ended),
                retries=self._retries,
                events=int(sql("SELECT count(*) FROM blocks").fetchone()[0]),
                waiting=int(sql("SELECT count(*) FROM waiting").fetchone()[0]),
                held=int(sql("SELECT count(*) FROM held").fetchone()[0]),
                refused=dict(sql("SELECT rule, count(*) FROM refused GROUP BY rule").fetchall()),
                without_effect=dict(sql("SELECT rule, count(*) FROM ignored GROUP BY rule").fetchall()),
                heads=len(home.board.heads),
                workers_active=len(crew),
                workers_heard=sum(worker.is_live for worker in crew),
                store_bytes=self._store_bytes(),
                free_bytes=shutil.disk_usage(home.folder).free,
            )

    # ---- which tasks are open

    def _catch_up(self, now: int) -> None:
        home = self._home
        row = home.database.connection.execute("SELECT changes FROM board").fetchone()
        last = int(row[0]) if row else 0
        if not 0 <= self._seen <= last:  # the first look; or the board was folded anew, and numbers begin again
            is_first = self._seen < 0
            self._over.clear()
            self._views.clear()
            self._open = {record.key: record for record in home.tasks.open_tasks()}
            if is_first:
                self._began = now
                self._claims = {key: tally(record, now) for key, record in self._open.items() if record.claims}
        elif self._seen < last:
            for key in home.tasks.changed_since(self._seen)[1]:
                self._take(key, now)
        self._seen = last

    def _take(self, key: TaskKey, now: int) -> None:
        """Look at a task that changed; the claims of one that is over are counted now, it is not looked at again."""
        record = self._home.board.find_record(key)
        self._over.pop(key, None)
        self._views.pop(key, None)
        self._open.pop(key, None)
        if record is None:
            return
        if record.completions or record.cancels:
            self._count_claims((record,), now)
        else:
            self._open[key] = record

    def _view(self, record: TaskRecord, now: int) -> TaskView:
        kept = self._views.get(record.key)
        if kept is not None and now < kept[1]:
            return kept[0]
        seen = view(record, self._find, self._home.policy, now)
        self._views[record.key] = (seen, _holds_until(record, seen, now))
        return seen

    def _find(self, key: TaskKey) -> TaskRecord | None:
        record = self._open.get(key)
        if record is not None:
            return record
        if key not in self._over:
            if len(self._over) >= _OVER_KEPT:
                self._over.clear()
            self._over[key] = self._home.board.find_record(key)
        return self._over[key]

    # ---- counting

    def _count_claims(self, records: Iterable[TaskRecord], now: int) -> None:
        """Count what became of claims since the last look; what a revocation takes back is not counted back.

        Of a task that was not seen before, old claims that come by a sync are not counted.
        """
        for record in records:
            found, before = tally(record, now), self._claims.get(record.key)
            if before is None:
                before = tally(replace(record, claims=tuple(c for c in record.claims if c.time <= self._began)), now)
            for name, count in (found - before).items():
                if name == "retries":
                    self._retries += count
                else:
                    self._ended[name] += count
            self._claims[record.key] = found | before
        if len(self._claims) > len(self._open) + _OVER_KEPT:
            for key in [key for key in self._claims if key not in self._open][: _OVER_KEPT // 2]:
                del self._claims[key]

    def _statuses(self, views: Mapping[TaskKey, TaskView], counts: Tally) -> Tally:
        found = Counter(str(seen.status) for seen in views.values())
        found[Status.DONE] += counts.get("done", 0)
        found[Status.CANCELLED] += counts.get("over", 0)
        return {str(status): found[status] for status in Status}

    def _oldest(self, views: Mapping[TaskKey, TaskView], now: int) -> Tally:
        since: dict[str, int] = {}
        for key, seen in views.items():
            if seen.status not in FINAL:
                at = _since(self._open[key], seen)
                since[seen.status] = min(at, since.get(seen.status, at))
        return {str(status): max(0, now - since.get(status, now)) for status in Status if status not in FINAL}

    def _store_bytes(self) -> int:
        total = 0
        for name in (DATABASE_NAME, f"{DATABASE_NAME}-wal"):
            try:
                total += (self._home.folder / name).stat().st_size
            except FileNotFoundError:
                continue
        return total


def tally(record: TaskRecord, now: int) -> Counter[str]:
    """Return what became of a task's claims: completed, failed, released, ran_out; and how many were retries."""
    found: Counter[str] = Counter()
    completed = {completion.claim for completion in record.completions}
    for claim in record.claims:
        if claim.attempt > 1:
            found["retries"] += 1
        if claim.cid in completed:
            found["completed"] += 1
        elif claim.failed_at:
            found["failed"] += 1
        elif claim.released:
            found["released"] += 1
        elif not runs(claim, now):
            found["ran_out"] += 1
    return found


def _holds_until(record: TaskRecord, seen: TaskView, now: int) -> int:
    """Return until when a view holds while its task stays as it is; one with needs turns on theirs: not at all."""
    if record.spec.needs:
        return now
    instants = [claim.until for claim in record.claims]
    instants += [at for at in (record.spec.not_before, record.spec.expires_at, seen.ready_at) if at is not None]
    instants += [obstacle.until for obstacle in seen.obstacles if obstacle.until is not None]
    return min((at for at in instants if at > now), default=_NEVER)


def _since(record: TaskRecord, seen: TaskView) -> int:
    if seen.holder is not None:
        return seen.holder.time
    if seen.status is Status.READY and seen.ready_at is not None:
        return seen.ready_at
    return record.submitted_at
