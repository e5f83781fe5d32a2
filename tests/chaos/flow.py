"""The tasks of a chaos run: quick ones, slow ones, ones that fail at first or always, and ones that need others.

Which is which, and how each must end, follows from its number, so that a seed alone tells what was to be. Each run
writes to a journal outside the ledger, under its claim, when it begins and when it ends.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from crdt.view import Status
from ledger.events import TaskKey
from ledger.keys import SigningKey
from ledger.operations import Attachment, Backoff, Spec
from scheduler.home import Home
from scheduler.running.payloads import Command, write_payload
from scheduler.submitting import SubmitRequest, submit
from tests.support.peers import Machine

WORKFLOW: Final = "chaos"
OUTPUT: Final = "answer"
ALWAYS: Final = 99
_AT_ONCE: Final = 200
_BETWEEN_S: Final = 6.0
"""Between batches: so long that fate has time, and workers have pauses and peaks."""

# A process for each task, and one more where it sleeps: what is tried here is the workers, not a machine's fork.
_SCRIPT: Final = """\
set -u
run="$P2P_WORKFLOW_TASK_KEY $P2P_WORKFLOW_CLAIM"
note() { echo "$run $1" >> "$JOURNAL/$P2P_WORKFLOW_CLAIM.journal"; }
note begin
echo "attempt $P2P_WORKFLOW_ATTEMPT of $P2P_WORKFLOW_TASK_ID"
[ "$PAUSE" = 0 ] || sleep "$PAUSE"
if [ "$P2P_WORKFLOW_ATTEMPT" -le "$FAILURES" ]; then echo 'it fails, as it is meant to' >&2; exit 3; fi
given=
while IFS= read -r line; do
  case $line in *'"answer": "'*) line=${line#*'"answer": "'}; given="$given ${line%%'"'*}" ;; esac
done < "$P2P_WORKFLOW_INPUTS"
echo "answer=$P2P_WORKFLOW_TASK_ID$given" >> "$P2P_WORKFLOW_OUTPUT"
note end
"""


def failures(number: int) -> int:
    """Return how often a task fails before it succeeds."""
    return ALWAYS if number % 97 == 5 else 1 if number % 19 == 3 else 0


def needs(number: int) -> list[int]:
    """Return the tasks that one needs: always such as come before it and need nothing themselves."""
    return [other for other in (number - 1, number - 7) if number % 5 == 4 and other >= 0]


def meant_to_be(number: int) -> Status:
    """Return how a task must end, whatever befalls those who do it."""
    if failures(number) == ALWAYS:
        return Status.DEAD
    return Status.BLOCKED if any(failures(other) == ALWAYS for other in needs(number)) else Status.DONE


def never_done(count: int) -> int:
    """Return how many of the first `count` tasks cannot be done."""
    return sum(meant_to_be(number) is not Status.DONE for number in range(count))


def answer(number: int) -> list[str]:
    """Return the words that a run of a task must hand over, its own name and what its needs handed over, sorted."""
    return sorted([f"t{number}", *(f"t{other}" for other in needs(number))])


def requests(count: int) -> Iterator[SubmitRequest]:
    """Yield the tasks of a run."""
    for number in range(count):
        pause = "1.5" if number % 53 == 7 else "0.3" if number % 11 == 1 else "0"
        environment = {"PAUSE": pause, "FAILURES": str(failures(number))}
        media_type, data = write_payload(Command(script=_SCRIPT, interpreter="sh", env=environment))
        spec = Spec(
            task_id=f"t{number}",
            workflow_id=WORKFLOW,
            name=f"Task {number}",
            tags=("p2p-only",),
            payload=Attachment(media_type, data=data),
            max_attempts=2 if failures(number) == ALWAYS else 40,  # no killing alone makes a task die
            backoff=Backoff(base_ms=100, max_ms=400),
        )
        yield SubmitRequest(spec, priority=1 + number % 10, needs=tuple(f"t{other}" for other in needs(number)))


def submit_all(home: Home, key: SigningKey, count: int) -> list[TaskKey]:
    """Submit the tasks of a run in batches; return their keys, by number."""
    return [key for batch in submitting(home, key, count) for key in batch]


def submitting(home: Home, key: SigningKey, count: int) -> Iterator[list[TaskKey]]:
    """Submit the tasks of a run, a batch each time; yield their keys."""
    wanted = list(requests(count))
    for start in range(0, count, _AT_ONCE):
        yield [one.key for one in submit(home, key, wanted[start : start + _AT_ONCE])]


class Flow:
    """Submits the tasks of a run at a machine, batch by batch: some at once, the others while fate strikes."""

    def __init__(self, machine: Machine, count: int) -> None:
        self._machine = machine
        self._count = count
        self._submitted: list[TaskKey] = []
        self._thread = threading.Thread(target=self._submit, daemon=True)
        self._failure: BaseException | None = None
        self.late = 0
        """How many tasks came after the first batch."""

    def start(self) -> None:
        """Begin, and come back when the first batch is there."""
        self._thread.start()
        while not self._submitted and self._thread.is_alive():
            time.sleep(0.01)

    def close(self) -> list[TaskKey]:
        """Return the keys of all tasks, by number."""
        if self._thread.ident is not None:
            self._thread.join()
        if self._failure is not None:
            raise self._failure
        return self._submitted

    def _submit(self) -> None:
        try:
            with Home.open(self._machine.folder) as home:
                for batch in submitting(home, self._machine.key, self._count):
                    self.late += len(batch) if self._submitted else 0
                    self._submitted += batch
                    time.sleep(_BETWEEN_S)
        except BaseException as error:  # noqa: BLE001  # told by the test's own thread
            self._failure = error


def policy_text(journal: Path) -> str:
    """Return a worker's policy that lets these tasks run, and write to the journal."""
    return f"""\
[[allow]]
name = "chaos"
submitters = ["any-member"]
payloads = ["command"]
interpreters = ["sh"]
sandbox = "process"
env = {{ JOURNAL = "{journal}" }}
"""
