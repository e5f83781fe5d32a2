"""`result_of` and `inputs_of`: what ended the claim that counts, what it handed over, what of that is not here."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

import pytest

from crdt.view import Status
from ledger.cid import Cid
from ledger.events import Role, TaskKey
from ledger.keys import SigningKey
from ledger.operations import Attachment, Backoff, Claim, Complete, Report, Revoke
from scheduler.acting import acting, follows, inputs, keep, write
from scheduler.actions import SubmitRequest, cancel, complete, fail, release, renew, submit, take
from scheduler.results import failure_words, inputs_of, result_of
from scheduler.running.files import split
from scheduler.running.outputs import Outputs, write_outputs
from scheduler.running.payloads import OUTPUTS_TYPE
from tests.scheduler.desk import Desk
from tests.scheduler.test_actions import spec

LARGE = b"x" * 1_048_576 + b"the rest"


def outputs(texts: Mapping[str, str], files: Mapping[str, bytes] | None = None) -> tuple[Attachment, list[bytes]]:
    """Return a result attachment, and the parts of its files."""
    cut = {path: split(data) for path, data in (files or {}).items()}
    data = write_outputs(Outputs(texts, {path: file for path, (file, _) in cut.items()}))
    return Attachment(OUTPUTS_TYPE, data=data), [part for _, parts in cut.values() for part in parts]


def done_with(desk: Desk, key: SigningKey, task_id: str, output: Attachment, blobs: Iterable[bytes] = ()) -> Cid:
    """Take the next task, which must be this one, and complete it as a worker does; return the event."""
    taken = take(desk.home, key)
    assert taken is not None
    assert taken.record.spec.task_id == task_id
    with acting(desk.home) as writing:
        linked = [writing.add_blob(data) for data in blobs]
        report = Report(0, 1_234, "bubblewrap", ("log",))
        op = Complete(taken.record.key, (taken.claim,), taken.claim, keep(writing, output), report)
        return write(writing, key, (op,), Role.WORKER, linked).cid


def test_a_result_says_what_its_worker_said(desk: Desk) -> None:
    """Exit code, duration, level, limits, outputs and files are the completion's; so are claim, worker and event."""
    me = desk.peer("me")
    record = desk.submit(me, "t")
    output, blobs = outputs({"version": "1.2"}, {"dist/a.bin": LARGE, "empty": b""})
    event = done_with(desk, me, "t", output, blobs)
    found = result_of(desk.home, desk.record(record.key))
    assert (found.status, found.event, found.worker, found.attempt) == (Status.DONE, event, me.actor, 1)
    assert (found.exit_code, found.duration_ms, found.sandbox, found.limits) == (0, 1_234, "bubblewrap", ("log",))
    assert (dict(found.outputs), set(found.files)) == ({"version": "1.2"}, {"dist/a.bin", "empty"})
    assert (found.is_result, found.handed.malformed, found.handed.missing, found.tainted) == (True, "", (), False)
    assert found.files["dist/a.bin"].size == len(LARGE)


def test_before_the_end_there_is_what_there_is(desk: Desk) -> None:
    """A task nobody claimed has no claim; one that is held has its holder and how far it is, and no event."""
    me = desk.peer("me")
    record = desk.submit(me, "t")
    assert (result_of(desk.home, record).claim, result_of(desk.home, record).status) == (None, Status.READY)
    taken = take(desk.home, me)
    assert taken is not None
    for words in ("a third", "half"):
        renew(desk.home, me, {record.key: taken.claim}, lease_ms=60_000, progress=words)
    found = result_of(desk.home, desk.record(record.key))
    assert (found.status, found.event, found.worker, found.progress) == (Status.HELD, None, me.actor, "half")
    with pytest.raises(LookupError):
        result_of(desk.home, desk.record(record.key), Cid.of_raw(b"no claim"))


