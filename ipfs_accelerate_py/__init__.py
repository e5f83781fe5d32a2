"""Give the quick start its import path: names of `scheduler` and `crdt`, and no logic of its own.

Another distribution on the package index has the same import name; where both are installed, importing this raises.
"""

from cli.conflict import check_for_conflict

check_for_conflict()

from crdt.clock import MerkleClock  # noqa: E402  # the check comes first: its message names the cause
from scheduler.fibonacci_heap import FibonacciHeap  # noqa: E402
from scheduler.hamming import calculate_hamming_distance  # noqa: E402
from scheduler.scheduler import P2PWorkflowScheduler  # noqa: E402
from scheduler.tags import WorkflowTag  # noqa: E402
from scheduler.task import P2PTask, Payload  # noqa: E402

__all__ = [
    "FibonacciHeap",
    "MerkleClock",
    "P2PTask",
    "P2PWorkflowScheduler",
    "Payload",
    "WorkflowTag",
    "calculate_hamming_distance",
]
