"""Finds the files that a run hands over as its result, by the patterns of its payload.

For the patterns see `patterns`; one without signs that names nothing is an error. Only regular files count. A link to
a file is followed where it stays in the folder, and is an error where it leads out; one to a folder is passed over.
Everything is bounded, whatever a program has left there: names, files, depth, bytes, time. Call it when nothing of the
run is left.
"""

from __future__ import annotations

import hashlib
import os
import stat
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Final

from ledger.blobs import BLOB_BYTES_MAX
from scheduler.running.files import EVENT_PARTS_MAX, FileRefError, check_path
from scheduler.running.inputs import OWN_FOLDER
from scheduler.running.masking import SECRET_BYTES_MIN, Masker
from scheduler.running.output_file import TooMuchError
from scheduler.running.patterns import is_plain, matches

NAMES_MAX: Final = 100_000
"""How many names below the folder are looked at."""
PARTS_MAX: Final = EVENT_PARTS_MAX - 10
"""Parts of all files together: what one event carries, with room for outputs and log."""

COLLECT_S: Final = 30
"""How long finding the files may take, in s."""

_CHUNK: Final = 1_048_576


class CollectError(Exception):
    """What a pattern names cannot be handed over; the message says what and why."""


def collect(folder: Path, patterns: Sequence[str], *, bytes_max: int, secrets: Iterable[str] = ()) -> dict[str, Path]:
    """Return the result's files, by path, and where each lies; raise CollectError or TooMuchError."""
    if not patterns:
        return {}
    found = dict(sorted(_matching(folder, patterns)))
    for pattern in patterns:
        if is_plain(pattern) and not any(matches(pattern, path) for path in found):
            raise CollectError(f"the result {pattern} is not there")
    sizes = [place.stat().st_size for place in found.values()]
    if sum(sizes) > bytes_max:
        raise TooMuchError(f"the files of the result have {sum(sizes)} bytes, {bytes_max} are allowed")
    parts = sum(-(-size // BLOB_BYTES_MAX) for size in sizes)
    if max(len(found), parts) > PARTS_MAX:
        raise TooMuchError(f"the result has {len(found)} files in {parts} parts, {PARTS_MAX} are allowed")
    hidden = [secret for secret in secrets if len(secret.strip().encode()) >= SECRET_BYTES_MIN]
    values = [secret.strip().encode() for secret in hidden]
    for path, place in found.items():
        if _holds(place, hidden) or any(value in path.encode() for value in values):
            raise CollectError("a file of the result, or its name, holds a secret: nothing of it is kept")
    return found


def _matching(folder: Path, patterns: Sequence[str]) -> Iterator[tuple[str, Path]]:
    until = time.monotonic() + COLLECT_S
    for path, entry in _walk(folder):
        if not _wanted(path, patterns, until):
            continue
        try:
            check_path(path)
            path.encode()
        except (FileRefError, UnicodeEncodeError):
            raise CollectError(f"the result {path[:200]!r} has a name that cannot be kept") from None
        place = Path(entry.path)
        if entry.is_symlink():
            place = _within(folder, path, place)
        try:
            mode = place.stat().st_mode
        except OSError as error:
            raise CollectError(f"the result {path} cannot be read: {error.strerror}") from None
        if stat.S_ISDIR(mode):
            continue
        if not stat.S_ISREG(mode):
            raise CollectError(f"the result {path} is no file")
        if not os.access(place, os.R_OK):
            raise CollectError(f"the result {path} cannot be read")
        yield path, place


def _wanted(path: str, patterns: Sequence[str], until: float) -> bool:
    for pattern in patterns:
        if time.monotonic() > until:
            raise TooMuchError(f"the patterns of the result are not matched within {COLLECT_S} s")
        if matches(pattern, path):
            return True
    return False


def _within(folder: Path, path: str, link: Path) -> Path:
    """Return where a link leads, once it is sure that this is in the folder."""
    target = Path(os.path.realpath(link))
    if not target.is_relative_to(os.path.realpath(folder)):
        raise CollectError(f"the result {path} is a link that leads out of the work folder")
    return target


def _walk(folder: Path) -> Iterator[tuple[str, os.DirEntry[str]]]:
    """Yield everything below a folder that is no folder, but for what is ours; no link is followed."""
    todo = [("", str(folder))]
    seen = 0
    while todo:
        above, place = todo.pop()
        try:
            with os.scandir(place) as entries:
                for entry in entries:
                    seen += 1
                    if seen > NAMES_MAX:
                        raise TooMuchError(f"the run has left more than {NAMES_MAX} names in its folder")
                    path = above + entry.name
                    if not entry.is_dir(follow_symlinks=False):
                        yield path, entry
                    elif path != OWN_FOLDER:
                        todo.append((f"{path}/", entry.path))
        except OSError as error:
            raise CollectError(f"the folder {above[:200] or '.'} cannot be read: {error.strerror}") from None


def _holds(place: Path, secrets: Sequence[str]) -> bool:
    """Return whether a file has a secret in it, in one of the forms that are masked in logs."""
    if not secrets:
        return False
    masker = Masker(secrets)
    shown, said = hashlib.sha256(), hashlib.sha256()
    with place.open("rb") as file:
        while piece := file.read(_CHUNK):
            said.update(piece)
            shown.update(masker.feed(piece))
    shown.update(masker.finish())
    return shown.digest() != said.digest()
