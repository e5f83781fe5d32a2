"""A peer as a runner without a replica uses it: what it knows of the key's tasks, and taking in what is offered.

What a peer says is checked as far as it can be (ledger.task_asking). A submit counts as accepted only when the peer,
asked afterwards, has it on its board: an event under a grant that was taken back is accepted and means nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Final, NamedTuple

from ledger.car import car_head, car_section
from ledger.carrier import Carrier, read_message
from ledger.cid import Cid
from ledger.events import KEY_BYTES, TaskKey
from ledger.exchange_codec import Receipt, decode_receipt
from ledger.keys import SigningKey
from ledger.operation_codec import read_operations
from ledger.operations import Submit
from ledger.replica import ExchangeError
from ledger.task_asking import ask_task
from ledger.task_exchange import TaskName, TaskQuestion
from scheduler.light.drafting import Draft, LightTask, draft
from scheduler.light.token import LedgerToken
from scheduler.submitting import SubmitRequest

_OFFER_BYTES: Final = 12 * 1024 * 1024
_NO_TASK: Final = TaskKey(bytes(KEY_BYTES))
"""The key of no task: for a question about names alone."""


class NotTakenError(ExchangeError):
    """The peer was given the submits and has not got them on its board; the message says what became of them."""


class Known(NamedTuple):
    """A task that a peer has: its submit event and first priority."""

    event: Cid
    priority: int


class LightPeer:
    """One peer, over one carrier, asked by one key."""

    def __init__(self, carrier: Carrier, token: LedgerToken, key: SigningKey) -> None:
        self._carrier = carrier
        self._token = token
        self._key = key
        self.known: dict[TaskKey, Known] = {}
        """Tasks of the key that the peer was seen to have."""

    def submit(self, requests: Iterable[SubmitRequest], now_ms: int) -> tuple[Draft, set[TaskKey]]:
        """Have the peer take `requests` in; return them with their keys, and which of them are new there.

        Raises what `draft` and carriers raise; NotTakenError where the peer has not all of them on its board then.
        """
        made = draft(self._token, self._key, requests, self._find_named, now_ms)
        wanted = [task for task in made.tasks if task.key not in self.known]
        events = [block for block, _ in made.sign(wanted, now_ms)]
        said = self._offer(events, made)
        missing = [task for task in wanted if not self._has(task)]
        if missing:
            raise NotTakenError(_fate(said, missing))
        return made, {task.key for task in wanted}

    def _has(self, task: LightTask) -> bool:
        if task.key not in self.known:
            self._find_named(task.request.spec.task_id, task.request.spec.workflow_id)
        return task.key in self.known

    def _find_named(self, task_id: str, workflow_id: str | None) -> Sequence[TaskKey]:
        """Return the tasks of this key with a name, as far as the peer says."""
        name = TaskName(self._key.actor, task_id, workflow_id)
        answer = ask_task(self._carrier, TaskQuestion(self._token.ledger, _NO_TASK, names=(name,)))
        found: list[TaskKey] = []
        for cid, signed in answer.events.items():
            if signed.event.actor != self._key.actor:
                continue
            for op in read_operations(signed.event):
                if isinstance(op, Submit) and op.spec.task_id == task_id and workflow_id in (None, op.spec.workflow_id):
                    self.known[op.key] = Known(cid, op.priority)
                    found.append(op.key)
        return list(dict.fromkeys(found))

    def _offer(self, events: Sequence[bytes], made: Draft) -> list[Receipt]:
        """Give the peer events, the grant they build on, and blobs; blobs again where the events are known."""
        grant = (self._token.grant_block,) if self._token.grant_block is not None and events else ()
        sections = [(Cid.of(block), block) for block in (*grant, *events)] + sorted(made.blobs.items())
        return [self._offer_once(some) for some in _parts(sections)]

    def _offer_once(self, sections: Sequence[tuple[Cid, bytes]]) -> Receipt:
        body = car_head(()) + b"".join(car_section(cid, block) for cid, block in sections)
        with self._carrier.ask("offer", body) as stream:
            return decode_receipt(read_message(stream))


def _parts(sections: Sequence[tuple[Cid, bytes]]) -> Iterator[list[tuple[Cid, bytes]]]:
    part: list[tuple[Cid, bytes]] = []
    size = 0
    for cid, block in sections:
        if part and size + len(block) > _OFFER_BYTES:
            yield part
            part, size = [], 0
        part.append((cid, block))
        size += len(block)
    if part:
        yield part


def _fate(said: Sequence[Receipt], missing: Sequence[LightTask]) -> str:
    """Return in words what became of submits that are not on the peer's board."""
    names = ", ".join(task.request.spec.task_id for task in missing[:3]) + ("…" if len(missing) > 3 else "")
    reasons = [f"{one.rule}: {one.words}" for receipt in said for one in receipt.taken.reasons]
    if reasons:
        return f"{names}: refused by {reasons[0]}"
    if any(receipt.taken.held for receipt in said):
        return f"{names}: held there until its time has come, since the clock here is ahead; set it right"
    if any(receipt.taken.waiting for receipt in said):
        return f"{names}: waits there, since that peer does not know the grant yet"
    return f"{names}: taken, but it does not count: the grant in the token was revoked, or lacks the role submitter"
