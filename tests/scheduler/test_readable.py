"""Waiting for a descriptor works for numbers that `select` does not know."""

from __future__ import annotations

import fcntl
import os
import resource

import pytest

from scheduler.readable import is_readable

BEYOND_SELECT = 1_500


@pytest.mark.parametrize("number", [0, BEYOND_SELECT])
def test_a_pipe_is_readable_once_something_is_written_or_it_is_closed(number: int) -> None:
    """Whatever the number of its descriptor."""
    if resource.getrlimit(resource.RLIMIT_NOFILE)[0] <= BEYOND_SELECT:
        hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        resource.setrlimit(resource.RLIMIT_NOFILE, (BEYOND_SELECT + 500, hard))
    low, writer = os.pipe()
    reader = fcntl.fcntl(low, fcntl.F_DUPFD_CLOEXEC, number)
    os.close(low)
    try:
        assert reader >= number
        assert not is_readable(reader, 0.0)
        os.write(writer, b"1")
        assert is_readable(reader)
        os.read(reader, 1)
        assert not is_readable(reader, 0.01)
    finally:
        os.close(writer)
    assert is_readable(reader, 1.0)
    os.close(reader)
