"""The source of a task: a tar, maybe gzip, unpacked into a folder of its own, whoever made it.

What is in it is told by regular files, folders, and links that stay within; everything else is refused: paths that
lead out, or through a link, devices, sockets. Numbers and sizes are bounded, unpacked. Owners and times are not kept,
of the rights only whether a file can be run.
"""

from __future__ import annotations

import errno
import io
import os
import posixpath
import stat
import tarfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from scheduler.running.files import FileRefError, check_path

ENTRIES_MAX: Final = 100_000
UNPACKED_BYTES_MAX: Final = 2 * 1_073_741_824
_HEADER_BYTES_MAX: Final = 1_048_576
_CHUNK: Final = 1_048_576
_ITS_FAULT: Final = (errno.EEXIST, errno.ENOTDIR, errno.EISDIR, errno.ENAMETOOLONG, errno.ELOOP, errno.ENOTEMPTY)
"""A name that is a file and a folder, or too long."""
_GZIP: Final = b"\x1f\x8b"
_LONG: Final = (
    tarfile.XHDTYPE,
    tarfile.XGLTYPE,
    tarfile.SOLARIS_XHDTYPE,
    tarfile.GNUTYPE_LONGNAME,
    tarfile.GNUTYPE_LONGLINK,
)


class SourceTarError(ValueError):
    """The source of a task is no tar that may be unpacked; the message says what is wrong with it."""


def unpack(data: bytes, folder: Path, *, bytes_max: int = UNPACKED_BYTES_MAX) -> int:
    """Unpack a tar into an empty folder; return how many files there were. Raises SourceTarError."""
    unpacker = _Unpacker(folder, bytes_max)
    try:
        for member, archive in _members(data, bytes_max):
            unpacker.put(member, archive)
    except (tarfile.TarError, zlib.error, EOFError, UnicodeError, FileRefError) as error:
        raise SourceTarError(f"the source cannot be unpacked: {error}") from None
    except SourceTarError:
        raise
    except (ValueError, OverflowError) as error:
        raise SourceTarError(f"the source cannot be unpacked: {error}") from None
    except OSError as error:
        if error.errno not in _ITS_FAULT:
            raise
        raise SourceTarError(f"the source cannot be unpacked: {error.strerror}") from None
    return unpacker.files


def _members(data: bytes, bytes_max: int) -> Iterator[tuple[tarfile.TarInfo, tarfile.TarFile]]:
    stream = _Inflated(data, bytes_max) if data.startswith(_GZIP) else io.BytesIO(data)
    with tarfile.open(fileobj=stream, mode="r|", tarinfo=_BoundedInfo, errorlevel=2) as archive:
        for member in archive:
            yield member, archive


class _BoundedInfo(tarfile.TarInfo):
    """A member whose long names and extended headers are bounded: tarfile reads those into memory whole."""

    def _proc_member(self, archive: tarfile.TarFile) -> tarfile.TarInfo | None:
        if self.type in _LONG and self.size > _HEADER_BYTES_MAX:
            raise tarfile.ReadError(f"a header of {self.size} bytes")
        found: tarfile.TarInfo | None = super()._proc_member(archive)  # type: ignore[misc] # tarfile's own hook
        return found


class _Inflated(io.RawIOBase):
    """What gzip holds, piece by piece, never more than so much."""

    def __init__(self, data: bytes, bytes_max: int) -> None:
        self._engine = zlib.decompressobj(wbits=31)
        self._rest = data
        self._left = bytes_max

    def read(self, size: int = -1) -> bytes:
        """Return up to `size` bytes, none at the end."""
        wanted = _CHUNK if size < 0 else max(1, size)
        while not self._engine.eof:
            piece = self._engine.decompress(self._rest, wanted)
            self._rest = self._engine.unconsumed_tail
            if piece:
                self._left -= len(piece)
                if self._left < 0:
                    raise tarfile.ReadError("it is larger than a source may be")
                return piece
            if not self._rest:
                raise EOFError("gzip breaks off")
        return b""


class _Unpacker:
    """Puts members below a folder, and through none of the links that it made."""

    def __init__(self, folder: Path, bytes_max: int) -> None:
        self._folder = folder
        self._left = bytes_max
        self._entries = 0
        self._links: set[str] = set()
        self.files = 0

    def put(self, member: tarfile.TarInfo, archive: tarfile.TarFile) -> None:
        """Write one member; raise SourceTarError for one that may not be there."""
        self._entries += 1
        if self._entries > ENTRIES_MAX:
            raise SourceTarError(f"the source has more than {ENTRIES_MAX} entries")
        name = member.name.removeprefix("./").rstrip("/")
        if name in {"", "."} and member.isdir():
            return
        path = check_path(name)
        steps = path.split("/")
        for count in range(1, len(steps)):
            if "/".join(steps[:count]) in self._links:
                raise SourceTarError(f"{path!r} leads through a link")
        place = self._folder / path
        if member.isdir():
            if path in self._links:
                raise SourceTarError(f"{path!r} is a link and a folder")
            place.mkdir(parents=True, exist_ok=True)
            return
        place.parent.mkdir(parents=True, exist_ok=True)
        if member.issym():
            self._link(path, place, member.linkname)
        elif member.islnk():
            self._copy(place, check_path(member.linkname.removeprefix("./")), path)
        elif member.isreg():
            self._write(place, member, archive)
        else:
            raise SourceTarError(f"{path!r} is no file, no folder and no link")

    def _write(self, place: Path, member: tarfile.TarInfo, archive: tarfile.TarFile) -> None:
        self._left -= max(0, member.size)
        if self._left < 0:
            raise SourceTarError("the source is larger than it may be, unpacked")
        place.unlink(missing_ok=True)
        self._links.discard(str(place.relative_to(self._folder)))
        reader = archive.extractfile(member)
        descriptor = os.open(
            place, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o755 if member.mode & stat.S_IXUSR else 0o644
        )
        with open(descriptor, "wb") as file:  # noqa: PTH123 - of a descriptor
            while reader is not None and (piece := reader.read(_CHUNK)):
                file.write(piece)
        self.files += 1

    def _link(self, path: str, place: Path, target: str) -> None:
        led = posixpath.normpath(posixpath.join(posixpath.dirname(path), target))
        if not target or "\0" in target or target.startswith("/") or led == ".." or led.startswith("../"):
            raise SourceTarError(f"{path!r} is a link that leads out: {target[:100]!r}")
        place.unlink(missing_ok=True)
        place.symlink_to(target)
        self._links.add(path)

    def _copy(self, place: Path, target: str, path: str) -> None:
        """Put a second name of a file that came before: the same bytes, as a file of its own."""
        steps = target.split("/")
        if any("/".join(steps[:count]) in self._links for count in range(1, len(steps) + 1)):
            raise SourceTarError(f"{path!r} is a second name of a link")
        source = self._folder / target
        if not source.is_file():
            raise SourceTarError(f"{path!r} is a second name of {target!r}, which is not there")
        self._left -= source.stat().st_size
        if self._left < 0:
            raise SourceTarError("the source is larger than it may be, unpacked")
        data, mode = source.read_bytes(), stat.S_IMODE(source.stat().st_mode)
        place.unlink(missing_ok=True)
        place.write_bytes(data)
        place.chmod(mode)
        self.files += 1
