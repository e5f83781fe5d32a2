"""A page of documentation as a program: its shell examples, in order, each on the machine it names.

In front of every example stands a comment that no reader sees:

    <!-- run on alice -->                      run it in alice's shell; it must end with 0
    <!-- run on alice, in the background -->   start it; it is ended with the page
    <!-- run on bob until: Events: 12 -->      run it again and again until it prints this, within the deadline
    <!-- run on carol, exit 5 -->              it must end so
    <!-- not run: why -->                      an example that cannot run here, for this reason

A machine is a home, a user's folder and an environment of its own; all share one folder to work in, as if files were
carried between them. An example without such a comment is a fault of the page.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from scheduler.node import managed_node

BIN: Final = Path(sys.executable).parent
DEADLINE_S: Final = 90
_RETRY_S: Final = 0.2

_EXAMPLE: Final = re.compile(r"(?:<!-- (?P<how>[^>]*) -->\n+)?```bash\n(?P<text>.*?)^```", re.DOTALL | re.MULTILINE)
_HOW: Final = re.compile(
    r"run on (?P<machine>\w+)(?P<background>, in the background)?(?:, exit (?P<code>\d+))?(?: until: (?P<until>.+))?"
)


class PageError(Exception):
    """A page's example is not marked, or did not do what the page says."""


@dataclass(frozen=True, slots=True)
class Example:
    """Lines for a shell, where they are run, and what must come of it."""

    line: int
    text: str
    machine: str
    background: bool
    code: int
    until: str | None


_ENDED_WELL: Final = (None, 0, 128 + signal.SIGTERM, 128 + signal.SIGKILL, -signal.SIGTERM, -signal.SIGKILL)
"""What is in the background runs on to the end of its page, or is ended by a later example."""


def examples(page: Path) -> Iterator[Example]:
    """Yield the examples of a page that are to be run; raise PageError at one that does not say how."""
    source = page.read_text(encoding="utf-8")
    for found in _EXAMPLE.finditer(source):
        line = source.count("\n", 0, found.start("text"))
        how = found["how"] or ""
        if re.fullmatch(r"not run: \S.+", how):
            continue
        said = _HOW.fullmatch(how)
        if said is None:
            raise PageError(f"{page.name}:{line}: the example does not say how it is run")
        yield Example(
            line, found["text"], said["machine"], bool(said["background"]), int(said["code"] or 0), said["until"]
        )


def run_page(page: Path, folder: Path, environment: Mapping[str, str]) -> int:
    """Run all examples of a page in `folder`; return how many. Raises PageError at the first that fails."""
    count = 0
    background: list[tuple[str, subprocess.Popen[bytes]]] = []
    with _nodes(folder), _processes() as started:
        for example in examples(page):
            count += 1
            where = f"{page.name}:{example.line} on {example.machine}"
            began = time.monotonic()
            while True:
                code, printed = _run(example, folder, environment, started)
                if example.background:
                    background.append((where, started[-1]))
                if example.until is None:
                    if code != example.code:
                        raise PageError(f"{where} ended with {code}, not {example.code}:\n{printed}")
                    break
                if code == example.code and example.until in printed:
                    break
                if time.monotonic() - began > DEADLINE_S:
                    raise PageError(f"{where} did not come to print {example.until!r}; last ({code}):\n{printed}")
                time.sleep(_RETRY_S)  # between two tries of a condition with a deadline
        for where, process in background:
            if process.poll() not in _ENDED_WELL:
                raise PageError(f"{where} ended by itself with {process.returncode}")
    return count


def _run(
    example: Example, folder: Path, environment: Mapping[str, str], started: list[subprocess.Popen[bytes]]
) -> tuple[int, str]:
    user = folder / "users" / example.machine
    user.mkdir(parents=True, exist_ok=True)
    variables = {
        "P2P_WORKFLOW_IPFS_LISTEN": "127.0.0.1",
        "HOME": str(user),
        "P2P_WORKFLOW_HOME": str(user / "ledger"),
        "P2P_WORKFLOW_PEER": example.machine,
        "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}",
    }
    out = folder / f"{example.machine}-{example.line}.out"
    with out.open("wb") as stream:  # a file: what goes on in the background must not keep a pipe open
        process = subprocess.Popen(
            ["bash", "-euo", "pipefail", "-c", example.text],
            cwd=folder,
            env={**environment, **variables},
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        started.append(process)
        if example.background:
            return example.code, ""
        try:
            code = process.wait(DEADLINE_S)
        except subprocess.TimeoutExpired:
            raise PageError(f"example at line {example.line} hangs:\n{out.read_text(errors='replace')}") from None
    return code, out.read_text(encoding="utf-8", errors="replace")


@contextmanager
def _nodes(folder: Path) -> Iterator[None]:
    """End the IPFS nodes that examples have started, when the block ends."""
    try:
        yield
    finally:
        for user in (folder / "users").glob("*"):
            node = managed_node(user / "ledger")
            if node.exists and node.is_running():
                node.kill()


@contextmanager
def _processes() -> Iterator[list[subprocess.Popen[bytes]]]:
    """Yield a list for the processes that are started; end all their groups afterwards."""
    started: list[subprocess.Popen[bytes]] = []
    try:
        yield started
    finally:
        for number in (signal.SIGTERM, signal.SIGKILL):
            for process in started:
                try:
                    os.killpg(process.pid, number)
                    process.wait(10)
                except (ProcessLookupError, subprocess.TimeoutExpired):
                    continue
