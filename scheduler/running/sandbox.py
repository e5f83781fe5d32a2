"""Runs one program at a level of sandbox, within its limits, and says how it ended.

The one door for all payloads: commands and jobs of workflow files come through `Sandbox.run`. It gives the run a clean
environment, masks the permit's secrets in what it prints, and leaves nothing running. What the run is (its files, its
inputs, what counts as its result) is the caller's business.
"""

from __future__ import annotations

import errno
import os
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from io import FileIO
from pathlib import Path
from typing import Final

from scheduler.running import bubblewrap, bubblewrapped
from scheduler.running.ends import NoProgramError, Started
from scheduler.running.files import check_path
from scheduler.running.following import Followed, follow
from scheduler.running.job import GRACE_MS, Level, Live, Mount, Permit, grace_ms
from scheduler.running.levels import LevelMissingError, SandboxError, bubblewrap_program, require
from scheduler.running.limits import count_tasks_of, kernel_limits, limits_hit
from scheduler.running.masking import Masker
from scheduler.running.nursery import Nursery

NEVER_PASSED: Final = frozenset({"P2P_WORKFLOW_HOME", "P2P_WORKFLOW_KEY"})
"""Variables that no run has: where the worker's home and its key are."""

_PATH: Final = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_NO_PROGRAM: Final = "bwrap: execvp "
_NAME: Final = re.compile(r"[^=\0]+")


@dataclass(frozen=True, slots=True)
class Ended:
    """How a run ended.

    `exit_code` as shells say it: 128 + n after signal n, which `signal` names too. `limits` are those it hit, by the
    names that `Outcome.limits` has; `stopped` is the reason given to `live.stop`, where that ended it.
    """

    exit_code: int
    signal: int | None
    duration_ms: int
    limits: tuple[str, ...]
    level: Level
    stopped: str | None


class Sandbox:
    """Runs programs, from several threads at once. `close` gives back what it keeps between runs.

    Args:
        grace_ms_max: from SIGTERM to SIGKILL, for a run that is to end; less for runs of a short time.
    """

    def __init__(self, *, grace_ms_max: int = GRACE_MS) -> None:
        self._grace_ms_max = grace_ms_max
        self._nursery = Nursery()

    def close(self) -> None:
        """Give back what is kept between runs."""
        self._nursery.close()

    @staticmethod
    def seen_as(folder: Path, level: Level) -> str:
        """Return the path under which a run at `level` sees its work folder."""
        return bubblewrap.INSIDE if level is Level.BUBBLEWRAP else str(folder)

    def run(
        self,
        argv: Sequence[str],
        *,
        folder: Path,
        cwd: str,
        env: Mapping[str, str],
        permit: Permit,
        live: Live,
        extra_read: Sequence[Mount] = (),
    ) -> Ended:
        """Run a program to its end, or until `live.stop`; nothing of it runs on when this returns.

        Args:
            argv: program and arguments.
            folder: the run's own, which it may change; `.p2p/home` and `.p2p/tmp` in it are its home and its /tmp.
            cwd: where in the folder it begins, relative; "" for the folder itself.
            env: its variables, beside a clean few (PATH, HOME, TMPDIR, LANG, USER) that these may replace. The
                permit's variables and secrets are the caller's to put here.
            permit: level, network, mounts, limits, and the secrets that are masked in the log.
            live: where the log goes, and who may stop it.
            extra_read: more of the machine that it may see; not writable whatever they say.

        Raises LevelMissingError where the level, or a limit, is not to be had here; SandboxError where it could not be
        set up as asked; OSError where the machine does not do it.
        """
        require(permit.level)
        for name in (bubblewrap.HOME, bubblewrap.TMP):
            (folder / name).mkdir(parents=True, exist_ok=True)
        variables = clean_environment(folder, permit.level) | dict(env)
        variables = {name: value for name, value in variables.items() if name not in NEVER_PASSED}
        if not all(map(_NAME.fullmatch, variables)) or any("\0" in text for text in (*variables.values(), *argv, cwd)):
            raise SandboxError("a variable without a name, or a NUL in a variable, an argument or a path")
        mounts = (*permit.mounts, *(replace(mount, writable=False) for mount in extra_read))
        start = self._bubblewrapped if permit.level is Level.BUBBLEWRAP else self._plain
        with _pipe() as (output, printing):
            started = start(argv, folder, check_path(cwd) if cwd else "", variables, permit, mounts, printing.fileno())
            printing.close()
            try:
                masker = Masker(permit.secrets.values())
                patience = min(self._grace_ms_max, grace_ms(permit.limits.time_ms))
                followed = follow(
                    started, output.fileno(), live, masker=masker, limits=permit.limits, grace_ms=patience
                )
            except BaseException:
                with suppress(OSError):
                    started.finish()
                raise
        exit_code, ended_by = _finish(started, followed, live)
        hit = (*followed.limits, *limits_hit(permit.limits, exit_code, ended_by, followed.tail))
        return Ended(
            exit_code, ended_by, followed.duration_ms, tuple(dict.fromkeys(hit)), permit.level, followed.stopped
        )

    def _bubblewrapped(
        self,
        argv: Sequence[str],
        folder: Path,
        cwd: str,
        env: Mapping[str, str],
        permit: Permit,
        mounts: Sequence[Mount],
        output: int,
    ) -> Started:
        user = bubblewrap.own_user()
        root = os.geteuid() == 0
        if root:
            _give(folder, user)
        try:
            plan = bubblewrap.plan(
                argv,
                user=user,
                folder=folder,
                cwd=f"{bubblewrap.INSIDE}/{cwd}".rstrip("/"),
                env=env,
                network=permit.network,
                mounts=mounts,
            )
        except ValueError as error:
            raise SandboxError(str(error)) from None
        processes = permit.limits.processes
        if processes is not None and not root:
            processes += 1  # bubblewrap's own in the namespace counts there as the user's
        limits = kernel_limits(permit.limits, processes)
        return bubblewrapped.start(bubblewrap_program() or "bwrap", plan, limits=limits, output=output)

    def _plain(
        self,
        argv: Sequence[str],
        folder: Path,
        cwd: str,
        env: Mapping[str, str],
        permit: Permit,
        mounts: Sequence[Mount],
        output: int,
    ) -> Started:
        moved = next((mount for mount in mounts if mount.inside != str(mount.outside)), None)
        if moved is not None:
            raise SandboxError(
                f"level {Level.PROCESS} mounts nothing: {moved.outside} cannot be seen as {moved.inside}"
            )
        processes = permit.limits.processes
        if processes is not None:
            if os.geteuid() == 0:
                raise LevelMissingError(f"the limit of processes does not bind root at level {Level.PROCESS}")
            processes += count_tasks_of(os.geteuid())
        limits = kernel_limits(permit.limits, processes)
        return self._nursery.start(argv, env=env, cwd=str(folder / cwd), limits=limits, output=output)


