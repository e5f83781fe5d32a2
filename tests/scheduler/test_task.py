"""P2PTask: the surface users of the quick start type, and what it refuses."""

from __future__ import annotations

import hashlib
import json
import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scheduler.tags import TagConflictError, UnknownTagError, WorkflowTag
from scheduler.task import P2PTask, Payload


def make(**fields: Any) -> P2PTask:
    """Make a task that is sound but for `fields`, whose types are part of what is tested."""
    sound: dict[str, Any] = {"task_id": "task1", "workflow_id": "workflow1", "name": "Code", "tags": ["p2p-only"]}
    return P2PTask(**(sound | {"created_at": 1000.5} | fields))


def test_the_task_of_the_guide() -> None:
    """The guide's construction works by keyword and by position, and has its fields."""
    now = time.time()
    tags = [WorkflowTag.P2P_ONLY, WorkflowTag.CODE_GENERATION]
    task = P2PTask(task_id="task1", workflow_id="w1", name="Code", tags=tags, priority=8, created_at=now)
    assert task == P2PTask("task1", "w1", "Code", tags, 8, now)
    assert (task.name, task.priority, task.created_at, task.assigned_peer) == ("Code", 8, now, None)
    assert task.tags == tags


def test_defaults() -> None:
    """Priority is 5 and the time is now, each time anew."""
    before = time.time()
    task = P2PTask("t", "w", "n", [WorkflowTag.P2P_ONLY])
    assert task.priority == 5
    assert before <= task.created_at <= time.time()
    assert (task.payload, task.requires, task.needs, task.not_before, task.max_attempts) == (None, (), (), None, None)
    assert (task.task_key, task.claim, task.assigned_peer) == (None, None, None)


def test_hash_is_sha256_of_task_and_workflow() -> None:
    """The hash is the one other tools compute, for text of any script."""
    task = make(task_id="tâche", workflow_id="ワークフロー")
    assert task.task_hash == hashlib.sha256("tâche:ワークフロー".encode()).hexdigest()
    assert len(task.task_hash) == 64


@settings(max_examples=100)
@given(st.lists(st.tuples(st.integers(1, 10), st.integers(0, 5)), max_size=12))
def test_higher_priority_first_then_older(ranks: list[tuple[int, int]]) -> None:
    """Sorting puts the higher priority first, then the older, and leaves ties as they were."""
    tasks = [make(task_id=str(i), priority=p, created_at=t) for i, (p, t) in enumerate(ranks)]
    expected = sorted(range(len(ranks)), key=lambda i: (-ranks[i][0], ranks[i][1]))
    assert [task.task_id for task in sorted(tasks)] == [str(i) for i in expected]


def test_order_is_defined_among_tasks_only() -> None:
    """A task is neither before nor after something else."""
    with pytest.raises(TypeError):
        _ = make() < 5


def test_equality_is_of_what_is_asked_for() -> None:
    """What the scheduler writes into a task does not make it another."""
    given_out = make()
    given_out.assigned_peer, given_out.task_key, given_out.claim = "peer", "00ff", "bafy"
    assert given_out == make()
    assert given_out != make(priority=6)


def test_json_has_the_seven_fields_of_the_contract() -> None:
    """The JSON form has exactly the contract's fields, as plain values."""
    task = make(tags=["p2p-only", "web-scraping"], assigned_peer="alice")
    assert json.loads(json.dumps(task.to_dict())) == {
        "task_id": "task1",
        "workflow_id": "workflow1",
        "name": "Code",
        "tags": ["p2p-only", "web-scraping"],
        "priority": 5,
        "task_hash": task.task_hash,
        "assigned_peer": "alice",
    }
    assert {type(tag) for tag in task.to_dict()["tags"]} == {str}


