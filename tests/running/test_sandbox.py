"""A run is kept apart, and its end is said as it was: real programs, real bubblewrap."""

from __future__ import annotations

import os
import socket
import sys
from pathlib import Path

import pytest

from scheduler.running import levels
from scheduler.running.files import FileRefError
from scheduler.running.job import Level, Limits, Mount, Permit
from scheduler.running.levels import LevelMissingError, SandboxError
from tests.running.support import Bench, Kept


def test_this_machine_gives_both_levels() -> None:
    """The tests need them; where one is missing, this says why."""
    assert dict(levels.available()) == {Level.PROCESS: None, Level.BUBBLEWRAP: None}


@pytest.mark.parametrize(
    ("script", "code", "number"),
    [("exit 0", 0, None), ("exit 3", 3, None), ("kill -9 $$", 137, 9), ("exit 255", 255, None)],
)
def test_the_end_is_said_as_it_was(bench: Bench, level: Level, script: str, code: int, number: int | None) -> None:
    """Exit code and signal are those of the program, at either level."""
    ended = bench.sh(script, level=level).ended
    assert (ended.exit_code, ended.signal, ended.level, ended.limits, ended.stopped) == (code, number, level, (), None)


@pytest.mark.parametrize(("program", "code"), [("no-such-program", 127), ("./plain", 126)])
def test_a_program_that_is_none_ends_as_in_a_shell(bench: Bench, level: Level, program: str, code: int) -> None:
    """What cannot be executed is the payload's failure, with a word in the log."""
    (bench.folder / "plain").write_text("text")
    ran = bench.run(program, level=level)
    assert ran.ended.exit_code == code
    assert program in ran.log


def test_output_and_errors_come_in_order(bench: Bench, level: Level) -> None:
    """Both streams go to one log, as they were written; bytes that are no text, too."""
    live = Kept()
    ran = bench.sh("for i in 1 2 3; do echo out$i; echo err$i >&2; done; printf '\\377\\000'", level=level, live=live)
    assert live.data == b"out1\nerr1\nout2\nerr2\nout3\nerr3\n\xff\x00"
    assert ran.ended.exit_code == 0


