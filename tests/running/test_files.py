"""Files in the ledger: what is split comes together again, and nothing else passes for a file."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.blobs import BLOB_BYTES_MAX
from ledger.cid import Cid
from scheduler.running.files import (
    FILE_BYTES_MAX,
    PATH_BYTES_MAX,
    FileRef,
    FileRefError,
    check_path,
    parts_of,
    split,
)

anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)


@pytest.mark.parametrize("size", [0, 1, BLOB_BYTES_MAX, BLOB_BYTES_MAX + 1, 3 * BLOB_BYTES_MAX])
def test_a_file_is_its_parts_in_order(size: int) -> None:
    """Parts are full but the last, named by their hash, and together they are the file."""
    data = bytes(range(256)) * (size // 256) + b"x" * (size % 256)
    ref, parts = split(data, executable=size == 1)
    assert b"".join(parts) == data
    assert ref == FileRef(size, tuple(map(Cid.of_raw, parts)), size == 1)
    assert all(len(part) == BLOB_BYTES_MAX for part in parts[:-1])
    assert FileRef.from_json(json.loads(json.dumps(ref.to_json()))) == ref


def test_a_file_too_large_is_refused() -> None:
    """What one event cannot carry is no file."""
    with pytest.raises(FileRefError, match="more than a file may have"):
        split(bytes(FILE_BYTES_MAX + 1))


def test_a_part_that_is_used_twice_is_linked_once() -> None:
    """The parts of several files, each once, in the order of their first use."""
    one, two = split(b"a")[0], split(b"b")[0]
    assert parts_of([one, two, one]) == (*one.parts, *two.parts)


CID = str(Cid.of_raw(b"x"))


@pytest.mark.parametrize(
    "fields",
    [
        None,
        [],
        {},
        {"size": 1},
        {"size": 1, "parts": []},
        {"size": 0, "parts": [CID]},
        {"size": True, "parts": [CID]},
        {"size": 1.0, "parts": [CID]},
        {"size": -1, "parts": []},
        {"size": FILE_BYTES_MAX + 1, "parts": []},
        {"size": 1, "parts": CID},
        {"size": 1, "parts": [7]},
        {"size": 1, "parts": [None]},
        {"size": 1, "parts": ["b"]},
        {"size": 1, "parts": [CID], "executable": 1},
        {"size": 1, "parts": [CID], "mode": 7},
    ],
)
def test_what_is_no_file_is_refused(fields: Any) -> None:
    """Each field has its type, and the number of parts is the one that the size makes."""
    with pytest.raises(FileRefError):
        FileRef.from_json(fields)


@given(anything | st.fixed_dictionaries({"size": anything, "parts": anything, "executable": anything}))
def test_hostile_json_raises_nothing_else(fields: Any) -> None:
    """Whatever stands where a file is named: it is a file, or a FileRefError."""
    try:
        ref = FileRef.from_json(fields)
    except FileRefError:
        return
    assert FileRef.from_json(ref.to_json()) == ref


@pytest.mark.parametrize("path", ["a", "a/b.c", "..a/b..", "é/ü", "a b", "-rf", ".hidden", "x" * PATH_BYTES_MAX])
def test_a_path_below_a_folder_passes(path: str) -> None:
    """Plain paths come back as they are."""
    assert check_path(path) == path


@pytest.mark.parametrize(
    "path",
    [
        "",
        "/",
        "/a",
        "a/",
        "a//b",
        ".",
        "..",
        "../a",
        "a/..",
        "a/../b",
        "./a",
        "a\0b",
        "x" * (PATH_BYTES_MAX + 1),
        7,
        None,
    ],
)
def test_a_path_that_leads_elsewhere_is_refused(path: Any) -> None:
    """Absolute, empty, upward, with NUL, too long, or no text."""
    with pytest.raises(FileRefError):
        check_path(path)


@given(st.text() | anything)
def test_a_hostile_path_raises_nothing_else(path: Any) -> None:
    """Whatever is said to be a path, and what passes stays below its folder."""
    try:
        steps = check_path(path).split("/")
    except FileRefError:
        return
    assert not {"", ".", ".."} & set(steps)
