"""Operations as types and as maps: each comes back as it was written; what is unknown or malformed reads as Unread."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ledger.cid import Cid
from ledger.codec import Value, decode, encode
from ledger.events import Event, TaskKey, task_key
from ledger.keys import ActorKey
from ledger.operation_codec import read_operations, read_spec
from ledger.operation_writing import cited_events, named_blobs, write_operation, write_spec
from ledger.operations import (
    Admit,
    Attachment,
    Backoff,
    Cancel,
    Claim,
    Complete,
    Fail,
    Join,
    Leave,
    Operation,
    Prioritize,
    Release,
    Renew,
    Report,
    Requeue,
    Revoke,
    Spec,
    Submit,
    Unread,
)
from ledger.schema import SchemaError
from tests.ledger.world import OWNER, World, event_of

EVENT = event_of(World().event())
CITED = tuple(Cid.of(bytes([n])) for n in range(6))
BLOBS = tuple(Cid.of_raw(bytes([n])) for n in range(3))
TASK = TaskKey(b"k" * 32)

tasks = st.binary(min_size=32, max_size=32).map(TaskKey)
cids = st.sampled_from(CITED)
follows = st.lists(cids, max_size=4, unique=True).map(tuple)
times = st.integers(0, 2**53 - 1)
durations = st.integers(1, 10**12)
labels = st.lists(st.text(min_size=1, max_size=8), max_size=4, unique=True).map(lambda texts: tuple(sorted(texts)))
words = st.none() | st.text(max_size=20)
inline = st.builds(
    lambda kind, data: Attachment(kind, data=data, size=len(data)), st.just("a/b"), st.binary(max_size=9)
)
attachments = st.none() | inline | st.builds(Attachment, st.just("a/b"), blob=st.sampled_from(BLOBS), size=times)
reports = st.none() | st.builds(
    Report,
    exit_code=st.none() | st.integers(-(2**31), 2**31 - 1),
    duration_ms=st.none() | times,
    sandbox=st.none() | st.text(min_size=1, max_size=9),
    limits=labels,
)
specs = st.builds(
    Spec,
    task_id=st.text(min_size=1, max_size=9),
    workflow_id=st.text(min_size=1, max_size=9),
    name=st.text(min_size=1, max_size=9),
    tags=labels,
    requires=labels,
    payload=attachments,
    needs=st.lists(tasks, max_size=3, unique=True).map(lambda keys: tuple(sorted(keys))),
    max_attempts=st.none() | st.integers(1, 100),
    backoff=st.none() | st.builds(Backoff, st.integers(0, 10**12), st.integers(0, 10**12)),
    timeout_ms=st.none() | durations,
    not_before=st.none() | times,
    expires_at=st.none() | times,
)


def a_submit(spec: Spec, priority: int, created_at: int) -> Submit:
    """Return the submit of `spec` by the author of EVENT."""
    fields = write_spec(spec)
    return Submit(task_key(EVENT.ledger, EVENT.actor, fields), spec, priority, created_at, fields)


operations: st.SearchStrategy[Operation] = st.one_of(
    st.builds(
        Admit,
        actor=st.binary(min_size=32, max_size=32).map(ActorKey),
        roles=labels.filter(bool),
        name=st.none() | st.text(min_size=1, max_size=9),
        labels=labels,
    ),
    st.builds(Revoke, grant=st.none() | cids, actor=st.just(OWNER.actor), keep=follows, reason=words),
    st.builds(Join, labels=labels, slots=st.none() | st.integers(1, 1024)),
    st.just(Leave()),
    st.builds(a_submit, specs, st.integers(1, 10), times),
    st.builds(Claim, tasks, follows, durations, follows),
    st.builds(Renew, tasks, follows, cids, durations, words, attachments),
    st.builds(Release, tasks, follows, cids, words),
    st.builds(Fail, tasks, follows, cids, st.text(min_size=1, max_size=9), st.text(max_size=9), reports, attachments),
    st.builds(Complete, tasks, follows, cids, attachments, reports, attachments),
    st.builds(Cancel, tasks, follows, words),
    st.builds(Prioritize, tasks, follows, st.integers(1, 10)),
    st.builds(Requeue, tasks, follows),
)


def event_with(*ops: dict[str, Value]) -> Event:
    """Return an event that carries `ops`, cites CITED and links BLOBS."""
    return replace(EVENT, cites=CITED, blobs=BLOBS, ops=ops)


def written(*said: Operation) -> tuple[dict[str, Value], ...]:
    """Return the maps of operations, as they come out of a block."""
    at_cites = {cid: index for index, cid in enumerate(CITED)}
    at_blobs = {cid: index for index, cid in enumerate(BLOBS)}
    fields = decode(encode([write_operation(op, at_cites, at_blobs) for op in said]))
    assert isinstance(fields, list)
    return tuple(op for op in fields if isinstance(op, dict))


def read_one(fields: dict[str, Value]) -> Operation | Unread:
    """Return what one map reads as."""
    (op,) = read_operations(event_with(fields))
    return op


def normal(op: Operation | Unread) -> Operation | Unread:
    """Return `op` with the one thing set that reading sets: a submit's map as it was decoded, in the order of keys."""
    return replace(op, spec_map=dict(sorted(op.spec_map.items()))) if isinstance(op, Submit) else op


