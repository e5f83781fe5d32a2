"""The keys of this machine: a folder with one file for each, which nobody but its owner can read.

Implements: keys at rest, for section Blocks. A file holds one line, the Multikey secret text. It appears whole or not
at all, and never in the place of another. Leaves out: encryption at rest and other systems' permissions (POSIX only).
"""

from __future__ import annotations

import errno
import os
import stat
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Final
from urllib.parse import unquote

from ledger.keys import ActorKey, KeyFormatError, SigningKey

NAME_CHARS_MAX: Final = 128
"""Longest name of a key, in characters."""
FILE_NAME_BYTES_MAX: Final = 255
"""Longest file name that common file systems take, in bytes."""
_FILE_BYTES_MAX: Final = 1024
_SUFFIX: Final = ".key"
_SAFE: Final = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-")


class KeyringError(Exception):
    """Something about a kept key is wrong; the message says what to do."""


class KeyNameError(KeyringError, ValueError):
    """The name cannot be one of a key: empty, too long or not printable."""


class KeyNotFoundError(KeyringError, LookupError):
    """No key of this name is kept here."""


class KeyExistsError(KeyringError):
    """A key of this name is kept already, and is never written over."""


class KeyPermissionError(KeyringError):
    """Somebody else could have read or put this key."""


class KeyFileError(KeyringError):
    """The file is there, and is no key."""


def key_file_name(name: str) -> str:
    """Return the file name of the key `name`: `NAME.key`, with all but [A-Za-z0-9._-] percent-encoded.

    So is a `.` or `-` in front, which would hide the file or look like an option. Raises KeyNameError unless the name
    has 1 to 128 printable characters and its file name at most 255 bytes.
    """
    if not 1 <= len(name) <= NAME_CHARS_MAX or not name.isprintable():
        raise KeyNameError(f"the name of a key has 1 to {NAME_CHARS_MAX} printable characters")
    first = _percent(name[0]) if name[0] in ".-" else _quote(name[0])
    file_name = first + "".join(map(_quote, name[1:])) + _SUFFIX
    if len(file_name) > FILE_NAME_BYTES_MAX:
        raise KeyNameError(f"the name {name!r} is too long for a file once its special characters are encoded")
    return file_name


def key_name(file_name: str) -> str | None:
    """Return the name whose `key_file_name` this is, or None where it is none."""
    name = unquote(file_name.removesuffix(_SUFFIX))
    try:
        return name if key_file_name(name) == file_name else None
    except KeyNameError:
        return None


class KeyRing:
    """The keys in `folder`, which is made (0700) with the first one."""

    __slots__ = ("folder",)

    def __init__(self, folder: Path) -> None:
        self.folder: Final = folder

    def generate(self, name: str) -> SigningKey:
        """Make a new key, keep it as `name` and return it; raise KeyExistsError where the name is taken."""
        key = SigningKey.generate()
        self.add(name, key)
        return key

    def ensure(self, name: str, key: SigningKey | None = None) -> SigningKey:
        """Return the key kept as `name`; where there is none, keep `key` or a new one. Processes at once get one."""
        kept = self.find(name)
        if kept is None:
            kept = key or SigningKey.generate()
            try:
                self.add(name, kept)
            except KeyExistsError:  # another process was faster
                kept = self.load(name)
        return kept

    def add(self, name: str, key: SigningKey) -> None:
        """Keep `key` as `name`, on the disk before this returns; raise KeyExistsError where the name is taken."""
        path = self.folder / key_file_name(name)
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        # Written under another name (0600 from the start) and linked when whole: a link never replaces a file.
        descriptor, unfinished = tempfile.mkstemp(dir=self.folder, prefix=".unfinished-")
        try:
            with os.fdopen(descriptor, "w", encoding="ascii") as file:
                file.write(key.to_text() + "\n")
                file.flush()
                os.fsync(file.fileno())
            os.link(unfinished, path)
        except FileExistsError:
            raise KeyExistsError(f"there is a key {name!r} already: {path}") from None
        finally:
            Path(unfinished).unlink()
        _sync_folder(self.folder)

    def load(self, name: str) -> SigningKey:
        """Return the key kept as `name`.

        Raises KeyNotFoundError (with the names there are), KeyPermissionError where others can read or have made the
        file, and KeyFileError where it holds no key.
        """
        path = self.folder / key_file_name(name)
        try:
            text = read_private(path)
        except FileNotFoundError:
            known = ", ".join(map(repr, self.names())) or "none"
            raise KeyNotFoundError(f"no key {name!r} in {self.folder}; known: {known}") from None
        try:
            return SigningKey.from_text(text.removesuffix("\n"))
        except KeyFormatError as error:
            raise KeyFileError(f"{path}: {error}") from None

    def find(self, name: str) -> SigningKey | None:
        """Return the key kept as `name`, or None; raise as `load` where there is one that cannot be used."""
        try:
            return self.load(name)
        except KeyNotFoundError:
            return None

    def names(self) -> tuple[str, ...]:
        """Return the names of the keys kept here, sorted."""
        if not self.folder.is_dir():
            return ()
        names = (key_name(entry.name) for entry in self.folder.iterdir())
        return tuple(sorted(name for name in names if name is not None))

    def actors(self) -> Mapping[str, ActorKey]:
        """Return the public key of each name; raise as `load` at the first that cannot be used."""
        return {name: self.load(name).actor for name in self.names()}


def _quote(char: str) -> str:
    return char if char in _SAFE else _percent(char)


def _percent(char: str) -> str:
    return "".join(f"%{byte:02X}" for byte in char.encode())


def read_private(path: Path) -> str:
    """Return what stands in a file of our own that nobody else can read, as ASCII, up to 1024 characters.

    The open file is judged, not its name. Raises KeyPermissionError where others can read it, it is another user's or a
    link, KeyFileError where it is no regular file, and OSError as `open` does.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise KeyPermissionError(f"{path} is a symbolic link; put the key itself there") from None
        if isinstance(error, PermissionError):
            raise KeyPermissionError(f"{path} cannot be read; as its owner: chmod 600 '{path}'") from None
        raise
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise KeyFileError(f"{path} is no regular file")
        if status.st_uid != os.geteuid():
            raise KeyPermissionError(f"{path} belongs to another user; chown it, or make a key of your own")
        if status.st_mode & 0o077:
            raise KeyPermissionError(f"others may read {path} (mode {status.st_mode & 0o777:o}): chmod 600 '{path}'")
        data = os.read(descriptor, _FILE_BYTES_MAX)
    finally:
        os.close(descriptor)
    return data.decode("ascii", errors="replace")


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
