"""Each limit holds against a program that tries to pass it, and is named; nothing of it is left."""

from __future__ import annotations

import os
import resource
import signal

import pytest

from scheduler.running.job import Level, Limits
from scheduler.running.levels import LevelMissingError
from scheduler.running.limits import count_tasks_of, kernel_limits, limits_hit, within_hard_limit
from tests.running.support import Bench, Kept, Ran, background, processes_with

BOMB = "import os\nwhile True:\n    try: os.fork()\n    except OSError: pass\n"


def python(bench: Bench, source: str, level: Level, limits: Limits) -> Ran:
    """Run a program in Python."""
    return bench.run("python3", "-c", source, level=level, limits=limits)


def test_time(bench: Bench, level: Level, mark: str) -> None:
    """A run that takes too long is ended, with all it has started."""
    ran = bench.sh(f"sleep {mark} & sleep {mark}", level=level, limits=Limits(time_ms=300))
    assert ran.ended.limits == ("time",)
    assert 300 <= ran.ended.duration_ms < 30_000
    assert not processes_with(mark)


def test_memory(bench: Bench, level: Level) -> None:
    """A program that takes more memory than it may gets none, says so, and fails for that reason."""
    limits = Limits(memory_bytes=256 << 20)
    ran = python(bench, "held = bytearray(1 << 30)", level, limits)
    assert "MemoryError" in ran.log
    assert (ran.ended.exit_code, ran.ended.limits) == (1, ("memory",))
    assert python(bench, "held = bytearray(32 << 20)", level, limits).ended.exit_code == 0


def test_a_fork_bomb_is_bounded(bench: Bench, mark: str) -> None:
    """In bubblewrap the number of processes is bounded for root, too; the bomb goes when its time is over."""
    live = Kept()
    with background(
        lambda: bench.run(
            "python3",
            "-c",
            f"print('lit', flush=True)\n{BOMB}",
            mark,
            live=live,
            limits=Limits(processes=20, time_ms=60_000),
        )
    ) as found:
        live.wait_for("lit")
        most = max(len(processes_with(mark, but=b"bwrap")) for _ in range(30))
        live.stop.set("enough")
    assert 10 < most <= 20
    assert found[0].ended.stopped == "enough"
    assert not processes_with(mark)


def test_processes_are_counted_for_each_run_alone(bench: Bench) -> None:
    """Two runs of one worker do not use up each other's processes, and the last words name the limit."""
    limits = Limits(processes=8, time_ms=60_000)
    live = Kept()
    with background(
        lambda: bench.sh("for i in 1 2 3 4 5; do sleep 60 & done; echo on; wait", live=live, limits=limits)
    ):
        live.wait_for("on")
        assert bench.sh("for i in 1 2 3 4 5; do sleep 0.1 & done; wait", limits=limits).ended.exit_code == 0
        over = bench.run("bash", "-c", "for i in $(seq 30); do sleep 5 & done; exit 1", limits=limits)
        live.stop.set("enough")
    assert over.ended.limits == ("processes",)


def test_processes_without_bubblewrap(bench: Bench) -> None:
    """At level process root has no such limit, so the run is refused; others have their count and so many more."""
    if os.geteuid():
        ran = bench.run(
            "bash",
            "-c",
            "for i in $(seq 300); do sleep 5 & done; exit 1",
            level=Level.PROCESS,
            limits=Limits(processes=8),
        )
        assert ran.ended.limits == ("processes",)
    else:
        with pytest.raises(LevelMissingError, match="processes"):
            bench.sh("touch ran", level=Level.PROCESS, limits=Limits(processes=8))
        assert not (bench.folder / "ran").exists()
    assert count_tasks_of(os.geteuid()) >= 1


@pytest.mark.parametrize(
    "source", ["dd if=/dev/zero of=big bs=1024 count=4096", "python3 -c \"open('big', 'wb').write(bytes(4 << 20))\""]
)
def test_file_size(bench: Bench, level: Level, source: str) -> None:
    """A file cannot grow beyond its limit, whether the signal or the error ends the program."""
    ran = bench.sh(source, level=level, limits=Limits(file_bytes=1 << 20))
    assert (bench.folder / "big").stat().st_size <= 1 << 20
    assert ran.ended.exit_code
    assert ran.ended.limits == ("file",)


def test_open_files(bench: Bench, level: Level) -> None:
    """More files than it may have open are refused to it."""
    ran = python(bench, "held = [open('/dev/null') for _ in range(100)]", level, Limits(open_files=32))
    assert (ran.ended.exit_code, ran.ended.limits) == (1, ("open_files",))


@pytest.mark.parametrize("source", ["yes", "cat /dev/zero", "cat /dev/urandom", "yes & sleep 600"])
def test_a_flood_of_output_ends_the_run(bench: Bench, level: Level, source: str) -> None:
    """The log keeps its head and says that it ends; lines without end and bytes that are no text are no different."""
    live = Kept()
    ran = bench.sh(f"echo first; {source}", level=level, live=live, limits=Limits(log_bytes=200_000, time_ms=60_000))
    assert ran.ended.limits == ("log",)
    assert live.data.startswith(b"first\n")
    assert 200_000 < len(live.data) < 200_100
    assert live.data.endswith(b"its log ends here]\n")


def test_a_flood_in_the_last_moment_is_said_too(bench: Bench, level: Level) -> None:
    """A program that prints a little too much and ends at once has hit the limit all the same."""
    ran = bench.sh("head -c 5000 /dev/zero", level=level, limits=Limits(log_bytes=4_999))
    assert ran.ended.limits == ("log",)
    assert bench.sh("head -c 5000 /dev/zero", level=level, limits=Limits(log_bytes=5_000)).ended.limits == ()


def test_what_the_kernel_is_told() -> None:
    """Only limits that are set are, never above what the process has, and no core is ever dumped."""
    assert kernel_limits(Limits(), None) == ((resource.RLIMIT_CORE, 0),)
    assert dict(kernel_limits(Limits(memory_bytes=1, file_bytes=2, open_files=3, processes=9), 4)) == {
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_AS: 1,
        resource.RLIMIT_FSIZE: 2,
        resource.RLIMIT_NOFILE: 3,
        resource.RLIMIT_NPROC: 4,
    }
    assert within_hard_limit(5, resource.RLIM_INFINITY) == (5, 5)
    assert within_hard_limit(5, 3) == (3, 3)


def test_words_name_a_limit_only_where_there_is_one() -> None:
    """A program that prints such words hits no limit that it does not have, or when it does well."""
    limits = Limits(memory_bytes=1)
    assert list(limits_hit(limits, 1, None, b"MemoryError: Too many open files")) == ["memory"]
    assert list(limits_hit(limits, 0, None, b"MemoryError")) == []
    assert list(limits_hit(limits, 1, None, b"MemoryError\n" + b"and went on\n" * 5)) == []
    assert list(limits_hit(Limits(processes=9), 2, None, b"sh: 0: Cannot fork\n")) == ["processes"]
    assert list(limits_hit(Limits(), 153, signal.SIGXFSZ, b"")) == []
    assert list(limits_hit(Limits(file_bytes=1), 153, signal.SIGXFSZ, b"")) == ["file"]
