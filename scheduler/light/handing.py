"""Handing submits over: to a peer over HTTP, to a Kubo node, or into a file; and saying just what was achieved.

Several places are tried in turn. Only a peer that has the submits on its board has accepted them; a node keeps blocks
and tells whoever listens, a file is carried by somebody. Nothing is kept here, and nothing is lost by that: the same
request again is the same task.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from ledger.acceptance import Refusal, check_alone
from ledger.car import CarError, read_car, write_car
from ledger.car_sync import replaced_file
from ledger.cid import CODEC_DAG_CBOR, Cid
from ledger.events import TaskKey
from ledger.exchange_client import HttpCarrier, NotServedError
from ledger.hints import topic_of
from ledger.keys import SigningKey
from ledger.kubo import KuboClient
from ledger.kubo_errors import KuboError
from ledger.news import encode_news
from ledger.operation_codec import read_operations
from ledger.operations import Submit
from ledger.replica import ExchangeError
from scheduler.light.drafting import Draft, LightTask, draft
from scheduler.light.peer import LightPeer, NotTakenError
from scheduler.light.reaching import node_peers, reached
from scheduler.light.token import LedgerToken
from scheduler.light.via import Via
from scheduler.submitting import SubmitRequest


class NobodyTookItError(Exception):
    """No place took the submits; the message says what each said. Nothing is lost: do it again."""

    advice = "run the same command again when a peer is there: the same request is the same task, not a second one"


class How(StrEnum):
    """What was achieved."""

    ACCEPTED = "accepted"
    """A peer has it on its board, durably."""
    TOLD = "told"
    """A node keeps it, and told those that listen; no peer has said that it has it."""
    WRITTEN = "written"
    """It stands in a file, that somebody has to import."""


@dataclass(frozen=True, slots=True)
class HandedTask:
    """A request, its task key, the event that submits it, and whether that is new."""

    key: TaskKey
    request: SubmitRequest
    event: Cid
    created: bool
    priority: int


@dataclass(frozen=True, slots=True)
class Handed:
    """What became of requests: where they are, how far that goes, in words too, and what others said before."""

    via: str
    how: How
    words: str
    tasks: tuple[HandedTask, ...]
    faults: tuple[str, ...] = ()


class Handing:
    """Hands requests of one key over, by a token.

    Args:
        token, key: the pair.
        now_ms: tells the time.
        kubo_token: the bearer secret of a node's RPC, where it asks for one.
    """

    def __init__(
        self, token: LedgerToken, key: SigningKey, now_ms: Callable[[], int], kubo_token: str | None = None
    ) -> None:
        self._token = token
        self._key = key
        self._now_ms = now_ms
        self._kubo_token = kubo_token

    def hand(self, requests: Iterable[SubmitRequest], vias: Sequence[Via]) -> Handed:
        """Hand `requests` to the first place that takes them.

        Raises what `draft` raises; NotServedError where every place knows the key as no member; else
        NobodyTookItError.
        """
        listed = list(requests)
        self._token.check_key(self._key.actor)
        faults: list[str] = []
        errors: list[Exception] = []
        for via in vias:
            try:
                found = self._to(via, listed)
            except (ExchangeError, KuboError, CarError) as error:
                errors.append(error)
                faults.append(f"{via}: {error}" if str(via) not in str(error) else str(error))
            else:
                return Handed(found.via, found.how, found.words, found.tasks, tuple(faults))
        if errors and all(isinstance(error, NotServedError | NotTakenError) for error in errors):
            raise errors[0]
        if not vias:
            raise NobodyTookItError("the ledger token names no URL of a peer, and no --via does")
        raise NobodyTookItError("nobody took the task:\n" + "\n".join(f"  {fault}" for fault in faults))

    def _to(self, via: Via, requests: Sequence[SubmitRequest]) -> Handed:
        match via.kind:
            case "http":
                with HttpCarrier(via.place, self._token.ledger, self._key) as carrier:
                    return self._to_peer(str(via), carrier, requests)
            case "kubo":
                with KuboClient(via.place, self._kubo_token) as node:
                    return self._to_node(via, node, requests)
            case _:
                return self._to_file(via, requests)

    def _to_peer(self, via: str, carrier: HttpCarrier, requests: Sequence[SubmitRequest]) -> Handed:
        peer = LightPeer(carrier, self._token, self._key)
        made, new = peer.submit(requests, self._now_ms())
        tasks = tuple(
            HandedTask(task.key, task.request, known.event, task.key in new, known.priority)
            for task in made.tasks
            for known in (peer.known[task.key],)
        )
        return Handed(via, How.ACCEPTED, f"a peer has it on its board ({via})", tasks)

    # ---- a Kubo node

    def _to_node(self, via: Via, node: KuboClient, requests: Sequence[SubmitRequest]) -> Handed:
        """Reach a peer through the node, where the token says which; else leave the blocks there, and tell."""
        faults = []
        for peer in node_peers(self._token):
            try:
                with reached(node, peer, self._token, self._key) as carrier:
                    return self._to_peer(f"{via} and {peer}", carrier, requests)
            except NotServedError:
                raise
            except (ExchangeError, KuboError) as error:
                faults.append(str(error))
        made, events = self._alone(requests)
        for cid, data in sorted(made.blobs.items()):
            node.put_block(data)
            node.pin(cid)
        blocks = [block for block, _ in events]
        for block in blocks:
            node.put_block(block, codec=CODEC_DAG_CBOR, pin=True)
        topic, news = topic_of(self._token.ledger), encode_news(self._token.ledger, blocks)
        hearers = node.topic_peers(topic)
        if news is None or not hearers:
            why = "no peer of the ledger listens there" if news is not None else "it is too much to be told on a topic"
            fault = f"; {faults[0]}" if faults else ""
            raise KuboError(f"the node keeps the blocks, but {why}{fault}")
        node.publish(topic, news)
        words = f"the node {via.place} keeps it and told {len(hearers)} others; no peer has confirmed it"
        return Handed(str(via), How.TOLD, words, _new(events))

    # ---- a file

    def _to_file(self, via: Via, requests: Sequence[SubmitRequest]) -> Handed:
        """Write the events into a CAR, beside what it holds; a task it holds already is not written twice."""
        path, ledger = Path(via.place), self._token.ledger
        kept, roots = _read(path, ledger)
        known = {
            op.key: (cid, op)
            for cid, block in kept.items()
            if cid.is_event and cid != ledger
            for op in self._submits(block)
        }

        def find_named(task_id: str, workflow_id: str | None) -> list[TaskKey]:
            return [
                key
                for key, (_, op) in known.items()
                if op.spec.task_id == task_id and workflow_id in (None, op.spec.workflow_id)
            ]

        now_ms = self._now_ms()
        made = draft(self._token, self._key, requests, find_named, now_ms)
        events = made.sign([task for task in made.tasks if task.key not in known], now_ms)
        if events or made.blobs.keys() - kept.keys():
            grant = () if self._token.grant_block is None else (self._token.grant_block,)
            blocks = [self._token.genesis_block, *grant, *(block for block, _ in events)]
            sections = kept | {Cid.of(block): block for block in blocks} | made.blobs
            last = [Cid.of(events[-1][0])] if events else []  # each links the one before
            with replaced_file(path) as stream:
                write_car(stream, sorted({*roots, *last}), _in_order(ledger, sections))
        fresh = {task.key: task for task in _new(events)}
        tasks = tuple(
            fresh.get(task.key)
            or HandedTask(task.key, task.request, known[task.key][0], False, known[task.key][1].priority)
            for task in made.tasks
        )
        return Handed(str(via), How.WRITTEN, f"it stands in {path}: no peer has it until somebody imports that", tasks)

    def _alone(self, requests: Sequence[SubmitRequest]) -> tuple[Draft, list[tuple[bytes, list[LightTask]]]]:
        """Return what requests come to, and their events, where nobody can be asked what is there already."""
        now_ms = self._now_ms()
        made = draft(self._token, self._key, requests, lambda task_id, workflow_id: (), now_ms)
        return made, made.sign(made.tasks, now_ms)

    def _submits(self, block: bytes) -> Iterator[Submit]:
        """Yield the submits of this key in a block, none where it is something else."""
        try:
            event = check_alone(block, self._token.ledger).event
        except Refusal:
            return
        if event.actor == self._key.actor:
            yield from (op for op in read_operations(event) if isinstance(op, Submit))


def _new(events: Iterable[tuple[bytes, list[LightTask]]]) -> tuple[HandedTask, ...]:
    return tuple(
        HandedTask(task.key, task.request, Cid.of(block), created=True, priority=task.request.priority)
        for block, tasks in events
        for task in tasks
    )


def _read(path: Path, ledger: Cid) -> tuple[dict[Cid, bytes], tuple[Cid, ...]]:
    """Return the blocks and roots of a CAR of the ledger; nothing where there is no file.

    Raises ExchangeError for a file of something else, CarError for one that is no CAR or broken: it is left as it is.
    """
    if not path.exists():
        return {}, ()
    with path.open("rb") as stream:
        reader = read_car(stream)
        kept = dict(reader)
        reader.require_good()
    if ledger not in kept:
        raise ExchangeError(f"{path} holds nothing of ledger {ledger}: it is left as it is")
    return kept, reader.roots


def _in_order(ledger: Cid, sections: Mapping[Cid, bytes]) -> list[tuple[Cid, bytes]]:
    """Return blocks as a file has them (X1): the genesis, events after what they link, blobs."""

    def place(cid: Cid) -> tuple[int, int, Cid]:
        if cid == ledger:
            return 0, 0, cid
        if cid.is_event:
            try:
                return 1, check_alone(sections[cid], ledger).event.height, cid
            except Refusal:
                return 2, 0, cid
        return 3, 0, cid

    return [(cid, sections[cid]) for cid in sorted(sections, key=place)]
