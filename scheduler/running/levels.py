"""Which levels of sandbox this machine can give, and why not the others, in words.

Bubblewrap is really tried, once for each process of ours: a program that is there but may not make namespaces (a
container without the right, a kernel without user namespaces) counts as missing.
"""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from scheduler.running.bubblewrap import PROBE_FLAGS, drop_command, drop_flags, own_user
from scheduler.running.job import Level, Permit

_PROBE_S: Final = 20
_INSTALL: Final = "install it, on Debian or Ubuntu: apt-get install bubblewrap"


class SandboxError(Exception):
    """A run could not be set up as it was asked for; the message says what and why."""


class LevelMissingError(SandboxError):
    """The demanded level of sandbox, or a limit, is not to be had on this machine; the message says why."""


def available() -> Mapping[Level, str | None]:
    """Return for each level None where this machine gives it, else why it does not."""
    return MappingProxyType({Level.PROCESS: None, Level.BUBBLEWRAP: why_no_bubblewrap()})


def require(level: Level) -> None:
    """Raise LevelMissingError where this machine does not give a level."""
    why = available()[level]
    if why is not None:
        raise LevelMissingError(f"sandbox level {level}: {why}")


def why_not(permit: Permit) -> str | None:
    """Return why this machine cannot run anything under a permit, None where it can."""
    why = available()[permit.level]
    if why is not None:
        return f"sandbox level {permit.level}: {why}"
    if permit.level is Level.PROCESS and permit.limits.processes is not None and os.geteuid() == 0:
        return f"the limit of processes does not bind root at level {Level.PROCESS}"
    return None


def forget() -> None:
    """Forget what was found, so that the next question looks again."""
    bubblewrap_program.cache_clear()
    why_no_bubblewrap.cache_clear()


@functools.cache
def bubblewrap_program() -> str | None:
    """Return where bubblewrap is, None where it is not."""
    return shutil.which("bwrap")


@functools.cache
def why_no_bubblewrap() -> str | None:
    """Return None where bubblewrap works here, else why it does not."""
    program = bubblewrap_program()
    if program is None:
        return f"bubblewrap (bwrap) is not installed; {_INSTALL}"
    drop: tuple[str, ...] = ()
    if os.geteuid() == 0:
        user = own_user()
        found = drop_command(user)
        if found is None:
            return "setpriv, which a worker of root needs, is not installed; on Debian or Ubuntu: util-linux"
        drop = (*found, "--")
    line = (program, *PROBE_FLAGS, *drop_flags(), "--", *drop, "/bin/sh", "-c", "exit 7")
    try:
        tried = subprocess.run(  # noqa: S603 - a line of our own
            line, capture_output=True, check=False, timeout=_PROBE_S, stdin=subprocess.DEVNULL, env={}
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"bubblewrap ({program}) does not start: {error}"
    if tried.returncode == 7:
        return None
    said = tried.stderr.decode(errors="replace").strip() or f"exit code {tried.returncode}"
    return f"bubblewrap ({program}) cannot make a sandbox here: {said[:300]}"
