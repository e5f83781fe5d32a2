"""Making submits without a replica: requests become specs, task keys, and signed events under the token's grant.

Implements: `submit` of specs/tasks.md as an honest submitter without a replica makes it. It has seen its grant and
nothing else, so its first event links that alone (A9, A10); each further one links the one before. Pure but for the
answers of `find_named`. Leaves out handing the events over (scheduler.light.handing).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from ledger.acceptance import Find, Linked, check_alone, linked_event
from ledger.blobs import BlockError, check_block
from ledger.cid import Cid
from ledger.events import TaskKey, task_key
from ledger.keys import SigningKey
from ledger.operation_writing import write_spec
from ledger.operations import Attachment, Submit
from ledger.schema import SchemaError
from ledger.signing import draft_event
from scheduler.acting import INLINE_BYTES_MAX, named
from scheduler.action_errors import AmbiguousTaskError, ConflictError, RequestError, TaskNotFoundError
from scheduler.light.token import LedgerToken
from scheduler.names import is_key_text
from scheduler.running.files import parts_of
from scheduler.running.payloads import PayloadError, read_payload
from scheduler.submit_parcels import NewSubmit, submit_parcels
from scheduler.submitting import SubmitRequest

FindNamed = Callable[[str, str | None], Sequence[TaskKey]]
"""Returns the tasks that the key at hand has submitted under a `task_id`, of one workflow or (None) of any."""


@dataclass(frozen=True, slots=True)
class LightTask:
    """A request with its key; `submit` says it, and `parts` are what files in its payload consist of."""

    key: TaskKey
    request: SubmitRequest
    submit: Submit
    parts: tuple[Cid, ...] = ()


@dataclass(slots=True)
class Draft:
    """Requests on their way: tasks in the order of the requests, and the blobs of their payloads."""

    token: LedgerToken
    key: SigningKey
    tasks: list[LightTask] = field(default_factory=list)
    blobs: dict[Cid, bytes] = field(default_factory=dict)

    def sign(self, wanted: Iterable[LightTask], now_ms: int) -> list[tuple[bytes, list[LightTask]]]:
        """Return signed events that submit `wanted`, each with its tasks, in the order they link one another."""
        genesis, known = self.token.genesis, self.token.find()
        made: dict[Cid, Linked] = {}
        find: Find = lambda cid: made.get(cid) or known(cid)  # noqa: E731  # two look-ups have no better name
        events: list[tuple[bytes, list[LightTask]]] = []
        parent = self.token.grant
        of = {task.key: task for task in wanted}
        for parcel in submit_parcels([NewSubmit(task.submit, task.parts) for task in of.values()]):
            block = draft_event(
                self.key,
                ledger=self.token.ledger,
                grant=self.token.grant,
                parents=(parent,),
                operations=parcel.ops,
                find=find,
                now_ms=now_ms,
                blobs=parcel.parts,
            )
            signed = check_alone(block, self.token.ledger)
            made[signed.cid] = linked_event(signed.event, genesis)
            parent = signed.cid
            events.append((block, [of[op.key] for op in parcel.ops]))
        return events


def draft(
    token: LedgerToken, key: SigningKey, requests: Iterable[SubmitRequest], find_named: FindNamed, now_ms: int
) -> Draft:
    """Return what `requests` come to; their needs are found among themselves, then by `find_named`.

    Raises:
        TokenKeyError: the token does not let this key submit.
        ConflictError: two of them, or one and an earlier request, have one name and ask for different things.
        RequestError: one cannot be written as a task.
        TaskNotFoundError, AmbiguousTaskError: a need names no task, or several.
    """
    token.check_key(key.actor)
    made = Draft(token, key)
    here: dict[tuple[str, str], TaskKey] = {}
    for request in requests:
        spec = replace(request.spec, payload=_keep(made, request.spec.payload))
        needs = {*spec.needs, *(_need(text, spec.workflow_id, here, find_named) for text in request.needs)}
        spec = replace(spec, needs=tuple(sorted(needs)))
        try:
            fields = write_spec(spec)
        except SchemaError as error:
            raise RequestError(f"task {spec.task_id!r}: {error}") from error
        task = task_key(token.ledger, key.actor, fields)
        name = (spec.task_id, spec.workflow_id)
        others = {here.setdefault(name, task), *find_named(*name)} - {task}
        if others:
            raise ConflictError(*name, min(others))
        created_at = now_ms if request.created_at is None else request.created_at
        said = Submit(task, spec, request.priority, created_at, fields)
        made.blobs |= request.blobs
        made.tasks.append(LightTask(task, request, said, _parts(request, made.blobs)))
    return made


def _parts(request: SubmitRequest, here: Mapping[Cid, bytes]) -> tuple[Cid, ...]:
    """Return what the event of a request links beside its payload; RequestError for what is nowhere to be had.

    `here` are the blobs of the requests so far: one can bring what another names.
    """
    task_id, payload = request.spec.task_id, request.spec.payload
    try:
        asked = None if payload is None or payload.data is None else read_payload(payload.media_type, payload.data)
        for cid, data in request.blobs.items():
            check_block(cid, data)
    except (PayloadError, BlockError) as error:
        raise RequestError(f"task {task_id!r}: payload: {error}") from error
    parts = () if asked is None else parts_of(asked.all_files)
    lacking = [part for part in parts if part not in here]
    if lacking:
        raise RequestError(f"task {task_id!r}: its payload names files whose bytes are not here: {lacking[0]}")
    return tuple(dict.fromkeys((*parts, *request.blobs)))


def _keep(made: Draft, payload: Attachment | None) -> Attachment | None:
    if payload is not None and payload.data is not None and len(payload.data) > INLINE_BYTES_MAX:
        cid = Cid.of_raw(payload.data)
        try:
            check_block(cid, payload.data)
        except BlockError as error:
            raise RequestError(f"an attachment is too large: {error}") from error
        made.blobs[cid] = payload.data
    return named(payload)


def _need(text: str, workflow_id: str, here: dict[tuple[str, str], TaskKey], find_named: FindNamed) -> TaskKey:
    """Return the task a need names: a key is one; else one of this workflow before any other."""
    beside = here.get((text, workflow_id))
    if beside is not None:
        return beside
    if is_key_text(text):
        return TaskKey(bytes.fromhex(text))
    for workflow in (workflow_id, None):
        found = find_named(text, workflow)
        if len(found) > 1:
            raise AmbiguousTaskError(text, [(task, workflow or "") for task in found])
        if found:
            return found[0]
    raise TaskNotFoundError(f"Task {text} not found among those of this key", "name a need by its task key", task=text)
