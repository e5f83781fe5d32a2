"""Starts runs in bubblewrap and ends them with all that is in their process namespace.

Bubblewrap waits before it runs anything, until the kernel's limits are set on the first process of the namespace,
from which the others have them: so no helper has to be run for that, and nothing forks in a worker with threads.
When that first process is killed, the kernel kills the rest, and lets it go only when they are gone.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from typing import Any, Final

from scheduler.readable import is_readable
from scheduler.running.bubblewrap import Plan
from scheduler.running.ends import KILL_S, UnendingError, exit_of_code
from scheduler.running.launcher import processes_below
from scheduler.running.limits import within_hard_limit

_START_S: Final = 60


class SetUpError(OSError):
    """Bubblewrap could not set the sandbox up, so nothing ran; it has said why in the run's log."""


def start(program: str, plan: Plan, *, limits: Sequence[tuple[int, int]], output: int) -> BubblewrappedRun:
    """Start a run that prints to `output`; raise OSError where nothing can be started."""
    with ExitStack() as ours:
        status, status_in = os.pipe()
        ours.callback(os.close, status_in)
        block_out, block = os.pipe()
        ours.callback(os.close, block_out)
        options = (*plan.options, "--json-status-fd", str(status_in), "--block-fd", str(block_out))
        handed = [status_in, block_out]
        for place, data in plan.files.items():
            handed.append(_memory(ours, data))
            options += ("--perms", "0444", "--file", str(handed[-1]), place)
        options += plan.closing
        handed.append(_memory(ours, b"".join(os.fsencode(option) + b"\0" for option in options)))
        try:
            process = subprocess.Popen(  # noqa: S603 - what the policy permitted
                [program, "--args", str(handed[-1]), "--", *plan.argv],
                pass_fds=handed,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                cwd="/",
                env={},
            )
        except BaseException:
            os.close(status)
            os.close(block)
            raise
    run = BubblewrappedRun(process, status)
    try:
        run.release(block, limits)
    except BaseException:
        run.abandon()
        raise
    finally:
        os.close(block)
    return run


def _memory(ours: ExitStack, data: bytes) -> int:
    """Return a descriptor of a file in memory: environment and secrets do not belong on a command line."""
    descriptor = os.memfd_create("p2p")
    ours.callback(os.close, descriptor)
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]
    os.lseek(descriptor, 0, os.SEEK_SET)
    return descriptor


class BubblewrappedRun:
    """A run in bubblewrap."""

    def __init__(self, process: subprocess.Popen[bytes], status: int) -> None:
        self._process = process
        self._status = open(status, "rb", buffering=0)  # noqa: SIM115 - a pipe; finish and abandon close it
        self._said = b""
        self._first = -1
        self._first_process = 0
        self.ended = os.pidfd_open(process.pid)

    def release(self, block: int, limits: Sequence[tuple[int, int]]) -> None:
        """Set the limits on the first process of the namespace, then let it run."""
        while b"\n" not in self._said:
            if not is_readable(self._status, _START_S):
                raise SetUpError(f"bubblewrap says nothing for {_START_S} s")
            data = self._status.read(4_096)
            if not data:
                return  # it has failed and says so to `output`
            self._said += data
        self._first_process = _member(self._said, "child-pid") or 0
        with suppress(ProcessLookupError, BrokenPipeError):  # it has failed just now, as above
            self._first = os.pidfd_open(self._first_process)
            for kind, value in limits:
                hard = resource.prlimit(self._first_process, kind)[1]
                resource.prlimit(self._first_process, kind, within_hard_limit(value, hard))
            os.write(block, b"\0")

    def terminate(self) -> None:
        """Send SIGTERM to all processes in the namespace but its first, bubblewrap's own."""
        for process in processes_below(self._first_process) if self._first_process else ():
            with suppress(ProcessLookupError):
                os.kill(process, signal.SIGTERM)

    def kill(self) -> None:
        """Kill the namespace; return when nothing in it is left."""
        if self._first >= 0:
            with suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._first, signal.SIGKILL)
            _wait(self._first)
        _wait(self.ended)

    def finish(self) -> tuple[int, int | None]:
        """Return exit code and signal of the main process, once `kill` has returned."""
        self._said += self._status.read() or b""
        code = self._process.wait()
        self._close()
        told = _member(self._said, "exit-code")
        if told is None and self._first_process and code == 128 + signal.SIGKILL:
            told = code  # we killed the namespace ourselves
        if told is None:
            raise SetUpError("bubblewrap could not set the sandbox up; the log says why")
        return exit_of_code(told)

    def abandon(self) -> None:
        """End a run that was never let go."""
        self._process.kill()
        self._process.wait()
        self._close()

    def _close(self) -> None:
        self._status.close()
        os.close(self.ended)
        if self._first >= 0:
            os.close(self._first)


def _wait(descriptor: int) -> None:
    if not is_readable(descriptor, KILL_S):
        raise UnendingError(f"killed processes have not ended within {KILL_S} s")


def _member(lines: bytes, name: str) -> int | None:
    """Return a number that bubblewrap has told, None where it has not."""
    for line in lines.splitlines():
        with suppress(ValueError):
            told: dict[str, Any] = json.loads(line)
            if name in told:
                return int(told[name])
    return None
