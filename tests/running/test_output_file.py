"""The file of outputs: the form of GITHUB_OUTPUT, bounded, whoever wrote it and whatever lies in its place."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scheduler.running.output_file import (
    OUTPUT_BYTES_MAX,
    OutputFileError,
    TooMuchError,
    parse_outputs,
    read_output_file,
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A work folder as a run leaves it."""
    (tmp_path / ".p2p").mkdir()
    return tmp_path


@pytest.mark.parametrize(
    ("text", "outputs"),
    [
        ("", {}),
        ("\n\n", {}),
        ("a=1", {"a": "1"}),
        ("a=1\nb=\nc=x=y<<z\n", {"a": "1", "b": "", "c": "x=y<<z"}),
        ("a=1\na=2\n", {"a": "2"}),
        ("a b=1\r\nc-d=2\r\n", {"a b": "1", "c-d": "2"}),
        ("a<<EOF\none\n\n two=2\nEOF\nb=1\n", {"a": "one\n\n two=2", "b": "1"}),
        ("a<<EOF\nEOF\n", {"a": ""}),
        ("a<<E<<F\nx\nE<<F\n", {"a": "x"}),
        ("a<<=\nx\n=\n", {"a": "x"}),
        ("é=ü 🙂\n", {"é": "ü 🙂"}),
    ],
)
def test_what_is_written_is_read(folder: Path, text: str, outputs: dict[str, str]) -> None:
    """Lines and blocks, as GitHub reads them."""
    (folder / ".p2p/output").write_bytes(text.encode())
    assert read_output_file(folder) == outputs


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a", "line 1"),
        ("a=1\nno form\n", "line 2"),
        ("=1", "line 1"),
        ("<<E\nE\n", "line 1"),
        ("a<<\nx\n\n", "word that ends"),
        ("a<<EOF\nx\n", "no line 'EOF'"),
        ("a<<EOF\nx\n EOF\n", "no line 'EOF'"),
        (" =1", "line 1"),
        ("a\0=1", "line 1"),
        ("x" * 257 + "=1", "line 1"),
    ],
)
def test_another_form_is_told_by_its_line(folder: Path, text: str, words: str) -> None:
    """A mistake is the run's failure, in words."""
    (folder / ".p2p/output").write_text(text)
    with pytest.raises(OutputFileError, match=words):
        read_output_file(folder)


def test_bytes_that_are_no_text_are_refused(folder: Path) -> None:
    """Outputs are Unicode."""
    (folder / ".p2p/output").write_bytes(b"a=\xff\n")
    with pytest.raises(OutputFileError, match="UTF-8"):
        read_output_file(folder)


@pytest.mark.parametrize(
    "text", ["a=" + "x" * OUTPUT_BYTES_MAX, "a=" + "\1" * 100_000, "".join(f"n{at}=\n" for at in range(1_025))]
)
def test_more_than_a_result_has_is_refused(folder: Path, text: str) -> None:
    """Too many bytes, in the file or once they are JSON, or too many names."""
    (folder / ".p2p/output").write_text(text)
    with pytest.raises(TooMuchError):
        read_output_file(folder)


def test_nothing_else_is_read_in_its_place(folder: Path, tmp_path: Path) -> None:
    """A link, a pipe that nobody writes to, a folder: refused, and nobody hangs. No file: no outputs."""
    assert read_output_file(folder) == {}
    place = folder / ".p2p/output"
    (tmp_path / "private").write_text("key=private")
    place.symlink_to(tmp_path / "private")
    refused(folder)
    place.unlink()
    os.mkfifo(place)
    refused(folder)
    place.unlink()
    place.mkdir()
    refused(folder)
    place.rmdir()
    (folder / ".p2p").rmdir()
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere/output").write_text("key=private")
    (folder / ".p2p").symlink_to(tmp_path / "elsewhere")
    refused(folder)


def refused(folder: Path) -> None:
    """What lies there is no file of outputs."""
    with pytest.raises(OutputFileError, match="something else"):
        read_output_file(folder)


@given(st.text(alphabet="a=<\nE \r\0é", max_size=20))
def test_hostile_text_raises_nothing_else(text: str) -> None:
    """Whatever a run writes."""
    try:
        outputs = parse_outputs(text)
    except OutputFileError:
        return
    assert all(outputs)


values = st.text(st.characters(exclude_characters="\r\0", exclude_categories=["Cs"]), max_size=20)


@given(st.dictionaries(st.from_regex(r"[a-z_-]{1,8}", fullmatch=True), values, max_size=4))
def test_blocks_carry_any_text(outputs: dict[str, str]) -> None:
    """A value of several lines comes back as it was."""
    assert parse_outputs("".join(f"{name}<<THE-END\n{text}\nTHE-END\n" for name, text in outputs.items())) == outputs
