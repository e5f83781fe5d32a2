"""A home with a worker at work in a thread of this process, and runners that do what a test says."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Self

from crdt.records import TaskRecord
from crdt.view import Status, view
from ledger.cid import Cid
from ledger.events import Policy, TaskKey
from ledger.keys import SigningKey, did_key
from ledger.operations import Attachment, Spec
from scheduler.actions import SubmitRequest, submit
from scheduler.home import Home
from scheduler.running.job import Job, Live, Outcome
from scheduler.running.payloads import Command, write_payload
from scheduler.working.counters import WorkerCounters
from scheduler.working.folders import WorkFolders
from scheduler.working.handlers import Handler, HandlerWork
from scheduler.working.jobs import JobWork, Runners
from scheduler.working.policy_file import PolicyFile
from scheduler.working.work import Work
from scheduler.working.worker import Options, Worker
from tests.support.policies import write_policy

DEADLINE_S = 30.0
QUICK = Policy(lease_ms=4_000, skew_ms=1_000, grace_ms=1, lease_ms_max=60_000)
TEXT = "text/plain"


class Shop:
    """A home, the key "me" that submits and works in it, and its own view of the board."""

    def __init__(self, folder: Path, policy: Policy = QUICK) -> None:
        self.folder = folder
        self.home = Home.found(folder, policy=policy)
        self.key = self.home.members.peer_key("me")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.home.close()

    # ---- tasks

    def submit(
        self,
        task_id: str,
        payload: bytes | Command | None = b"",
        *,
        blobs: Mapping[Cid, bytes] | None = None,
        **fields: object,
    ) -> TaskKey:
        """Submit a task with a text, a command, or no payload."""
        item = None
        if isinstance(payload, Command):
            kind, data = write_payload(payload)
            item = Attachment(kind, data=data)
        elif payload is not None:
            item = Attachment(TEXT, data=payload)
        spec = Spec(task_id, "w", task_id, ("p2p-only",), payload=item, **fields)  # type: ignore[arg-type]  # of Spec
        return submit(self.home, self.key, SubmitRequest(spec, blobs=blobs or {}))[0].key

    def record(self, task: TaskKey) -> TaskRecord:
        """Return a task as it is now."""
        with self.home.reading():
            found = self.home.board.find_record(task)
        assert found is not None
        return found

    def status(self, task: TaskKey) -> Status:
        """Return where a task stands now."""
        with self.home.reading():
            found = self.home.board.find_record(task)
            assert found is not None
            return view(found, self.home.board.find_record, self.home.policy, self.home.now_ms()).status

    def until(self, what: Callable[[], object]) -> None:
        """Wait until something is so, before a deadline."""
        deadline = time.monotonic() + DEADLINE_S
        while not what():
            assert time.monotonic() < deadline, "not before the deadline"
            threading.Event().wait(0.005)

    def until_status(self, task: TaskKey, status: str) -> None:
        """Wait until a task stands so."""
        self.until(lambda: self.status(task) == status)

    def events(self) -> int:
        """Return how many events the home has."""
        with self.home.reading():
            return self.home.events.count()

    # ---- workers

    def allow(self, extra: str = "") -> Path:
        """Write a policy that allows commands of this shop's key."""
        rule = f'submitters = ["{did_key(self.key.actor)}"]\npayloads = ["command"]\nprograms = ["*"]\n'
        return write_policy(self.folder, f"[[allow]]\n{rule}{extra}")

    @contextmanager
    def handling(self, handler: Handler, key: SigningKey | None = None, **options: object) -> Iterator[At]:
        """Have a worker call `handler` for tasks with a text or nothing, until the block ends."""
        with self._working(lambda home, _: HandlerWork(home, {TEXT: handler, "": handler}), key, options) as at:
            yield at

    @contextmanager
    def running(self, run: Callable[[Job, Live], Outcome], **options: object) -> Iterator[At]:
        """Have a worker run commands by `run`, under the policy of the home."""
        policy = self.folder / "worker.toml"
        runners: Runners = {Command: _Runner(run)}
        with self._working(
            lambda home, folders: JobWork(home, PolicyFile(policy), runners, folders), None, options
        ) as at:
            yield at

    @contextmanager
    def _working(
        self, work: Callable[[Home, WorkFolders], Work], key: SigningKey | None, options: dict[str, object]
    ) -> Iterator[At]:
        with Home.open(self.folder, clock=self.home.now_ms) as home:
            chosen = Options(**options)  # type: ignore[arg-type]  # fields of Options
            worker = Worker(home, key or self.key, lambda folders: work(home, folders), chosen)
            at = At(worker)
            at.thread.start()
            try:
                yield at
            finally:
                at.end()


class At:
    """A worker at work in a thread."""

    def __init__(self, worker: Worker) -> None:
        self.worker = worker
        self.failure: BaseException | None = None
        self.thread = threading.Thread(target=self._run, daemon=True)

    @property
    def counters(self) -> WorkerCounters:
        """What it has counted."""
        return self.worker.counters

    def _run(self) -> None:
        try:
            self.worker.run()
        except BaseException as error:  # noqa: BLE001  # the test looks at it
            self.failure = error

    def wait(self) -> WorkerCounters:
        """Wait for its end."""
        self.thread.join(DEADLINE_S)
        assert not self.thread.is_alive(), "the worker has not ended"
        return self.worker.counters

    def end(self) -> None:
        """Have it end at once."""
        if self.thread.is_alive():
            self.worker.drain()
            self.worker.drain()
        self.wait()
        if self.failure is not None:
            raise self.failure


class _Runner:
    def __init__(self, run: Callable[[Job, Live], Outcome]) -> None:
        self._run = run

    def run(self, job: Job, live: Live) -> Outcome:
        """Do as the test says."""
        return self._run(job, live)
