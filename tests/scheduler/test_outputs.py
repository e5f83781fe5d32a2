"""Outputs of a run: what is written is read again, and whatever else another peer wrote is refused with words."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scheduler.running.files import split
from scheduler.running.outputs import ENTRIES_MAX, Outputs, OutputsError, read_outputs, write_outputs

FILE = split(b"some bytes", executable=True)[0]
NAMES = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=20)
TEXTS = st.text(st.characters(codec="utf-8"), max_size=50)
FILES = st.dictionaries(st.from_regex(r"[a-z]{1,3}", fullmatch=True), st.just(FILE))


@given(
    st.dictionaries(NAMES, TEXTS, max_size=5),
    st.dictionaries(st.from_regex(r"[a-z]{1,3}", fullmatch=True), st.just(FILE)),
)
def test_what_is_written_is_read_again(outputs: dict[str, str], files: dict[str, Any]) -> None:
    """Outputs and files survive the ledger, in one form whatever the order they came in."""
    found = read_outputs(write_outputs(Outputs(outputs, files)))
    assert found == Outputs(outputs, files)
    turned = Outputs(dict(reversed(outputs.items())), dict(reversed(files.items())))
    assert write_outputs(turned) == write_outputs(Outputs(outputs, files))


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "no JSON"),
        (b"\xff", "no JSON"),
        (b"[" * 100_000, "no JSON"),
        (b"9" * 5_000, "no JSON"),
        (b"[]", "an object"),
        (b'{"outputs": []}', "outputs: an object"),
        (b'{"outputs": {"a": 1}}', "no text"),
        (b'{"outputs": {"a": "\\ud800"}}', "no Unicode"),
        (b'{"outputs": {"\\ud800": "a"}}', "no Unicode"),
        (b'{"outputs": {"": "a"}}', "a name of 1 to"),
        (b'{"files": {"../a": {"size": 0, "parts": []}}}', "no plain path"),
        (b'{"files": {"/etc/passwd": {"size": 0, "parts": []}}}', "no plain path"),
        (b'{"files": {"a": {"size": 1e999, "parts": []}}}', "size"),
        (b'{"files": {"a": {"size": NaN, "parts": []}}}', "size"),
        (b'{"files": {"a": {"size": 10, "parts": [[]]}}}', "parts"),
        (b'{"files": {"a": {"size": 10, "parts": ["x"]}}}', "parts"),
        (b'{"files": {"a": "x"}}', "a file is wanted"),
        (json.dumps({"outputs": {str(n): "" for n in range(ENTRIES_MAX + 1)}}).encode(), "at most"),
        (b" " * 1_048_577, "at most"),
    ],
)
def test_what_is_no_outputs_is_refused_with_words(data: bytes, words: str) -> None:
    """Nothing another peer writes raises anything but OutputsError, with short words."""
    with pytest.raises(OutputsError, match=words) as refused:
        read_outputs(data)
    assert len(str(refused.value)) < 1_100


FIELDS = st.sampled_from(("outputs", "files", "size", "parts", "executable", "a"))
VALUES = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(FIELDS, inner),
)


@given(st.binary(max_size=200) | VALUES.map(lambda value: json.dumps(value).encode()))
def test_no_bytes_raise_anything_else(data: bytes) -> None:
    """Reading ends with outputs or with OutputsError, whatever the bytes."""
    with suppress(OutputsError):
        read_outputs(data)


def test_what_could_not_be_read_back_is_not_written() -> None:
    """A run's outputs that no other peer could read are the run's failure, at once."""
    for outputs in ({"a": "\ud800"}, {"": "x"}, {"a": 1}, {"a" * 300: ""}):
        with pytest.raises(OutputsError):
            write_outputs(Outputs(outputs))  # type: ignore[arg-type]  # what a caller should not do
    with pytest.raises(OutputsError):
        write_outputs(Outputs(files={"a/../b": FILE}))
    with pytest.raises(OutputsError):
        write_outputs(Outputs({"a": "x" * 1_048_576}))
