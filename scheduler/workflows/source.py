"""The source that jobs work on: a tar of a folder, the same bytes for the same files wherever it is made.

Of a git work tree the tracked files as they lie there, changes included; of another folder all files. Names are sorted,
times are 0, owners are left out, and of the mode only whether a file is executable. Not compressed: what compressors
write differs between their versions. `.git` is never in it.
"""

from __future__ import annotations

import io
import os
import posixpath
import shutil
import stat
import subprocess
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ledger.blobs import BLOB_BYTES_MAX
from scheduler.running.files import FILE_BYTES_MAX

SOURCE_BYTES_MAX: Final = FILE_BYTES_MAX - BLOB_BYTES_MAX
"""One part less than a file may have: the event links the workflow file as well."""
_GIT_TIMEOUT_S: Final = 120
_SUBMODULE: Final = "160000"


class SourceError(ValueError):
    """The source cannot be packed; the message names the file, or what is missing."""

    def __init__(self, words: str, advice: str = "") -> None:
        super().__init__(words)
        self.advice = advice


@dataclass(frozen=True, slots=True)
class Source:
    """A packed folder.

    Args:
        data: the tar.
        files: how many are in it.
        left_out: submodules, which are not in it.
    """

    data: bytes
    files: int
    left_out: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Checkout:
    """What git says of a work tree: `ref` such as refs/heads/main, "" where none is checked out."""

    root: Path
    ref: str
    sha: str
    changed: bool
    """Whether a tracked file is not as in the commit."""
    untracked: int


def pack(folder: Path) -> Source:
    """Return the files of a folder as a tar: in a git work tree the tracked ones.

    Raises SourceError for what cannot be packed, OSError for what cannot be read.
    """
    _check_folder(folder)
    left_out: list[str] = []
    if in_git(folder):
        names = sorted(_tracked(folder, left_out), key=os.fsencode)
        if not names:
            raise SourceError(f"git tracks no file in {folder}", "`git add` what the jobs need")
    else:
        names = sorted(_walked(folder), key=os.fsencode)
    names = [name for name in names if ".git" not in name.split("/") and os.path.lexists(folder / name)]
    _check_size(folder, names)
    stream = io.BytesIO()
    root = folder.resolve()
    with tarfile.open(fileobj=stream, mode="w", format=tarfile.PAX_FORMAT, encoding="utf-8") as tar:
        for name in names:
            _add(tar, root, name)
    if len(stream.getbuffer()) > SOURCE_BYTES_MAX:
        raise _too_large(len(stream.getbuffer()))
    return Source(stream.getvalue(), len(names), tuple(left_out))


def not_ignored(folder: Path) -> tuple[list[str], int]:
    """Return the paths below a folder that may be given away, sorted, and how many others git ignores.

    Of a git work tree the files that git tracks, or would if it were asked to; of another folder all, and of each work
    tree in it as above. `.git` is never among them.
    """
    names, ignored = _not_ignored(folder, inside=in_git(folder))
    return sorted(names, key=os.fsencode), ignored


def _not_ignored(folder: Path, *, inside: bool) -> tuple[list[str], int]:
    others: list[str] = []
    if inside:
        listed = ("ls-files", "-z", "--exclude-standard")
        found = _names(_git(folder, *listed, "--cached", "--others"))
        others = _names(_git(folder, *listed, "--others", "--ignored"))
    else:
        found = [f"{place}{name}" for place, name in _listed(folder)]
    names, ignored = [], len(others)
    for name in dict.fromkeys(found):
        path = folder / name
        if ".git" in name.split("/") or not os.path.lexists(path):
            continue
        if not path.is_dir() or path.is_symlink():
            names.append(name)
        elif os.path.lexists(path / ".git"):  # a work tree of its own, such as a submodule
            below, more = _not_ignored(path, inside=True)
            names += [f"{name.rstrip('/')}/{one}" for one in below]
            ignored += more
    return names, ignored


def _names(data: bytes) -> list[str]:
    return [os.fsdecode(name) for name in data.split(b"\0") if name]


def _listed(folder: Path) -> Iterator[tuple[str, str]]:
    """Yield what is below a folder, files, links and work trees; raise OSError for a folder that cannot be read."""

    def unreadable(error: OSError) -> None:
        raise error

    for here, folders, files in os.walk(folder, onerror=unreadable):
        place = Path(here).relative_to(folder).as_posix()
        whole = [name for name in folders if Path(here, name).is_symlink() or os.path.lexists(Path(here, name, ".git"))]
        folders[:] = [name for name in folders if name != ".git" and name not in whole]
        for name in (*files, *whole):
            yield "" if place == "." else f"{place}/", name


def _check_folder(folder: Path) -> None:
    if not folder.is_dir():
        raise SourceError(f"{folder} is no folder", "name the folder that the jobs work on, or none")


