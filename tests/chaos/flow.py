"""The tasks of a chaos run: quick ones, slow ones, ones that fail at first or always, and ones that need others.

Which is which, and how each must end, follows from its number, so that a seed alone tells what was to be. Each run
writes to a journal outside the ledger, under its claim, when it begins and when it ends.
"""

from __future__ import annotations

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

WORKFLOW: Final = "chaos"
OUTPUT: Final = "answer"
ALWAYS: Final = 99
_AT_ONCE: Final = 200

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
    wanted = list(requests(count))
    found: list[TaskKey] = []
    for start in range(0, count, _AT_ONCE):
        found += [one.key for one in submit(home, key, wanted[start : start + _AT_ONCE])]
    return found


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
