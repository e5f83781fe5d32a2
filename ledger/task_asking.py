"""Asking one peer about a task, and checking of the answer what can be checked of each block by itself.

Implements: specs/exchange.md, rules X16 and X19 of who asks: hashes, signatures and the ledger of every event, and
bounds, so that an answer cannot cost more than it may. Leaves out what the events prove together
(scheduler.light.proof).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from ledger.acceptance import Refusal, SignedEvent, check_alone
from ledger.blobs import BLOB_BYTES_MAX
from ledger.car import CarError, read_car
from ledger.carrier import Carrier, MisbehaviourError, UnreachableError, read_message
from ledger.cid import CODEC_RAW, Cid
from ledger.exchange_codec import MessageError, Want, encode_want, require_ledger
from ledger.task_exchange import TaskQuestion, TaskTold, decode_task_told, encode_task_question

ANSWER_BYTES_MAX: Final = 48 * 1024 * 1024
"""Bytes of blocks that one answer may hold."""
_STRAYS_MAX: Final = 64
_BLOBS_AT_ONCE: Final = 16


@dataclass(frozen=True, slots=True)
class TaskAnswer:
    """What a peer told of a task: each event is what its CID names, of this ledger, and signed by its actor."""

    told: TaskTold
    events: Mapping[Cid, SignedEvent]
    blobs: Mapping[Cid, bytes]


def ask_task(carrier: Carrier, question: TaskQuestion) -> TaskAnswer:
    """Ask; return the answer as far as each block of it stands by itself.

    Raises what carriers raise; MisbehaviourError for an answer that holds what is none of this ledger, or too much.
    """
    events: dict[Cid, SignedEvent] = {}
    blobs: dict[Cid, bytes] = {}
    size = 0
    with carrier.ask("task", encode_task_question(question)) as stream:
        try:
            told = decode_task_told(read_message(stream))
        except MessageError as error:
            raise MisbehaviourError(str(error)) from None
        require_ledger(question.ledger, told.ledger)
        try:
            for cid, block in read_car(stream, strays_max=_STRAYS_MAX):
                size += len(block)
                if size > ANSWER_BYTES_MAX or len(events) > told.events:
                    raise MisbehaviourError("an answer about a task holds more than it said, or may")
                if cid.is_event:
                    events[cid] = check_alone(block, question.ledger)
                elif cid.codec == CODEC_RAW and len(block) <= BLOB_BYTES_MAX:
                    blobs[cid] = block
        except Refusal as error:
            raise MisbehaviourError(f"an answer about a task holds a block that is no event of this: {error}") from None
        except CarError as error:
            raise UnreachableError(f"an answer about a task breaks off: {error}") from None
    if len(events) != told.events:
        raise MisbehaviourError(f"an answer about a task holds {len(events)} events, and said {told.events}")
    return TaskAnswer(told, events, blobs)


def fetch_blobs(carrier: Carrier, ledger: Cid, cids: Iterable[Cid]) -> dict[Cid, bytes]:
    """Return those of some blobs that the other side has, each what its CID names."""
    wanted = sorted(set(cids))
    found: dict[Cid, bytes] = {}
    for start in range(0, len(wanted), _BLOBS_AT_ONCE):
        some = wanted[start : start + _BLOBS_AT_ONCE]
        with carrier.ask("want", encode_want(Want(ledger, blobs=tuple(some)))) as stream:
            try:
                for cid, block in read_car(stream, strays_max=_STRAYS_MAX):
                    if cid not in some or cid in found:
                        raise MisbehaviourError(f"blob {cid} was not asked for")
                    found[cid] = block
            except CarError as error:
                raise UnreachableError(f"the blobs break off: {error}") from None
    return found
