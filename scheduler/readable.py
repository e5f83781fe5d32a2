"""Waiting until something can be read from one descriptor, whatever its number.

`select.select` knows numbers below 1,024 only; a worker with many slots holds more descriptors than that.
"""

from __future__ import annotations

import math
import select
from typing import Protocol


class HasFileno(Protocol):
    """What has a descriptor."""

    def fileno(self) -> int:
        """Return its number."""


def is_readable(source: int | HasFileno, timeout_s: float | None = None) -> bool:
    """Wait until `source` is readable or closed by the other side, at most `timeout_s`; return whether it is."""
    poll = select.poll()
    poll.register(source, select.POLLIN)
    return bool(poll.poll(None if timeout_s is None else math.ceil(max(0.0, timeout_s) * 1e3)))