def clean_environment(folder: Path, level: Level) -> dict[str, str]:
    """Return the variables that every run has, whatever the worker's own are."""
    inside = Sandbox.seen_as(folder, level)
    return {
        "PATH": _path(),
        "HOME": f"{inside}/{bubblewrap.HOME}",
        "TMPDIR": "/tmp" if level is Level.BUBBLEWRAP else f"{inside}/{bubblewrap.TMP}",  # noqa: S108 - its own
        "LANG": "C.UTF-8",
        "USER": bubblewrap.USER,
        "LOGNAME": bubblewrap.USER,
        "SHELL": "/bin/sh",
    }


def _path() -> str:
    """Return the usual places of programs, then that of the Python that runs us."""
    own = f"{sys.base_prefix}/bin"
    return _PATH if own in _PATH.split(":") else f"{_PATH}:{own}"


def _finish(started: Started, followed: Followed, live: Live) -> tuple[int, int | None]:
    """Return exit code and signal; a program that is not there is 127, one that is no program 126, as in a shell."""
    try:
        return started.finish()
    except bubblewrapped.SetUpError as error:
        said = followed.tail.decode(errors="replace").strip()
        if not said.startswith(_NO_PROGRAM):
            raise SandboxError(f"{error}: {said[-300:]}") from None
        return (127 if said.endswith("No such file or directory") else 126), None
    except NoProgramError as error:
        live.log(f"{error}\n".encode())
        return (127 if error.errno == errno.ENOENT else 126), None


def _give(folder: Path, user: int) -> None:
    """Make everything in a folder a user's own; links are not followed."""
    os.chown(folder, user, user)
    for place, folders, files, descriptor in os.fwalk(folder):
        del place
        for name in (*folders, *files):
            os.chown(name, user, user, dir_fd=descriptor, follow_symlinks=False)


@contextmanager
def _pipe() -> Iterator[tuple[FileIO, FileIO]]:
    reading, writing = os.pipe()
    with FileIO(reading) as output, FileIO(writing, "w") as printing:
        yield output, printing
