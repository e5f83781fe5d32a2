"""Submitting tasks: a request becomes a spec, a spec a task key; the same request is the same task.

Implements: `submit` of specs/tasks.md as an honest submitter makes it, and what the contract says of a request that was
submitted before, or done in the ledger that this one goes on from (specs/events.md, section Moving on).
Leaves out how a home came to know of that (scheduler.moving).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from crdt.records import TaskRecord
from ledger.blobs import BlockError
from ledger.cid import Cid
from ledger.codec import Value
from ledger.events import Role, TaskKey, task_key
from ledger.keys import SigningKey
from ledger.operation_writing import write_spec
from ledger.operations import Attachment, Spec, Submit
from ledger.schema import SchemaError
from scheduler.acting import acting, keep, named, write
from scheduler.action_errors import AmbiguousTaskError, ConflictError, RequestError
from scheduler.home import Home
from scheduler.names import find_task, get_task, is_key_text
from scheduler.running.files import parts_of
from scheduler.running.payloads import PayloadError, read_payload
from scheduler.submit_parcels import NewSubmit, submit_parcels
from scheduler.task import PRIORITY_DEFAULT, P2PTask
from scheduler.writing import Writing


@dataclass(frozen=True, slots=True)
class SubmitRequest:
    """A task to submit. Its payload may be of any size up to a blob's.

    Args:
        spec: what is asked for; its `needs` may already hold task keys.
        priority: 1 to 10, 10 first.
        created_at: ms since 1970; None for now.
        needs: more needs, each a task key in hexadecimal or a `task_id`, earlier ones of the same call included.
        blobs: parts of files that the payload names, by CID: kept beside the events, and linked by its event. Those
            that are in the home already may be left out.
    """

    spec: Spec
    priority: int = PRIORITY_DEFAULT
    created_at: int | None = None
    needs: tuple[str, ...] = ()
    blobs: Mapping[Cid, bytes] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Submitted:
    """What a request came to: a task in the ledger by the submit `event`; `created` is False where it was there before.

    Where it was done in the ledger that this one goes on from, and is no task here, `found` and `event` are None.
    """

    key: TaskKey
    request: SubmitRequest
    found: TaskRecord | None
    event: Cid | None
    created: bool

    @property
    def record(self) -> TaskRecord:
        """The task; LookupError where it was done earlier."""
        if self.found is None:
            raise LookupError(f"task {self.key.hex()} was done in the ledger before this one")
        return self.found

    @property
    def is_earlier(self) -> bool:
        """Whether it was done in the ledger that this one goes on from, and is no task here."""
        return self.found is None


def request_of(task: P2PTask) -> SubmitRequest:
    """Return the request a user's task makes; raise ValueError where a field of it was set to what cannot be."""
    task.validate()
    payload = None if task.payload is None else Attachment(task.payload.media_type, data=task.payload.data)
    spec = Spec(
        task_id=task.task_id,
        workflow_id=task.workflow_id,
        name=task.name,
        tags=tuple(sorted(tag.value for tag in task.tags)),
        requires=tuple(task.requires),
        payload=payload,
        max_attempts=task.max_attempts,
        timeout_ms=_ms(task.timeout_seconds),
        not_before=_ms(task.not_before),
        expires_at=_ms(task.expires_at),
    )
    blobs = {} if task.payload is None else task.payload.blobs
    return SubmitRequest(spec, task.priority, _ms(task.created_at), tuple(task.needs), blobs)


def submit(home: Home, key: SigningKey, requests: SubmitRequest | Iterable[SubmitRequest]) -> list[Submitted]:
    """Submit requests in one durable transaction, in as few events as hold them; all or none.

    A request that was submitted before makes no event, whatever became of its task; nor does one that was done in the
    ledger before. A need that was done there is met, and left out of the spec.

    Raises:
        ConflictError: `key` has used the name of one for another request.
        RequestError: one cannot be written as a task.
        TaskNotFoundError, AmbiguousTaskError: a need names no task, or several.
        NotAMemberError: `key` may not submit here.
    """
    listed = [requests] if isinstance(requests, SubmitRequest) else list(requests)
    with acting(home) as writing:
        batch = _Batch(writing, key)
        keys = [batch.add(request) for request in listed]
        events: dict[TaskKey, Cid] = {}
        for parcel in submit_parcels(batch.new.values()):
            event = write(writing, key, parcel.ops, Role.SUBMITTER, parcel.parts)
            events |= {op.key: event.cid for op in parcel.ops}
        return [
            _submitted(home, task, request, events.pop(task, None)) for task, request in zip(keys, listed, strict=True)
        ]


