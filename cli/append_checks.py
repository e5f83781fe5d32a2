"""What `append` refuses before it signs, as `submit` would: tags there are not, and a name that means another task.

The ledger takes both: tags are words to it, and a name is only a name (specs/tasks.md). But whoever writes them by
mistake cannot take them back, so the honest command line refuses them. Leaves out the form of an operation
(cli.operation_json).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ledger.events import TaskKey
    from ledger.keys import ActorKey
    from ledger.operations import Operation, Submit
    from scheduler.home import Home


class AppendChecks:
    """Checks of one input by `submitter`, each line against the board and the lines before. Within a reading."""

    def __init__(self, home: Home, submitter: ActorKey) -> None:
        self._home = home
        self._submitter = submitter
        self._named: dict[tuple[str, str], TaskKey] = {}

    def check(self, operation: Operation) -> None:
        """Raise TagError or ConflictError where `submit` would not submit this."""
        from ledger.operations import Submit

        if isinstance(operation, Submit):
            _check_tags(operation.spec.tags)
            self._check_name(operation)

    def _check_name(self, submit: Submit) -> None:
        from scheduler.action_errors import ConflictError

        name = (submit.spec.task_id, submit.spec.workflow_id)
        used = {record.key for record in self._home.tasks.named(*name) if record.submitter == self._submitter}
        used.add(self._named.setdefault(name, submit.key))
        used.discard(submit.key)
        if used:
            raise ConflictError(*name, min(used))


def _check_tags(tags: tuple[str, ...]) -> None:
    from scheduler.tags import UnknownTagError, WorkflowTag, parse_tags

    known = {tag.value for tag in WorkflowTag}
    for tag in tags:
        if tag not in known:  # `parse_tags` would read "a,b" as two, but the ledger has it as one
            raise UnknownTagError(tag)
    if tags:
        parse_tags(tags)
