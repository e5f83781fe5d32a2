"""The actions on tasks, under one name: what the command line, MCP and `P2PWorkflowScheduler` call.

Each works on a home with a key, in one durable transaction, and raises an `ActionError` where the board does not allow
it; nothing is written then.
"""

from scheduler.action_errors import (
    ActionError,
    AmbiguousTaskError,
    ConflictError,
    HeldByOtherError,
    NotAllowedError,
    NotDeadError,
    NotHeldError,
    NotReadyError,
    RequestError,
    TaskNotFoundError,
    TaskOverError,
    WithoutEffectError,
)
from scheduler.names import find_task, get_task, resolve
from scheduler.settling import Renewal, Settled, complete, fail, release, renew, renew_task
from scheduler.steering import Steered, bump, cancel, may_steer, requeue
from scheduler.submitting import SubmitRequest, Submitted, request_of, submit
from scheduler.taking import LEASE_BY_HAND_MS, Taken, take

__all__ = [
    "LEASE_BY_HAND_MS",
    "ActionError",
    "AmbiguousTaskError",
    "ConflictError",
    "HeldByOtherError",
    "NotAllowedError",
    "NotDeadError",
    "NotHeldError",
    "NotReadyError",
    "Renewal",
    "RequestError",
    "Settled",
    "Steered",
    "SubmitRequest",
    "Submitted",
    "Taken",
    "TaskNotFoundError",
    "TaskOverError",
    "WithoutEffectError",
    "bump",
    "cancel",
    "complete",
    "fail",
    "find_task",
    "get_task",
    "may_steer",
    "release",
    "renew",
    "renew_task",
    "request_of",
    "requeue",
    "resolve",
    "submit",
    "take",
]
