"""What the policy of this home's worker says of tasks, beside what the board says of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from cli.session import Session

if TYPE_CHECKING:
    from crdt.records import TaskRecord
    from scheduler.home import Home


def policy_judge(session: Session, home: Home) -> Callable[[TaskRecord], dict[str, Any] | None]:
    """Return what says, as JSON, whether this home's worker may run a task; to be called within a reading.

    It says None of a task that is over or that no worker runs, and of all where no worker has a policy here.
    """
    if not session.policy_path().exists():
        return lambda record: None
    from scheduler.working.judging import is_for_workers, judge_task

    policy = session.worker_policy()

    def judge(record: TaskRecord) -> dict[str, Any] | None:
        if record.completions or record.cancels or not is_for_workers(record.spec):
            return None
        return judge_task(home, policy, record).to_json()

    return judge


def policy_lines(verdict: dict[str, Any] | None) -> list[str]:
    """Return what `policy_judge` says of one task for people: why it may not run here, if it may not."""
    if verdict is None or verdict["allowed"]:
        return []
    return [f"This worker may not run it: {' | '.join(verdict['reasons'])}"]
