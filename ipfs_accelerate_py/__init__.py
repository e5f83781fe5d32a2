"""Give the quick start its import path: names of `scheduler` and `crdt`, and no logic of its own.

Another distribution on the package index has the same import name; where both are installed, importing this raises.
"""

from cli.conflict import check_for_conflict

check_for_conflict()

from crdt.clock import MerkleClock  # noqa: E402 - after the check
from scheduler.fibonacci_heap import FibonacciHeap  # noqa: E402 - after the check
from scheduler.hamming import calculate_hamming_distance  # noqa: E402 - after the check
from scheduler.scheduler import P2PWorkflowScheduler  # noqa: E402 - after the check
from scheduler.tags import WorkflowTag  # noqa: E402 - after the check
from scheduler.task import P2PTask, Payload  # noqa: E402 - after the check
from scheduler.working.handlers import HandledTask  # noqa: E402 - after the check
from scheduler.working.worker import Until  # noqa: E402 - after the check

__all__ = [
    "FibonacciHeap",
    "HandledTask",
    "MerkleClock",
    "P2PTask",
    "P2PWorkflowScheduler",
    "Payload",
    "Until",
    "WorkflowTag",
    "calculate_hamming_distance",
]
