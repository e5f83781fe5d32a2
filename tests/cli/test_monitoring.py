"""`--monitor` and structured logs of commands that run for long, in real processes."""

from __future__ import annotations

import http.client
import json
import logging
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from cli.logs import JsonFormatter, TextFormatter
from scheduler.home import Home
from scheduler.monitor_server import MonitorServer
from scheduler.pulse import Pulse
from tests.cli.program import DEADLINE_S, Program


def get(port: int, path: str, method: str = "GET") -> tuple[int, str, str]:
    """Return status, media type and body of an answer."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=DEADLINE_S)
    try:
        connection.request(method, path)
        answer = connection.getresponse()
        return answer.status, answer.headers["Content-Type"], answer.read().decode()
    finally:
        connection.close()


def peer_run(program: Program, *args: str) -> AbstractContextManager[tuple[subprocess.Popen[str], int, list[str]]]:
    """Run a peer that is monitored, as `monitored_run` does."""
    return monitored_run(program, "peer", "run", "--no-ipfs", *args)


@contextmanager
def monitored_run(program: Program, *args: str) -> Iterator[tuple[subprocess.Popen[str], int, list[str]]]:
    """Run a command that is monitored; yield it with the port, and the lines it logs: all of them after the block."""
    process = program.start(*args, "--monitor", "127.0.0.1:0")
    lines: list[str] = []
    try:
        assert process.stderr is not None
        while not (lines and "monitored at http://127.0.0.1:" in lines[-1]):
            line = process.stderr.readline()
            assert line, lines
            lines.append(line)
        words = lines[-1].split("monitored at http://127.0.0.1:")[1]
        yield process, int("".join(char for char in words.split('"')[0] if char.isdecimal())), lines
        process.send_signal(signal.SIGTERM)
        lines += process.stderr.readlines()
        assert process.wait(DEADLINE_S) == 0
    finally:
        process.kill()
        process.communicate()


def test_a_peer_is_monitored(program: Program) -> None:
    """The three paths answer in their forms; the numbers are those of the home, also of what others write meanwhile."""
    program.ok("init")
    with peer_run(program) as (_, port, _):
        status, media_type, text = get(port, "/metrics")
        assert (status, media_type.split(";")[0]) == (200, "text/plain")
        assert program.submit("t")["task_id"] == "t"
        _, _, text = get(port, "/metrics")
        families = {family.name: family for family in text_string_to_metric_families(text)}
        tasks = {sample.labels["status"]: sample.value for sample in families["p2p_workflow_tasks"].samples}
        assert tasks["ready"] == 1
        assert families["process_start_time_seconds"].samples[0].value <= time.time() + 1
        for path in ("/healthz", "/readyz"):
            assert get(port, path) == (200, "application/json", '{"status": "ok"}\n')
            assert get(port, path, "HEAD") == (200, "application/json", "")
        assert get(port, "/")[0] == 404
        assert get(port, "/metrics", "POST")[0] == 405


def test_json_logs_are_one_object_a_line(program: Program) -> None:
    """Each line on stderr is an object with time, level, logger, message and the fields of what happened."""
    program.ok("init")
    quiet = replace(program, extra={"P2P_WORKFLOW_LOG_FORMAT": "json"})
    with peer_run(quiet) as (_, _, lines):
        pass
    documents = [json.loads(line) for line in lines]
    assert [one["event"] for one in documents] == ["monitor", "ready", "ended"]
    for one in documents:
        assert one.keys() == {"time", "level", "logger", "message", "event"}
        assert (one["level"], one["logger"]) == ("info", "p2p_workflow")
        assert abs(one["time"] / 1000 - time.time()) < DEADLINE_S


def until(port: int, path: str, status: int, words: str = "") -> str:
    """Ask again and again until an answer has a status and words, within the deadline; return it."""
    deadline = time.monotonic() + DEADLINE_S
    while True:
        found, _, body = get(port, path)
        if found == status and words in body:
            return body
        assert time.monotonic() < deadline, (found, body)


def test_a_worker_is_monitored(program: Program) -> None:
    """Its counters are in /metrics; a broken policy makes it unready until it is mended; its log names claims."""
    program.ok("init")
    program.ok("worker", "policy", "init")
    policy = program.home / "worker.toml"
    text = policy.read_text()
    program.ok("submit", "--task-id", "t", "--workflow-id", "w", "--name", "n", "--", "true")
    with monitored_run(program, "worker", "run", "--log-format", "json", "--log-level", "debug") as (_, port, lines):
        until(port, "/readyz", 200)
        until(port, "/metrics", 200, "p2p_workflow_worker_completed_total 1.0")
        policy.write_text(text + "netwrok = true\n", encoding="utf-8")
        assert "did you mean network?" in until(port, "/readyz", 503)
        assert get(port, "/healthz")[0] == 200
        policy.write_text(text, encoding="utf-8")
        until(port, "/readyz", 200)
    documents = [json.loads(line) for line in lines]
    told = {one["event"]: one for one in documents}
    assert {"monitor", "ready", "claimed", "completed"} <= told.keys()
    key = program.json("show", "t")["task_key"]
    for event in ("claimed", "completed"):
        assert (told[event]["task_id"], told[event]["task"], told[event]["level"]) == ("t", key, "debug")
        assert told[event]["claim"].startswith("baf")


def test_the_level_is_heeded_and_a_flag_beats_the_file(program: Program) -> None:
    """What is below the level is not logged."""
    program.ok("init")
    config = program.home / "config.toml"
    config.write_text('[log]\nlevel = "error"\nformat = "json"\n', encoding="utf-8")
    config.chmod(0o600)
    with peer_run(program, "--log-level", "debug", "--log-format", "text") as (_, _, lines):
        pass
    assert not any(line.startswith("{") for line in lines)
    loud = program.run("peer", "run", "--log-level", "loud")
    assert (loud.code, "--log-level: 'loud' is none of debug" in loud.err) == (2, True)


def test_a_place_that_is_taken_is_told(program: Program) -> None:
    """Where nothing can be served there, or the place is none, the command ends with words."""
    program.ok("init")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        ran = program.run("peer", "run", "--no-ipfs", "--monitor", f"127.0.0.1:{port}")
    assert (ran.code, f"cannot listen at 127.0.0.1:{port}" in ran.err) == (2, True)
    ran = program.run("peer", "run", "--no-ipfs", "--monitor", "9100")
    assert (ran.code, "--monitor: HOST:PORT is wanted" in ran.err) == (2, True)


def test_a_missing_library_is_told(program: Program, tmp_path: Path) -> None:
    """Without the extra the command says how to install it."""
    program.ok("init")
    (tmp_path / "prometheus_client.py").write_text(
        "raise ModuleNotFoundError('gone', name='prometheus_client')", encoding="utf-8"
    )
    bare = replace(program, extra={"PYTHONPATH": str(tmp_path)})
    ran = bare.run("peer", "run", "--no-ipfs", "--monitor", "127.0.0.1:0")
    assert ran.code == 10
    assert "pip install 'p2p-workflow-scheduler[metrics]'" in ran.err


def test_health_and_readiness_say_what_is_wrong(tmp_path: Path) -> None:
    """A loop that stands still is unhealthy; a trouble of the process, or of the store, makes it unready."""
    folder = tmp_path / "home"
    Home.found(folder).close()
    pulse, troubles = Pulse(limit_s=0.2), ["the policy is broken"]
    with MonitorServer(folder, "127.0.0.1", 0, pulse=pulse, troubles=[lambda: troubles[0]]) as server:
        pulse.beat()
        assert get(server.port, "/healthz")[0] == 200
        status, _, body = get(server.port, "/readyz")
        assert (status, json.loads(body)["reasons"]) == (503, ["the policy is broken"])
        troubles[0] = ""
        pulse.beat()
        assert get(server.port, "/readyz")[0] == 200
        deadline = time.monotonic() + DEADLINE_S
        while get(server.port, "/healthz")[0] != 503:
            assert time.monotonic() < deadline
        assert "has not come round" in get(server.port, "/readyz")[2]
        pulse.beat()
        assert get(server.port, "/healthz")[0] == 200


@pytest.fixture
def record() -> logging.LogRecord:
    """Return what a module logs of a task."""
    fields: dict[str, Any] = {
        "name": "scheduler.x",
        "levelno": logging.WARNING,
        "levelname": "WARNING",
        "msg": "task %s\x1b[2J\nlost",
        "args": ("t",),
        "task": "aa",
        "claim": b"\x01",
        "event": "lost",
    }
    return logging.makeLogRecord(fields)


def test_the_forms_of_a_line(record: logging.LogRecord) -> None:
    """JSON has the fields, whatever their type; text has no control characters of others, and stays one line."""
    document = json.loads(JsonFormatter().format(record))
    assert document.pop("time") == round(record.created * 1000)
    assert document == {
        "level": "warning",
        "logger": "scheduler.x",
        "message": "task t\x1b[2J\nlost",
        "task": "aa",
        "claim": "b'\\x01'",
        "event": "lost",
    }
    del vars(record)["event"]
    assert json.loads(JsonFormatter().format(record))["event"] == "warning"
    line = TextFormatter().format(record)
    assert "warning: task t" in line
    assert "\x1b" not in line
    assert "\n" not in line