@settings(max_examples=200, deadline=None)
@given(st.lists(operations, max_size=4))
def test_operations_come_back(said: list[Operation]) -> None:
    """Reading gives the operations that were written, all fields, in their order."""
    read = read_operations(event_with(*written(*said)))
    assert [normal(op) for op in read] == [normal(op) for op in said]


@settings(max_examples=100, deadline=None)
@given(operations)
def test_what_is_named_is_listed(op: Operation) -> None:
    """Writing needs the events and blobs that are listed, and no others."""
    at_cites = {cid: index for index, cid in enumerate(dict.fromkeys(cited_events(op)))}
    at_blobs = {cid: index for index, cid in enumerate(dict.fromkeys(named_blobs(op)))}
    fields = write_operation(op, at_cites, at_blobs)
    event = replace(EVENT, cites=tuple(at_cites), blobs=tuple(at_blobs), ops=(fields,))
    assert [normal(read) for read in read_operations(event)] == [normal(op)]
    for cid in at_cites:
        with pytest.raises(KeyError):
            write_operation(op, {other: 0 for other in at_cites if other != cid}, at_blobs)


@settings(max_examples=200, deadline=None)
@given(operations, st.data())
def test_reading_never_raises(op: Operation, data: st.DataObject) -> None:
    """M1, M2: whatever stands in an operation's fields, reading gives an operation or Unread, and raises nothing."""
    (fields,) = written(op)
    junk: st.SearchStrategy[Any] = (
        st.none() | st.booleans() | st.integers(-3, 2**53) | st.text(max_size=3) | st.binary(max_size=3)
    )
    junk |= st.just({}) | st.just([]) | st.lists(st.integers(-1, 9), max_size=3) | st.just({"media_type": "a/b"})
    for name in data.draw(st.lists(st.sampled_from(sorted(fields)))):
        if name != "op":
            fields[name] = data.draw(junk)
    read = read_one(fields)
    if isinstance(read, Unread):
        assert read.rule == "M2"
        assert read.words


@settings(max_examples=100, deadline=None)
@given(operations, st.dictionaries(st.text(min_size=20, max_size=30), st.integers()))
def test_unknown_fields_mean_nothing(op: Operation, more: dict[str, Value]) -> None:
    """An unknown field of an operation changes nothing in what is read."""
    (fields,) = written(op)
    assert normal(read_one(fields | more)) == normal(op)


def test_m1_unknown_operations_are_followed_through() -> None:
    """M1: an operation of a name to come is without effect, and its task and follows are read where they can be."""
    fields: dict[str, Value] = {"op": "pause", "task": TASK, "follows": [1, 0, 1], "until": 5}
    read = read_one(fields)
    assert read == Unread("M1", "unknown operation 'pause'", TASK, (CITED[1], CITED[0]))
    unreadable: list[dict[str, Value]] = [{"task": b"short"}, {"follows": [6]}, {"follows": [-1]}, {"follows": None}]
    for broken in unreadable:
        assert read_one(fields | broken) == Unread("M1", "unknown operation 'pause'")


def test_m2_malformed_operations_are_followed_through() -> None:
    """M2: a malformed operation keeps its task and follows, by which its task's DAG goes on."""
    (fields,) = written(Claim(TASK, (CITED[2],), 5))
    assert read_one(fields | {"lease_ms": 0}) == Unread(
        "M2", "claim: lease_ms: 0 is not within 1..1000000000000", TASK, (CITED[2],)
    )
    unread = read_one(fields | {"follows": [99]})
    assert isinstance(unread, Unread)
    assert (unread.task, unread.follows) == (None, ())


def test_m2_malformed_submits_keep_their_task() -> None:
    """M2: a malformed submit still says which task it is about: the hash of the spec it has."""
    op = a_submit(Spec("t", "w", "n", ("a",)), 5, 1)
    (fields,) = written(op)
    read = read_one(fields | {"priority": 11})
    assert isinstance(read, Unread)
    assert read.task == op.key
    assert read_one(fields | {"spec": "none"}) == Unread("M2", "submit: spec: a map is wanted")


