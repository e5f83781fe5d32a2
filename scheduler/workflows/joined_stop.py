"""A signal to stop that is set where another one is, or where we set it ourselves."""

from __future__ import annotations

import select

from scheduler.readable import is_readable
from scheduler.running.job import StopSignal


class JoinedStop(StopSignal):
    """Is set when `outer` is, or by its own `set`, which leaves `outer` alone."""

    def __init__(self, outer: StopSignal) -> None:
        super().__init__()
        self._outer = outer
        self._either = select.epoll()
        self._either.register(outer, select.EPOLLIN)
        self._either.register(super().fileno(), select.EPOLLIN)

    @property
    def reason(self) -> str | None:
        """Why the run is to end, None while it is not."""
        return self._outer.reason or self._reason

    @property
    def patience_ms(self) -> int | None:
        """How long it may take to end at most, where either says less than the usual grace."""
        said = (self._outer.patience_ms, self._patience_ms)
        return min((one for one in said if one is not None), default=None)

    @property
    def own_reason(self) -> str | None:
        """Why we ended it ourselves, None where we did not."""
        return self._reason

    def wait(self, timeout_s: float | None = None) -> bool:
        """Wait until either is set; return whether one is."""
        return is_readable(self._either, timeout_s) or self.reason is not None

    def fileno(self) -> int:
        """Return what becomes readable, and stays so, once either is set."""
        return self._either.fileno()

    def close(self) -> None:
        """Give back what it holds; `outer` stays open."""
        self._either.close()
        super().close()