def test_a_failed_attempt_has_its_class_and_the_last_is_shown(desk: Desk) -> None:
    """Of a task without a result the last attempt is shown, and each other by its claim."""
    me = desk.peer("me")
    record = submit(desk.home, me, SubmitRequest(spec("t", max_attempts=2, backoff=Backoff(0, 0))))[0].record
    claims = []
    for failure_class, code in (("payload", 3), ("limit", None)):
        taken = take(desk.home, me)
        assert taken is not None
        claims.append(taken.claim)
        report = Report(code, limits=("memory",))
        fail(desk.home, me, record.key, failure_class=failure_class, error="no\nluck", report=report)
    found = result_of(desk.home, desk.record(record.key))
    assert (found.status, found.attempt, found.failure_class, found.limits) == (Status.DEAD, 2, "limit", ("memory",))
    first = result_of(desk.home, desk.record(record.key), claims[0])
    assert (first.attempt, first.failure_class, first.exit_code, first.error) == (1, "payload", 3, "no\nluck")
    assert failure_words(first) == "payload: no luck, exit code 3, limits hit: memory"


def test_a_released_and_a_cancelled_task_have_no_result(desk: Desk) -> None:
    """What was given back says why; a cancelled task keeps what its attempts said."""
    me = desk.peer("me")
    record = desk.submit(me, "t")
    assert take(desk.home, me) is not None
    release(desk.home, me, record.key, reason="no time")
    found = result_of(desk.home, desk.record(record.key))
    assert (found.released, found.error, found.is_result, found.failure_class) == (True, "no time", False, None)
    cancel(desk.home, me, record.key)
    assert result_of(desk.home, desk.record(record.key)).status is Status.CANCELLED


def test_of_two_completions_the_nearest_is_the_result(desk: Desk) -> None:
    """What another peer completed as well is superseded, and can be asked for by its claim."""
    peers = [desk.peer("a"), desk.peer("b")]
    record = desk.submit(peers[0], "t")
    claims = [desk.home.append(key, [Claim(record.key, record.submits, 60_000)], Role.WORKER).cid for key in peers]
    for number, (key, claim) in enumerate(zip(peers, claims, strict=True)):
        output = outputs({"who": str(number)})[0]
        desk.home.append(key, [Complete(record.key, (claim,), claim, output)], Role.WORKER)
    task = desk.record(record.key)
    assert task.result is not None
    found = result_of(desk.home, task)
    assert (found.event, found.outputs["who"]) == (task.result.cid, str(claims.index(task.result.claim)))
    other = result_of(desk.home, task, task.completions[1].claim)
    assert (other.is_result, other.outputs["who"]) == (False, str(1 - int(found.outputs["who"])))
    assert found.superseded == (other.event,)


@pytest.mark.parametrize("data", [b"", b"[]", b'{"outputs": {"a": 1}}', b"[" * 5_000, b'{"files": {"../x": {}}}'])
def test_malformed_outputs_are_said_to_be_so(desk: Desk, data: bytes) -> None:
    """Another peer's nonsense raises nothing: it is named, in the result and in the input that rests on it."""
    me = desk.peer("me")
    record = desk.submit(me, "t")
    rests = desk.submit(me, "rests", needs=["t"])
    done_with(desk, me, "t", Attachment(OUTPUTS_TYPE, data=data))
    found = result_of(desk.home, desk.record(record.key))
    assert found.handed.malformed.startswith("malformed outputs: ")
    assert not found.outputs
    (needed,) = inputs_of(desk.home, desk.record(rests.key), inputs_now(desk, rests.key))
    assert needed.problem.startswith("t: malformed outputs: ")


def inputs_now(desk: Desk, task: TaskKey) -> tuple[Cid, ...]:
    """Return what a claim would cite now."""
    with desk.home.reading():
        return inputs(desk.home.board, desk.record(task))


