"""Checking blocks ahead of taking them in: rules A1 to A6 on another core, while the caller folds what came before.

A signature costs a third of taking an event in, and nothing else of that can be done beside it. So a long stream of
blocks is read by a thread, ahead of the caller, and passed through a process that checks them; a thread alone would
have to ask for the interpreter's lock after each signature. A short stream is left as it is: starting a process takes
as long as some hundred blocks. Order is kept. Leaves out the rules (ledger.acceptance) and what becomes of the events
(ledger.intake).
"""

from __future__ import annotations

import queue
import struct
import subprocess
import sys
import threading
from collections.abc import Generator, Iterable
from contextlib import suppress
from typing import BinaryIO, Final

from ledger.acceptance import Refusal, SignedEvent, check_alone, unsafe_signed
from ledger.cid import Cid

ALONE_BLOCKS: Final = 512
"""Blocks of a stream that are handed on as they are, before a process is worth starting."""
BATCH_BLOCKS: Final = 64
BATCHES_AHEAD_MAX: Final = 32
"""How far reading may be ahead: 2,048 blocks, of 64 KiB at most each."""
_POLL_S: Final = 0.1
_LENGTH: Final = struct.Struct(">I")
_PASSED: Final = b"\1"
_FAILED: Final = b"\0"

Checked = SignedEvent | bytes
"""An event of the ledger that passed A1 to A6, or a block that is still to be checked or did not pass."""


def check_ahead(blocks: Iterable[bytes], ledger: Cid) -> Generator[Checked, None, None]:
    """Yield `blocks` in their order, checked where that was worth it; a thread iterates `blocks`, ahead of the caller.

    What `blocks` raises is raised here, after all that came before it. Close the generator to stop early: the thread
    ends then, or at the next block that comes.
    """
    reading = _Reading(blocks, ledger)
    try:
        yield from reading.checked()
    finally:
        reading.close()


class _Reading:
    """A stream of blocks that is read and checked ahead."""

    def __init__(self, blocks: Iterable[bytes], ledger: Cid) -> None:
        self._blocks = blocks
        self._ledger = ledger
        self._read: queue.Queue[tuple[list[bytes], bool] | BaseException | None] = queue.Queue(BATCHES_AHEAD_MAX)
        self._is_over = threading.Event()
        self._checker: subprocess.Popen[bytes] | None = None
        threading.Thread(target=self._run, name="p2p-workflow-check-ahead", daemon=True).start()

    def checked(self) -> Generator[Checked, None, None]:
        """Yield what was read, in order."""
        while (found := self._read.get()) is not None:
            if isinstance(found, BaseException):
                raise found
            some, is_sent = found
            verdicts = self._verdicts(len(some)) if is_sent else b""
            for block, verdict in zip(some, verdicts.ljust(len(some), _FAILED), strict=True):
                # What did not pass is checked again where refusals are noted; so is all, where the process has died.
                yield unsafe_signed(block) if verdict else block

    def close(self) -> None:
        """End the thread and the process."""
        self._is_over.set()
        if self._checker is not None:
            self._checker.kill()
            self._checker.wait()
            for pipe in (self._checker.stdin, self._checker.stdout):
                if pipe is not None:
                    with suppress(OSError):
                        pipe.close()

    def _verdicts(self, count: int) -> bytes:
        assert self._checker is not None  # noqa: S101  # it was sent something
        assert self._checker.stdout is not None  # noqa: S101  # as it was started
        return self._checker.stdout.read(count)

    # ---- in the thread

    def _run(self) -> None:
        some: list[bytes] = []
        last: BaseException | None = None
        count = 0
        try:
            for block in self._blocks:
                some.append(block)
                count += 1
                if len(some) == BATCH_BLOCKS:
                    self._hand_on(some, send=count > ALONE_BLOCKS)
                    some = []
                if self._is_over.is_set():
                    return
        except BaseException as error:  # noqa: BLE001  # it is the caller's, in whose thread it is raised again
            last = error
        self._hand_on(some, send=False)
        self._put(last)

    def _hand_on(self, some: list[bytes], *, send: bool) -> None:
        self._put((some, send and self._send(some)))

    def _send(self, some: list[bytes]) -> bool:
        """Send blocks to the process, which is started here; return False where it is gone."""
        if self._checker is None:
            # -P: nothing is imported from the folder one happens to be in.
            command = [sys.executable, "-P", "-c", "from ledger.ahead import main; main()", str(self._ledger)]
            self._checker = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)  # noqa: S603  # our own program
        assert self._checker.stdin is not None  # noqa: S101  # as it was started
        try:
            self._checker.stdin.write(b"".join(_LENGTH.pack(len(block)) + block for block in some))
            self._checker.stdin.flush()
        except (OSError, ValueError):
            return False
        return True

    def _put(self, item: tuple[list[bytes], bool] | BaseException | None) -> None:
        while not self._is_over.is_set():
            try:
                self._read.put(item, timeout=_POLL_S)
            except queue.Full:
                continue
            return


def main() -> None:
    """Be the process: read blocks, answer a byte for each, whether it passes A1 to A6 in the ledger of the argument."""
    ledger = Cid.parse(sys.argv[1])
    answer_all(sys.stdin.buffer, sys.stdout.buffer, ledger)


def answer_all(blocks: BinaryIO, answers: BinaryIO, ledger: Cid) -> None:
    """Answer each block of `blocks` until it ends."""
    while head := blocks.read(_LENGTH.size):
        block = blocks.read(*_LENGTH.unpack(head))
        try:
            check_alone(block, ledger)
        except Refusal:
            answers.write(_FAILED)
        else:
            answers.write(_PASSED)
        answers.flush()
