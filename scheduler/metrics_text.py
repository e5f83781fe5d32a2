"""/metrics: a home's measures and a worker's counters in Prometheus' text format, by its library (extra `metrics`).

Names and units follow Prometheus' conventions. Labels take few values only: statuses, rules, failure classes; what
other peers write never becomes one. docs/operating.md says what each is for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final, Protocol

from scheduler.extras import load
from scheduler.measuring import Measures
from scheduler.running.job import FailureClass

PREFIX: Final = "p2p_workflow_"
OTHER_CLASS: Final = "other"
"""Stands for failure classes that are none of ours."""


class Counters(Protocol):
    """What a running worker counts (scheduler.working.counters)."""

    claimed: int
    completed: int
    failed_by_class: dict[str, int]
    released: int
    lost: int
    renewed: int


class Exposition:
    """Writes /metrics. Raises MissingExtraError where the library is not installed.

    Args:
        measure: returns the measures of now.
        info: what names the home: ledger, peer.
        counters: of the worker of this process, None without one.
    """

    def __init__(
        self, measure: Callable[[], Measures], info: Mapping[str, str], counters: Counters | None = None
    ) -> None:
        self._library: Any = load("prometheus_client", "metrics")
        self._core: Any = load("prometheus_client.core", "metrics")
        self._measure = measure
        self._info = dict(info)
        self._counters = counters
        self._registry = self._library.CollectorRegistry(auto_describe=False)
        self._registry.register(self)
        self._library.ProcessCollector(registry=self._registry)
        self.content_type: str = self._library.CONTENT_TYPE_LATEST

    def write(self) -> bytes:
        """Return the text; raises what measuring raises."""
        text: bytes = self._library.generate_latest(self._registry)
        return text

    def describe(self) -> tuple[()]:
        """Return nothing: registering must not measure (prometheus_client asks)."""
        return ()

    def collect(self) -> Iterator[Any]:
        """Yield the families of one scrape (prometheus_client asks)."""
        found = self._measure()
        info = self._core.InfoMetricFamily(f"{PREFIX}home", "The home that is measured.")
        info.add_metric([], self._info)
        yield info
        yield from self._of_tasks(found)
        yield from self._of_home(found)
        if self._counters is not None:
            yield from self._of_worker(self._counters)

    def _of_tasks(self, found: Measures) -> Iterator[Any]:
        yield self._gauge("tasks", "Tasks by status.", found.tasks, "status")
        ages = {status: ms / 1000 for status, ms in found.oldest_ms.items()}
        words = "For how long the oldest task has been ready, held, or waiting since it was submitted; 0 without one."
        yield self._gauge("oldest_task_age_seconds", words, ages, "status")
        yield self._gauge("claims_running", "Claims that run now.", found.claims_running)
        ended = {name: found.claims_ended.get(name, 0) for name in ("completed", "failed", "released", "ran_out")}
        words = "Claims that have ended since this process began to measure; ran_out: a worker was lost."
        yield self._counter("claims_ended", words, ended, "ending")
        yield self._counter("retries", "Claims of a second or later attempt since then.", found.retries)

    def _of_home(self, found: Measures) -> Iterator[Any]:
        yield self._gauge("events", "Accepted events.", found.events)
        yield self._gauge("events_waiting", "Events that wait for what they link.", found.waiting)
        yield self._gauge("events_held", "Events ahead of the clock.", found.held)
        words = "Refused blocks by rule, of those that the ring still keeps."
        yield self._gauge("refused_blocks", words, found.refused, "rule")
        words = "Operations in accepted events that mean nothing, by rule."
        yield self._gauge("operations_without_effect", words, found.without_effect, "rule")
        yield self._gauge("heads", "Events that none follows.", found.heads)
        workers = {"joined": found.workers_active, "heard": found.workers_heard}
        yield self._gauge("workers", "Workers that have joined, and those of them heard of lately.", workers, "state")
        yield self._gauge("store_bytes", "Bytes of the files of the store.", found.store_bytes)
        yield self._gauge("disk_free_bytes", "Bytes free on the disk of the home.", found.free_bytes)

    def _of_worker(self, counters: Counters) -> Iterator[Any]:
        for name, words, count in (
            ("claimed", "Tasks that this worker has claimed.", counters.claimed),
            ("completed", "Tasks that it has completed.", counters.completed),
            ("released", "Claims that it gave back.", counters.released),
            ("lost", "Claims that it lost: superseded, cancelled, run out.", counters.lost),
            ("renewed", "Renewals of its claims.", counters.renewed),
        ):
            yield self._counter(f"worker_{name}", words, count)
        failed = {**{one.value: 0 for one in FailureClass}, OTHER_CLASS: 0}
        for failure_class, count in tuple(counters.failed_by_class.items()):
            failed[failure_class if failure_class in failed else OTHER_CLASS] += count
        yield self._counter("worker_failed", "Attempts that failed here, by class.", failed, "class")

    def _gauge(self, name: str, words: str, value: float | Mapping[str, float], label: str = "") -> Any:
        return _family(self._core.GaugeMetricFamily, name, words, value, label)

    def _counter(self, name: str, words: str, value: float | Mapping[str, float], label: str = "") -> Any:
        return _family(self._core.CounterMetricFamily, name, words, value, label)


def _family(kind: Any, name: str, words: str, value: float | Mapping[str, float], label: str) -> Any:
    family = kind(PREFIX + name, words, labels=[label] if label else [])
    for key, number in value.items() if isinstance(value, Mapping) else (("", value),):
        family.add_metric([key] if label else [], number)
    return family
