"""The tasks of a chaos run: quick and slow ones, some that fail at first or always, need others, or are called off.

Which is which, and how each must end, follows from its number, so that a seed alone tells what was to be. Each run
writes to a journal outside the ledger, under its claim, when it begins and when it ends.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Final

from crdt.view import Status
from ledger.events import TaskKey
from ledger.keys import SigningKey
from ledger.operations import Attachment, Backoff, Spec
from scheduler.action_errors import TaskOverError
from scheduler.home import Home
from scheduler.place import wall_clock_ms
from scheduler.running.payloads import Command, write_payload
from scheduler.steering import cancel
from scheduler.submitting import SubmitRequest, submit
from tests.support.peers import Machine

WORKFLOW: Final = "chaos"
OUTPUT: Final = "answer"
ALWAYS: Final = 99
BATCH: Final = 100
_BETWEEN_S: Final = 3.0
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
    """Return the tasks that one needs: of those before it in its batch, always such as need nothing themselves."""
    return [other for other in (number - 1, number - 7) if number % 5 == 4 and other >= number - number % BATCH]


def is_called_off(number: int) -> bool:
    """Return whether a task is called off while it may be waiting, running or done; nothing needs such a one."""
    return number % 35 == 21 and not failures(number)


def meant_to_be(number: int) -> Status:
    """Return how a task must end, whatever befalls those who do it, unless it is called off before."""
    if failures(number) == ALWAYS:
        return Status.DEAD
    return Status.BLOCKED if any(failures(other) == ALWAYS for other in needs(number)) else Status.DONE


def never_done(count: int) -> int:
    """Return how many of the first `count` tasks cannot be done."""
    return sum(meant_to_be(number) is not Status.DONE for number in range(count))


def answer(number: int) -> list[str]:
    """Return the words that a run of a task must hand over, its own name and what its needs handed over, sorted."""
    return sorted([f"t{number}", *(f"t{other}" for other in needs(number))])


def requests(numbers: range) -> Iterator[SubmitRequest]:
    """Yield tasks of a run."""
    for number in numbers:
        pause = "4" if is_called_off(number) else "1.5" if number % 53 == 7 else "0.3" if number % 11 == 1 else "0"
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
    """Submit the tasks of a run; return their keys, by number."""
    return [one.key for one in submit(home, key, requests(range(count)))]


class Flow:
    """Submits the tasks of a run, each batch at the next place: a third at once, the others while fate strikes.

    Of the last batch at once, and of those that come later but the very last, some tasks are called off by whoever
    submitted them when the next batch is there.
    """

    def __init__(self, machines: Sequence[Machine], count: int) -> None:
        self._machines = machines
        self._batches = [range(start, min(start + BATCH, count)) for start in range(0, count, BATCH)]
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._submit_others, daemon=True)
        self._failure: BaseException | None = None
        self.keys: list[TaskKey] = []
        """The tasks, by number."""
        self.submitted: list[int] = []
        """When each was submitted, in ms since 1970."""
        self.called_off: dict[int, int] = {}
        """When tasks, by number, were called off that were not done by then."""

    def start(self) -> None:
        """Submit the first third, and begin with the others."""
        with self._homes() as homes:
            for number in range(self._at_once):
                self._submit(homes, number)
        self._thread.start()

    def close(self, *, at_once: bool = False) -> None:
        """Come back when all is submitted, or `at_once`; raise what went wrong."""
        if at_once:
            self._over.set()
        if self._thread.ident is not None:
            self._thread.join()
        if self._failure is not None:
            raise self._failure

    @property
    def has_failed(self) -> bool:
        """Whether not all will be submitted."""
        return self._failure is not None

    @property
    def _at_once(self) -> int:
        return -(-len(self._batches) // 3)

    @contextmanager
    def _homes(self) -> Iterator[list[Home]]:
        with ExitStack() as stack:
            yield [stack.enter_context(Home.open(machine.folder)) for machine in self._machines]

    def _submit_others(self) -> None:
        try:
            with self._homes() as homes:
                for number in range(self._at_once, len(self._batches)):
                    if self._over.wait(_BETWEEN_S):
                        return
                    self._submit(homes, number)
                    self._call_off(homes, number - 1)
        except BaseException as error:  # noqa: BLE001  # told by the test's own thread
            self._failure = error

    def _submit(self, homes: Sequence[Home], number: int) -> None:
        place = number % len(homes)
        submitted = submit(homes[place], self._machines[place].key, requests(self._batches[number]))
        self.keys += [one.key for one in submitted]
        self.submitted += [wall_clock_ms()] * len(submitted)

    def _call_off(self, homes: Sequence[Home], number: int) -> None:
        place = number % len(homes)
        for task in filter(is_called_off, self._batches[number]):
            with suppress(TaskOverError):
                cancel(homes[place], self._machines[place].key, self.keys[task], reason="it is called off")
                self.called_off[task] = wall_clock_ms()


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
