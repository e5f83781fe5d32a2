"""What can stand in the way of an action, one class for each thing its caller can do about it.

Nothing has been written where one of these is raised. `advice` says what to do, `details` what programs want to know.
"""

from __future__ import annotations

from collections.abc import Sequence

from ledger.events import TaskKey
from ledger.keys import ActorKey, did_key


class ActionError(Exception):
    """The board, or the request itself, does not allow the action."""

    advice = ""

    def __init__(self, words: str, advice: str = "", **details: object) -> None:
        super().__init__(words)
        self.advice = advice or self.advice
        self.details = details


class TaskNotFoundError(ActionError, LookupError):
    """No task has this name or key here."""


class AmbiguousTaskError(ActionError, LookupError):
    """A name fits several tasks: name one by its key. `tasks` gives each with its workflow."""

    def __init__(self, text: str, tasks: Sequence[tuple[TaskKey, str]]) -> None:
        listed = "\n".join(f"  {_in_one_line(f'{workflow}/{text}')}: {key.hex()}" for key, workflow in tasks)
        super().__init__(
            f"{len(tasks)} tasks are named {text!r}:\n{listed}",
            f"a task key stands wherever a task's name does, as in `complete --task-id {tasks[0][0].hex()}`",
            keys=[key.hex() for key, _ in tasks],
            workflow_ids=[workflow for _, workflow in tasks],
        )
        self.keys = tuple(key for key, _ in tasks)


class RequestError(ActionError, ValueError):
    """The request cannot be written as a task: correct it."""


class ConflictError(ActionError, ValueError):
    """The submitter has used the name for another request: choose another `task_id`, or submit the very same."""

    def __init__(self, task_id: str, workflow_id: str, key: TaskKey) -> None:
        super().__init__(
            f"another request was submitted as task {task_id!r} of workflow {workflow_id!r}: it is {key.hex()}",
            "choose another task id, or submit the very same request",
            task_key=key.hex(),
        )
        self.key = key


class HeldByOtherError(ActionError):
    """Another peer holds the task."""

    def __init__(self, task: str, holder: ActorKey, name: str) -> None:
        super().__init__(
            f"task {task} is held by {name}",
            "wait until it is settled or its lease has ended",
            holder=name,
            holder_key=did_key(holder),
        )
        self.holder = holder


class NotHeldError(ActionError):
    """The peer has no claim on the task that it could settle: take the task first."""


class NotReadyError(ActionError):
    """The task cannot be taken now; the words say what it waits for."""


class TaskOverError(ActionError):
    """The task is done or was cancelled: there is nothing left to do."""


class NotDeadError(ActionError):
    """Only a dead task, one whose attempts are used up, is queued again."""


class NotAllowedError(ActionError):
    """Neither the task's submitter nor an owner of the ledger asks."""


class WithoutEffectError(RuntimeError):
    """An operation made here would have been without effect: a defect of this program. It was taken back."""


def _in_one_line(text: str) -> str:
    """Return names as they are, but quoted where they would break the line or move the reader's cursor."""
    return text if text.isprintable() else repr(text)
