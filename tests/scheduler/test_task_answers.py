"""A peer is asked about one task: what it sends is enough to tell where the task stands, and lies are found out."""

from __future__ import annotations

import io
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO

import pytest

from crdt.view import Status
from ledger.acceptance import SignedEvent, check_alone
from ledger.answerer import Answerer
from ledger.car import car_head, car_section
from ledger.carrier import MisbehaviourError, Traffic, UnreachableError, stream_of
from ledger.cid import Cid
from ledger.events import KEY_BYTES, TaskKey
from ledger.exchange_codec import FRAME
from ledger.keys import SigningKey
from ledger.operation_writing import cited_events, write_operation
from ledger.operations import Admit, Attachment, Claim, Complete, Report, Revoke
from ledger.replica import ExchangeError
from ledger.signing import sign_event
from ledger.task_asking import TaskAnswer, ask_task, fetch_blobs
from ledger.task_exchange import TaskName, TaskQuestion, TaskTold, decode_task_question, encode_task_told
from scheduler.actions import cancel, complete, fail, renew, take
from scheduler.home import Home
from scheduler.light.proof import TaskProof
from scheduler.replica import replica_of
from scheduler.task_answers import WaitingRoom
from tests.scheduler.desk import Desk
from tests.support.kubo import wait_for


class Asked:
    """A carrier to the home of a desk, which may answer in another's way."""

    def __init__(self, desk: Desk, lie: Callable[[bytes], bytes] | None = None) -> None:
        self.room = WaitingRoom(1)
        self._answerer = Answerer(replica_of(desk.home, room=self.room), desk.home.now_ms)
        self._lie = lie
        self.traffic = Traffic()

    @contextmanager
    def ask(self, path: str, body: bytes) -> Iterator[BinaryIO]:
        pieces = self._answerer.answer(path, io.BytesIO(body))
        if self._lie is not None:
            pieces = iter([self._lie(b"".join(pieces))])
        yield stream_of(pieces, self.traffic)


def question(desk: Desk, task: TaskKey, heads: tuple[Cid, ...] = (), wait_ms: int = 0) -> TaskQuestion:
    """Return a question about a task."""
    return TaskQuestion(desk.home.ledger, task, heads, wait_ms)


def proof_of(desk: Desk, task: TaskKey, *answers: TaskAnswer) -> TaskProof:
    """Return what answers prove."""
    proof = TaskProof(desk.home.ledger, desk.home.genesis, task)
    for answer in answers:
        proof.take(answer)
    return proof


@pytest.fixture
def peer(desk: Desk) -> SigningKey:
    """Return a worker that may submit, too."""
    return desk.peer("peer")


def test_what_is_told_is_what_the_board_says(desk: Desk, peer: SigningKey) -> None:
    """From a submit to its completion each answer gives the board's record; what the asker has is not sent again."""
    task = desk.submit(peer, "a").key
    asked, heads, answers = Asked(desk), tuple[Cid, ...](), list[TaskAnswer]()
    acts: list[Callable[[], object]] = [
        lambda: None,
        lambda: take(desk.home, peer),
        lambda: renew(desk.home, peer, {task: desk.record(task).claims[0].cid}, lease_ms=60_000),
        lambda: fail(desk.home, peer, task, failure_class="payload", error="it broke"),
    ]
    for number, act in enumerate(acts):
        desk.now += 1_000
        act()
        answers.append(ask_task(asked, question(desk, task, heads)))
        heads = answers[-1].told.heads
        assert answers[-1].told.since == (number > 0)
        assert proof_of(desk, task, *answers).record == desk.record(task)
        assert number == 0 or len(answers[-1].events) == 2  # the operation, and the grant of its author
    desk.now += 20_000
    take(desk.home, peer)
    complete(desk.home, peer, task, output=Attachment("text/plain", data=b"x" * 10_000), report=Report(exit_code=0))
    last = ask_task(asked, question(desk, task, heads))
    proof = proof_of(desk, task, *answers, last)
    assert proof.record == desk.record(task)
    found = proof.view_alone(desk.now)
    assert found is not None
    assert found.status is Status.DONE
    assert list(last.blobs.values()) == [b"x" * 10_000]
    assert fetch_blobs(asked, desk.home.ledger, [*last.blobs, Cid.of_raw(b"nowhere")]) == last.blobs