def _submitted(home: Home, task: TaskKey, request: SubmitRequest, event: Cid | None) -> Submitted:
    if home.board.find_record(task) is None and task in home.earlier:
        return Submitted(task, request, None, None, created=False)
    record = get_task(home, task)
    return Submitted(task, request, record, event or record.submits[0], created=event is not None)


class _Batch:
    """Requests on their way into the ledger, each checked against it and those before."""

    def __init__(self, writing: Writing, key: SigningKey) -> None:
        self._writing = writing
        self._home = writing.home
        self._key = key
        self._now = writing.time
        self._named: dict[tuple[str, str], TaskKey] = {}
        self.new: dict[TaskKey, NewSubmit] = {}

    def add(self, request: SubmitRequest) -> TaskKey:
        """Return the task key of a request, and note its submit where neither this ledger nor the one before has it."""
        needs = {*request.spec.needs, *(self._need(text, request.spec.workflow_id) for text in request.needs)}
        done = {need: old for need in needs if (old := self._home.earlier.find_old_key(need)) is not None}
        spec = replace(request.spec, payload=named(request.spec.payload))
        task, spec, fields = self._identify(spec, needs - done.keys())
        if done and self._home.board.find_record(task) is None:
            # Asked for before the move, its needs had the keys they had there.
            as_before, _, _ = self._identify(spec, (done.get(need, need) for need in needs))
            task = as_before if as_before in self._home.earlier else task
        if task in self._home.earlier and self._home.board.find_record(task) is None:
            return task
        keep(self._writing, request.spec.payload)
        parts = self._keep_parts(request)
        self._check_name(spec, task)
        if task not in self.new and self._home.board.find_record(task) is None:
            created_at = self._now if request.created_at is None else request.created_at
            self.new[task] = NewSubmit(Submit(task, spec, request.priority, created_at, fields), parts)
        return task

    def _keep_parts(self, request: SubmitRequest) -> tuple[Cid, ...]:
        """Keep what a payload names beside the events, and return it; RequestError for what is nowhere to be had."""
        task_id, payload, blobs = request.spec.task_id, request.spec.payload, self._home.intake.blobs
        try:
            asked = None if payload is None or payload.data is None else read_payload(payload.media_type, payload.data)
            blobs.put_many(request.blobs.items())
        except (PayloadError, BlockError) as error:
            raise RequestError(f"task {task_id!r}: payload: {error}") from error
        parts = () if asked is None else parts_of(asked.all_files)
        lacking = [part for part in parts if part not in request.blobs and not blobs.has(part)]
        if lacking:
            raise RequestError(f"task {task_id!r}: its payload names files whose bytes are not here: {lacking[0]}")
        return tuple(dict.fromkeys((*parts, *request.blobs)))

    def _identify(self, spec: Spec, needs: Iterable[TaskKey]) -> tuple[TaskKey, Spec, dict[str, Value]]:
        """Return a spec with these needs, its map, and its task key."""
        spec = replace(spec, needs=tuple(sorted(needs)))
        try:
            fields = write_spec(spec)
        except SchemaError as error:
            raise RequestError(f"task {spec.task_id!r}: {error}") from error
        return task_key(self._home.ledger, self._key.actor, fields), spec, fields

    def _check_name(self, spec: Spec, task: TaskKey) -> None:
        name = (spec.task_id, spec.workflow_id)
        used = {record.key for record in self._home.tasks.named(*name) if record.submitter == self._key.actor}
        used.add(self._named.setdefault(name, task))
        used.discard(task)
        if used:
            raise ConflictError(*name, min(used))

    def _need(self, text: str, workflow_id: str) -> TaskKey:
        """Return the task a need names: one of this workflow before any other."""
        beside = self._named.get((text, workflow_id))
        if beside is not None:
            return beside
        actor = self._key.actor
        own = [record.key for record in self._home.tasks.named(text, workflow_id) if record.submitter == actor]
        own = own or self._home.earlier.named(actor, text, workflow_id)
        if len(own) == 1:
            return own[0]
        others = [(task, workflow) for (task_id, workflow), task in self._named.items() if task_id == text]
        if len(others) > 1:
            raise AmbiguousTaskError(text, others)
        if others:
            return others[0][0]
        if is_key_text(text) and self._home.earlier.find_old_key(key := TaskKey(bytes.fromhex(text))):
            return key
        return find_task(self._home, actor, text, self._now).key


def _ms(seconds: float | None) -> int | None:
    return None if seconds is None else round(seconds * 1000)