def test_the_environment_is_clean(bench: Bench, level: Level, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run has the variables it was given and a few of ours, nothing of the worker's, and never its home or key."""
    monkeypatch.setenv("P2P_WORKFLOW_KEY", "private")
    monkeypatch.setenv("SECRET_OF_THE_WORKER", "private")
    env = {"GIVEN": "yes\nand more", "P2P_WORKFLOW_HOME": "/here", "P2P_WORKFLOW_KEY": "k", "LD_LIBRARY_PATH": "/x"}
    ran = bench.run("python3", "-c", "import os; print(sorted(os.environ.items()))", level=level, env=env)
    found = dict(eval(ran.log))  # noqa: S307 - what our own line has printed
    found.pop("LC_CTYPE", None)  # Python sets it for itself
    assert found.keys() == {
        "GIVEN",
        "HOME",
        "LANG",
        "LD_LIBRARY_PATH",
        "LOGNAME",
        "PATH",
        "PWD",
        "SHELL",
        "TMPDIR",
        "USER",
    } - (set() if "PWD" in found else {"PWD"})
    assert found["GIVEN"] == "yes\nand more"
    assert found["LD_LIBRARY_PATH"] == "/x"


def test_it_begins_in_its_folder_and_can_write_there(bench: Bench, level: Level) -> None:
    """The work folder, home and temporary folder are the run's own and writable; the result lies where we see it."""
    (bench.folder / "sub/deep").mkdir(parents=True)
    ran = bench.sh("pwd; echo x > file; echo y > $HOME/h; echo z > $TMPDIR/t; touch ../up", level=level, cwd="sub/deep")
    assert ran.log == f"{bench.sandbox.seen_as(bench.folder, level)}/sub/deep\n"
    assert ran.ended.exit_code == 0
    assert (bench.folder / "sub/deep/file").read_text() == "x\n"
    assert (bench.folder / "sub/up").exists()
    with pytest.raises(FileRefError):
        bench.sh("true", level=level, cwd="../..")


def test_our_python_is_an_interpreter_there(bench: Bench, level: Level) -> None:
    """The Python that runs the worker runs in the sandbox, too, with semaphores in shared memory."""
    program = f"{sys.base_prefix}/bin/python3"
    ran = bench.run(program, "-c", "import ssl, multiprocessing; multiprocessing.Lock(); print('ok')", level=level)
    assert ran.log == "ok\n"


def test_nothing_but_the_system_is_seen(bench: Bench, tmp_path: Path) -> None:
    """In bubblewrap: no home, no key, no shadow file, no other process; the work folder's neighbours are not there."""
    (tmp_path / "key").write_text("private")
    ran = bench.sh(f"cat /etc/shadow {tmp_path}/key {Path.home()}/.ssh/* /var/lib/* /proc/1/environ")
    assert "private" not in ran.log
    assert "root:" not in ran.log
    assert not set(bench.sh("ls /; ls /etc").log.split()) & {
        "home",
        "var",
        "run",
        "sys",
        "opt",
        "shadow",
        "ssh",
        "gshadow",
    }
    assert len([name for name in bench.sh("ls /proc").log.split() if name.isdigit()]) < 6


def test_what_is_not_the_runs_own_cannot_be_written(bench: Bench, tmp_path: Path) -> None:
    """In bubblewrap: writes to the system, its configuration, the top, and paths outside fail and leave nothing."""
    outside = tmp_path / "outside"
    script = f"""
        for place in /usr/x /etc/x /x /bin/x /dev/x {outside} /proc/sys/kernel/core_pattern /etc/passwd; do
            (echo bad > $place) 2>/dev/null && echo "wrote $place"
        done
        echo done"""
    assert bench.sh(script).log == "done\n"
    assert not outside.exists()


def test_it_is_nobody_in_particular(bench: Bench) -> None:
    """In bubblewrap: no root of the machine, no capability, no way to get one, another host name."""
    ran = bench.sh(
        "id -un; hostname; grep -E 'Cap(Prm|Eff|Bnd|Amb)|NoNewPrivs' /proc/self/status; cat /proc/self/uid_map"
    )
    lines = ran.log.splitlines()
    assert lines[:2] == ["worker", "sandbox"]
    assert {line.split()[1] for line in lines[2:5]} == {"0" * 16} or os.geteuid()
    assert "NoNewPrivs:\t1" in lines


def reached(bench: Bench, permit: Permit, port: int) -> bool:
    """Return whether a run reaches a listener outside on loopback."""
    line = f"import socket; socket.create_connection(('127.0.0.1', {port}), 5); print('reached')"
    return "reached" in bench.run("python3", "-c", line, permit=permit).log


def test_no_network_but_with_a_permit(bench: Bench) -> None:
    """In bubblewrap: a listener on loopback and an abstract socket outside are out of reach, unless it is permitted."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        port = listener.getsockname()[1]
        assert not reached(bench, Permit(), port)
        assert reached(bench, Permit(network=True), port)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind("\0p2p-sandbox-test")
        listener.listen()
        line = "import socket; socket.socket(socket.AF_UNIX).connect('\\0p2p-sandbox-test'); print('reached')"
        assert "reached" not in bench.run("python3", "-c", line).log
    names = bench.sh("cat /etc/resolv.conf && ls /etc/ssl", permit=Permit(network=True))
    assert names.ended.exit_code == 0


def test_mounts_are_seen_and_only_some_are_writable(bench: Bench, tmp_path: Path) -> None:
    """A folder that the policy mounts is seen inside; what may be read only stays as it was."""
    for name in ("data", "cache", "tool"):
        (tmp_path / name).mkdir(mode=0o777)
        (tmp_path / name).chmod(0o777)
        (tmp_path / name / "file").write_text(name)
    permit = Permit(
        mounts=(Mount(tmp_path / "data", "/mnt/data"), Mount(tmp_path / "cache", "/work/cache", writable=True))
    )
    live = Kept()
    with live.stop:
        bench.sandbox.run(
            [
                "sh",
                "-c",
                "cat /mnt/data/file cache/file /tools/file; for d in /mnt/data /tools cache; do touch $d/new; done",
            ],
            folder=bench.folder,
            cwd="",
            env={},
            permit=permit,
            live=live,
            extra_read=(Mount(tmp_path / "tool", "/tools", writable=True),),
        )
    assert live.text.startswith("datacachetool")
    assert [(tmp_path / name / "new").exists() for name in ("data", "cache", "tool")] == [False, True, False]


@pytest.mark.parametrize("inside", ["relative", "/", "/usr", "/work", "/proc/1", "/dev", "/a/../etc", "/etc"])
def test_a_mount_in_the_wrong_place_is_refused(bench: Bench, tmp_path: Path, inside: str) -> None:
    """A mount that would cover the sandbox itself is an error in words, and nothing runs."""
    with pytest.raises(SandboxError, match="nothing can be mounted"):
        bench.sh("touch ran", permit=Permit(mounts=(Mount(tmp_path, inside),)))
    assert not (bench.folder / "ran").exists()


def test_a_mount_that_is_not_there_is_no_failure_of_the_payload(bench: Bench, tmp_path: Path) -> None:
    """Bubblewrap's own failure is told apart from the program's, with its words."""
    with pytest.raises(SandboxError, match="none-such"):
        bench.sh("true", permit=Permit(mounts=(Mount(tmp_path / "none-such", "/data"),)))
    with pytest.raises(SandboxError, match="mounts nothing"):
        bench.sh("true", permit=Permit(level=Level.PROCESS, mounts=(Mount(tmp_path, "/data"),)))


def test_a_level_that_is_missing_refuses(bench: Bench, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Without bubblewrap, or with one that makes no namespaces, nothing runs, and the error says why."""
    for content, words in (
        ("", "not installed"),
        ("#!/bin/sh\necho no namespaces here >&2; exit 1\n", "no namespaces here"),
    ):
        folder = tmp_path / f"bin{len(content)}"
        folder.mkdir()
        if content:
            (folder / "bwrap").write_text(content)
            (folder / "bwrap").chmod(0o755)
        with monkeypatch.context() as patch:
            patch.setenv("PATH", str(folder))
            levels.forget()
            with pytest.raises(LevelMissingError, match=words):
                bench.sh("touch ran")
        levels.forget()
    assert not (bench.folder / "ran").exists()
    assert bench.sh("true").ended.exit_code == 0


def test_strange_words_are_refused_or_passed_as_they_are(bench: Bench, level: Level) -> None:
    """Arguments are no shell's; a NUL in one is an error of ours, not of the system's."""
    ran = bench.run("printf", "%s|", "$HOME", "a b", "--", "'", "\n", "é", "--setenv", level=level)
    assert ran.log == "$HOME|a b|--|'|\n|é|--setenv|"
    with pytest.raises(SandboxError):
        bench.run("echo", "a\0b", level=level)
    with pytest.raises(SandboxError):
        bench.run("echo", level=level, env={"": "x"})


def test_secrets_are_masked_in_the_log(bench: Bench, level: Level) -> None:
    """A secret that the run prints, plain or in base64, does not reach the log."""
    secrets = {"TOKEN": "s3cret-value"}
    permit = Permit(level=level, secrets=secrets)
    ran = bench.sh(
        'echo "[$TOKEN]"; echo "$TOKEN" | base64; printf s3cret; sleep 0.05; echo -value', permit=permit, env=secrets
    )
    assert ran.log.startswith("[***]\n")
    assert "s3cret" not in ran.log
    assert ran.log.endswith("\n***\n")


def test_limits_are_said_in_the_unit_they_have(bench: Bench, level: Level) -> None:
    """A run within its limits says none."""
    limits = Limits(time_ms=60_000, memory_bytes=1 << 30, file_bytes=1 << 20, open_files=64)
    assert bench.sh("true", level=level, limits=limits).ended.limits == ()