def in_git(folder: Path) -> bool:
    """Whether a folder is in a git work tree."""
    return any(os.path.lexists(one / ".git") for one in (folder.resolve(), *folder.resolve().parents))


def checkout_of(folder: Path) -> Checkout | None:
    """Return what git says of the work tree around a folder, None where there is none."""
    _check_folder(folder)
    if not in_git(folder):
        return None
    root = Path(os.fsdecode(_git(folder, "rev-parse", "--show-toplevel").removesuffix(b"\n")))
    head = _git(folder, "rev-parse", "--verify", "--quiet", "HEAD", codes=(0, 1)).decode().strip()
    ref = _git(folder, "symbolic-ref", "--quiet", "HEAD", codes=(0, 1)).decode().strip()
    entries = [one for one in _git(root, "status", "--porcelain", "-z").split(b"\0") if one]
    untracked = sum(one.startswith(b"?? ") for one in entries)
    return Checkout(root, ref, head, len(entries) > untracked, untracked)


def resolve_ref(folder: Path, ref: str) -> tuple[str, str]:
    """Return the full name of a git ref and its commit, "" for what is not in this repository."""
    full = ref if ref.startswith("refs/") else f"refs/heads/{ref}"
    if not in_git(folder):
        return full, ""
    names = [ref] if ref.startswith("refs/") else [f"refs/heads/{ref}", f"refs/tags/{ref}"]
    for name in names:
        sha = _git(
            folder, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{name}^{{commit}}", codes=(0, 1, 128)
        )
        if sha.strip():
            return name, sha.decode().strip()
    return full, ""


def _git(folder: Path, *args: str, codes: tuple[int, ...] = (0,)) -> bytes:
    program = shutil.which("git")
    if program is None:
        raise SourceError("git is not installed, and the folder is a git work tree", "install git")
    line = [program, "-c", "core.fsmonitor=false", "-C", str(folder), *args]
    env = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    try:
        done = subprocess.run(  # noqa: S603 — git itself, with words of ours; what users name stands behind options
            line, env=env | {"GIT_OPTIONAL_LOCKS": "0"}, capture_output=True, check=False, timeout=_GIT_TIMEOUT_S
        )
    except subprocess.TimeoutExpired:
        raise SourceError(f"git {args[0]} did not end within {_GIT_TIMEOUT_S} s") from None
    if done.returncode not in codes:
        words = done.stderr.decode(errors="replace").strip() or f"it ended with {done.returncode}"
        raise SourceError(f"git {args[0]}: {words}")
    return done.stdout


def _tracked(folder: Path, left_out: list[str]) -> Iterator[str]:
    for entry in dict.fromkeys(_git(folder, "ls-files", "-z", "--cached", "--stage").split(b"\0")):
        if not entry:
            continue
        about, _, name = entry.partition(b"\t")
        if about.startswith(_SUBMODULE.encode()):
            left_out.append(os.fsdecode(name))
        elif about.endswith(b" 0"):
            yield os.fsdecode(name)
        else:
            raise SourceError(f"{os.fsdecode(name)} is in a merge that is not finished", "finish it")


def _walked(folder: Path) -> Iterator[str]:
    for here, folders, files in os.walk(folder):
        links = [name for name in folders if Path(here, name).is_symlink()]
        folders[:] = [name for name in folders if name != ".git" and name not in links]
        for name in (*files, *links):
            yield Path(here, name).relative_to(folder).as_posix()


def _check_size(folder: Path, names: list[str]) -> None:
    size = sum((folder / name).lstat().st_size for name in names)
    if size > SOURCE_BYTES_MAX:
        raise _too_large(size)


def _too_large(size: int) -> SourceError:
    words = f"the source has {size:,} bytes, and {SOURCE_BYTES_MAX:,} are possible"
    return SourceError(words, "name a smaller folder with --source, or none; what is tracked by git goes in")


def _add(tar: tarfile.TarFile, root: Path, name: str) -> None:
    path = root / name
    if not path.parent.resolve().is_relative_to(root):
        raise SourceError(f"{name} lies behind a link that leads out of the source")
    mode = path.lstat().st_mode
    entry = tarfile.TarInfo(name)
    if stat.S_ISLNK(mode):
        entry.type, entry.linkname, entry.mode = tarfile.SYMTYPE, os.fsdecode(path.readlink()), 0o777
        target = posixpath.normpath(posixpath.join(posixpath.dirname(name), entry.linkname))
        if entry.linkname.startswith("/") or target.split("/")[0] == "..":
            raise SourceError(f"{name} is a link that leads out of the source: {entry.linkname}", "remove it")
        tar.addfile(entry)
    elif stat.S_ISREG(mode):
        data = path.read_bytes()
        entry.size, entry.mode = len(data), 0o755 if mode & stat.S_IXUSR else 0o644
        tar.addfile(entry, io.BytesIO(data))
    else:
        raise SourceError(f"{name} is neither a file nor a link")
