"""The neighbours that benchmarks measure against, as processes of their own: huey on SQLite, dramatiq on Redis.

Both keep results and sync before they answer; they are given back once a first task has come through, and idle.
"""

from __future__ import annotations

import importlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).resolve().parents[1]
_DEADLINE_S: Final = 300.0
_LOOK_S: Final = 0.005
_IDLE_S: Final = 2.0
"""After the first task: what a worker does when it has begun is over."""

Process = subprocess.Popen[Any]


@contextmanager
def huey_consumers(folder: Path, processes: int, threads: int) -> Iterator[tuple[Any, list[Process]]]:
    """Run consumers of benchmarks/huey_app.py; give that module and the processes."""
    environ = {"BENCH_FILE": str(folder / "huey.db")}
    os.environ.update(environ)
    app = _fresh("benchmarks.huey_app")
    consumer = [str(Path(sys.executable).with_name("huey_consumer")), "benchmarks.huey_app.app"]
    command = [sys.executable, *consumer, "-w", str(threads), "-k", "thread", "-q"]
    with ExitStack() as stack:
        started = [stack.enter_context(running(command, environ)) for _ in range(processes)]
        app.echo("ready").get(blocking=True, timeout=60)
        time.sleep(_IDLE_S)
        yield app, started


@contextmanager
def dramatiq_workers(folder: Path, programs: int, processes: int, threads: int) -> Iterator[tuple[Any, list[Process]]]:
    """Run programs of so many workers each for benchmarks/dramatiq_app.py; give that module and the programs.

    Their Redis syncs its log before each answer. Each program leads a process group that has its workers in it.
    """
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    redis = ["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--dir", str(folder), "--save", ""]
    environ = {"BENCH_PORT": str(port)}
    os.environ.update(environ)
    command = [sys.executable, "-m", "dramatiq", "benchmarks.dramatiq_app"]
    command += ["--processes", str(processes), "--threads", str(threads)]
    with ExitStack() as stack:
        stack.enter_context(running([*redis, "--appendonly", "yes", "--appendfsync", "always"], {}))
        wait_for(lambda: _answers(port))
        app = _fresh("benchmarks.dramatiq_app")
        started = [stack.enter_context(running(command, environ)) for _ in range(programs)]
        app.echo.send("ready").get_result(block=True, timeout=60_000)
        time.sleep(_IDLE_S)
        yield app, started


@contextmanager
def running(command: list[str], environ: dict[str, str], **options: Any) -> Iterator[Process]:
    """Run a program from the checkout, leading a group of its own; end it, or what is left of its group."""
    options = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL} | options
    process: Process = subprocess.Popen(
        command, cwd=ROOT, env=os.environ | {"PYTHONPATH": str(ROOT)} | environ, start_new_session=True, **options
    )
    try:
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        if process.stdout is not None:
            process.stdout.close()


def wait_for(look: Callable[[], Any], deadline_s: float = _DEADLINE_S) -> Any:
    """Return what `look` returns once that is true; raise TimeoutError after `deadline_s` seconds."""
    deadline = time.monotonic() + deadline_s
    while not (found := look()):
        if time.monotonic() > deadline:
            raise TimeoutError("a side has not done its tasks")
        time.sleep(_LOOK_S)
    return found


def _answers(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
    except OSError:
        return False
    return True


def _fresh(name: str) -> Any:
    """Return a module loaded anew, since it reads where its file is when it is loaded."""
    return importlib.reload(importlib.import_module(name))
