"""The bearer token of the MCP server: from a file of its owner's, made at the first start, or from the environment.

The token itself is never printed nor logged, only where it is. Leaves out comparing it (cli.mcp.door).
"""

from __future__ import annotations

import os
import re
import secrets
import stat
from pathlib import Path
from typing import Final

from cli.errors import ForbiddenError, InputError

TOKEN_VARIABLE: Final = "P2P_WORKFLOW_MCP_TOKEN"  # noqa: S105 — the name of a variable
CHARS_MIN: Final = 16
_CHARS_MAX: Final = 1_024
_TOKEN: Final = re.compile(r"[A-Za-z0-9._~+/-]+=*")  # what may stand behind `Bearer` (RFC 6750)


def find_token(file: Path | None) -> tuple[str | None, bool]:
    """Return the token to ask for, None where there is to be none; and whether the file was made now.

    Raises InputError for a text that can be no token, or where file and variable are both given; ForbiddenError for a
    file that others may read.
    """
    given = os.environ.get(TOKEN_VARIABLE, "").strip()
    if file is None:
        return (
            _checked(given, TOKEN_VARIABLE, "set it to another, such as: openssl rand -hex 32") if given else None
        ), False
    if given:
        raise InputError(
            f"--token-file and {TOKEN_VARIABLE} both give a token", "leave out one: neither beats the other in silence"
        )
    try:
        descriptor = os.open(file, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return _make(file), True
    with os.fdopen(descriptor) as stream:
        mode = os.fstat(stream.fileno()).st_mode
        if not stat.S_ISREG(mode) or mode & 0o077:
            raise ForbiddenError(
                f"{file} can be read by others than its owner", f"make it yours alone: chmod 600 {file}"
            )
        token = stream.read(_CHARS_MAX + 1).strip()
        return _checked(
            token, str(file), "remove the file, and the next start makes one; or: openssl rand -hex 32"
        ), False


def _make(file: Path) -> str:
    token = secrets.token_urlsafe(32)
    file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "w") as stream:
        stream.write(token + "\n")
        stream.flush()
        os.fsync(stream.fileno())
    return token


def _checked(token: str, where: str, advice: str) -> str:
    if not CHARS_MIN <= len(token) <= _CHARS_MAX or not _TOKEN.fullmatch(token):
        raise InputError(
            f"{where}: a token of {CHARS_MIN} to {_CHARS_MAX} letters, digits and -._~+/ is wanted",
            advice,
        )
    return token
