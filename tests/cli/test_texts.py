"""Durations, times, tables and the progress bar: small texts that people read and write."""

from __future__ import annotations

import os
import pty
import subprocess
from importlib.metadata import version
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cli.output import printable, render_table, render_time
from cli.times import TimeTextError, parse_duration, parse_time, render_duration
from tests.cli.program import Program, operation_lines


@pytest.mark.parametrize(
    ("text", "ms"),
    [
        ("15m", 900_000),
        ("90s", 90_000),
        ("1h30m", 5_400_000),
        ("250ms", 250),
        ("2d", 172_800_000),
        ("90", 90_000),
        ("1.5h", 5_400_000),
    ],
)
def test_durations_are_read(text: str, ms: int) -> None:
    """Units from ms to d, put together; a bare number is seconds."""
    assert parse_duration(text) == ms


@pytest.mark.parametrize("text", ["", "soon", "-5s", "5 s 3", "m5", "0", "1w"])
def test_other_durations_are_refused(text: str) -> None:
    """What is no duration is not guessed at."""
    with pytest.raises(TimeTextError):
        parse_duration(text)


@given(st.integers(1, 10**11))
def test_a_duration_reads_back_as_it_was_rendered(ms: int) -> None:
    """Rendering loses nothing."""
    assert parse_duration(render_duration(ms)) == ms


@given(st.integers(0, 253_402_300_799_999))
def test_a_time_reads_back_as_it_was_rendered(ms: int) -> None:
    """ISO 8601 with milliseconds, in UTC, loses nothing up to the year 9999."""
    assert parse_time(render_time(ms), 0) == ms


def test_times_come_in_three_forms() -> None:
    """With a zone or UTC, from now on, or as ms since 1970."""
    assert parse_time("2026-01-31T12:00", 0) == parse_time("2026-01-31T13:00+01:00", 0) == 1_769_860_800_000
    assert parse_time("+15m", 1_000) == 901_000
    assert parse_time("1769860800000", 0) == 1_769_860_800_000
    with pytest.raises(TimeTextError):
        parse_time("tomorrow", 0)


@given(st.text())
def test_whatever_is_printed_is_printable(text: str) -> None:
    """No control character, no line end, no half surrogate is left."""
    assert printable(text).isprintable()


def test_tables_align() -> None:
    """Columns begin under their headings."""
    assert render_table(("A", "B"), [("long", "x"), ("s", "y")]) == ["A     B", "long  x", "s     y"]


def test_a_progress_bar_is_drawn_on_a_terminal_only(program: Program) -> None:
    """Long work moves a bar on stderr where a person sits there; a pipe gets the results alone."""
    program.ok("init")
    assert program.ok("append", "-", text=operation_lines(200)).err == ""
    terminal, child = pty.openpty()
    done = subprocess.run(
        program.command("replay"), env=program.environment(), stdout=subprocess.PIPE, stderr=child, check=True
    )
    os.close(child)
    shown = os.read(terminal, 65_536).decode()
    os.close(terminal)
    assert "replaying events" in shown
    assert shown.endswith("\x1b[K")  # and it is gone when the work is done
    assert b"replaying" not in done.stdout


@pytest.mark.parametrize("prefix", [("p2p-workflow",), ("ipfs-accelerate",), ("ipfs-accelerate", "p2p-workflow")])
def test_the_version_is_told(tmp_path: Path, prefix: tuple[str, ...]) -> None:
    """That of the distribution that is installed, by both programs, without a home."""
    ran = Program(tmp_path / "home", prefix=prefix).run("--version")
    assert (ran.code, ran.out) == (0, f"{version('p2p-workflow-scheduler')}\n")
    assert not (tmp_path / "home").exists()
