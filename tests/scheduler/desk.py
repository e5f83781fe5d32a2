"""A home to test on: a real store and board, and a clock that stands still until it is set."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Self

from crdt.records import TaskRecord
from ledger.events import Policy, TaskKey
from ledger.keys import SigningKey
from scheduler.actions import request_of, submit, take
from scheduler.home import Home
from scheduler.queue import TaskQueue
from scheduler.tags import WorkflowTag
from scheduler.task import P2PTask

START_MS = 1_800_000_000_000


class Desk:
    """A home in `folder`, where it is START_MS until `clock` is moved."""

    def __init__(self, folder: Path, policy: Policy | None = None, source: Desk | None = None) -> None:
        """Found a ledger, or enter that of `source` with what it has."""
        self.now = START_MS
        if source is None:
            self.home = Home.found(folder, policy=policy, clock=lambda: self.now)
        else:
            self.now = source.now
            self.home = Home.enter(folder, source.home.genesis.encode(), clock=lambda: self.now)
            self.carry(source)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.home.close()

    def peer(self, name: str, labels: tuple[str, ...] = ()) -> SigningKey:
        """Return the key of a peer that has joined."""
        return self.home.members.peer_key(name, labels)

    def submit(self, key: SigningKey, task_id: str, **fields: Any) -> TaskRecord:
        """Submit a task and return its record."""
        task = P2PTask(task_id, "w", f"name of {task_id}", [WorkflowTag.P2P_ONLY], **fields)
        return submit(self.home, key, request_of(task))[0].record

    def record(self, task: TaskKey) -> TaskRecord:
        """Return a task as it is now."""
        with self.home.reading():
            found = self.home.board.find_record(task)
        assert found is not None
        return found

    def next_id(self, queue: TaskQueue) -> str | None:
        """Return the id of the task that a queue says is next."""
        with self.home.reading():
            found = queue.next_task(self.now)
        return None if found is None else found.spec.task_id

    def take_id(self, key: SigningKey, queue: TaskQueue | None = None) -> str | None:
        """Take the next task and return its id."""
        taken = take(self.home, key, queue=queue)
        return None if taken is None else taken.record.spec.task_id

    def heard(self, key: SigningKey) -> None:
        """Have a peer be heard of now."""
        with self.home.writing() as writing:
            writing.heard(key.actor)

    def carry(self, source: Desk) -> None:
        """Take in what another home of the ledger has."""
        with source.home.reading():
            blocks = [block for _, _, block in source.home.events.in_order_of_arrival()]
        with self.home.writing() as writing:
            writing.offer(blocks)