SAMPLES: dict[str, Operation] = {
    "admit": Admit(OWNER.actor, ("worker",)),
    "revoke": Revoke(CITED[0], OWNER.actor, ()),
    "join": Join(("a",)),
    "submit": a_submit(Spec("t", "w", "n", ("a",)), 5, 1),
    "claim": Claim(TASK, (), 5),
    "renew": Renew(TASK, (), CITED[0], 5),
    "release": Release(TASK, (), CITED[0]),
    "fail": Fail(TASK, (), CITED[0], "c", "e"),
    "complete": Complete(TASK, (), CITED[0]),
    "cancel": Cancel(TASK, ()),
    "prioritize": Prioritize(TASK, (), 5),
    "requeue": Requeue(TASK, ()),
}


@pytest.mark.parametrize("name", SAMPLES)
def test_m2_every_required_field_is_required(name: str) -> None:
    """M2: an operation that lacks any field it was written with at its shortest is malformed."""
    (fields,) = written(SAMPLES[name])
    for missing in fields.keys() - {"op"}:
        read = read_one({key: value for key, value in fields.items() if key != missing})
        assert isinstance(read, Unread), missing
        assert read.rule == "M2"


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("admit", {"roles": []}),
        ("admit", {"roles": ["b", "a"]}),
        ("admit", {"actor": b"short"}),
        ("admit", {"name": "x" * 129}),
        ("admit", {"labels": ["a", "a"]}),
        ("revoke", {"grant": 6}),
        ("revoke", {"keep": 0}),
        ("revoke", {"reason": "x" * 1025}),
        ("join", {"slots": 0}),
        ("join", {"slots": 1025}),
        ("join", {"labels": [""]}),
        ("submit", {"priority": 0}),
        ("submit", {"created_at": -1}),
        ("claim", {"inputs": [6]}),
        ("claim", {"lease_ms": True}),
        ("renew", {"claim": -1}),
        ("renew", {"progress": "x" * 1025}),
        ("fail", {"class": ""}),
        ("fail", {"error": "x" * 4097}),
        ("fail", {"report": {"exit_code": 2**31}}),
        ("complete", {"output": {"media_type": "a/b", "blob": 3, "size": 1}}),
        ("complete", {"output": {"media_type": "a/b"}}),
        ("complete", {"output": {"media_type": "", "data": b""}}),
        ("complete", {"report": {"duration_ms": -1}}),
        ("prioritize", {"priority": 11}),
    ],
    ids=repr,
)
def test_m2_ranges(name: str, changes: dict[str, Value]) -> None:
    """M2: a field out of its range or order, or an index to nothing, makes the operation malformed."""
    (fields,) = written(SAMPLES[name])
    read = read_one(fields | changes)
    assert isinstance(read, Unread)
    assert read.rule == "M2"


def test_a_payload_blob_must_be_linked() -> None:
    """A submit is malformed unless the blob that its spec names by CID is among the event's blobs."""
    (fields,) = written(a_submit(Spec("t", "w", "n", (), payload=Attachment("a/b", blob=BLOBS[0], size=1)), 5, 1))
    assert isinstance(read_one(fields), Submit)
    (read,) = read_operations(replace(event_with(fields), blobs=BLOBS[1:]))
    assert isinstance(read, Unread)
    assert read.task is not None


@pytest.mark.parametrize(
    "changes",
    [
        {"task_id": ""},
        {"name": "x" * 1025},
        {"tags": ("b", "a")},
        {"tags": tuple(f"{n:02}" for n in range(33))},
        {"requires": ("x" * 129,)},
        {"needs": (TASK, TASK)},
        {"needs": (b"short",)},
        {"max_attempts": 0},
        {"timeout_ms": 0},
        {"not_before": -1},
        {"backoff": Backoff(-1, 0)},
    ],
    ids=lambda changes: repr(changes)[:30],
)
def test_a_spec_that_could_not_be_read_back_is_not_written(changes: dict[str, Any]) -> None:
    """Writing a spec refuses what reading would."""
    with pytest.raises(SchemaError):
        write_spec(replace(Spec("t", "w", "n", ("a",)), **changes))


def test_unknown_fields_of_a_spec_are_another_task() -> None:
    """Unknown fields of a spec mean nothing, but are part of what the task key is the hash of."""
    spec = Spec("t", "w", "n", ("a",))
    fields = write_spec(spec) | {"colour": "red"}
    assert read_spec(fields) == spec
    read = read_one({"op": "submit", "spec": fields, "priority": 5, "created_at": 1})
    assert isinstance(read, Submit)
    assert read.key == task_key(EVENT.ledger, EVENT.actor, fields)
    assert read.key != task_key(EVENT.ledger, EVENT.actor, write_spec(spec))
