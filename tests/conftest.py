"""For all tests: in CI the properties take the same examples each time, so that a change is judged by itself.

Elsewhere they take new ones with each run, and keep what failed. Ctrl-C ends what a test starts.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import pytest
from hypothesis import settings

settings.register_profile("ci", derandomize=True)
if os.environ.get("CI"):
    settings.load_profile("ci")


@pytest.fixture(autouse=True)
def _ctrl_c() -> Iterator[None]:
    """Let SIGINT end what a test starts: a CI job in the background hands down that it is ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)