def test_needs_hand_their_outputs_on(desk: Desk) -> None:
    """Each need gives what the completion gave that the claim cites, an agent's bytes and a worker's outputs alike."""
    me = desk.peer("me")
    desk.submit(me, "build", priority=9)
    desk.submit(me, "agent", priority=8)
    quiet = desk.submit(me, "quiet", priority=7)
    desk.submit(me, "all", needs=["build", "agent", "quiet"])
    output, blobs = outputs({"version": "1.2"}, {"a.bin": b"a"})
    done_with(desk, me, "build", output, blobs)
    done_with(desk, me, "agent", Attachment("text/plain", data=b"an answer"))
    complete(desk.home, me, quiet.key)
    taken = take(desk.home, me)
    assert taken is not None
    claim = taken.record.claims[0]
    found = {one.task_id: one for one in inputs_of(desk.home, taken.record, claim.inputs)}
    assert (found["build"].outputs, set(found["build"].files)) == ({"version": "1.2"}, {"a.bin"})
    assert found["agent"].output == Attachment("text/plain", data=b"an answer", size=9)
    assert (found["quiet"].output, found["quiet"].problem) == (None, "")
    without = inputs_of(desk.home, taken.record, ())
    assert all(one.problem.endswith("the claim cites no completion of it") for one in without)


def test_what_has_not_come_yet_is_named(desk: Desk, tmp_path: Path) -> None:
    """A home that has the events and not the blobs says which are missing, of the outputs and of their files."""
    me = desk.peer("me")
    small, large = desk.submit(me, "small", priority=9), desk.submit(me, "large", priority=8)
    rests = desk.submit(me, "rests", needs=["small", "large"])
    output, blobs = outputs({}, {"a.bin": LARGE})
    done_with(desk, me, "small", output, blobs)
    much, _ = outputs({"much": "x" * 10_000})
    done_with(desk, me, "large", much)
    with Desk(tmp_path / "bare", source=desk) as bare:  # which takes the events alone
        found = result_of(bare.home, bare.record(small.key))
        assert found.handed.missing == found.files["a.bin"].parts
        lacking = result_of(bare.home, bare.record(large.key))
        assert (len(lacking.handed.missing), dict(lacking.outputs)) == (1, {})
        needed = inputs_of(bare.home, bare.record(rests.key), inputs_now(bare, rests.key))
        assert {one.task_id: len(one.missing) for one in needed} == {"small": 2, "large": 1}
        with desk.home.reading(), bare.home.reading():
            data = tuple(desk.home.intake.blobs.get_many(bare.home.intake.blobs.wanted()).values())
        with bare.home.writing():
            bare.home.intake.offer_blobs(data)
        assert result_of(bare.home, bare.record(large.key)).outputs == {"much": "x" * 10_000}
        needed = inputs_of(bare.home, bare.record(rests.key), inputs_now(bare, rests.key))
        assert [one.missing for one in needed] == [(), ()]


def test_a_voided_input_taints_the_result(desk: Desk) -> None:
    """After a revocation the result that rests on what it voids says so, and so does a claim that still runs on it."""
    me, other = desk.peer("me"), desk.peer("other")
    need = desk.submit(me, "need")
    rests = desk.submit(me, "rests", needs=["need"])
    done = complete(desk.home, other, need.key)
    desk.now += desk.home.policy.grace_ms
    taken = take(desk.home, me)
    assert taken is not None
    assert not result_of(desk.home, desk.record(rests.key)).tainted
    owner = desk.home.members.owner_key()
    assert owner is not None
    with desk.home.reading():
        grant = desk.home.members.grant_for(other.actor, Role.WORKER)
    desk.home.append(owner, [Revoke(grant, other.actor, ())])
    assert result_of(desk.home, desk.record(rests.key)).voided == (done.event,)
    record = desk.record(rests.key)
    desk.home.append(me, [Complete(rests.key, follows(record, taken.claim), taken.claim)], Role.WORKER)
    assert result_of(desk.home, desk.record(rests.key)).voided == (done.event,)