def test_tags_are_read_as_everywhere() -> None:
    """Tags may be texts of several; they are kept as a list of tags of our own, not the caller's."""
    tags = ["p2p-only,code-generation", WorkflowTag.P2P_ONLY]
    task = make(tags=tags)
    assert task.tags == [WorkflowTag.P2P_ONLY, WorkflowTag.CODE_GENERATION]
    assert all(isinstance(tag, WorkflowTag) for tag in task.tags)
    tags.append("unit-test")
    assert len(task.tags) == 2
    with pytest.raises(UnknownTagError, match="p2p-only"):
        make(tags=["p2ponly"])
    with pytest.raises(TagConflictError):
        make(tags=["p2p-only", "unit-test"])
    with pytest.raises(ValueError, match="no tags"):
        make(tags=[])


@pytest.mark.parametrize("priority", [1, 10])
def test_priorities_at_the_bounds_are_accepted(priority: int) -> None:
    """1 and 10 are priorities."""
    assert make(priority=priority).priority == priority


REFUSED: list[tuple[str, object, str]] = [
    *(("priority", value, "priority must be from 1 to 10") for value in (0, 11, 99, -1)),
    *(("priority", value, "priority must be a whole number from 1 to 10") for value in (True, 5.0, "5", None)),
    *((name, "", f"{name} must not be empty") for name in ("task_id", "workflow_id", "name")),
    *((name, "é" * 513, f"{name} has 1,026 bytes") for name in ("task_id", "workflow_id", "name")),
    *((name, 7, f"{name} must be text") for name in ("task_id", "workflow_id", "name")),
    ("name", "\ud800", "half a surrogate pair"),
    *(("created_at", value, "created_at must be") for value in (float("nan"), float("inf"), -1, 10**400, True, "now")),
    ("not_before", -0.5, "not_before must be"),
    ("expires_at", float("inf"), "expires_at must be"),
    ("timeout_seconds", 0, "timeout_seconds must be from 0.001"),
    ("max_attempts", 0, "max_attempts must be from 1"),
    ("max_attempts", True, "max_attempts must be a whole number"),
    ("payload", b"data", "payload must be a Payload"),
    ("requires", "gpu", "requires must be a list"),
    ("requires", ["gpu", ""], "each of requires must not be empty"),
    ("requires", ["x" * 129], "each of requires has 129 bytes"),
    ("requires", [str(i) for i in range(33)], "requires has 33 entries"),
    ("needs", "task0", "needs must be a list"),
    ("needs", [7], "each of needs must be text"),
]


@pytest.mark.parametrize(("name", "value", "message"), REFUSED, ids=range(len(REFUSED)))
def test_what_is_out_of_range_is_refused_in_clear_words(name: str, value: object, message: str) -> None:
    """A field out of range raises ValueError that names it, at construction and when it was set later."""
    with pytest.raises(ValueError, match=message):
        make(**{name: value})
    task = make()
    setattr(task, name, value)
    with pytest.raises(ValueError, match=message):
        task.validate()


def test_text_of_exactly_the_limit_is_accepted() -> None:
    """1,024 bytes of UTF-8 are allowed."""
    assert make(task_id="é" * 512).task_id == "é" * 512


def test_labels_are_a_set_and_needs_keep_their_order() -> None:
    """The same request gives the same fields, however its labels are listed."""
    task = make(requires=["linux", "gpu", "linux"], needs=["b", "a", "b"])
    assert task.requires == ("gpu", "linux")
    assert task.needs == ("b", "a")
    assert task == make(requires=("gpu", "linux"), needs=("b", "a"))


def test_payload_is_bytes_with_a_media_type() -> None:
    """A payload is opaque bytes, and refuses what is not."""
    payload = Payload("application/json", b"{}")
    assert make(payload=payload).payload == payload
    with pytest.raises(ValueError, match="media_type must not be empty"):
        Payload("", b"")
    with pytest.raises(ValueError, match="must be bytes, not bytearray"):
        Payload("text/plain", bytearray(b""))  # type: ignore[arg-type]  # refused at run time, too
