"""A program of its own: starts runs at level `process` for one worker, each under a supervisor that outlives nothing.

The worker starts it once (`python -I -S launcher.py FD`), since a fork of this small process costs a tenth of a new
Python, and a worker with threads must not fork and go on. On socket FD it gets, for each run, a byte with two
descriptors: the supervisor's channel and what the run prints to. A supervisor is the *subreaper* of its run: whatever
the run starts stays below it, though it forks twice and makes a session of its own. When the run's main process ends,
or the channel closes because the worker died, everything below is killed before the supervisor ends.

The channel: 4 bytes of length and a JSON request `{argv, env, cwd, limits: [[kind, value], …]}` in; then `T` (SIGTERM
to all) and `K` (kill all) in, one JSON line `{"status": wait status}` or `{"error": words}` out, when all is over.

Imports nothing of ours: it runs without site-packages. Leaves out every decision.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import json
import os
import resource
import select
import signal
import socket
import sys
from typing import Any, Final, NoReturn

_PR_SET_CHILD_SUBREAPER: Final = 36
_AGAIN_S: Final = 0.05
_libc = ctypes.CDLL(None, use_errno=True)


def main(descriptor: int) -> None:
    """Serve the worker behind a socket, until it closes it."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # supervisors need no burial
    gc.disable()
    gc.freeze()  # what is never touched is never copied after a fork
    os.setsid()  # a Ctrl-C at the worker's terminal is the worker's to handle
    with socket.socket(fileno=descriptor) as worker:
        while True:
            data, descriptors, _, _ = socket.recv_fds(worker, 1, 2)
            if not data:
                return
            channel, output = descriptors
            if os.fork() == 0:
                worker.close()
                _supervise(channel, output)
            os.close(channel)
            os.close(output)


def _supervise(channel: int, output: int) -> NoReturn:
    """Run one request to its end, then end; never return into `main`."""
    code = 1
    try:
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGCHLD})
        os.setsid()
        if _libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0):
            raise OSError(ctypes.get_errno(), "the kernel gives no subreaper")
        with socket.socket(fileno=channel) as worker:
            reader = worker.makefile("rb")
            size = int.from_bytes(reader.read(4), "big")
            _answer(worker, _run(worker, json.loads(reader.read(size)), output))
        code = 0
    finally:
        os._exit(code)


def _answer(worker: socket.socket, answer: dict[str, Any]) -> None:
    with contextlib.suppress(OSError):  # the worker has died
        worker.sendall(json.dumps(answer).encode() + b"\n")


def _run(worker: socket.socket, request: dict[str, Any], output: int) -> dict[str, Any]:
    try:
        main_process = _start(request, output)
    except OSError as failure:
        return {"error": failure.strerror, "errno": failure.errno, "program": request["argv"][0]}
    os.close(output)
    ended = os.pidfd_open(main_process)
    poller = select.poll()
    poller.register(ended, select.POLLIN)
    poller.register(worker, select.POLLIN)
    while not any(descriptor == ended for descriptor, _ in poller.poll()):
        word = worker.recv(1)
        if word == b"T":
            for process in processes_below(os.getpid()):
                _send(process, signal.SIGTERM)
        else:
            break
    return {"status": _end_all(main_process)}


def _start(request: dict[str, Any], output: int) -> int:
    """Start the run's main process; raise OSError where that does not work, as `exec` says it."""
    reader, writer = os.pipe()
    process = os.fork()
    if process == 0:
        try:
            _become(request, output)
        except OSError as error:
            os.write(writer, str(error.errno or 1).encode())
        finally:
            os._exit(127)
    os.close(writer)
    with open(reader, "rb") as said:  # noqa: PTH123 - a descriptor
        number = int(said.read() or b"0")
    if number:
        os.waitpid(process, 0)
        raise OSError(number, os.strerror(number))
    return process


def _become(request: dict[str, Any], output: int) -> NoReturn:
    os.setsid()
    nothing = os.open(os.devnull, os.O_RDONLY)
    for source, target in ((nothing, 0), (output, 1), (output, 2)):
        os.dup2(source, target)
    os.chdir(request["cwd"])
    os.umask(0o022)
    for kind, value in request["limits"]:
        hard = resource.getrlimit(kind)[1]
        bounded = value if hard == resource.RLIM_INFINITY else min(value, hard)
        resource.setrlimit(kind, (bounded, bounded))
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGCHLD})
    for ignored in (signal.SIGPIPE, signal.SIGXFSZ):  # Python ignores them; what it starts must not
        signal.signal(ignored, signal.SIG_DFL)
    os.execvpe(request["argv"][0], request["argv"], request["env"])  # noqa: S606 - what the policy permitted


def _end_all(main_process: int) -> int | None:
    """Kill what is left below us until nothing is; return the wait status of the main process."""
    status = None
    while True:
        try:
            while (found := os.waitpid(-1, os.WNOHANG))[0]:
                if found[0] == main_process:
                    status = found[1]
        except ChildProcessError:
            return status
        for process in processes_below(os.getpid()):
            _send(process, signal.SIGKILL)
        signal.sigtimedwait({signal.SIGCHLD}, _AGAIN_S)


def processes_below(root: int) -> list[int]:
    """Return all processes below one, by the parents that /proc tells."""
    children: dict[int, list[int]] = {}
    for name in os.listdir("/proc"):  # noqa: PTH208 - names are enough, and many
        if name.isdigit():
            with contextlib.suppress(OSError, ValueError, IndexError), open(f"/proc/{name}/stat", "rb") as file:  # noqa: PTH123 - it is hot
                children.setdefault(int(file.read().rpartition(b")")[2].split()[1]), []).append(int(name))
    found, todo = [], [root]
    while todo:
        below = children.get(todo.pop(), [])
        found += below
        todo += below
    return found


def _send(process: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.kill(process, number)


if __name__ == "__main__":
    main(int(sys.argv[1]))
