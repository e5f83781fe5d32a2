"""The files of a result: found by pattern, never outside the work folder, never more than may be."""

from __future__ import annotations

import base64
import os
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote

import pytest

from scheduler.running import collecting
from scheduler.running.collecting import PARTS_MAX, CollectError, collect
from scheduler.running.output_file import TooMuchError
from tests.running.jobs import texts

BYTES = 1 << 20


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A work folder with a few files."""
    work = tmp_path / "work"
    for path in ("a.txt", "b.md", "dist/one.whl", "dist/sub/two.whl", ".p2p/script", ".hidden"):
        (work / path).parent.mkdir(parents=True, exist_ok=True)
        (work / path).write_text(path)
    (tmp_path / "private").write_text("private")
    return work


@pytest.mark.parametrize(
    ("patterns", "found"),
    [
        ((), []),
        (("a.txt",), ["a.txt"]),
        (("*.txt", "a.*"), ["a.txt"]),
        (("dist",), ["dist/one.whl", "dist/sub/two.whl"]),
        (("**/*.whl",), ["dist/one.whl", "dist/sub/two.whl"]),
        (("**",), [".hidden", "a.txt", "b.md", "dist/one.whl", "dist/sub/two.whl"]),
        (("*.none",), []),
    ],
)
def test_patterns_find_files(folder: Path, patterns: tuple[str, ...], found: list[str]) -> None:
    """Each file once, in order, with what it holds; what is ours is no part of a result."""
    assert texts(collect(folder, patterns, bytes_max=BYTES)) == {path: path for path in found}


@pytest.mark.parametrize("pattern", ["none.txt", "dist/none", ".p2p/script", "a.txt/x"])
def test_a_file_that_is_named_and_not_there_is_an_error(folder: Path, pattern: str) -> None:
    """A result that was promised is missed."""
    with pytest.raises(CollectError, match="is not there"):
        collect(folder, (pattern,), bytes_max=BYTES)


OUTSIDE = ("../private", "/etc/passwd", "/", "dist/../../private", "/proc/self/environ", "loop/../../private")


@pytest.mark.parametrize("target", OUTSIDE)
@pytest.mark.parametrize("pattern", ["out", "*"])
def test_no_link_leads_out(folder: Path, target: str, pattern: str) -> None:
    """A link to a file elsewhere is an error, whatever the way it takes."""
    (folder / "dist/loop").symlink_to(".")
    (folder / "loop").symlink_to("dist/loop")
    (folder / "out").symlink_to(target)
    with pytest.raises(CollectError, match="leads out"):
        collect(folder, (pattern,), bytes_max=BYTES)


def test_a_folder_that_is_a_link_is_not_entered(folder: Path, tmp_path: Path) -> None:
    """Neither by its name nor by one below it is anything outside reached."""
    (folder / "out").symlink_to(tmp_path)
    (folder / "loop").symlink_to(folder)
    for pattern in ("out/private", "loop/a.txt"):
        with pytest.raises(CollectError, match="is not there"):
            collect(folder, (pattern,), bytes_max=BYTES)
    with pytest.raises(CollectError, match="leads out"):
        collect(folder, ("out",), bytes_max=BYTES)
    assert "loop/a.txt" not in collect(folder, ("**/a.txt",), bytes_max=BYTES)


def test_a_link_that_stays_is_followed(folder: Path) -> None:
    """It stands under its own name, with the file's content."""
    (folder / "latest").symlink_to("dist/one.whl")
    assert texts(collect(folder, ("latest",), bytes_max=BYTES)) == {"latest": "dist/one.whl"}
    (folder / "gone").symlink_to("dist/nothing")
    with pytest.raises(CollectError, match="cannot be read"):
        collect(folder, ("gone",), bytes_max=BYTES)


def test_what_is_no_file_is_an_error(folder: Path) -> None:
    """A pipe that nobody writes to hangs nobody; a name that is no Unicode cannot be kept."""
    os.mkfifo(folder / "pipe")
    with pytest.raises(CollectError, match="is no file"):
        collect(folder, ("pipe",), bytes_max=BYTES)
    (folder / "pipe").unlink()
    (Path(os.fsdecode(os.fsencode(folder) + b"/\xff"))).write_text("x")
    with pytest.raises(CollectError, match="name that cannot be kept"):
        collect(folder, ("*",), bytes_max=BYTES)
    assert collect(folder, ("a.txt",), bytes_max=BYTES)


def test_too_much_is_told_apart(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Too many bytes, files or names, or too long a search: a limit, before anything is read."""
    with (folder / "sparse").open("wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(TooMuchError, match="bytes"):
        collect(folder, ("sparse",), bytes_max=BYTES)
    with pytest.raises(TooMuchError, match="parts"):
        collect(folder, ("sparse",), bytes_max=1 << 50)
    for number in range(PARTS_MAX + 1):
        (folder / f"empty-{number}").touch()
    with pytest.raises(TooMuchError, match="files"):
        collect(folder, ("empty-*",), bytes_max=BYTES)
    monkeypatch.setattr(collecting, "NAMES_MAX", 50)
    with pytest.raises(TooMuchError, match="names"):
        collect(folder, ("a.txt",), bytes_max=BYTES)
    monkeypatch.setattr(collecting, "COLLECT_S", -1)
    with pytest.raises(TooMuchError, match="not matched"):
        collect(folder, ("a.txt",), bytes_max=BYTES)


def test_a_file_with_a_secret_is_refused(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Plain, wherever it stands in the file, or in its name; the words do not say it."""
    monkeypatch.setattr(collecting, "_CHUNK", 16)
    for before in range(40):
        (folder / "a.txt").write_bytes(b"x" * before + b"hunter22" + b"y" * 20)
        with pytest.raises(CollectError, match="secret") as raised:
            collect(folder, ("a.txt",), bytes_max=BYTES, secrets=("hunter22\n", "", "abc"))
        assert "hunter22" not in str(raised.value)
    (folder / "a.txt").write_text("hunter2 2, abc")
    assert collect(folder, ("a.txt",), bytes_max=BYTES, secrets=("hunter22", "abc"))
    (folder / "hunter22").touch()
    with pytest.raises(CollectError, match="secret"):
        collect(folder, ("*",), bytes_max=BYTES, secrets=("hunter22",))


def test_depth_without_end_is_an_error(folder: Path) -> None:
    """A path longer than any may be is refused, and the search does not break on it."""
    descriptor = os.open(folder, os.O_RDONLY)
    for _ in range(60):
        os.mkdir("d" * 100, dir_fd=descriptor)
        below = os.open("d" * 100, os.O_RDONLY, dir_fd=descriptor)
        os.close(descriptor)
        descriptor = below
    os.close(descriptor)
    with pytest.raises(CollectError, match="cannot be read"):
        collect(folder, ("a.txt",), bytes_max=BYTES)


@pytest.mark.parametrize(
    "form",
    [base64.b64encode, base64.urlsafe_b64encode, lambda value: quote(value).encode()],
    ids=("base64", "url", "percent"),
)
def test_a_file_with_a_secret_in_another_form_is_refused(folder: Path, form: Callable[[bytes], bytes]) -> None:
    """What is masked in logs is kept in no file either."""
    (folder / "coded.txt").write_bytes(b"x" * 1_000_000 + form(b"hunter22/&?>secret"))
    with pytest.raises(CollectError, match="secret"):
        collect(folder, ("coded.txt",), bytes_max=BYTES, secrets=("hunter22/&?>secret",))
