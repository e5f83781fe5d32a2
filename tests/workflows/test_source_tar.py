"""A tar that anybody made is unpacked below its folder, within bounds, or refused in words."""

from __future__ import annotations

import gzip
import io
import os
import tarfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scheduler.workflows.source_tar import SourceTarError, unpack
from tests.workflows.act_bench import tar_of


def member(name: str, kind: bytes = tarfile.REGTYPE, link: str = "", mode: int = 0o644) -> tarfile.TarInfo:
    """Return a member without content."""
    found = tarfile.TarInfo(name)
    found.type, found.linkname, found.mode = kind, link, mode
    return found


def tar(*members: tarfile.TarInfo) -> bytes:
    """Return a tar of members."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        for one in members:
            archive.addfile(one)
    return stream.getvalue()


def test_files_folders_and_links(tmp_path: Path) -> None:
    """Contents, whether they can be run, folders and links within are kept; owners and special rights are not."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz", format=tarfile.PAX_FORMAT) as archive:
        archive.addfile(member("./", tarfile.DIRTYPE))
        archive.addfile(member("./empty", tarfile.DIRTYPE))
        one = member("./sub/ä" + "x" * 150, mode=0o4777)
        one.size, one.uid = 3, 4711
        archive.addfile(one, io.BytesIO(b"abc"))
        archive.addfile(member("sub/link", tarfile.SYMTYPE, "../empty"))
        archive.addfile(member("twice", tarfile.LNKTYPE, "sub/ä" + "x" * 150))
    assert unpack(stream.getvalue(), tmp_path) == 2
    place = tmp_path / "sub" / ("ä" + "x" * 150)
    assert place.read_bytes() == (tmp_path / "twice").read_bytes() == b"abc"
    assert place.stat().st_mode & 0o7777 == 0o755
    assert place.stat().st_uid == os.geteuid()
    assert (tmp_path / "sub/link").readlink() == Path("../empty")
    assert (tmp_path / "empty").is_dir()


@pytest.mark.parametrize(
    "data",
    [
        tar(member("../out")),
        tar(member("/out")),
        tar(member("a/../../out")),
        tar(member("a", tarfile.SYMTYPE, "../out")),
        tar(member("a", tarfile.SYMTYPE, "/etc/passwd")),
        tar(member("a", tarfile.SYMTYPE, "b/../../x")),
        tar(member("d", tarfile.DIRTYPE), member("a", tarfile.SYMTYPE, "d"), member("a/out")),
        tar(member("a", tarfile.SYMTYPE, "."), member("a", tarfile.DIRTYPE)),
        tar(member("a", tarfile.SYMTYPE, "b"), member("c", tarfile.LNKTYPE, "a")),
        tar(member("a", tarfile.LNKTYPE, "/etc/passwd")),
        tar(member("a", tarfile.LNKTYPE, "missing")),
        tar(member("a", tarfile.CHRTYPE)),
        tar(member("a", tarfile.BLKTYPE)),
        tar(member("a", tarfile.FIFOTYPE)),
        tar(member("a"), member("a/b")),
        b"",
        b"no tar at all" * 100,
        gzip.compress(b"no tar"),
        gzip.compress(tar(member("a")))[:-20],
        b"\x1f\x8b" + b"\0" * 100,
    ],
    ids=range(20),
)
def test_what_is_refused(tmp_path: Path, data: bytes) -> None:
    """Paths and links that lead out or through links, devices, and what is no tar; nothing comes to lie outside."""
    folder = tmp_path / "within"
    folder.mkdir()
    with pytest.raises(SourceTarError):
        unpack(data, folder)
    assert [one.name for one in tmp_path.iterdir()] == ["within"]


def bomb() -> bytes:
    """Return a small gzip of a large file."""
    one = member("zeros")
    one.size = 50_000_000
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz") as archive:
        archive.addfile(one, io.BytesIO(bytes(one.size)))
    return stream.getvalue()


def long_header() -> bytes:
    """Return a gzip whose member has an extended header of megabytes."""
    one = member("a")
    one.pax_headers = {"comment": "x" * 3_000_000}
    return gzip.compress(tar(one))


@pytest.mark.parametrize("make", [bomb, long_header])
def test_bombs(tmp_path: Path, make: Callable[[], bytes]) -> None:
    """What becomes larger than it may, unpacked, is refused on the way."""
    with pytest.raises(SourceTarError):
        unpack(make(), tmp_path, bytes_max=10_000_000)
    assert sum(one.stat().st_size for one in tmp_path.rglob("*")) <= 10_000_000


@given(at=st.integers(0, 4_000), value=st.integers(0, 255), zipped=st.booleans())
def test_flipped_bytes(tmp_path_factory: pytest.TempPathFactory, at: int, value: int, zipped: bool) -> None:
    """Whatever a byte becomes, it is unpacked or refused, and never anything else."""
    data = bytearray(tar_of({"a/b": "x" * 600, "c": "y"}))
    if not zipped:
        data = bytearray(gzip.decompress(data))
    data[at % len(data)] = value
    folder = tmp_path_factory.mktemp("flipped")
    with suppress(SourceTarError):
        unpack(bytes(data), folder)
