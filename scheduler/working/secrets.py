"""Secrets of a worker: where each comes from, and its value for a run that was granted it.

A value is read when a run that may have it begins, so that a changed one counts at once. It is never in the ledger, in
a message or in a `repr`. Leaves out who is granted which (scheduler.working.policy) and masking (scheduler.running).
"""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from scheduler.running.job import Permit

SECRET_BYTES_MAX: Final = 65_536
"""The longest value, in bytes."""


class SecretError(Exception):
    """A secret that is granted cannot be had; the message says which and why, and nothing of its value."""


class SecretPermissionError(SecretError):
    """Others could read or change the file of a secret."""


@dataclass(frozen=True, slots=True)
class SecretSource:
    """Where the value of a secret comes from: a file of its owner alone, or a variable of the worker's environment."""

    name: str
    file: Path | None = None
    variable: str | None = None

    def __str__(self) -> str:
        return f"the file {self.file}" if self.file is not None else f"the variable {self.variable}"


def grant(
    permit: Permit, asked: Sequence[str], sources: Mapping[str, SecretSource], environ: Mapping[str, str] = os.environ
) -> Permit:
    """Return a permit with the values of the secrets that its payload asks for; raise SecretError for one not there.

    Only for a permit that `judge` has given for that very payload: nothing is decided here.
    """
    if not asked:
        return permit
    return replace(permit, secrets={name: read_secret(_source(name, sources), environ) for name in asked})


def _source(name: str, sources: Mapping[str, SecretSource]) -> SecretSource:
    if name not in sources:
        raise SecretError(f"secret {name}: the policy has no [secrets.{name}]")
    return sources[name]


def read_secret(source: SecretSource, environ: Mapping[str, str] = os.environ) -> str:
    """Return the value of a secret; raise SecretError where it is not there, empty, or of a file others can read."""
    if source.file is not None:
        value = _read_file(source.name, source.file)
    else:
        value = environ.get(source.variable or "", "")
        if not value:
            raise SecretError(f"secret {source.name}: the worker's environment has no {source.variable}")
    if not value or "\0" in value:
        raise SecretError(f"secret {source.name}: {source} holds no value that a variable can have")
    return value


def _read_file(name: str, path: Path) -> str:
    """Return the text of a file without its last line end. The open file is judged, not its name."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise SecretError(f"secret {name}: {path}: {error.strerror or error}") from None
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise SecretError(f"secret {name}: {path} is no regular file")
        if status.st_uid not in {0, os.geteuid()} or status.st_mode & 0o077:
            mode = f"{status.st_mode & 0o777:o}"
            raise SecretPermissionError(f"secret {name}: others may read {path} (mode {mode}): chmod 600 '{path}'")
        data = b""
        while len(data) <= SECRET_BYTES_MAX and (more := os.read(descriptor, SECRET_BYTES_MAX + 1)):
            data += more
    finally:
        os.close(descriptor)
    if len(data) > SECRET_BYTES_MAX:
        raise SecretError(f"secret {name}: {path} has more than {SECRET_BYTES_MAX} bytes")
    try:
        text = data.decode()
    except UnicodeDecodeError:
        raise SecretError(f"secret {name}: {path} is no UTF-8 text") from None
    return text.removesuffix("\n").removesuffix("\r")