def test_a_task_that_is_not_there_and_one_that_was_cancelled(desk: Desk, peer: SigningKey) -> None:
    """Nothing is told of the one; the other is cancelled."""
    assert not ask_task(Asked(desk), question(desk, TaskKey(bytes(KEY_BYTES)))).events
    task = desk.submit(peer, "a").key
    cancel(desk.home, peer, task)
    found = proof_of(desk, task, ask_task(Asked(desk), question(desk, task))).view_alone(desk.now)
    assert found is not None
    assert found.status is Status.CANCELLED


def test_tasks_are_found_by_their_names(desk: Desk, peer: SigningKey) -> None:
    """The submits of a key under a name are sent; of another key's none are."""
    task, other = desk.submit(peer, "a"), desk.submit(peer, "b")
    for name, found in (
        (TaskName(peer.actor, "a", "w"), {task.submits[0]}),
        (TaskName(peer.actor, "b"), {other.submits[0]}),
        (TaskName(peer.actor, "a", "x"), set[Cid]()),
        (TaskName(desk.home.keys.load("owner").actor, "a"), set[Cid]()),
    ):
        asked = replace(question(desk, TaskKey(bytes(KEY_BYTES))), names=(name,))
        events = ask_task(Asked(desk), asked).events
        assert {cid for cid, one in events.items() if one.event.actor == peer.actor} == found


def test_what_a_revocation_voids_is_told_as_void(desk: Desk, peer: SigningKey) -> None:
    """A rogue's completion is void once it is fenced off; what follows it is found all the same."""
    owner, rogue = desk.home.keys.load("owner"), SigningKey.from_seed(bytes(range(32)))
    grant = desk.home.append(owner, (Admit(rogue.actor, ("worker",)),)).cid
    task = desk.submit(peer, "a").key
    complete(desk.home, rogue, task)
    before = ask_task(Asked(desk), question(desk, task))
    proof = proof_of(desk, task, before)
    assert proof.record is not None
    assert proof.record.result is not None
    desk.home.append(owner, (Revoke(grant, rogue.actor, ()),))
    after = ask_task(Asked(desk), question(desk, task, before.told.heads))
    assert not after.told.since
    assert len(after.told.void) == 2  # claim and completion
    proof.take(after)
    assert proof.record == desk.record(task)
    assert proof.record.result is None


def test_an_answer_is_kept_back_until_something_changes(desk: Desk, peer: SigningKey, tmp_path: Path) -> None:
    """Who asks for what it has waits for a change, or for the time it gave; a full or closed room keeps nobody."""
    task = desk.submit(peer, "a").key
    heads = ask_task(Asked(desk), question(desk, task)).told.heads
    with Desk(tmp_path / "other", source=desk) as other:
        asked = Asked(other)  # a home of its own, since it is asked in a thread
        answers: list[TaskAnswer] = []

        def ask(wait_ms: int) -> threading.Thread:
            thread = threading.Thread(
                target=lambda: answers.append(ask_task(asked, question(desk, task, heads, wait_ms)))
            )
            thread.start()
            return thread

        began = time.monotonic()
        ask(300).join()
        assert time.monotonic() - began >= 0.3
        assert (answers[0].told.heads, len(answers[0].events)) == (heads, 0)
        waiting = ask(20_000)
        wait_for("somebody waits", lambda: asked.room._inside)
        with Home.open(other.home.folder, clock=lambda: other.now) as another_process:
            cancel(another_process, peer, task)
        waiting.join(5)
        assert answers[1].told.heads != heads
        heads = answers[1].told.heads
        waiting = ask(20_000)
        wait_for("somebody waits", lambda: asked.room._inside)
        asked.room.close()
        waiting.join(5)
        ask(20_000).join(5)  # nobody is kept any more
        assert [one.told.heads for one in answers[2:]] == [heads, heads]


# ---- lies


def told(desk: Desk, events: int, sections: list[tuple[Cid, bytes]], **fields: object) -> Callable[[bytes], bytes]:
    """Return what answers with these sections, whatever was asked."""
    head = replace(TaskTold(desk.home.ledger, (), False, events), **fields)  # type: ignore[arg-type]  # fields of it
    message = encode_task_told(head)
    body = FRAME.pack(len(message)) + message + car_head(()) + b"".join(car_section(*one) for one in sections)
    return lambda _: body


