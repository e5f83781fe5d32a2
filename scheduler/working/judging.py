"""What a worker's policy says of a task of a home: one answer for the worker, `explain` and `worker policy check`.

Reads the payload, whether the submitter is a member, and what this machine can give; the policy itself is judged by
scheduler.working.policy.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from crdt.records import TaskRecord
from ledger.cid import Cid
from ledger.events import Role
from ledger.keys import ActorKey
from ledger.operations import Attachment, Spec
from scheduler.acting import inputs
from scheduler.home import Home
from scheduler.results import inputs_of
from scheduler.running.files import parts_of
from scheduler.running.job import Input, Permit
from scheduler.running.levels import why_not
from scheduler.running.payloads import COMMAND_TYPE, WORKFLOW_JOB_TYPE, Payload, PayloadError, read_payload
from scheduler.working.policy import Denial, WorkerPolicy, judge


@dataclass(frozen=True, slots=True)
class Judgement:
    """Whether a worker may run a task, and why not.

    `permit` and `payload` are there where it may. `waits`: nobody can say before the payload's blob has come.
    """

    permit: Permit | None = None
    payload: Payload | None = None
    reasons: tuple[str, ...] = ()
    waits: bool = False

    @property
    def allowed(self) -> bool:
        """Whether the worker may run it."""
        return self.permit is not None

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON values."""
        return {
            "allowed": self.allowed,
            "reasons": list(self.reasons),
            "rule": None if self.permit is None else self.permit.rule,
        }


def is_for_workers(spec: Spec) -> bool:
    """Return whether a task has a payload that workers run; all others are for agents and programs."""
    return spec.payload is not None and spec.payload.media_type in {COMMAND_TYPE, WORKFLOW_JOB_TYPE}


def judge_task(home: Home, policy: WorkerPolicy, record: TaskRecord) -> Judgement:
    """Return what a policy says of a task. Within a reading of the home."""
    spec = record.spec
    if spec.payload is None:
        return Judgement(reasons=("it has no payload: an agent does it through `next` and `complete`",))
    data = bytes_of(home, spec.payload)
    if data is None:
        return Judgement(reasons=("its payload has not come here yet",), waits=True)
    try:
        payload = read_payload(spec.payload.media_type, data)
    except PayloadError as error:
        return Judgement(reasons=(f"its payload cannot be read: {error}",))
    if payload is None:
        return Judgement(reasons=(f"workers run no payload of type {spec.payload.media_type!r}",))
    if home.members.grant_for(record.submitter, Role.SUBMITTER) is None:
        return Judgement(payload=payload, reasons=("its submitter was revoked, or may not submit any more",))
    verdict = judge(policy, record.submitter, spec, payload, is_member=is_member(home, record.submitter))
    if isinstance(verdict, Denial):
        return Judgement(payload=payload, reasons=verdict.reasons)
    why = why_not(verdict)
    if why is not None:  # claimed all the same, it would use up its attempts here
        return Judgement(payload=payload, reasons=(f"rule {verdict.rule!r} asks for what this machine lacks: {why}",))
    return Judgement(permit=verdict, payload=payload)


def lacking(home: Home, payload: Payload, needed: Iterable[Input]) -> Iterator[Cid]:
    """Yield the blobs that a run needs and that have not come here yet. Within a reading.

    Args:
        home: where they are looked for.
        payload: of the task, whose files' parts are wanted.
        needed: the results of its needs (scheduler.results.inputs_of).
    """
    for one in needed:
        yield from one.missing
    yield from (part for part in parts_of(payload.all_files) if not home.intake.blobs.has(part))


def lacking_of(home: Home, record: TaskRecord) -> tuple[Cid, ...]:
    """Return what `lacking` says of a task as it stands, each once; its payload itself, where that has not come."""
    item = record.spec.payload
    if item is None:
        return ()
    data = bytes_of(home, item)
    if data is None:
        return () if item.blob is None else (item.blob,)
    try:
        payload = read_payload(item.media_type, data)
    except PayloadError:
        return ()
    if payload is None:
        return ()
    return tuple(dict.fromkeys(lacking(home, payload, inputs_of(home, record, inputs(home.board, record)))))


def is_member(home: Home, actor: ActorKey) -> bool:
    """Return whether an actor is an owner, or stands admitted: a stranger in an open ledger is no member."""
    if actor in home.genesis.owners:
        return True
    return home.members.grant_for(actor) not in (None, home.ledger)


def bytes_of(home: Home, item: Attachment) -> bytes | None:
    """Return the bytes of an attachment, None for a blob that has not come here yet. Within a reading."""
    if item.blob is None:
        return item.data or b""
    return home.intake.blobs.get_many((item.blob,)).get(item.blob)
