"""However a run ends, nothing of it is left, and nobody waits for what it has left open."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import warnings
from contextlib import closing
from io import FileIO
from pathlib import Path

import pytest

from scheduler.running.job import Level, Limits, StopSignal
from scheduler.running.sandbox import Sandbox
from tests.running.support import Bench, Kept, background, processes_with, wait_until

DAEMON = """
import os, signal, sys, time
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        os.environ.clear()
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        print('daemon', os.getpid(), flush=True)
        if 'closed' in sys.argv:
            os.close(1), os.close(2)
        time.sleep(1000)
    os._exit(0)
os.wait()
"""


@pytest.mark.parametrize("closed", ["open", "closed"])
def test_a_daemon_ends_with_its_run(bench: Bench, level: Level, closed: str, mark: str) -> None:
    """Forked twice, in a session of its own, deaf to SIGTERM, the output open or closed: it goes when the run does."""
    begun = time.monotonic()
    ran = bench.run("python3", "-c", f"{DAEMON}\ntime.sleep(0.3)", mark, closed, level=level)
    assert "daemon" in ran.log
    assert ran.ended.exit_code == 0
    assert time.monotonic() - begun < 30
    assert not processes_with(mark)


@pytest.mark.parametrize("closed", ["open", "closed"])
def test_a_daemon_ends_when_the_run_is_stopped(bench: Bench, level: Level, closed: str, mark: str) -> None:
    """The same when somebody stops the run."""
    live = Kept()
    with background(
        lambda: bench.run("python3", "-c", f"{DAEMON}\ntime.sleep(1000)", mark, closed, level=level, live=live)
    ) as found:
        live.wait_for("daemon")
        live.stop.set("superseded")
    assert found[0].ended.stopped == "superseded"
    assert not processes_with(mark)


def test_a_background_child_that_holds_the_output_keeps_nobody(bench: Bench, level: Level, mark: str) -> None:
    """The main process is the run: when it ends, the rest does, though it could print on."""
    begun = time.monotonic()
    ran = bench.sh(f"(sleep {mark}; echo late) & echo done", level=level)
    assert ran.log == "done\n"
    assert time.monotonic() - begun < 30
    assert not processes_with(mark)


def test_a_run_that_closes_its_output_is_waited_for(bench: Bench, level: Level) -> None:
    """An end of output is no end of the run; its exit code counts."""
    ran = bench.sh("echo said; exec >&- 2>&-; sleep 0.3; exit 5", level=level)
    assert (ran.log, ran.ended.exit_code) == ("said\n", 5)
    assert ran.ended.duration_ms >= 300


def test_sigterm_comes_first_and_reaches_all(bench: Bench, level: Level) -> None:
    """A run that is to end may clean up: its main process and its children are told, and have a grace."""
    script = """
        sh -c 'trap "echo child cleans; exit" TERM; echo child; sleep 600 & wait' &
        trap 'wait; echo main cleans; exit 7' TERM; echo main; wait"""
    live, patient = Kept(), Sandbox(grace_ms_max=60_000)
    with closing(patient), background(lambda: Bench(bench.folder, patient).sh(script, level=level, live=live)) as found:
        live.wait_for("child")
        live.wait_for("main")
        live.stop.set("cancelled")
    assert "child cleans\nmain cleans\n" in found[0].log
    assert (found[0].ended.exit_code, found[0].ended.stopped) == (7, "cancelled")


def test_who_ignores_sigterm_is_killed(bench: Bench, level: Level, mark: str) -> None:
    """After the grace everything goes, whatever it ignores."""
    script = """
import signal, time
for number in range(1, 32):
    if number not in (signal.SIGKILL, signal.SIGSTOP):
        signal.signal(number, signal.SIG_IGN)
print('deaf', flush=True)
time.sleep(1000)
"""
    live = Kept()
    with background(lambda: bench.run("python3", "-c", script, mark, level=level, live=live)) as found:
        live.wait_for("deaf")
        live.stop.set("drained")
    assert (found[0].ended.exit_code, found[0].ended.signal) == (137, signal.SIGKILL)
    assert not processes_with(mark)


def test_a_stopped_process_is_killed_too(bench: Bench, level: Level) -> None:
    """A process that has stopped itself gets no SIGTERM done, and goes all the same."""
    ran = bench.sh("kill -STOP $$; echo never", level=level, limits=Limits(time_ms=300))
    assert ran.ended.limits == ("time",)
    assert ran.ended.signal == signal.SIGKILL


def test_a_stop_before_the_start_runs_hardly_anything(bench: Bench, level: Level) -> None:
    """A run that is to end already when it begins ends at once."""
    live = Kept(stop=StopSignal())
    live.stop.set("too late")
    ran = bench.sh("sleep 1000", level=level, live=live)
    assert ran.ended.stopped == "too late"
    assert ran.ended.duration_ms < 30_000


def test_a_live_that_fails_leaves_nothing_running(bench: Bench, level: Level, mark: str) -> None:
    """When the log cannot be kept the error goes to the caller, and the run is over."""

    class Broken(Kept):
        def log(self, data: bytes) -> None:
            raise OSError(28, "no room")

    with pytest.raises(OSError, match="no room"):
        bench.sh(f"echo x; sleep {mark}", level=level, live=Broken())
    assert not processes_with(mark)


WORKER = """
import json, sys
from pathlib import Path
from scheduler.running.job import Level, Limits, Permit
from scheduler.running.sandbox import Sandbox
from tests.running.support import Kept