def test_answers_that_lie_are_found_out(desk: Desk, peer: SigningKey) -> None:
    """Blocks that are altered, of another ledger, unsigned, or another number than said."""
    record = desk.submit(peer, "a")
    with desk.home.reading():
        block = desk.home.events.find_block(record.submits[0])
        genesis = desk.home.events.find_genesis()
    assert block is not None
    assert genesis is not None
    cid, ask = Cid.of(block), question(desk, record.key)
    flipped = block[:-1] + bytes((block[-1] ^ 1,))
    forged = block.replace(b"name of a", b"name of b")
    ledger = Cid.of(b"another")
    for number, sections, words in (
        (2, [(cid, block)], "holds 1 events, and said 2"),
        (1, [(cid, flipped)], "holds 0 events, and said 1"),
        (1, [(Cid.of(flipped), flipped)], "no event of this"),
        (1, [(Cid.of(forged), forged)], "A6"),
        (1, [(Cid.of(genesis), genesis)], "A4"),
        (0, [(cid, block)] * 3, "more than it said|holds 1 events"),
    ):
        with pytest.raises(MisbehaviourError, match=words):
            ask_task(Asked(desk, told(desk, number, sections)), ask)
    with pytest.raises(ExchangeError, match="this is ledger"):
        ask_task(Asked(desk, told(desk, 0, [], ledger=ledger)), ask)
    with pytest.raises(UnreachableError, match="breaks off"):
        ask_task(Asked(desk, lambda whole: whole[:-3]), ask)
    with pytest.raises(MisbehaviourError, match="no answer about a task"):
        ask_task(Asked(desk, lambda _: FRAME.pack(1) + b"\xa0"), ask)


def test_nobody_completes_who_was_not_admitted(desk: Desk, peer: SigningKey) -> None:
    """Claim and completion of a stranger, or a submitter, and a completion of another's claim, prove nothing."""
    owner, stranger, submitter = desk.home.keys.load("owner"), *(SigningKey.from_seed(bytes((n,) * 32)) for n in (1, 2))
    ledger = desk.home.ledger
    grant = desk.home.append(owner, (Admit(submitter.actor, ("submitter",)),))
    task = desk.submit(peer, "a").key
    answer = ask_task(Asked(desk), question(desk, task))
    submitted = desk.record(task).submits[0]
    peer_grant = answer.events[submitted].event.grant

    def signed(key: SigningKey, under: Cid, op: Claim | Complete) -> SignedEvent:
        cites = tuple(dict.fromkeys(cited_events(op)))
        block = sign_event(
            key,
            ledger=ledger,
            grant=under,
            parents=cites,
            cites=cites,
            blobs=(),
            height=50 + isinstance(op, Complete),
            time=desk.now,
            ops=(write_operation(op, {cid: at for at, cid in enumerate(cites)}, {}),),
        )
        return check_alone(block, ledger)

    def completions(key: SigningKey, under: Cid, claimer: SigningKey | None = None, claimed_under: Cid = ledger) -> int:
        claim = signed(claimer or key, claimed_under if claimer else under, Claim(task, (submitted,), 60_000))
        done = signed(key, under, Complete(task, (claim.cid,), claim.cid))
        events = (claim, done, check_alone(grant.block, ledger))
        record = proof_of(desk, task, replace(answer, events={**answer.events, **{e.cid: e for e in events}})).record
        assert record is not None
        return len(record.completions)

    for key, under in ((stranger, grant.cid), (stranger, ledger), (stranger, peer_grant), (submitter, grant.cid)):
        assert completions(key, under) == 0
    assert completions(owner, peer_grant) == 0  # an owner acts under the genesis alone
    assert completions(owner, ledger, peer, peer_grant) == 0
    assert completions(peer, peer_grant) == completions(owner, ledger) == 1


def test_a_question_is_read_strictly() -> None:
    """What is no question is refused."""
    with pytest.raises(ExchangeError, match="no question about a task"):
        decode_task_question(b"\xa0")
