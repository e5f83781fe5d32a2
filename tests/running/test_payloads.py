"""Payloads: what is written is read back the same, in one form only, and hostile bytes raise PayloadError alone."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scheduler.running.files import FileRef, split
from scheduler.running.payloads import (
    COMMAND_TYPE,
    TEXT_BYTES_MAX,
    WORDS_MAX,
    WORKFLOW_JOB_TYPE,
    Command,
    PayloadError,
    WorkflowJob,
    read_payload,
    write_payload,
)
from tests.running.test_files import anything

text = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=8)
some = text.filter(bool)
name = st.from_regex(r"[A-Za-z_][A-Za-z0-9_]{0,5}", fullmatch=True)
path = st.lists(
    st.from_regex(r"[a-z*.\-é ]{1,4}", fullmatch=True).filter(lambda step: step not in {".", ".."}),
    min_size=1,
    max_size=3,
).map("/".join)
files = st.builds(lambda data, executable: split(data, executable=executable)[0], st.binary(max_size=8), st.booleans())
common = {
    "network": st.booleans(),
    "secrets": st.lists(name, max_size=2).map(tuple),
    "sandbox": st.none() | some,
}
programs = st.builds(lambda first, rest: (first, *rest), some, st.lists(text, max_size=3))
body = {
    "env": st.dictionaries(name, text, max_size=2),
    "files": st.dictionaries(path, files, max_size=2),
    "outputs": st.lists(path, max_size=2).map(tuple),
    **common,
}
commands = st.builds(Command, argv=programs, **body) | st.builds(Command, script=some, interpreter=some, **body)
jobs = st.builds(
    WorkflowJob,
    file=files,
    path=path,
    job=some,
    matrix=st.dictionaries(text, st.text(max_size=3) | st.integers() | st.booleans(), max_size=2),
    inputs=st.dictionaries(text, text, max_size=2),
    event=some,
    ref=text,
    sha=text,
    source=st.none() | files,
    needs=st.dictionaries(text, st.lists(text, max_size=2).map(tuple), max_size=2),
    **common,
)


@given(commands | jobs)
def test_a_payload_comes_back_as_it_was(payload: Command | WorkflowJob) -> None:
    """Written and read it is the same, and written again it is the same bytes: the task key hangs on them."""
    kind, data = write_payload(payload)
    read = read_payload(kind, data)
    assert read == payload
    assert read is not None
    assert write_payload(read) == (kind, data)


def test_the_same_request_is_the_same_bytes() -> None:
    """The order in which variables are given, and what is said by default, makes no other task."""
    one = write_payload(Command(argv=("a",), env={"B": "2", "A": "1"}))
    assert one == write_payload(Command(argv=("a",), env={"A": "1", "B": "2"}, network=False))
    assert one == (COMMAND_TYPE, b'{"argv":["a"],"env":{"A":"1","B":"2"}}')


def test_another_media_type_is_nobody_elses_error() -> None:
    """What is none of ours is not read at all."""
    assert read_payload("application/json", b"\xff") is None


FILE = split(b"x")[0].to_json()


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({}, "argv or script"),
        ({"argv": ["a"], "script": "x", "interpreter": "sh"}, "argv or script"),
        ({"argv": ["a"], "interpreter": "sh"}, "interpreter"),
        ({"script": "x"}, "interpreter"),
        ({"argv": [""]}, "the program is empty"),
        ({"argv": "a"}, "argv: a list"),
        ({"argv": ["a", 1]}, "argv: a text"),
        ({"argv": ["a"] * (WORDS_MAX + 1)}, "argv: a list of at most"),
        ({"argv": ["a\0"]}, "argv: a text of at most"),
        ({"argv": ["a" * (TEXT_BYTES_MAX + 1)]}, "argv: a text of at most"),
        ({"argv": ["\ud800"]}, "no Unicode"),
        ({"argv": ["a"], "env": {"A B": "x"}}, "env: 'A B' is no name"),
        ({"argv": ["a"], "env": {"A": 1}}, "env: a text"),
        ({"argv": ["a"], "env": []}, "env: an object"),
        ({"argv": ["a"], "files": {"../x": FILE}}, "files: '../x' is no plain path"),
        ({"argv": ["a"], "files": {"x": {}}}, "files: size"),
        ({"argv": ["a"], "outputs": ["/etc/shadow"]}, "outputs: '/etc/shadow'"),
        ({"argv": ["a"], "network": 1}, "network: true or false"),
        ({"argv": ["a"], "secrets": ["a-b"]}, "secrets: 'a-b'"),
        ({"argv": ["a"], "sandbox": 1}, "sandbox: a text"),
        ({"argv": ["a"], "privileged": True}, "unknown fields: privileged"),
    ],
)
def test_a_command_that_is_none_says_which_field(fields: dict[str, Any], words: str) -> None:
    """Each mistake is told by its field."""
    with pytest.raises(PayloadError) as raised:
        read_payload(COMMAND_TYPE, json.dumps(fields).encode())
    assert words in str(raised.value)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({}, "file is missing"),
        ({"file": FILE}, "path is missing"),
        ({"file": FILE, "path": "p"}, "job is missing"),
        ({"file": FILE, "path": "/p", "job": "j"}, "path: '/p'"),
        ({"file": FILE, "path": "p", "job": "j", "needs": {"a": "b"}}, "needs: a list"),
        ({"file": FILE, "path": "p", "job": "j", "inputs": {"a": None}}, "inputs: a text"),
        ({"file": FILE, "path": "p", "job": "j", "source": 1}, "source: a file"),
        ({"file": FILE, "path": "p", "job": "j", "matrix": {"a": float("nan")}}, "matrix: a value"),
        ({"file": FILE, "path": "p", "job": "j", "matrix": {"a": ["\ud800"]}}, "matrix: a value"),
        ({"file": 1, "path": "p", "job": "j"}, "file: a file"),
        ({"file": FILE, "path": "p", "job": "j", "argv": []}, "unknown fields"),
    ],
)
def test_a_job_that_is_none_says_which_field(fields: dict[str, Any], words: str) -> None:
    """The same for jobs of workflow files."""
    with pytest.raises(PayloadError) as raised:
        read_payload(WORKFLOW_JOB_TYPE, json.dumps(fields).encode())
    assert words in str(raised.value)


FIELDS = (*Command.__dataclass_fields__, *WorkflowJob.__dataclass_fields__)


@given(
    st.sampled_from([COMMAND_TYPE, WORKFLOW_JOB_TYPE]),
    st.binary(max_size=20)
    | anything.map(lambda value: json.dumps(value).encode())
    | st.dictionaries(
        st.sampled_from(FIELDS), anything | st.just(FILE) | st.just(["a"]) | st.just("a"), max_size=8
    ).map(lambda value: json.dumps(value).encode()),
)
def test_hostile_bytes_raise_nothing_else(kind: str, data: bytes) -> None:
    """Whatever the bytes: a payload, which can be written again, or a PayloadError."""
    try:
        payload = read_payload(kind, data)
    except PayloadError:
        return
    assert payload is not None
    assert read_payload(*write_payload(payload)) == payload


@pytest.mark.parametrize(
    "data",
    [
        b"[" * 100_000,
        b'{"argv":["a"],"argv":["b"]',
        b"\xff\xfe",
        b"NaN",
        b'{"a":' * 50_000,
        b"1" * 10_000,
        b"null",
        b'"a"',
    ],
)
def test_deep_and_broken_json_is_a_payload_error(data: bytes) -> None:
    """Nesting without end, numbers without end, no Unicode: told like any other mistake."""
    with pytest.raises(PayloadError):
        read_payload(COMMAND_TYPE, data)
    with pytest.raises(PayloadError):
        read_payload(WORKFLOW_JOB_TYPE, data)


def test_a_payload_that_cannot_be_read_back_is_not_written() -> None:
    """Values that JSON would change, or that the reader refuses, are found when writing."""
    for payload in (
        Command(argv=()),
        Command(argv=("a",), outputs=("../x",)),
        Command(argv=("a",), env={"A": 1}),  # type: ignore[dict-item]  # what a caller may get wrong
        WorkflowJob(file=FileRef(0, ()), path="p", job="j", matrix={"a": {1, 2}}),
        WorkflowJob(file=FileRef(0, ()), path="p", job="j", matrix={"a": float("nan")}),
        WorkflowJob(file=FileRef(0, ()), path="p", job="j", matrix={"a": "\ud800"}),
        WorkflowJob(file=FileRef(0, ()), path="p", job="j", matrix={"a": (1, 2)}),
    ):
        with pytest.raises(PayloadError):
            write_payload(payload)


def test_every_file_is_named() -> None:
    """What must be there before a payload can run is all in `all_files`."""
    one, two = split(b"1")[0], split(b"2")[0]
    assert Command(argv=("a",), files={"x": one, "y": two}).all_files == (one, two)
    assert WorkflowJob(file=one, path="p", job="j").all_files == (one,)
    assert WorkflowJob(file=one, path="p", job="j", source=two).all_files == (one, two)