class Loud(Kept):
    def log(self, data):
        print(data.decode(), end='', flush=True)

script = f'setsid sleep {sys.argv[3]} & echo runs; sleep {sys.argv[3]}'
Sandbox().run(['sh', '-c', script], folder=Path(sys.argv[1]), cwd='', env={},
    permit=Permit(level=Level(sys.argv[2])), live=Loud())
"""


def test_a_worker_that_is_killed_leaves_nothing_running(tmp_path: Path, level: Level, mark: str) -> None:
    """Kill −9 of the worker ends what it ran: nobody else would."""
    root = Path(__file__).parents[2]
    worker = subprocess.Popen([sys.executable, "-c", WORKER, tmp_path, level, mark], stdout=subprocess.PIPE, cwd=root)
    with worker:
        assert worker.stdout is not None
        assert worker.stdout.readline() == b"runs\n"
        assert processes_with(mark)
        worker.kill()
    wait_until(lambda: not processes_with(mark))


def test_the_launcher_that_was_killed_is_started_again(bench: Bench) -> None:
    """At level process the next run works, and the one under way is not disturbed."""
    assert bench.sh("true", level=Level.PROCESS).ended.exit_code == 0
    live = Kept()
    with background(
        lambda: bench.sh("echo on; while ! [ -e go ]; do sleep 0.05; done; exit 4", level=Level.PROCESS, live=live)
    ) as found:
        live.wait_for("on")
        launcher = bench.sandbox._nursery._program
        assert launcher is not None
        launcher.kill()
        launcher.wait()
        assert bench.sh("exit 3", level=Level.PROCESS).ended.exit_code == 3
        (bench.folder / "go").touch()
    assert found[0].ended.exit_code == 4


def test_descriptors_are_given_back(bench: Bench, level: Level) -> None:
    """Many runs leave no descriptor open, whether they end well, fail to start, or are refused."""
    bench.sh("true", level=level)
    before = len(list(Path("/proc/self/fd").iterdir()))
    for _ in range(5):
        bench.sh("true", level=level)
        bench.run("no-such-program", level=level)
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_many_runs_at_once(bench: Bench, level: Level) -> None:
    """Slots share one sandbox: each run has its own output, end and folder."""
    from concurrent.futures import ThreadPoolExecutor

    def one(number: int) -> tuple[str, int]:
        folder = bench.folder / str(number)
        folder.mkdir()
        ran = Bench(folder, bench.sandbox).sh(f"echo {number} > own; cat own; ls; exit {number}", level=level)
        return ran.log, ran.ended.exit_code

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(one, range(24))) == [(f"{number}\nown\n", number) for number in range(24)]


def test_another_user_than_root_has_the_same(bench: Bench) -> None:
    """Bubblewrap needs no rights: a worker of an ordinary user runs, is limited and is as far from the machine."""
    with tempfile.TemporaryDirectory() as folder:
        said = as_another_user(bench, Path(folder))
    assert said == {"who": "worker", "code": 3, "limits": ["processes"], "wrote": [True, False], "level": "bubblewrap"}


def as_another_user(bench: Bench, folder: Path) -> dict[str, object]:
    """Run as an ordinary user, in a child of ours; where the tests are one already, the same."""
    reader, writer = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of a fork beside threads, which the child does without
        child = os.fork()
    if child == 0:
        try:
            if os.geteuid() == 0:
                os.chown(folder, 54_321, 54_321)
                os.setgroups([])
                os.setresgid(54_321, 54_321, 54_321)
                os.setresuid(54_321, 54_321, 54_321)
            own = Bench(folder, bench.sandbox)
            first = own.sh("id -un; touch mine /dev/mine; exit 3")
            bomb = own.run("bash", "-c", "for i in $(seq 30); do sleep 5 & done; exit 1", limits=Limits(processes=8))
            said = {
                "who": first.log.split()[0],
                "code": first.ended.exit_code,
                "limits": bomb.ended.limits,
                "wrote": [(folder / "mine").exists(), "cannot touch '/dev/mine'" not in first.log],
                "level": str(first.ended.level),
            }
            os.write(writer, json.dumps(said).encode())
        except BaseException as error:  # noqa: BLE001 - the parent is to hear of whatever it is
            os.write(writer, json.dumps({"error": repr(error)}).encode())
        finally:
            os._exit(0)
    os.close(writer)
    with FileIO(reader) as told:
        found: dict[str, object] = json.loads(told.readall())
    os.waitpid(child, 0)
    return found
