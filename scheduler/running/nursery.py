"""Starts runs at level `process`, through the launcher program: one for each worker, started when first needed."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from scheduler.readable import is_readable
from scheduler.running.ends import KILL_S, NoProgramError, UnendingError, exit_of_status

_PROGRAM: Final = Path(__file__).with_name("launcher.py")


class Nursery:
    """The launcher program of one worker, and the way to it. `close` ends it; the worker's death does, too."""

    def __init__(self) -> None:
        self._turn = threading.Lock()
        self._socket: socket.socket | None = None
        self._program: subprocess.Popen[bytes] | None = None

    def start(
        self,
        argv: Sequence[str],
        *,
        env: Mapping[str, str],
        cwd: str,
        limits: Sequence[tuple[int, int]],
        output: int,
    ) -> SupervisedRun:
        """Start a run that prints to `output`; raise OSError where nothing can be started."""
        request = json.dumps({"argv": [*argv], "env": dict(env), "cwd": cwd, "limits": [*limits]}).encode()
        ours, theirs = socket.socketpair()
        try:
            with theirs:
                self._hand_over([theirs.fileno(), output])
            ours.sendall(len(request).to_bytes(4, "big") + request)
        except BaseException:
            ours.close()
            raise
        return SupervisedRun(ours)

    def close(self) -> None:
        """End the launcher; runs that are still under way are killed when their channel closes."""
        with self._turn:
            self._forget()

    def _hand_over(self, descriptors: list[int]) -> None:
        with self._turn:
            for attempt in range(2):
                try:
                    if self._socket is None:
                        self._socket = self._launch()
                    socket.send_fds(self._socket, [b"R"], descriptors)
                    return
                except OSError:  # it was killed by somebody: once more with a new one
                    self._forget()
                    if attempt:
                        raise

    def _launch(self) -> socket.socket:
        ours, theirs = socket.socketpair()
        line = [sys.executable, "-I", "-S", str(_PROGRAM), str(theirs.fileno())]
        with theirs:
            self._program = subprocess.Popen(  # noqa: S603 - our own program
                line, pass_fds=[theirs.fileno()], env={"LC_ALL": "C.UTF-8"}, cwd="/", stdin=subprocess.DEVNULL
            )
        return ours

    def _forget(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None
        if self._program is not None:
            try:
                self._program.wait(KILL_S)
            except subprocess.TimeoutExpired:
                self._program.kill()
                self._program.wait()
            self._program = None


class SupervisedRun:
    """A run under its supervisor. `ended` becomes readable when nothing of it is left."""

    def __init__(self, channel: socket.socket) -> None:
        self._channel = channel
        self.ended = channel.fileno()

    def terminate(self) -> None:
        """Send SIGTERM to all of its processes."""
        self._tell(b"T")

    def kill(self) -> None:
        """Kill all of its processes; return when none is left."""
        self._tell(b"K")
        if not is_readable(self._channel, KILL_S):
            raise UnendingError(f"killed processes have not ended within {KILL_S} s")

    def finish(self) -> tuple[int, int | None]:
        """Return exit code and signal of the main process, once `kill` has returned."""
        with self._channel, self._channel.makefile("rb") as reader:
            line = reader.readline()
        if not line:
            raise UnendingError("the supervisor of the run was killed; processes of it may be left")
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise NoProgramError(answer["errno"], answer["error"], answer["program"])
        return exit_of_status(answer["status"])

    def _tell(self, word: bytes) -> None:
        try:
            self._channel.send(word, socket.MSG_NOSIGNAL)
        except OSError:
            return  # it is over already
