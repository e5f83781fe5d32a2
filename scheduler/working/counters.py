"""What a running worker counts: for its own words at the end, and for /metrics. Written by one thread, read by any."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(slots=True)
class WorkerCounters:
    """Since the worker began: each claim ends as completed, failed, released or lost."""

    claimed: int = 0
    completed: int = 0
    failed_by_class: dict[str, int] = field(default_factory=dict)
    released: int = 0
    lost: int = 0
    """Claims that came to nothing: superseded, cancelled, done by another, revoked, or taken over after a lapse."""
    renewed: int = 0
    """Renewals written, each of one claim."""

    @property
    def failed(self) -> int:
        """Failed attempts of every class."""
        return sum(self.failed_by_class.values())

    def count_failed(self, failure_class: str) -> None:
        """Count one failed attempt."""
        self.failed_by_class[failure_class] = self.failed_by_class.get(failure_class, 0) + 1
