"""Asking for one task: the messages of the request `task`, and what whoever has a board answers by.

Implements: specs/exchange.md, rule X19, the messages and the protocol between the answerer and what knows tasks.
Leaves out which events matter to a task, which a board knows (scheduler.task_answers), and what an asker makes of
them (scheduler.light.proof): nothing in an answer is believed.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Final, Protocol

from ledger.cid import Cid
from ledger.codec import CodecError, Encodable, Limits, decode, encode
from ledger.events import KEY_BYTES, TaskKey
from ledger.exchange_codec import MessageError, pack_ids, read_ids
from ledger.keys import ActorKey
from ledger.operations import NAME_BYTES_MAX
from ledger.schema import Fields, SchemaError, data, integer, items, keys_exactly, link, links, octets, text

WAIT_MS_MAX: Final = 20_000
"""How long an answer may be kept back; less than an asker's patience with silence."""
TASK_HEADS_MAX: Final = 1_024
"""Heads of a task that an asker says it has, and that an answer says; of more, none are said."""
TASK_EVENTS_MAX: Final = 4_096
"""Operations on the task that one answer holds."""
TASK_BLOB_BYTES: Final = 8 * 1024 * 1024
"""Bytes of outputs and logs that one answer holds; what does not fit is asked for by `want`."""
NAMES_MAX: Final = 16
"""Names that one question asks about, and tasks that are answered of each."""
ANSWER_EVENTS_MAX: Final = 2 * TASK_EVENTS_MAX + 2 * NAMES_MAX * NAMES_MAX
"""Events that one answer holds: these, submits under names, and a grant for each."""
_LIMITS: Final = Limits(262_144, 4, 4_096)


@dataclass(frozen=True, slots=True)
class TaskName:
    """A task as its submitter calls it. `workflow_id` None: of any workflow."""

    submitter: ActorKey
    task_id: str
    workflow_id: str | None = None


@dataclass(frozen=True, slots=True)
class TaskQuestion:
    """What an asker wants to know of a task.

    `heads` are those of an earlier answer: what they follow is not sent again, and where they are still the task's
    heads the answer is kept back for up to `wait_ms`. `names`: the submits of all tasks under these are sent as well.
    """

    ledger: Cid
    task: TaskKey
    heads: tuple[Cid, ...] = ()
    wait_ms: int = 0
    names: tuple[TaskName, ...] = ()


@dataclass(frozen=True, slots=True)
class TaskTold:
    """The head of an answer: the task's heads, whether what follows is only what those of the question lack.

    `events` says how many events follow as a CAR, blobs after them; `void` names those of them that do not count (R4)
    and are sent for what follows them.
    """

    ledger: Cid
    heads: tuple[Cid, ...]
    since: bool
    events: int
    void: tuple[Cid, ...] = ()


@dataclass(frozen=True, slots=True)
class TaskFound:
    """What a board has for a question: heads, whether `events` are only those beyond the question's heads, blobs.

    `events` in the linear order, `void` those of them that do not count; `blobs` are to be sent along.
    """

    heads: tuple[Cid, ...]
    since: bool
    events: tuple[Cid, ...]
    void: tuple[Cid, ...]
    blobs: tuple[Cid, ...]


class TaskAnswers(Protocol):
    """What knows tasks, behind an answerer."""

    def find(self, question: TaskQuestion) -> TaskFound:
        """Return what there is now, or within the time the question gives; reads by itself."""


def encode_task_question(question: TaskQuestion) -> bytes:
    """Return the bytes of a question."""
    names: list[Encodable] = [[one.submitter, one.task_id, one.workflow_id] for one in question.names]
    return encode(
        {
            "v": 1,
            "ledger": question.ledger,
            "task": question.task,
            "heads": sorted(question.heads),
            "wait_ms": question.wait_ms,
            "names": names,
        }
    )


def decode_task_question(message: bytes) -> TaskQuestion:
    """Return a question; raise MessageError for whatever is none."""
    try:
        fields = _fields(message, frozenset(("task", "heads", "wait_ms", "names")))
        return TaskQuestion(
            link(fields, "ledger"),
            TaskKey(octets(fields, "task", KEY_BYTES)),
            _heads(fields),
            integer(fields, "wait_ms", 0, WAIT_MS_MAX),
            tuple(_name(value) for value in items(fields, "names", NAMES_MAX)),
        )
    except (CodecError, SchemaError) as error:
        raise MessageError(f"no question about a task: {error}") from None


def encode_task_told(told: TaskTold) -> bytes:
    """Return the bytes of the head of an answer."""
    fields: dict[str, Encodable] = {"v": 1, "ledger": told.ledger, "heads": sorted(told.heads), "since": told.since}
    return encode(fields | {"events": told.events, "void": pack_ids(told.void)})


def decode_task_told(message: bytes) -> TaskTold:
    """Return the head of an answer; raise MessageError for whatever is none."""
    try:
        fields = _fields(message, frozenset(("heads", "since", "events", "void")))
        since = fields["since"]
        if type(since) is not bool:
            raise SchemaError("since: true or false is wanted")
        events, void = integer(fields, "events", 0, ANSWER_EVENTS_MAX), read_ids(fields, "void", TASK_EVENTS_MAX)
        return TaskTold(link(fields, "ledger"), _heads(fields), since, events, void)
    except (CodecError, SchemaError, MessageError) as error:
        raise MessageError(f"no answer about a task: {error}") from None


def _fields(message: bytes, names: frozenset[str]) -> Fields:
    fields = decode(message, limits=_LIMITS)
    if not isinstance(fields, dict):
        raise SchemaError("a map is wanted")
    keys_exactly(fields, names | {"v", "ledger"})
    integer(fields, "v", 1, 1)
    return fields


def _heads(fields: Fields) -> tuple[Cid, ...]:
    heads = links(fields, "heads", TASK_HEADS_MAX)
    if any(a >= b for a, b in pairwise(heads)):
        raise SchemaError("heads: ascending and unique links are wanted")
    return heads


def _name(value: object) -> TaskName:
    if not isinstance(value, list) or len(value) != 3:
        raise SchemaError("names: submitter, task_id and workflow_id are wanted")
    fields: Fields = {"submitter": value[0], "task_id": value[1], "workflow_id": value[2]}
    workflow_id = None if value[2] is None else text(fields, "workflow_id", NAME_BYTES_MAX)
    submitter = data(fields, "submitter")
    if len(submitter) != KEY_BYTES:
        raise SchemaError("submitter: a key is wanted")
    return TaskName(ActorKey(submitter), text(fields, "task_id", NAME_BYTES_MAX), workflow_id)
